"""canopy: sub-metre RGB imagery in, canopy height in metres out.

The names below are loaded when they are first used, so that asking for the version or for help
does not load a deep-learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canopy.calibration.calibrate import calibrate_intervals
    from canopy.height_model import HeightModel
    from canopy.map_report import MapReport
    from canopy.map_settings import MapSettings
    from canopy.mapping import map_heights
    from canopy.model_building import build_height_model
    from canopy.model_card import ModelCard
    from canopy.version import __version__
    from canopy.weights import load_height_model

HOMES = {
    "HeightModel": "canopy.height_model",
    "MapReport": "canopy.map_report",
    "MapSettings": "canopy.map_settings",
    "ModelCard": "canopy.model_card",
    "__version__": "canopy.version",
    "build_height_model": "canopy.model_building",
    "calibrate_intervals": "canopy.calibration.calibrate",
    "load_height_model": "canopy.weights",
    "map_heights": "canopy.mapping",
}

__all__ = [
    "HeightModel",
    "MapReport",
    "MapSettings",
    "ModelCard",
    "__version__",
    "build_height_model",
    "calibrate_intervals",
    "load_height_model",
    "map_heights",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    msg = f"module canopy has no attribute {name}"
    raise AttributeError(msg)
