"""canopy: sub-metre RGB imagery in, canopy height in metres out.

The names below are loaded when they are first used, so that asking for the version or for help
does not load a deep-learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canopy.arrays.height_array import predict
    from canopy.calibration.calibrate import calibrate_intervals
    from canopy.height_models.building import build_height_model
    from canopy.height_models.card import ModelCard
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.map_heights import map_heights
    from canopy.mapping.report import MapReport
    from canopy.mapping.settings import MapSettings
    from canopy.region.map_region import RegionRequest, map_region
    from canopy.region.run_settings import RunSettings
    from canopy.region.settings import RegionSettings
    from canopy.version import __version__
    from canopy.weights import load_height_model
    from geo.imagery.from_catalog import open_images

HOMES = {
    "HeightModel": "canopy.height_models.height_model",
    "MapReport": "canopy.mapping.report",
    "MapSettings": "canopy.mapping.settings",
    "ModelCard": "canopy.height_models.card",
    "__version__": "canopy.version",
    "build_height_model": "canopy.height_models.building",
    "calibrate_intervals": "canopy.calibration.calibrate",
    "load_height_model": "canopy.weights",
    "map_heights": "canopy.mapping.map_heights",
    "RegionRequest": "canopy.region.map_region",
    "RegionSettings": "canopy.region.settings",
    "RunSettings": "canopy.region.run_settings",
    "map_region": "canopy.region.map_region",
    "open_images": "geo.imagery.from_catalog",
    "predict": "canopy.arrays.height_array",
}

__all__ = [
    "HeightModel",
    "MapReport",
    "MapSettings",
    "ModelCard",
    "RegionRequest",
    "RegionSettings",
    "RunSettings",
    "__version__",
    "build_height_model",
    "calibrate_intervals",
    "load_height_model",
    "map_heights",
    "map_region",
    "open_images",
    "predict",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    msg = f"module canopy has no attribute {name}"
    raise AttributeError(msg)
