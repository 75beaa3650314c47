"""``canopy simulate``: what it says, writes and refuses."""

from __future__ import annotations

import json

import pytest


def test_worlds_are_written_and_summed_up(canopy_command, tmp_path):
    code, out, err = canopy_command(
        "simulate", "--output", tmp_path / "w", "--seed", 3, "--worlds", 2, "--preset",
        "savanna,treeless", "--size-m", 30, "--gsd", 1, "--sun-elevation", 40, "--json",
    )  # fmt: skip
    assert code == 0
    summary = json.loads(out)
    assert [world["name"] for world in summary["worlds"]] == ["savanna-0000", "treeless-0001"]
    assert summary["worlds"][1]["cover"] == 0
    assert "world    savanna-0000: 30 x 30 px" in err
    assert (tmp_path / "w" / "collection.json").is_file()
    saved = json.loads((tmp_path / "w" / "savanna-0000" / "settings.json").read_text())
    assert saved["sun"]["elevation_deg"] == 40
    assert saved["gsd_m"] == 1


def test_quiet_says_nothing(canopy_command, tmp_path):
    arguments = ("--seed", 1, "--preset", "treeless", "--size-m", 20, "--quiet")
    assert canopy_command("simulate", "-o", tmp_path / "w", *arguments) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--seed", 1, "--preset", "moon"), 2, "preset moon: expected one of conifer"),
        (("--seed", 1, "--worlds", 0), 2, "0 worlds: expected at least 1"),
        (("--seed", -4), 2, "seed -4: expected a whole number from 0 on"),
        (("--seed", 1, "--gsd", 9), 2, "pixel of 9 m: expected 0.1 to 5 m"),
        (("--seed", 1, "--size-m", 1), 2, "size of 1 m: expected 16 to 4000 m"),
        (("--seed", 1, "--sun-elevation", 90), 2, "sun's elevation of 90 degrees"),
        (("--seed", "x"), 2, "Invalid value for '--seed'"),
        ((), 2, "Missing option '--seed'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(canopy_command, tmp_path, arguments, code, message):
    found, out, err = canopy_command("simulate", "--output", tmp_path / "w", *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "w").exists()


def test_an_occupied_folder_is_refused_in_one_line(canopy_command, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    for more in ((), ("--overwrite",)):
        code, _, err = canopy_command("simulate", "-o", tmp_path, "--seed", 1, *more)
        assert code == 1
        assert len(err.strip().splitlines()) == 1
    assert (tmp_path / "letter.txt").read_text() == "dear"
