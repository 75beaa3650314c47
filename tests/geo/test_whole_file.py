from pathlib import Path
from typing import NoReturn

import pytest

from geo.errors import MapFileError
from geo.whole_file import whole_file


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def interrupted_writing(path: Path) -> NoReturn:
    path.write_text("ne")
    raise KeyboardInterrupt


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        interrupted_writing(part)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_refusal_of_the_system_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MapFileError) as caught, whole_file(tmp_path / "no" / "a.txt") as part:
        part.write_text("new")
    assert "\n" not in str(caught.value)
