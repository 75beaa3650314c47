"""A file comes whole or not at all, whatever the server does, and never twice for nothing."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from faulty_server import PAGE, Fault, serving_badly
from small_downloads import BODY, HALF, SOON
from small_zoo import entry_of

from canopy.errors import ModelError
from canopy.zoo import cached, fetch, find_entry

SHA256 = hashlib.sha256(BODY).hexdigest()


def get(entry, **choices):
    return fetch(entry, patience=SOON, **choices)


def refused(entry, said, **choices):
    """Fetch in vain: one line, and nothing at the final path."""
    with pytest.raises(ModelError, match=said) as error:
        get(entry, **choices)
    assert "\n" not in str(error.value)
    assert cached(entry) is None
    return str(error.value)


def by_hand(message, entry, cache):
    """Whether a refusal says which file to put where."""
    place = cache / "models" / entry.name / entry.source.file_name
    return entry.source.url in message and str(place) in message and "--model" in message


def interrupted(remote, after=HALF):
    """Leave half of the file in the cache, as a run that was broken off does."""
    remote.always = Fault(after=after)
    remote.faults = [Fault(after=after), *[Fault(status=404)] * 3]
    refused(entry_of(remote.url), "cannot be fetched")
    remote.faults, remote.always = [], Fault()
    remote.asked.clear()
    remote.sent = 0


# --- what goes well -----------------------------------------------------------


def test_a_file_comes_whole_and_is_recorded(remote, cache):
    told = []
    entry = entry_of(remote.url)
    path = get(entry, progress=lambda done, total: told.append((done, total)))
    assert path == cached(entry) == cache / "models" / "chm-test" / "weights.pth"
    assert path.read_bytes() == BODY
    assert path.with_name("weights.pth.sha256").read_text().split()[0] == SHA256
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    left = {entry.name for entry in path.parent.iterdir()}
    assert left - {".lock"} == {"weights.pth", "weights.pth.sha256"}


def test_what_is_cached_is_not_asked_for_again(remote):
    entry = entry_of(remote.url, sha256=SHA256.upper())
    assert get(entry) == get(entry)
    assert remote.asked == [""]


def test_the_licence_is_named_before_anything_is_asked_for(remote, caplog):
    remote.always = Fault(status=404)
    with caplog.at_level(logging.INFO, logger="canopy"):
        refused(entry_of(remote.url), "does not have it")
    assert "Apache-2.0: https://example.org/licence" in caplog.text


def test_no_server_is_told_a_login(remote, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password pass\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    get(entry_of(remote.url))
    assert remote.told == [None]


def test_two_who_fetch_at_once_fetch_once(remote):
    entry, paths = entry_of(remote.url), []
    threads = [threading.Thread(target=lambda: paths.append(get(entry))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert remote.asked == [""]


# --- transfers that break off: more of them in tests/geo/downloads ------------


def test_the_next_run_takes_up_what_the_last_one_left(remote, cache):
    interrupted(remote)
    assert (cache / "models" / "chm-test" / "weights.pth.part").read_bytes() == BODY[:HALF]
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [f"bytes={HALF}-"]
    assert remote.sent == len(BODY) - HALF


def test_a_user_who_stops_it_can_go_on(remote):
    def stop(done, _):
        here.append(done)
        if done >= HALF:
            raise KeyboardInterrupt

    here, entry = [], entry_of(remote.url)
    with pytest.raises(KeyboardInterrupt):
        get(entry, progress=stop)
    assert cached(entry) is None
    assert get(entry).read_bytes() == BODY
    assert remote.asked == ["", f"bytes={here[-1]}-"]


# --- servers that refuse ------------------------------------------------------


def test_a_server_that_stays_broken_is_given_up(remote, cache):
    remote.always = Fault(status=500)
    entry = entry_of(remote.url)
    assert by_hand(refused(entry, r"busy or broken \(HTTP 500\)"), entry, cache)
    assert len(remote.asked) == 1 + SOON.tries


@pytest.mark.parametrize(
    ("status", "said"), [(401, "login"), (403, "refuses"), (404, "not have it"), (418, "no file")]
)
def test_a_refusal_says_what_to_put_where(remote, cache, status, said):
    remote.always = Fault(status=status)
    entry = entry_of(remote.url)
    message = refused(entry, rf"{said}.* \(HTTP {status}\)")
    assert by_hand(message, entry, cache)
    assert len(remote.asked) == 1


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_no_file(remote, cache, kind):
    remote.always = Fault(page=kind)
    entry = entry_of(remote.url)
    assert by_hand(refused(entry, "sent a web page"), entry, cache)


def test_an_empty_file_is_refused():
    with serving_badly(b"") as file:
        refused(entry_of(file.url), "empty file")


def test_without_a_network_it_says_what_to_put_where(cache):
    with serving_badly(BODY) as file:
        entry = entry_of(file.url)
    assert by_hand(refused(entry, "cannot be reached"), entry, cache)


def test_a_full_disk_is_told_before_it_is_full(remote, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    message = refused(entry_of(remote.url), r"are to come, 0\.00 GB are free.*CANOPY_CACHE")
    assert "--model" not in message


def test_a_cache_that_cannot_be_written_is_one_line(remote, cache):
    cache.write_text("in the way")
    refused(entry_of(remote.url), "cannot be written")
    assert remote.asked == []


# --- addresses that nobody vouches for ----------------------------------------


def test_a_redirect_to_plain_http_is_refused(remote):
    remote.always = Fault(location="http://weights.example.org/x")
    refused(entry_of(remote.url), r"http://weights\.example\.org/x is not https")
    assert len(remote.asked) == 1


def test_plain_http_is_not_asked_at_all():
    refused(entry_of("http://example.org/x.pth"), "is not https")


# --- files that are not what they should be -----------------------------------


def test_a_wrong_hash_leaves_nothing(remote, cache):
    entry = entry_of(remote.url, sha256="0" * 64)
    message = refused(entry, f"has sha256 {SHA256}, expected 0000")
    assert remote.url in message
    assert [path.name for path in (cache / "models" / "chm-test").iterdir()] == [".lock"]


def test_a_file_that_changed_in_the_cache_is_refused(remote):
    entry = entry_of(remote.url)
    path = get(entry)
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(ModelError, match=r"has changed in the cache; delete it .*fetch chm-test"):
        get(entry)
    path.unlink()
    assert get(entry).read_bytes() == BODY


def test_a_file_that_its_publisher_replaced_is_refused_once(remote):
    entry = entry_of(remote.url)
    path = get(entry)
    path.unlink()
    remote.body, remote.etag = BODY[::-1], '"two"'
    record = path.with_name("weights.pth.sha256")
    assert str(record) in refused(entry, "replaced by its publisher")
    record.unlink()
    assert get(entry).read_bytes() == BODY[::-1]


def test_a_file_put_there_by_hand_is_recorded_and_then_checked(cache, caplog):
    entry = entry_of("https://weights.invalid/x")
    path = cache / "models" / "chm-test" / "weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    with caplog.at_level(logging.WARNING, logger="canopy"):
        assert get(entry) == path
    assert "put here by hand" in caplog.text
    assert path.with_name("weights.pth.sha256").read_text().startswith(SHA256)
    path.write_bytes(BODY[::-1])
    with pytest.raises(ModelError, match="has changed in the cache"):
        get(entry)


def test_a_web_page_put_there_by_hand_is_refused(cache):
    entry = entry_of("https://weights.invalid/x")
    path = cache / "models" / "chm-test" / "weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(PAGE)
    with pytest.raises(ModelError, match="is a web page, expected weights"):
        get(entry)


# --- licences -----------------------------------------------------------------


def test_a_restricted_model_asks_for_acceptance_once(remote, cache):
    entry = entry_of(remote.url, restricted=True, licence="LicenseRef-X")
    message = refused(entry, "was not accepted yet")
    assert "https://example.org/licence" in message
    assert "`canopy models fetch chm-test --accept-licence`" in message
    assert remote.asked == []
    path = get(entry, accept_licence=True)
    assert (cache / "models" / "chm-test" / "licence-accepted.json").is_file()
    path.unlink()
    assert get(entry) == path
    path.unlink()
    refused(replace(entry, licence="LicenseRef-Y"), "was not accepted yet")


def test_the_gated_model_is_not_asked_for_before_its_licence_is_accepted():
    refused(find_entry("chmv2"), "LicenseRef-DINOv3.*dinov3-license")


def test_a_cache_that_is_only_lent_can_be_used(remote):
    entry = entry_of(remote.url)
    path = get(entry)
    path.with_name("weights.pth.sha256").unlink()
    with mock.patch.object(Path, "write_text", side_effect=PermissionError(13, "denied")):
        assert get(entry) == path
