"""What is known of an image beside its pixels, as numbers that a network can take.

Each of five facts may be missing. Then its default stands in its place and a flag says so, which
the network has seen while it learned: some facts are hidden from it on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DEFAULTS = {
    "latitude": 0.0,
    "longitude": 0.0,
    "sun_elevation": 50.0,
    "off_nadir": 10.0,
    "slope": 0.0,
}
"""Stands where a fact is missing [degrees]: a sun and a tilt that are common in mapping imagery,
level ground, and a place that the flag alone makes one of nowhere."""

SCALES = {"latitude": 90.0, "sun_elevation": 90.0, "off_nadir": 45.0, "slope": 45.0}
"""Degrees that become 1; longitude becomes its sine and cosine, which agree at the date line."""

ENCODED = len(SCALES) + 2 + len(DEFAULTS)
"""Numbers that the network takes: the facts, longitude as two, and a flag for each."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Facts of some windows (n,) [degrees], NaN where one is missing.

    Attributes:
        latitude: of the place, north positive.
        longitude: of the place, east positive.
        sun_elevation: angle of the sun above the horizon.
        off_nadir: angle between the line of sight and the vertical.
        slope: of the ground.
    """

    latitude: Array
    longitude: Array
    sun_elevation: Array
    off_nadir: Array
    slope: Array

    def __len__(self) -> int:
        """Return the number of windows."""
        return self.latitude.size

    def part(self, kept: NDArray[np.int64] | NDArray[np.bool_]) -> Metadata:
        """Return the facts of some windows."""
        return Metadata(**{name: values[kept] for name, values in self.columns.items()})

    @property
    def columns(self) -> dict[str, Array]:
        """The facts by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the facts that some window lacks."""
        return tuple(n for n, values in self.columns.items() if not np.isfinite(values).all())

    def hidden(self, which: NDArray[np.bool_]) -> Metadata:
        """Return the same with some facts taken away (n, 5), in the order of the attributes."""
        columns = self.columns.items()
        return Metadata(
            **{name: np.where(which[:, i], np.nan, v) for i, (name, v) in enumerate(columns)}
        )

    def encoded(self) -> NDArray[np.float32]:
        """Return what the network takes (n, ENCODED)."""
        known = {name: np.isfinite(values) for name, values in self.columns.items()}
        # Rounded: the same place, computed from two grids, must give the same numbers.
        columns = {name: values.round(4) for name, values in self.columns.items()}
        filled = {n: np.where(known[n], v, DEFAULTS[n]) for n, v in columns.items()}
        turn = np.radians(filled["longitude"])
        numbers = [filled[name] / scale for name, scale in SCALES.items()]
        flags = [~known[name] for name in DEFAULTS]
        return np.stack([*numbers, np.sin(turn), np.cos(turn), *flags], axis=1).astype(np.float32)


def joined(parts: list[Metadata]) -> Metadata:
    """Return the facts of several sets of windows as those of one."""
    names = DEFAULTS
    return Metadata(**{n: np.concatenate([part.columns[n] for part in parts]) for n in names})


def unknown(count: int) -> Metadata:
    """Return facts of which none is known."""
    return Metadata(**{name: np.full(count, np.nan) for name in DEFAULTS})
