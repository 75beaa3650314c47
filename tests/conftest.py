"""What all tests share: one thread, quiet environments, and ways to make a map of a small scene."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import settings

# The modules beside this file that tests import: small models, small scenes, strategies.
sys.path.insert(0, str(Path(__file__).parent))

# Examples are drawn the same way in every run, and a busy machine fails no test.
settings.register_profile("canopy", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("canopy")

DATA = Path(__file__).parent / "data"


def pytest_collection_modifyitems(items):
    """Skip what needs a CUDA device where there is none, and say so."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def one_thread():
    """Let torch use one thread, whatever a training run has set: tests run side by side."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_gdal_settings(monkeypatch):
    """Take away GDAL's settings of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith(("GDAL_", "CPL_", "VSI_"))]:
        if name not in {"GDAL_DATA", "GDAL_DRIVER_PATH"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def golden():
    """Weights, images and heights of the released architecture at a tiny size."""
    with np.load(DATA / "chmv1_tiny.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def released():
    """Heights of the int8 file, and what the colour-matching network does, at a tiny size."""
    with np.load(DATA / "released_tiny.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def data_folder():
    """The folder of golden numbers and files."""
    return DATA


class Mapped(NamedTuple):
    """A map as it stands on disk."""

    heights: np.ndarray
    """(rows, columns) [m], NaN where there is none."""
    grid: object
    report: object
    path: Path


def read_map(path):
    """Return heights [m] with NaN where there is none, as any GIS reads them, and their grid."""
    from geo.grid import Grid  # noqa: PLC0415 - tests of other parts need no geography

    with rasterio.open(path) as dataset:
        stored = dataset.read(1, masked=True)
        heights = stored.astype(np.float64).filled(np.nan) * dataset.scales[0] + dataset.offsets[0]
        grid = Grid(
            crs=dataset.crs, transform=dataset.transform,
            height=dataset.height, width=dataset.width,
        )  # fmt: skip
    return heights, grid


@pytest.fixture
def map_of(tmp_path):
    """A function that maps a scene with a small model and reads the map back."""
    from small_models import LocalMean, model_of  # noqa: PLC0415 - its imports are slow

    from canopy.mapping.map_heights import map_heights  # noqa: PLC0415
    from canopy.mapping.settings import MapSettings  # noqa: PLC0415

    def make(source, *, model=None, output=None, progress=None, **choices):
        output = output or tmp_path / "map.tif"
        choices = {"preview": False, "stac": False, "overwrite": True} | choices
        report = map_heights(
            source, output, model=model or model_of(LocalMean()),
            settings=MapSettings(**choices), device="cpu", progress=progress,
        )  # fmt: skip
        return Mapped(*read_map(output), report, output)

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A folder with a height model of random weights, as the command takes it."""
    from small_models import tiny_model  # noqa: PLC0415

    from canopy.height_models.folder import save_height_model  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_height_model(tiny_model(notice="For trying the tool."), folder)
    return folder


@pytest.fixture
def canopy_command(monkeypatch, capfd):
    """A function that runs the command in this process: exit code, standard output and error."""
    from cli.app import main  # noqa: PLC0415 - few tests need it

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["canopy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def served(tmp_path):
    """The address of a server of the test's folder."""
    from small_server import serving  # noqa: PLC0415 - few tests need it

    with serving(tmp_path) as address:
        yield address
