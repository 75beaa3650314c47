"""A region in a bucket: the same as in a folder, also after its client was killed."""

from __future__ import annotations

import pytest
from small_bucket import s3_server
from small_products import ended, refuse_differences, start_map, until
from small_watch import Bucket, watching

from geo.stores import bucket_lock


@pytest.fixture
def bucket(monkeypatch):
    """A place in a bucket of a server on this machine."""
    with s3_server(monkeypatch):
        yield Bucket("maps", "county/region")


OUTPUT = "s3://maps/county/region"


def made_in(bucket):
    return [name for name, _ in bucket.states() if name.endswith("item.json")]


@pytest.mark.slow
def test_a_client_that_is_killed_at_a_bucket_can_be_run_again(
    bucket, place, tmp_path, here, monkeypatch
):
    with watching(bucket, every_s=0.1):
        with place.server.gate("new.tif", lambda: made_in(bucket)) as gate:
            run = start_map(*place.arguments(OUTPUT))
            until(gate.reached.is_set, run)
            run.kill()
            ended(run)
        code, said = here(*place.arguments(OUTPUT))
        assert code == 2
        assert "another run is writing s3://maps/county/region" in said
        assert said.count("\n") == 1
        monkeypatch.setattr(bucket_lock, "DEAD_S", -1.0)  # as if 90 s had passed
        code, said = here(*place.arguments(OUTPUT))
        assert code == 0, said
        assert "kept" in said
    names = {name for name, _ in bucket.states()}
    assert {name for name in names if name.startswith("run.")} == set()
    refuse_differences(bucket.copy_to(tmp_path / "region"), place.expected, OUTPUT)
