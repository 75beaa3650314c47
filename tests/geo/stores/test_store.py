"""Folders and buckets take products whole, keep them apart, and let one run write at a time."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import geopandas as gpd
import numpy as np
import pytest
from small_bucket import gdal_options, s3_server
from small_cells import cell_at, put_cell, stored_heights

from geo.errors import BusyError, NoSuchProductError, StoreDownError, StoreError
from geo.region_products.collection import RegionFacts
from geo.region_products.write import items_of, write_joint_products
from geo.stores import bucket_lock
from geo.stores.bucket_errors import UnconditionalError, plain_errors
from geo.stores.store import BucketStore, LocalStore, store_of

FACTS = RegionFacts(id="region", title="Heights", description="Made for a test.")


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as monkeypatch, s3_server(monkeypatch) as url:
        yield url


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    if request.param == "folder":
        return store_of(tmp_path / "out")
    request.getfixturevalue("server")
    return store_of(f"s3://maps/{tmp_path.name}")


def test_products_come_back_as_they_were_put(store):
    store.prepare()
    with store.staging() as folder:
        (folder / "height.tif").write_bytes(b"heights" * 1000)
        store.put(folder / "height.tif", "cells/a/height.tif")
    store.put_bytes(b"{}", "cells/a/item.json")
    store.put_bytes(b"1", "collection.json")
    store.put_bytes(b"2", "collection.json")
    assert store.read_bytes("cells/a/height.tif") == b"heights" * 1000
    assert store.read_bytes("collection.json") == b"2"
    assert store.names() == ["cells/a/height.tif", "cells/a/item.json", "collection.json"]
    assert store.names("cells") == store.names("cells/") == store.names()[:2]
    assert store.names(deep=False) == ["collection.json"]
    assert store.exists("cells/a/item.json")
    assert not store.exists("cells/a")


def test_a_product_that_is_missing_is_told_as_such(store):
    store.prepare()
    assert not store.exists("cells/a/item.json")
    with pytest.raises(NoSuchProductError, match=r"item\.json is missing"):
        store.read_bytes("cells/a/item.json")
    assert store.names() == []


def test_deleting_takes_products_away_and_is_content_with_none(store):
    store.put_bytes(b"1", "cells/a/item.json")
    store.delete("cells/a/item.json")
    store.delete("cells/a/item.json")
    assert store.names() == []


def test_a_file_from_elsewhere_is_copied(store, tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    store.put(tmp_path / "a.png", "report.png")
    assert store.read_bytes("report.png") == b"picture"
    assert (tmp_path / "a.png").exists()


def test_staging_folders_go_whatever_happens(store):
    store.prepare()
    folders = []

    def fail():
        with store.staging() as folder:
            folders.append(folder)
            (folder / "half.tif").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not folders[0].exists()
    assert store.names() == []


@pytest.mark.parametrize(
    "name",
    ["../a", "/etc/passwd", "a//b", "a/../b", "", ".lock", "a/.b", "a\\b", "a\nb", "c:/a", "a/"],
)
def test_names_never_lead_out_of_a_store(store, name):
    with pytest.raises(StoreError, match="expected a relative name"):
        store.put_bytes(b"1", name)
    with pytest.raises(StoreError, match="expected a relative name"):
        store.uri(name)


def test_stores_travel_to_workers(store):
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    again.put_bytes(b"1", "a.json")
    assert store.read_bytes("a.json") == b"1"
    assert len(pickle.dumps(store)) < 400
    assert b"testing" not in pickle.dumps(store)  # no keys


def test_urls_name_stores(tmp_path):
    assert store_of("s3://maps/a/b/") == BucketStore(bucket="maps", prefix="a/b")
    assert store_of("s3://maps").url == "s3://maps"
    assert store_of("s3://maps/a").gdal_name("b.tif") == "/vsis3/maps/a/b.tif"
    assert store_of("s3://maps").uri("b.tif") == "s3://maps/b.tif"
    assert store_of(tmp_path) == LocalStore(root=tmp_path)


@pytest.mark.parametrize(
    "url", ["gs://maps/a", "https://maps.example.com/a", "/vsis3/maps", "s3://"]
)
def test_other_urls_are_refused_in_a_line(url):
    with pytest.raises(StoreError, match="expected") as caught:
        store_of(url)
    assert "\n" not in str(caught.value)


def test_a_second_run_is_refused_until_the_first_has_ended(store):
    store.prepare()
    with store.lock("Ada on forest, process 7") as held:
        held.confirm()
        refused = pytest.raises(BusyError, match=r"another run is writing .*Ada on forest")
        with refused as caught, store.lock("Bo"):
            pytest.fail("two runs at once")
        held.confirm()
        assert store.names() == []
    assert "\n" not in str(caught.value)
    with store.lock("Bo") as held:
        held.confirm()


def test_a_lock_ends_where_its_run_fails(store):
    store.prepare()
    with pytest.raises(ZeroDivisionError), store.lock("Ada"):
        _ = 1 / 0
    with store.lock("Bo"):
        pass


def test_of_runs_that_begin_at_once_one_gets_the_lock(store):
    store.prepare()
    came, barrier = [], threading.Barrier(6)

    def begin(number):
        barrier.wait()
        try:
            with store.lock(f"run {number}"):
                came.append("held")
                time.sleep(1.0)
        except BusyError:
            came.append("refused")

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == ["held"] + ["refused"] * 5


def test_the_lock_of_a_folder_ends_with_its_process_and_its_rubbish_goes(tmp_path):
    store = store_of(tmp_path)
    code = (
        "import sys, time; from geo.stores.store import store_of; s = store_of(sys.argv[1])\n"
        "with s.lock('Ada'), s.staging() as f:\n"
        "    (f / 'half.tif').write_bytes(b'1'); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError), store.lock("Bo"):
            pytest.fail("two runs at once")
        process.kill()
    assert list(tmp_path.rglob("half.tif"))
    with store.lock("Bo"):
        assert not list(tmp_path.rglob("half.tif"))
    assert {path.name for path in tmp_path.iterdir()} <= {".lock"}


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="expected a folder that can be written") as caught:
        store_of(tmp_path / "file" / "out").prepare()
    assert "\n" not in str(caught.value)


def test_a_product_is_never_seen_half_written(tmp_path):
    store = store_of(tmp_path)
    whole = {bytes([number]) * 2_000_000 for number in range(2)}
    done = threading.Event()

    def write():
        for turn in range(40):
            store.put_bytes(bytes([turn % 2]) * 2_000_000, "a.bin")
        done.set()

    store.put_bytes(bytes([0]) * 2_000_000, "a.bin")
    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(store.read_bytes("a.bin"))
    writer.join()
    assert seen <= whole


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_missing_is_told_in_a_line():
    with pytest.raises(StoreError, match=r"bucket nowhere does not exist: make it") as caught:
        store_of("s3://nowhere/a").prepare()
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="bucket nowhere does not exist"):
        store_of("s3://nowhere/a").put_bytes(b"1", "a.json")


RUN_PREPARE = (
    "import sys; from geo.stores.store import store_of; from geo.errors import StoreError\n"
    "try:\n    store_of('s3://maps/a').prepare()\n"
    "except StoreError as error:\n    print(type(error).__name__, error)"
)


def prepare_elsewhere(**environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/no",
        "AWS_SHARED_CREDENTIALS_FILE": "/no",
    }
    home = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", RUN_PREPARE], check=True, capture_output=True, text=True,
        timeout=120, env=inherited | nothing | home | environment,
    )  # fmt: skip


def test_missing_keys_are_told_in_a_line(server):
    came = prepare_elsewhere(AWS_ENDPOINT_URL=server)
    assert came.stdout.startswith("StoreError no keys for s3://maps were found")
    assert "AWS_ACCESS_KEY_ID" in came.stdout
    assert came.stdout.count("\n") == 1
    assert came.stderr == ""


def test_a_server_that_does_not_answer_is_told_and_may_be_asked_again():
    came = prepare_elsewhere(
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",  # noqa: S106 - of nobody
    )
    assert came.stdout.startswith("StoreDownError s3://maps/")
    assert "cannot be reached just now" in came.stdout
    assert came.stdout.count("\n") == 1


@pytest.mark.usefixtures("server")
def test_a_lock_whose_run_died_is_taken_over(monkeypatch):
    monkeypatch.setattr(bucket_lock, "DEAD_S", 1.0)
    monkeypatch.setattr(bucket_lock, "REFRESH_S", 30.0)  # the first run is asleep
    store = store_of("s3://maps/dead")
    with store.lock("Ada") as first:
        with pytest.raises(BusyError), store.lock("Bo"):
            pytest.fail("two runs at once")
        time.sleep(2.1)  # the server's clock tells whole seconds
        with pytest.raises(BusyError, match="not kept fresh"):
            first.confirm()
        with store.lock("Bo") as second:
            second.confirm()
            first._write_again()
            assert first.lost
    assert not boto3.client("s3").list_objects_v2(Bucket="maps", Prefix="dead/").get("Contents")


@pytest.mark.usefixtures("server")
def test_a_lock_is_kept_fresh(monkeypatch):
    monkeypatch.setattr(bucket_lock, "DEAD_S", 3.0)
    monkeypatch.setattr(bucket_lock, "REFRESH_S", 0.2)
    store = store_of("s3://maps/fresh")
    with store.lock("Ada") as held:
        time.sleep(4.2)
        held.confirm()
        with pytest.raises(BusyError), store.lock("Bo"):
            pytest.fail("two runs at once")


@pytest.mark.usefixtures("server")
def test_a_server_without_conditional_writes_still_refuses_a_second_run(monkeypatch):
    real = BucketStore._ask

    def without_conditions(self, method, **fields):
        if {"IfMatch", "IfNoneMatch"} & fields.keys():
            raise UnconditionalError
        return real(self, method, **fields)

    monkeypatch.setattr(BucketStore, "_ask", without_conditions)
    monkeypatch.setattr(bucket_lock, "SETTLE_S", 0.2)
    store = store_of("s3://maps/plain")
    with store.lock("Ada") as held:
        held.confirm()
        with pytest.raises(BusyError), store.lock("Bo"):
            pytest.fail("two runs at once")


def test_a_mosaic_in_a_bucket_reads_as_its_cells_do(server, tmp_path):
    store = store_of("s3://maps/region")
    cells = [cell_at(10, 20), cell_at(11, 20)]
    for cell in cells:
        put_cell(store, cell)
    write_joint_products(store, items_of(store, [cell.id for cell in cells]), FACTS)
    # GDAL holds the interpreter while it opens, and the server needs it: another process reads.
    code = (
        "import sys, numpy, rasterio\n"
        "with rasterio.open(sys.argv[1]) as mosaic: numpy.save(sys.argv[2], mosaic.read(1))"
    )
    command = [sys.executable, "-c", code, store.gdal_name("mosaic.vrt"), tmp_path / "read.npy"]
    subprocess.run(command, check=True, env=os.environ | gdal_options(server), timeout=60)
    stored = np.load(tmp_path / "read.npy")
    expected = np.concatenate([stored_heights(cell)[0] for cell in cells], axis=1)
    assert np.array_equal(stored, expected, equal_nan=True)


@pytest.mark.usefixtures("server")
def test_the_table_of_a_bucket_names_its_files_in_full():
    store = store_of("s3://maps/table")
    cell = cell_at(10, 20)
    put_cell(store, cell)
    write_joint_products(store, items_of(store, [cell.id]), FACTS)
    table = gpd.read_parquet(io.BytesIO(store.read_bytes("items.parquet")))
    assert (
        table["assets"][0]["canopy_height"]["href"] == f"s3://maps/table/cells/{cell.id}/height.tif"
    )
    links = {link["rel"]: link["href"] for link in table["links"][0]}
    assert links["self"] == f"s3://maps/table/cells/{cell.id}/item.json"
    assert links["collection"] == "s3://maps/table/collection.json"


def test_a_bucket_that_fails_is_one_that_is_down():
    class FailingError(Exception):
        def __init__(self):
            answer = {"HTTPStatusCode": 500}
            self.response = {"Error": {"Code": "InternalError"}, "ResponseMetadata": answer}

    with pytest.raises(StoreDownError, match="try again later"), plain_errors("s3://maps/a"):
        raise OSError from FailingError()
