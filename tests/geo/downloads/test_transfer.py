"""A file comes whole or not at all, whatever the server does, and never twice for nothing."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from faulty_server import Fault, serving_badly
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.auth import HTTPBasicAuth
from small_downloads import BODY, HALF, PIECE, SOON

from geo.downloads.errors import BrokenOffError, NoRoomError, RefusedError, TransferError
from geo.downloads.part import Part
from geo.downloads.session import DownloadSession
from geo.downloads.transfer import transfer

SLOW = replace(SOON, window_s=0.1, read_s=5)


@pytest.fixture
def part(remote, tmp_path):
    """What is here of the file."""
    return Part(path=tmp_path / "file.part", url=remote.url)


def get(part, patience=SOON, progress=None, **choices):
    transfer(part, DownloadSession(patience=patience, **choices), progress)
    return part.path.read_bytes()


def refused(part, said, patience=SOON):
    """Fetch in vain: one line."""
    with pytest.raises(TransferError, match=said) as error:
        get(part, patience)
    assert "\n" not in str(error.value)
    return error.value


def interrupted(remote, part):
    """Leave half of the file, as a run that was broken off does."""
    remote.faults = [Fault(after=HALF), Fault(status=404)]
    refused(part, "does not have it")
    assert part.path.read_bytes() == BODY[:HALF]
    remote.asked.clear()
    remote.sent = 0


# --- what goes well -----------------------------------------------------------


def test_a_file_comes_whole(part):
    told = []
    assert get(part, progress=lambda *now: told.append(now)) == BODY
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    part.finish(part.path.with_name("file"))
    assert sorted(each.name for each in part.path.parent.iterdir()) == ["file", "netrc"]


def test_a_redirect_is_followed(remote, part):
    remote.faults = [Fault(location="/elsewhere"), Fault(location=remote.url)]
    assert get(part) == BODY


def test_a_redirect_to_plain_http_is_refused(remote, part):
    remote.always = Fault(location="http://weights.example.org/x")
    refused(part, r"http://weights\.example\.org/x is not https")
    assert len(remote.asked) == 1


def test_redirects_end(remote, part):
    remote.always = Fault(location="/round")
    refused(part, "redirects more than 10 times")
    assert len(remote.asked) == 11


# --- who is told what ---------------------------------------------------------


def test_nobody_is_told_a_login_that_was_not_given(remote, part):
    remote.faults = [Fault(location="/elsewhere"), Fault(after=HALF)]
    assert get(part) == BODY
    assert remote.told == [None] * 3


def test_at_every_redirect_it_is_asked_anew_who_is_told_what(remote, part):
    def login(request):
        asked.append(request.url)
        return HTTPBasicAuth("ada", "pass")(request) if request.url.endswith("/in") else request

    asked = []
    remote.faults = [Fault(location="/in"), Fault(location="/out")]
    assert get(part, login=login) == BODY
    assert [url.rpartition("/")[2] for url in asked] == ["weights.pth", "in", "out"]
    assert remote.told == [None, "Basic YWRhOnBhc3M=", None]


# --- connections that drop ----------------------------------------------------


def test_a_dropped_connection_is_taken_up_and_no_byte_comes_twice(remote, part):
    remote.faults = [Fault(after=HALF)]
    assert get(part) == BODY
    assert remote.asked == ["", f"bytes={HALF}-"]
    assert remote.sent == len(BODY)


def test_the_next_run_takes_up_what_the_last_one_left(remote, part):
    interrupted(remote, part)
    assert get(part) == BODY
    assert remote.asked == [f"bytes={HALF}-"]
    assert remote.sent == len(BODY) - HALF


@settings(max_examples=15)
@given(st.lists(st.integers(512, len(BODY)), max_size=6))
def test_wherever_it_drops_the_file_is_the_same(drops):
    faults = [Fault(after=after) for after in drops]
    with tempfile.TemporaryDirectory() as folder, serving_badly(BODY, faults=faults) as file:
        assert get(Part(path=Path(folder) / "part", url=file.url)) == BODY
        assert file.sent == len(BODY)


def test_a_connection_that_always_drops_still_arrives(remote, part):
    remote.always = Fault(after=PIECE)
    assert get(part) == BODY
    assert remote.sent == len(BODY)


@pytest.mark.parametrize("after", [0, 100])
def test_a_connection_that_brings_nothing_is_given_up(remote, part, after):
    remote.always = Fault(after=after)
    refused(part, "broke off")
    assert len(remote.asked) == 1


@pytest.mark.parametrize("after", [0, 100])
def test_who_insists_asks_again_where_nothing_came(remote, part, after):
    insists = replace(SOON, insists=True)
    remote.faults = [Fault(after=after)] * SOON.tries
    assert get(part, insists) == BODY
    part.discard()
    remote.asked.clear()
    remote.always = Fault(after=after)
    refused(part, "broke off", insists)
    assert len(remote.asked) == 1 + SOON.tries


def test_a_server_that_sends_no_parts_and_drops_is_given_up(remote, part):
    remote.always = Fault(after=HALF, whole=True)
    refused(part, "broke off")
    assert len(remote.asked) == 1 + SOON.tries


def test_a_stall_is_a_drop(remote, part):
    remote.faults = [Fault(after=HALF, stall=True)]
    assert get(part) == BODY
    assert remote.sent == len(BODY)


def test_a_server_that_stalls_at_once_is_given_up(remote, part):
    remote.always = Fault(after=0, stall=True)
    refused(part, "broke off")


def test_who_stops_it_can_go_on(part, remote):
    def stop(done, _):
        if done >= HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(part, progress=stop)
    assert HALF <= part.size < len(BODY)
    begins = part.size
    assert get(part) == BODY
    assert remote.asked == ["", f"bytes={begins}-"]


# --- servers that are slow ----------------------------------------------------


def test_a_trickle_is_a_drop(remote, part):
    remote.faults = [Fault(after=HALF, trickle=1)]
    assert get(part, SLOW) == BODY
    first, begins = remote.asked[0], int(remote.asked[1].strip("bytes=-"))
    assert first == ""
    assert HALF < begins < HALF + 100  # what trickled in is kept


@pytest.mark.parametrize("first", [0, HALF])
def test_a_server_that_only_trickles_is_given_up(remote, part, first):
    # What trickles in is no reason to go on for ever, nor is what came before it.
    remote.faults = [Fault(after=first, trickle=400)]
    remote.always = Fault(after=0, trickle=400)
    refused(part, r"sends only \d+ bytes/s", replace(SLOW, least_speed=1e5))
    assert len(remote.asked) == 1 + SOON.tries
    assert first < part.size < len(BODY)


def test_a_server_that_drips_is_given_up(remote, part):
    remote.faults = [Fault(after=HALF)]
    remote.always = Fault(after=100)
    refused(part, "broke off", replace(SOON, pause_s=0.05, least_speed=20_000))
    assert len(remote.asked) == 1 + SOON.tries


def test_a_slow_server_is_waited_for(part, remote):
    remote.body = BODY[:20_000]
    remote.always = Fault(after=0, trickle=400)  # 20 000 bytes/s: a second
    assert get(part, replace(SLOW, least_speed=1000)) == BODY[:20_000]
    assert remote.asked == [""]


# --- servers that take ranges ill ---------------------------------------------


def test_a_server_that_ignores_the_range_begins_anew(remote, part):
    interrupted(remote, part)
    remote.always = Fault(whole=True)
    assert get(part) == BODY
    assert remote.sent == len(BODY)


def test_a_server_that_sends_less_than_asked_for_is_asked_on(remote, part):
    interrupted(remote, part)
    remote.always = Fault(most=PIECE)
    assert get(part) == BODY
    assert len(remote.asked) == 4
    assert remote.sent == len(BODY) - HALF


@pytest.mark.parametrize("fault", [Fault(), Fault(careless=True)])
def test_a_file_that_changed_in_between_is_no_mixture(remote, part, fault):
    interrupted(remote, part)
    remote.body, remote.etag, remote.faults = BODY[::-1], '"two"', [fault]
    assert get(part) == BODY[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_sure_version_nothing_is_taken_up(remote, part, etag):
    remote.etag = etag
    interrupted(remote, part)
    assert get(part) == BODY
    assert remote.asked == [""]


def test_another_range_than_asked_for_is_not_appended(remote, part):
    interrupted(remote, part)
    remote.faults = [Fault(shifted=True)]
    assert get(part) == BODY
    assert remote.asked == [f"bytes={HALF}-", ""]


def test_a_part_that_was_whole_is_taken_as_it_is(remote, part):
    interrupted(remote, part)
    part.path.write_bytes(BODY)
    assert get(part) == BODY
    assert remote.sent == 0


def test_a_part_that_is_too_long_is_begun_anew(remote, part):
    interrupted(remote, part)
    part.path.write_bytes(BODY + b"more")
    assert get(part) == BODY


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": "\\"one\\""}', '{"url": "http://127.0.0.1/x", "version": "x"}']
)
def test_a_part_of_who_knows_what_is_begun_anew(remote, part, text):
    interrupted(remote, part)
    part.record.write_text(text)
    assert get(part) == BODY
    assert remote.asked == [""]


def test_a_record_without_its_part_is_begun_anew(remote, part):
    interrupted(remote, part)
    part.path.unlink()
    assert get(part) == BODY
    assert remote.asked == [""]


# --- servers that refuse ------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_server_is_asked_again(remote, part, status):
    remote.faults = [Fault(status=status), Fault(status=status)]
    assert get(part) == BODY


def test_a_server_that_stays_broken_is_given_up(remote, part):
    remote.always = Fault(status=500)
    assert isinstance(refused(part, r"busy or broken \(HTTP 500\)"), BrokenOffError)
    assert len(remote.asked) == 1 + SOON.tries


@pytest.mark.parametrize("status", [401, 403, 404, 418])
def test_a_refusal_has_its_status(remote, part, status):
    remote.always = Fault(status=status)
    refusal = refused(part, rf"\(HTTP {status}\)")
    assert isinstance(refusal, RefusedError)
    assert refusal.status == status
    assert len(remote.asked) == 1


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_does_not_cost_what_is_there_already(remote, part, kind):
    interrupted(remote, part)
    remote.faults = [Fault(page=kind)]
    refused(part, "sent a web page")
    assert get(part) == BODY
    assert remote.sent == len(BODY) - HALF


def test_a_web_page_that_comes_in_small_pieces_is_no_file(remote, part):
    remote.body = b"<!DOCTYPE html>" + b" " * 600
    remote.always = Fault(after=1, trickle=50)
    refused(part, "sent a web page")
    assert not part.size


def test_an_empty_file_is_refused(remote, part):
    remote.body = b""
    refused(part, "empty file")


def test_a_host_without_an_address_is_not_reached(monkeypatch, tmp_path):
    def no_address(*_, **__):
        msg = "no such host"
        raise OSError(msg)

    monkeypatch.setattr("urllib3.util.connection.create_connection", no_address)
    part = Part(path=tmp_path / "part", url="https://weights.invalid/x.pth")
    refused(part, "cannot be reached")


def test_a_full_disk_is_told_before_it_is_full(part, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    assert isinstance(refused(part, r"are to come, 0\.00 GB are free"), NoRoomError)
    assert not part.path.exists()
