"""What the tests of whole regions share: a server with images, a model, an undisturbed product."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from faulty_folder import FaultyFolder, serving_faultily
from small_catalog import items_of, vivid_model, write_area, write_images, write_static_catalog
from small_products import counts_of

from canopy.height_models.folder import save_height_model

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Place:
    """A server of images, and what maps them.

    Attributes:
        server: of the images, with its faults.
        items: a file of their items.
        area: a file of their ground.
        model: folder of a model.
        expected: what comes out where nothing is disturbed.
    """

    server: FaultyFolder
    items: Path
    area: Path
    model: Path
    expected: Path

    def arguments(self, output, *more, source=None):
        """Return the arguments of a map of them all."""
        here = [source or self.items] if "--api" not in more else []
        fixed = ["--area", self.area, "--cell", "512", "--model", self.model, "--device", "cpu"]
        return [*here, "-o", output, *fixed, *more]


def map_here(*arguments):
    """Run `canopy map` in this process and return its exit code."""
    from cli.app import main  # noqa: PLC0415 - slow

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["canopy", "map", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A place, and the product that comes out where nothing is disturbed."""
    root = tmp_path_factory.mktemp("place")
    (root / "served").mkdir()
    write_images(root / "served")
    save_height_model(vivid_model(), root / "model")
    with serving_faultily(root / "served") as server:
        items = items_of(root / "served", server.url)
        (root / "items.json").write_text(
            json.dumps({"type": "FeatureCollection", "features": items})
        )
        write_static_catalog(root / "served", server.url)
        place = Place(
            server=server, items=root / "items.json",
            area=write_area(root / "area.geojson", root / "served"),
            model=root / "model", expected=root / "expected" / "region",
        )  # fmt: skip
        assert map_here(*place.arguments(place.expected)) == 0
        assert counts_of(place.expected) == {"done": 6}
        yield place


@pytest.fixture
def place(undisturbed):
    """The place, whose server is well before and after a test."""
    yield undisturbed
    undisturbed.server.faults.clear()
    undisturbed.server.always.clear()
    undisturbed.server.asked.clear()
    undisturbed.server.failed.clear()


@pytest.fixture
def output(tmp_path):
    """Where a region shall stand: under the name of the undisturbed one, which it tells."""
    return tmp_path / "region"


@pytest.fixture
def here(capfd):
    """A function that runs `canopy map` in this process: exit code, and what it says."""

    def run(*arguments):
        code = map_here(*arguments)
        return code, capfd.readouterr().err

    return run


@pytest.fixture
def quick(monkeypatch):
    """Let GDAL give up soon in this process."""
    from small_products import QUICK  # noqa: PLC0415

    from geo import scene  # noqa: PLC0415

    for name, value in QUICK.items():
        monkeypatch.setitem(scene.GDAL_OPTIONS, name, value)
    monkeypatch.setattr(scene, "ANSWER_S", 1.0)
