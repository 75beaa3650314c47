"""A thread that looks at every product the moment it can be seen: none may be half."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import boto3
import pyarrow.parquet as pq
import rasterio
from PIL import Image
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

LOOK_EVERY_S = 0.02
READ_AS = {
    ".tif": "cog", ".json": "json", ".parquet": "table", ".png": "png", ".vrt": "vrt",
    ".qml": "style",
}  # fmt: skip


@dataclass
class Watch:
    """All that was seen.

    Attributes:
        seen: bytes of every state of every product, by name and digest.
        kept: the last state of each product, and what told it from others.
    """

    seen: dict[tuple[str, str], bytes] = field(default_factory=dict)
    kept: dict[str, object] = field(default_factory=dict)
    error: BaseException | None = None

    def names(self):
        """Return the names of what was seen."""
        return {name for name, _ in self.seen}

    def look(self, place):
        """Note what stands just now and was not seen before."""
        for name, state in place.states():
            if self.kept.get(name) == state:
                continue
            data = place.read(name)
            if data is not None:
                self.kept[name] = state
                self.seen[name, hashlib.sha256(data).hexdigest()] = data

    def refuse_halves(self):
        """See that each of all states was whole."""
        for (name, _), data in self.seen.items():
            assert is_whole(name, data), f"{name} of {len(data)} bytes was not whole"


class Folder:
    """A folder as a person sees it: without hidden files."""

    def __init__(self, root):
        self.root = Path(root)

    def states(self):
        for place, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(place) / name
                with suppress(FileNotFoundError):
                    if not name.startswith("."):
                        status = path.stat()
                        state = status.st_ino, status.st_mtime_ns, status.st_size
                        yield path.relative_to(self.root).as_posix(), state

    def read(self, name):
        with suppress(FileNotFoundError):
            return (self.root / name).read_bytes()
        return None


class Bucket:
    """What stands under a prefix of a bucket; the lock is no product."""

    def __init__(self, bucket, prefix):
        self.client, self.bucket, self.prefix = boto3.client("s3"), bucket, f"{prefix}/"

    def states(self):
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix)
        for entry in answer.get("Contents", []):
            name = entry["Key"].removeprefix(self.prefix)
            if not name.startswith("run."):
                yield name, (entry["ETag"], entry["LastModified"])

    def read(self, name):
        with suppress(self.client.exceptions.NoSuchKey):
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            return answer["Body"].read()
        return None

    def copy_to(self, folder):
        """Copy all products into a folder, and return it."""
        for name, _ in self.states():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(name))
        return Path(folder)


@contextmanager
def watching(place, every_s=LOOK_EVERY_S):
    """Look at a folder or bucket all the time; at the end, see that no half file was there."""
    place = place if isinstance(place, Bucket) else Folder(place)
    watch, ended = Watch(), threading.Event()

    def look_on():
        try:
            while not ended.wait(every_s):
                watch.look(place)
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            watch.error = error

    thread = threading.Thread(target=look_on, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
    if watch.error:
        raise watch.error
    watch.look(place)
    watch.refuse_halves()
    assert watch.seen


def is_whole(name, data):
    """Whether the bytes of a product are whole and valid."""
    try:
        check = {
            "cog": _cog, "json": json.loads, "table": _table, "png": _png, "vrt": _vrt,
            "style": ET.fromstring,
        }  # fmt: skip
        return check[READ_AS[Path(name).suffix]](data) is not False
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return False


def _cog(data):
    """Read every pixel, then ask rio-cogeo."""
    with MemoryFile(data) as memory:
        with memory.open() as source:
            source.read()
        return cog_validate(memory.name, strict=True, quiet=True)[0]


def _table(data):
    return pq.read_table(io.BytesIO(data)).num_rows > 0


def _png(data):
    Image.open(io.BytesIO(data)).load()


def _vrt(data):
    with rasterio.open(data.decode()) as source:
        return source.count > 0
