"""Intervals of heights: what a calibration is on disk, and what it makes of a map.

How a calibration is found is in :mod:`canopy.calibration.conformal`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from canopy.errors import ModelError, SettingsError
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.floating]
    Heights = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

INTERVALS_FILE = "intervals.json"
"""What a calibration is called beside the ``config.json`` of its model."""

FORMAT = 1
"""Of the file; another number is refused."""

LEVELS = tuple(round(0.5 + 0.01 * step, 2) for step in range(50))
"""The levels that a calibration knows: 0.50, 0.51, ... 0.99."""

Scale = Literal["bins", "height"]
"""What an error is measured in: the spread of a pixel's bins, or its height."""

SPREAD_PLUS_M = 3.0
"""Added to the spread of the bins [m]: a network is sure without reason here and there. Of 0.25 to
6 m it matters little (docs/intervals.md)."""

HEIGHT_PLUS_M, HEIGHT_SHARE = 2.0, 0.2
"""Scale of a network without bins: so many metres, and this share of the height."""

Predictions = Literal["own", "out-of-fold"]
"""Whose predictions were compared: the model's own, or each plot's by a model that never saw it."""


def scale_of(heights: Heights, spread: Heights | None) -> Heights:
    """Return the scale of errors [m], of the shape of the heights.

    It only ranks pixels; the calibration finds how many scales an interval is wide.

    Args:
        heights: predicted heights [m].
        spread: standard deviation of their bins [m]; None of a network without.
    """
    if spread is None:
        return heights * np.float32(HEIGHT_SHARE) + np.float32(HEIGHT_PLUS_M)
    return spread + np.float32(SPREAD_PLUS_M)


@dataclass(frozen=True, kw_only=True)
class CalibratedClass:
    """Pixels of one class of predicted height, and how far they err.

    Attributes:
        from_m: least predicted height [m].
        to_m: where the next class begins [m]; None of the tallest.
        plots: plots with a pixel of the class.
        effective_plots: the same counted by how much of them is of it (Kish 1965).
        pixels: pixels compared.
        below: for each of LEVELS how many scales the lower end lies below the height; None where
            the plots are too few.
        above: the same of the upper end above it.
    """

    from_m: float
    to_m: float | None
    plots: int
    effective_plots: float
    pixels: int
    below: tuple[float | None, ...]
    above: tuple[float | None, ...]

    def __post_init__(self) -> None:
        """Refuse what no calibration says.

        Raises:
            ValueError: a list has another length, or a factor is negative or no number.
        """
        for name, factors in (("below", self.below), ("above", self.above)):
            if len(factors) != len(LEVELS):
                msg = f"{name} has {len(factors)} entries, expected {len(LEVELS)}"
                raise ValueError(msg)
            if not all(factor is None or 0 <= factor < math.inf for factor in factors):
                msg = f"{name}: expected numbers of 0 or more, or null"
                raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the heights of one model err, by class of predicted height; ``intervals.json``.

    Attributes:
        model: name of the model.
        weights_sha256: digest of its weights; a map by others is refused.
        gsd_m: pixel for which it was made [m].
        radiometry: what was done to pixel values, as ``canopy map --radiometry``.
        scale: what errors are measured in, see :func:`scale_of`.
        data: the imagery and the lidar, one sentence.
        predictions: whose predictions were compared.
        plots: plots, or blocks of ground, that counted as one draw each.
        pixels: pixels compared.
        classes: from low to tall, without gaps, from 0 m on.
        software: what made it.
    """

    model: str
    weights_sha256: str
    gsd_m: float
    radiometry: str
    scale: Scale
    data: str
    predictions: Predictions
    plots: int
    pixels: int
    classes: tuple[CalibratedClass, ...]
    software: str = ""

    def __post_init__(self) -> None:
        """Refuse classes that leave a height out, and words that mean nothing.

        Raises:
            ValueError: as said.
        """
        starts = [entry.from_m for entry in self.classes]
        ends = [math.inf if entry.to_m is None else entry.to_m for entry in self.classes]
        if not starts or starts != [0, *ends[:-1]] or ends[-1] != math.inf:
            msg = f"classes from {starts} to {ends} m: expected 0 m to any height without gaps"
            raise ValueError(msg)
        if sorted(ends) != ends or len(set(ends)) < len(ends):
            msg = f"classes end at {ends} m: expected them ascending"
            raise ValueError(msg)
        if self.scale not in get_args(Scale) or self.predictions not in get_args(Predictions):
            msg = f"scale {self.scale}, predictions {self.predictions}: not known to this version"
            raise ValueError(msg)

    @property
    def identity(self) -> list[Any]:
        """Return all that decides about the ends of intervals of any level, as JSON."""
        return [[entry.from_m, list(entry.below), list(entry.above)] for entry in self.classes]

    @property
    def highest_level(self) -> float | None:
        """Highest level that every class supports; None where there is none."""
        found = [
            level
            for index, level in enumerate(LEVELS)
            if all(entry.below[index] is not None for entry in self.classes)
            and all(entry.above[index] is not None for entry in self.classes)
        ]
        return found[-1] if found else None

    def at(self, level: float) -> HeightInterval:
        """Return what makes intervals of a level.

        Raises:
            SettingsError: the level is none, or the plots are too few for it.
        """
        check_level(level)
        highest = self.highest_level
        if highest is None or level > highest + 1e-9:
            most = "none" if highest is None else f"{highest:g} at the most"
            msg = (
                f"interval {level:g}: the {self.plots} plots of the calibration support {most}; "
                "ask for a lower level, or calibrate on more plots"
            )
            raise SettingsError(msg)
        index = LEVELS.index(round(level, 2))
        return HeightInterval(
            level=round(level, 2),
            edges_m=tuple(entry.from_m for entry in self.classes[1:]),
            below=tuple(float(entry.below[index] or 0) for entry in self.classes),
            above=tuple(float(entry.above[index] or 0) for entry in self.classes),
            calibration=self,
        )


def check_level(level: float) -> None:
    """Refuse what is no level of an interval.

    Raises:
        SettingsError: it is none of LEVELS.
    """
    if not any(abs(level - known) < 1e-9 for known in LEVELS):  # noqa: PLR2004 - binary fractions
        msg = (
            f"interval {level:g}: expected {LEVELS[0]:.2f} to {LEVELS[-1]:.2f} in steps of 0.01, "
            "such as 0.9"
        )
        raise SettingsError(msg)


@dataclass(frozen=True, kw_only=True)
class HeightInterval:
    """Makes the interval of every pixel from its height and its scale.

    Attributes:
        level: share of pixels whose height lies inside.
        edges_m: predicted heights at which a new class begins [m].
        below: of each class, how many scales the lower end lies below the height.
        above: of each class, how many scales the upper end lies above it.
        calibration: where they come from.
    """

    level: float
    edges_m: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    calibration: Calibration

    def ends(self, heights: Heights, scale: Heights) -> tuple[Heights, Heights]:
        """Return lower and upper ends [m], NaN where the height is; 0 <= lower <= height <= upper.

        Args:
            heights: predicted heights [m], any shape.
            scale: of their errors [m], see :func:`scale_of`.
        """
        classes = np.digitize(heights, self.edges_m)  # a NaN is put last, and stays NaN
        below = np.asarray(self.below, np.float32)[classes]
        above = np.asarray(self.above, np.float32)[classes]
        # A height is 0 or more when it is stored: so is its interval.
        lower = np.maximum(heights - below * scale, np.minimum(heights, np.float32(0)))
        return lower, heights + above * scale

    @property
    def title(self) -> str:
        """The level as people say it, such as ``90 %``."""
        return f"{100 * self.level:g} %"

    @property
    def identity(self) -> list[Any]:
        """Return all that decides about the ends of an interval, as JSON."""
        return [self.level, list(self.edges_m), list(self.below), list(self.above)]


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON, whole or not at all.

    Raises:
        MapFileError: it cannot be written.
    """
    content = {"format": FORMAT, "levels": list(LEVELS), **asdict(calibration)}
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        ModelError: there is none, or it is broken or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "no JSON"
        msg = f"{path} cannot be read ({reason}): expected the file that canopy calibrate writes"
        raise ModelError(msg) from error
    found = content if isinstance(content, dict) else {}
    if found.get("format") != FORMAT or found.get("levels") != list(LEVELS):
        msg = f"{path} is no calibration of this version: make it anew with canopy calibrate"
        raise ModelError(msg)
    try:
        return parsed(found)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        msg = f"{path} is broken ({reason}): make it anew with canopy calibrate"
        raise ModelError(msg) from error


def parsed(found: dict[str, Any]) -> Calibration:
    """Return the calibration of parsed JSON.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it is none.
    """
    texts = ("model", "weights_sha256", "radiometry", "scale", "data", "predictions", "software")
    if wrong := [name for name in texts if not isinstance(found[name], str)]:
        msg = f"{wrong[0]} is {found[wrong[0]]!r}, expected text"
        raise TypeError(msg)
    classes = tuple(
        CalibratedClass(
            from_m=float(entry["from_m"]),
            to_m=None if entry["to_m"] is None else float(entry["to_m"]),
            plots=int(entry["plots"]),
            effective_plots=float(entry["effective_plots"]),
            pixels=int(entry["pixels"]),
            below=tuple(entry["below"]),
            above=tuple(entry["above"]),
        )
        for entry in found["classes"]
    )
    names = [item.name for item in fields(Calibration) if item.name != "classes"]
    counted = {
        "gsd_m": float(found["gsd_m"]),
        "plots": int(found["plots"]),
        "pixels": int(found["pixels"]),
    }
    return Calibration(classes=classes, **{name: found[name] for name in names} | counted)
