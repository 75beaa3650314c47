"""A file comes whole or not at all, whatever the server does, and never twice for nothing."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import requests
from faulty_server import PAGE, Fault, serving_badly
from hypothesis import given, settings
from hypothesis import strategies as st
from small_zoo import BODY, SOON, entry_of

from canopy.errors import ModelError
from canopy.zoo import cached, fetch, find_entry
from canopy.zoo.transfer import CHUNK_BYTES

SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = 3 * CHUNK_BYTES


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


def test_two_who_fetch_at_once_fetch_once(remote):
    entry, paths = entry_of(remote.url), []
    threads = [threading.Thread(target=lambda: paths.append(get(entry))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert remote.asked == [""]


def test_a_redirect_is_followed(remote):
    remote.faults = [Fault(location="/elsewhere"), Fault(location=remote.url)]
    assert get(entry_of(remote.url)).read_bytes() == BODY


# --- connections that drop ----------------------------------------------------


def test_a_dropped_connection_is_taken_up_and_no_byte_comes_twice(remote):
    remote.faults = [Fault(after=HALF)]
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == ["", f"bytes={HALF}-"]
    assert remote.sent == len(BODY)


def test_the_next_run_takes_up_what_the_last_one_left(remote, cache):
    interrupted(remote)
    assert (cache / "models" / "chm-test" / "weights.pth.part").read_bytes() == BODY[:HALF]
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [f"bytes={HALF}-"]
    assert remote.sent == len(BODY) - HALF


@settings(max_examples=15)
@given(st.lists(st.integers(CHUNK_BYTES, len(BODY)), max_size=6))
def test_wherever_it_drops_the_file_is_the_same(drops):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, CANOPY_CACHE=folder),
        serving_badly(BODY, faults=[Fault(after=after) for after in drops]) as file,
    ):
        assert get(entry_of(file.url)).read_bytes() == BODY
        # What was read of a piece when the connection dropped is lost, and no more than that.
        assert file.sent < len(BODY) + len(file.asked) * CHUNK_BYTES


def test_a_connection_that_always_drops_still_arrives(remote):
    remote.always = Fault(after=CHUNK_BYTES)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.sent == len(BODY)


@pytest.mark.parametrize("after", [0, 100])
def test_a_connection_that_brings_nothing_is_given_up(remote, cache, after):
    remote.always = Fault(after=after)
    entry = entry_of(remote.url)
    assert by_hand(refused(entry, "broke off|bytes came"), entry, cache)
    assert len(remote.asked) == 1


def test_a_server_that_sends_no_parts_and_drops_is_given_up(remote):
    remote.always = Fault(after=HALF, whole=True)
    refused(entry_of(remote.url), "cannot be fetched")
    assert len(remote.asked) == 1 + SOON.tries


def test_a_stall_is_a_drop(remote):
    remote.faults = [Fault(after=HALF, stall=True)]
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.sent == len(BODY)


def test_a_server_that_stalls_at_once_is_given_up(remote, cache):
    remote.always = Fault(after=0, stall=True)
    entry = entry_of(remote.url)
    assert by_hand(refused(entry, "broke off"), entry, cache)


def test_a_user_who_stops_it_can_go_on(remote):
    def stop(done, _):
        if done >= HALF:
            raise KeyboardInterrupt

    entry = entry_of(remote.url)
    with pytest.raises(KeyboardInterrupt):
        get(entry, progress=stop)
    assert cached(entry) is None
    assert get(entry).read_bytes() == BODY
    assert remote.asked == ["", f"bytes={HALF}-"]


def test_a_body_that_ends_early_without_a_word_is_no_file(remote, monkeypatch):
    real = requests.Response.iter_content

    def short(response, size):
        return itertools.islice(real(response, size), 1)

    monkeypatch.setattr("requests.Response.iter_content", short)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert len(remote.asked) == 7


# --- servers that take ranges ill ---------------------------------------------


def test_a_server_that_ignores_the_range_begins_anew(remote):
    interrupted(remote)
    remote.always = Fault(whole=True)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.sent == len(BODY)


@pytest.mark.parametrize("fault", [Fault(), Fault(careless=True)])
def test_a_file_that_changed_in_between_is_no_mixture(remote, fault):
    interrupted(remote)
    remote.body, remote.etag, remote.faults = BODY[::-1], '"two"', [fault]
    assert get(entry_of(remote.url)).read_bytes() == BODY[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_sure_version_nothing_is_taken_up(remote, etag):
    remote.etag = etag
    interrupted(remote)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [""]


def test_another_range_than_asked_for_is_not_appended(remote):
    interrupted(remote)
    remote.faults = [Fault(shifted=True)]
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [f"bytes={HALF}-", ""]


def test_a_part_that_was_whole_is_taken_as_it_is(remote, cache):
    interrupted(remote)
    (cache / "models" / "chm-test" / "weights.pth.part").write_bytes(BODY)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.sent == 0


def test_a_part_that_is_too_long_is_begun_anew(remote, cache):
    interrupted(remote)
    (cache / "models" / "chm-test" / "weights.pth.part").write_bytes(BODY + b"more")
    assert get(entry_of(remote.url)).read_bytes() == BODY


@pytest.mark.parametrize("text", ["", "[]", '{"url": "http://127.0.0.1/other", "version": "x"}'])
def test_a_part_of_who_knows_what_is_begun_anew(remote, cache, text):
    interrupted(remote)
    (cache / "models" / "chm-test" / "weights.pth.part.json").write_text(text)
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [""]


def test_a_record_without_its_part_is_begun_anew(remote, cache):
    interrupted(remote)
    (cache / "models" / "chm-test" / "weights.pth.part").unlink()
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.asked == [""]


# --- servers that refuse ------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(remote, status):
    remote.faults = [Fault(status=status), Fault(status=status)]
    assert get(entry_of(remote.url)).read_bytes() == BODY


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


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_does_not_cost_what_is_there_already(remote, kind):
    interrupted(remote)
    remote.faults = [Fault(page=kind)]
    refused(entry_of(remote.url), "sent a web page")
    assert get(entry_of(remote.url)).read_bytes() == BODY
    assert remote.sent == len(BODY) - HALF


def test_an_empty_file_is_refused():
    with serving_badly(b"") as file:
        refused(entry_of(file.url), "empty file")


def test_without_a_network_it_says_what_to_put_where(cache):
    with serving_badly(BODY) as file:
        entry = entry_of(file.url)
    assert by_hand(refused(entry, "cannot be reached"), entry, cache)


def test_a_host_without_an_address_is_not_reached(monkeypatch):
    def no_address(*_, **__):
        msg = "no such host"
        raise OSError(msg)

    monkeypatch.setattr("urllib3.util.connection.create_connection", no_address)
    refused(entry_of("https://weights.invalid/x.pth"), "cannot be reached")


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


def test_redirects_end(remote):
    remote.always = Fault(location="/round")
    refused(entry_of(remote.url), "redirects more than 5 times")


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
