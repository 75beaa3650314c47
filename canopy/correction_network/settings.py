"""What may be chosen about a correction by a network."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from canopy.correction.factor_field import REACH
from canopy.correction.footprint_pairs import RADIUS_M
from canopy.correction.settings import LEAST_FACTOR
from canopy.correction_network.place_facts import ViewFacts
from canopy.errors import SettingsError

if TYPE_CHECKING:
    from canopy.correction_network.model import CorrectionCard

BLOCK_PX = 256
"""Strides divide it, so that cells of ground and coarse cells have corners in common [px]."""

PLACES_REACH = 2.0
"""Places that a footprint may have been in: up to so many times the error of their places."""

LEAST_CHANGE = 0.05
SURE = 2.0
"""Nineteen forests of twenty are off by less than so many times what is usual."""


@dataclass(frozen=True, kw_only=True)
class FieldSettings:
    """How predictions become factors.

    Attributes:
        stride_px: distance of two predictions, and side of a cell of the field [px of the network],
            a power of two up to 256.
        bandwidth_m: standard deviation of the kernel that smooths the field, which reaches three
            times as far [true m].
        signal: standard deviation of the log factor before anything is seen: how wrong maps are.
        least_height_m: a place tells something where the geometric mean of prediction and map is
            as high [m].
        keep_below_m: heights up to it are never changed [m]; from three times it on, heights take
            the whole factor.
        limits: least and greatest factor.
        least_change: log factors up to it become none, from half more on they stay: so much may a
            network differ from a true map of a forest that it does not know well. None for what
            its card tells, see `least_change_of`.
    """

    stride_px: int = 64
    bandwidth_m: float = 75.0
    signal: float = 0.4
    least_height_m: float = 3.0
    keep_below_m: float = 1.0
    limits: tuple[float, float] = (0.5, 2.0)
    least_change: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: as said.
        """
        low, high = self.limits
        stride = self.stride_px
        even = stride in {8, 16, 32, 64, 128, 256}
        checks = (
            ("stride", stride, even, "a power of two from 8 to 256 px"),
            ("bandwidth", self.bandwidth_m, 10 <= self.bandwidth_m <= 2000, "10 to 2000 m"),  # noqa: PLR2004
            ("limits", low, LEAST_FACTOR <= low < 1, f"a least factor of {LEAST_FACTOR:g} to 1"),
            ("limits", high, 1 < high <= 10, "a greatest factor of 1 to 10"),  # noqa: PLR2004
            ("least-height", self.least_height_m, self.least_height_m >= 1, "1 m or more"),
            ("keep-below", self.keep_below_m, self.keep_below_m >= 0, "0 m or more"),
            (
                "least-change",
                self.least_change,
                0 <= (self.least_change or 0) < 1,
                "a share from 0 to 1",
            ),
            ("signal", self.signal, self.signal > 0, "above 0"),
        )
        for name, found, fine, expected in checks:
            if not fine:
                msg = f"--{name} {found}: expected {expected}"
                raise SettingsError(msg)

    def margin_px(self, card: CorrectionCard, window_px: int) -> int:
        """Return how far from a pixel imagery and heights may lie that decide about it [px].

        The kernel's reach from a prediction one stride away, and half of that one's window, or what
        of the map is looked at around it.
        """
        reach = -(-int(REACH * self.bandwidth_m) // int(self.stride_px * card.gsd_m)) + 1
        looked_m = RADIUS_M + PLACES_REACH * card.geolocation_m
        around = max(window_px // 2, math.ceil(looked_m / card.gsd_m))
        return (reach + 1) * self.stride_px + around

    def least_change_of(self, card: CorrectionCard) -> float:
        """Return the log factor up to which nothing is changed, for a network.

        By default twice what the network is off in a whole forest, as forests kept aside told,
        and 0.05 at least.
        """
        if self.least_change is not None:
            return self.least_change
        return max(LEAST_CHANGE, SURE * card.forest_noise)


@dataclass(frozen=True, kw_only=True)
class ByModelSettings:
    """What the user of a correction by a network chooses.

    Attributes:
        factors: how predictions become factors.
        view: how the imagery was taken.
        device: where the network runs: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        stac: whether a STAC item is written.
        preview: whether a picture of the map before and after is drawn.
        overwrite: whether files that stand there may be replaced.
    """

    factors: FieldSettings = field(default_factory=FieldSettings)
    view: ViewFacts = field(default_factory=ViewFacts)
    device: str = "auto"
    stac: bool = True
    preview: bool = True
    overwrite: bool = False
