"""Images on servers are those on disk; a server that fails is an error, never a hole."""

from __future__ import annotations

import functools
import http.server
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform_bounds
from shapely.geometry import shape
from small_scenes import noise, write_scene
from small_server import Server

from geo.cells import Cell
from geo.errors import ConnectionLostError, SceneError
from geo.footprint import grid_footprint
from geo.imagery.image import ColourSource, Image
from geo.imagery.mosaic import MosaicReader, MosaicSettings
from geo.imagery.pixel_window import PixelWindow
from geo.scene import GDAL_OPTIONS, open_scene

CELL = Cell(epsg=32633, pixel_m=0.6, side_px=512, column=1630, row=17650)
CHOICES = MosaicSettings(cell_px=512)


@dataclass
class Faults:
    """What the next answers with pixels do wrong, and what was asked."""

    next: list = field(default_factory=list)
    always: str | None = None
    asked: list = field(default_factory=list)


class Faulty(Server):
    """A server of a folder that fails as it is told."""

    faults: Faults

    def do_GET(self):  # noqa: N802 - so http.server calls it
        faults = self.server.faults
        faults.asked.append(self.headers.get("Range"))
        fault = faults.next.pop(0) if faults.next else faults.always
        if fault is None:
            super().do_GET()
        elif fault == "short":
            self.send_response(206)
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            self.send_header("Content-Length", str(int(last) - int(first) + 1))
            self.send_header("Content-Range", f"bytes {first}-{last}/999999999")
            self.end_headers()
            self.wfile.write(b"\0" * 100)
        elif fault == "stall":
            self.server.ended.wait(3)
        else:
            self.send_error(int(fault))


@contextmanager
def serving(folder):
    handler = functools.partial(Faulty, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.faults, server.ended = Faults(), threading.Event()
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", server.faults
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """GDAL gives up soon."""
    for name, value in {
        "GDAL_HTTP_RETRY_DELAY": 0.02, "GDAL_HTTP_MAX_RETRY": 2, "GDAL_HTTP_LOW_SPEED_TIME": 1,
    }.items():  # fmt: skip
        monkeypatch.setitem(GDAL_OPTIONS, name, value)


def write(path, epsg):
    """An image over the cell, in blocks, larger than what GDAL fetches at once."""
    west, south, east, north = transform_bounds(32633, epsg, *CELL.grid.bounds)
    height, width = round((north - south) / 0.3) + 20, round((east - west) / 0.3) + 20
    transform = Affine(0.3, 0, west - 3, 0, -0.3, north + 3)
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    return write_scene(
        path, noise(height, width), crs=f"EPSG:{epsg}", transform=transform, **blocks
    )


def image(path, href=None):
    footprint = shape(grid_footprint(open_scene(path).grid).geometry)
    sources = (ColourSource(str(href or path), None),)
    return Image(id="a", footprint=footprint, sources=sources, link="a", identity={})


def window():
    row, column = CELL.origin_px
    rows, columns = range(row, row + 512), range(column, column + 512)
    return PixelWindow(epsg=32633, pixel_m=0.6, rows=rows, columns=columns)


def read(one):
    with MosaicReader([one], window(), CHOICES) as reader:
        return reader.read(0, 512)


@pytest.fixture(params=[32633, 32632], ids=["same CRS", "other CRS"])
def place(request, tmp_path):
    """A folder with an image, and what it shows."""
    path = write(tmp_path / "a.tif", request.param)
    return path, read(image(path))


def test_an_image_on_a_server_is_the_image_on_disk(place):
    path, expected = place
    with serving(path.parent) as (url, faults):
        got = read(image(path, f"{url}/a.tif"))
        np.testing.assert_array_equal(got.pixels, expected.pixels)
        assert got.valid.all()
        assert len(faults.asked) < 25


@pytest.mark.parametrize("fault", ["503", "429", "502"])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(place, fault):
    path, expected = place
    with serving(path.parent) as (url, faults):
        faults.next = [None, fault, None, fault, fault]
        got = read(image(path, f"{url}/a.tif"))
        np.testing.assert_array_equal(got.pixels, expected.pixels)
        assert not faults.next


@pytest.mark.parametrize("fault", ["503", "500", "404", "short", "stall"])
def test_a_server_that_fails_in_the_middle_is_an_error_and_no_hole(place, fault):
    path, expected = place
    with serving(path.parent) as (url, faults):
        one = image(path, f"{url}/a.tif")
        with MosaicReader([one], window(), CHOICES) as reader:
            reader.read(0, 256)
            faults.always = fault
            with pytest.raises(ConnectionLostError, match=r"a\.tif cannot be read"):
                reader.read(256, 256)
        faults.always = None
        np.testing.assert_array_equal(read(one).pixels, expected.pixels)


def test_a_server_that_has_no_such_file_is_said(place):
    path, _ = place
    with serving(path.parent) as (url, _), pytest.raises(SceneError, match="answers 404"):
        read(image(path, f"{url}/other.tif"))


def test_a_signed_image_is_signed_when_it_is_opened_and_its_key_is_not_said(place, monkeypatch):
    path, expected = place
    asked = []

    def sign(href):
        asked.append(href)
        return f"{href}?sig=secret"

    class Signed(Server):
        def answer(self, *, body):
            if self.path.endswith("?sig=secret"):
                self.path = self.path.removesuffix("?sig=secret")
                super().answer(body=body)
            else:
                self.send_error(403)

    monkeypatch.setattr("geo.imagery.opened.signed_href", sign)
    handler = functools.partial(Signed, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        one = image(path, f"{url}/a.tif")
        signed = type(one)(**{**vars(one), "signed": True})
        np.testing.assert_array_equal(read(signed).pixels, expected.pixels)
        assert asked == [f"{url}/a.tif"]
        missing = type(one)(**{**vars(image(path, f"{url}/b.tif")), "signed": True})
        with pytest.raises(SceneError, match=r"b\.tif cannot be read") as error:
            read(missing)
        assert "secret" not in str(error.value)
        server.shutdown()
        thread.join()
