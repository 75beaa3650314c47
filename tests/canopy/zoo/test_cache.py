"""The cache stands where the user says, names lead nowhere else, and its records are kept."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from platformdirs import user_cache_path
from small_zoo import entry_of

from canopy.errors import ModelError
from canopy.zoo import HttpFile, cached, find_entry
from canopy.zoo.cache import (
    cache_folder,
    entry_folder,
    is_accepted,
    record_acceptance,
    record_digest,
    recorded_digest,
    recorded_revision,
    writing_alone,
)

BAD_NAMES = ["../out", "a/b", "", ".", "..", ".hidden", "a\\b", "/etc", "C:x", "a\nb", "ä"]


def test_the_cache_is_where_the_variable_says(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.setenv("CANOPY_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.setenv("CANOPY_CACHE", "here")
    assert cache_folder() == Path.cwd() / "here"


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_it_is_the_users_cache(monkeypatch, value):
    monkeypatch.delenv("CANOPY_CACHE")
    if value is not None:
        monkeypatch.setenv("CANOPY_CACHE", value)
    assert cache_folder() == user_cache_path("canopy", appauthor=False)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_name_leads_out_of_the_cache(name):
    entry = entry_of("https://example.org/x")
    with pytest.raises(ModelError, match="cannot be a name in the cache"):
        cached(replace(entry, name=name))
    source = HttpFile(url="https://example.org/x", file_name=name)
    with pytest.raises(ModelError, match="cannot be a name in the cache"):
        cached(replace(entry, source=source))


def test_a_file_put_there_is_found(cache):
    entry = entry_of("https://example.org/x")
    assert cached(entry) is None
    path = cache / "models" / "chm-test" / "weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert cached(entry) == path


def test_a_repository_is_found_when_its_files_were_put_there(cache):
    entry = find_entry("chmv2")
    folder = cache / "models" / "chmv2"
    folder.mkdir(parents=True)
    for name in entry.source.files:
        assert cached(entry) is None
        (folder / name).write_text("x")
    assert cached(entry) == folder


def test_a_digest_is_recorded_as_sha256sum_reads_it(tmp_path):
    path = tmp_path / "weights.pth"
    assert recorded_digest(path) is None
    record_digest(path, "ab" * 32)
    assert recorded_digest(path) == "ab" * 32
    assert (tmp_path / "weights.pth.sha256").read_text() == "ab" * 32 + "  weights.pth\n"
    (tmp_path / "weights.pth.sha256").write_bytes(b"\xff\xfe")
    assert recorded_digest(path) is None


def test_an_acceptance_holds_for_one_licence():
    entry = find_entry("chmv2")
    assert not is_accepted(entry)
    record_acceptance(entry)
    assert is_accepted(entry)
    assert not is_accepted(replace(entry, licence="other"))
    assert not is_accepted(replace(entry, licence_url="https://example.org/new"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"commit": 1}', '{"commit": "../../x", "repo": "REPO", "revision": null}'],
)
def test_a_broken_record_is_none(cache, text):
    entry = find_entry("chmv2")
    folder = cache / "models" / "chmv2"
    folder.mkdir(parents=True)
    for name in ("licence-accepted.json", "revision.json"):
        (folder / name).write_text(text.replace("REPO", entry.source.repo))
    assert not is_accepted(entry)
    assert recorded_revision(entry, entry.source) is None
    assert cached(entry) is None


def test_a_cache_that_cannot_be_made_is_one_line(cache):
    cache.write_text("in the way")
    with (
        pytest.raises(ModelError, match=r"the cache .* cannot be written .*CANOPY_CACHE"),
        writing_alone(entry_of("https://example.org/x")),
    ):
        pass


def test_the_second_writer_waits():
    entry, order = entry_of("https://example.org/x"), []

    def write(name):
        with writing_alone(entry):
            order.append(name)
            time.sleep(0.05)
            order.append(name)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]
    assert entry_folder(entry).is_dir()
