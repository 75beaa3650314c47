"""Regions as they stand, and the command that makes them in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import rasterio

ROOT = Path(__file__).parent.parent
TIMES = ("created", "updated", "processing:datetime")
LONGEST_S = 120
"""No condition takes longer to come true, however busy the machine is."""

NO_HURRY = {"GDAL_HTTP_LOW_SPEED_TIME": "600", "GDAL_HTTP_TIMEOUT": "600"}
"""An answer that is held back is waited for, however long the test takes to look around."""

QUICK = {
    "GDAL_HTTP_MAX_RETRY": 1, "GDAL_HTTP_RETRY_DELAY": 0.05, "GDAL_HTTP_LOW_SPEED_TIME": 1,
}  # fmt: skip
"""GDAL gives up soon."""


def files_in(folder):
    """Return the names of all products, without hidden files."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not any(p.startswith(".") for p in path.parts)}


def refuse_differences(folder, expected, url=None):
    """See that a region is another one: the same files, pixels, items and tables, but for times.

    Of a region that was made in a bucket, the table names places in full, and items themselves.
    """
    assert files_in(folder) == files_in(expected)
    for name in sorted(files_in(expected)):
        one, other = folder / name, expected / name
        if name.endswith(".tif"):
            refuse_other_pixels(one, other)
        elif name.endswith("item.json") or name == "collection.json":
            assert timeless(json.loads(one.read_text())) == timeless(json.loads(other.read_text()))
        elif name.endswith(".vrt"):
            assert one.read_bytes() == other.read_bytes()
        elif name.endswith(".parquet"):
            assert rows_of(one, url) == rows_of(other)


def refuse_other_pixels(path, expected):
    """See that two rasters hold the same pixels, to the last bit, at the same place."""
    with rasterio.open(path) as one, rasterio.open(expected) as other:
        # As text: a nodata of NaN equals nothing.
        assert str(one.profile) == str(other.profile)
        assert one.tags() == other.tags()
        np.testing.assert_array_equal(one.read(), other.read())


def rows_of(path, url=None):
    """Return the rows of a table of items without times, hrefs as in a folder."""
    text = json.dumps(timeless(pq.read_table(path).to_pylist()), default=str)
    rows = json.loads(text.replace(f'"{url}/', '"./') if url else text)
    for row in rows:
        row["links"] = [link for link in row["links"] if not (url and link["rel"] == "self")]
    return rows


def timeless(value):
    """Return JSON values without the moments at which something was made."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key not in TIMES}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def counts_of(folder):
    """Return what the report of a region says of its cells."""
    counts = json.loads((folder / "report.json").read_text())["cells"]
    return {state: count for state, count in counts.items() if count and state != "all"}


def start_map(*arguments, **environment):
    """Start `canopy map` in a process of its own, and a group of its own, as a terminal does."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.app", "map", *map(str, arguments)],
        env=os.environ | threads | NO_HURRY | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ended(process):
    """Return the exit code of a process, and what it said on standard output and error."""
    out, err = process.communicate(timeout=LONGEST_S)
    return process.returncode, out, err


def until(condition, process=None):
    """Wait until something is true."""
    end = time.monotonic() + LONGEST_S
    while not (met := condition()):
        if process is not None and process.poll() is not None:
            message = f"ended with {process.returncode}: {process.communicate()[1]}"
            raise AssertionError(message)
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return met


def owner_of(port, processes):
    """Return the one of some processes that a connection to this machine came from."""
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(each.laddr and each.laddr.port == port for each in connections):
            return process
    return None
