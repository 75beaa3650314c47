"""What a user may choose about a set of chips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from canopy.errors import SettingsError

SPLITS = ("train", "val", "test")

Register = Literal["off", "keep-unclear", "drop-unclear"]


@dataclass(frozen=True, kw_only=True)
class ChipSettings:
    """How pairs of imagery and lidar become chips.

    Attributes:
        gsd_m: pixel of imagery and heights [m]; that of the model that will learn from them.
        tile_px: side of a chip [px].
        block_m: side of the blocks of ground that are dealt to the splits [m].
        guard_m: chips of two splits are at least this far apart [m].
        shares: shares of the ground for train, val and test; a share of 0 leaves a split out.
        least_known: a window is kept where lidar and image both know at least this share of it.
        collages: whether plots smaller than a chip share one, as a collage; else each has its own.
        register: whether the shift between image and heights of every pair is found first, and
            taken back where it is sure; pairs where it is unclear are then kept or dropped.
        seed: the same seed deals the same blocks.
        per_file: chips in one file.
    """

    gsd_m: float = 0.6
    tile_px: int = 256
    block_m: float = 500.0
    guard_m: float = 50.0
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    least_known: float = 0.25
    collages: bool = True
    register: Register = "off"
    seed: int = 0
    per_file: int = 256

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: a value is out of range.
        """
        lengths = {"gsd": self.gsd_m, "block": self.block_m}
        for name, length in lengths.items():
            if not 0 < length < float("inf"):
                msg = f"{name} of {length} m: expected a length above 0"
                raise SettingsError(msg)
        if self.tile_px < 1 or self.per_file < 1:
            msg = f"{self.tile_px} px, {self.per_file} chips a file: expected 1 or more"
            raise SettingsError(msg)
        if not 0 <= self.guard_m < float("inf"):
            msg = f"guard of {self.guard_m} m: expected 0 or more"
            raise SettingsError(msg)
        if min(self.shares) < 0 or self.shares[0] <= 0:
            msg = f"shares {self.shares}: expected three numbers from 0, train above it"
            raise SettingsError(msg)
        if self.register not in get_args(Register):
            msg = f"register {self.register}: expected one of {', '.join(get_args(Register))}"
            raise SettingsError(msg)
        if not 0 < self.least_known <= 1:
            msg = f"least known share of {self.least_known}: expected above 0, at most 1"
            raise SettingsError(msg)
