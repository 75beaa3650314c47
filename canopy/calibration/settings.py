"""What a user may choose about a calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from canopy.chips.settings import Register
from canopy.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.mapping.settings import Radiometry

Over = Literal["auto", "sites", "blocks"]

ENOUGH_SITES = 3
"""From so many sites on, coverage is told of sites that were left out."""


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """Choices about a calibration.

    Attributes:
        radiometry: as ``canopy map --radiometry``; maps must have the same.
        colours: file of the colour-matching network; None for the one in the zoo.
        register: as ``canopy chips --register``: whether the shift between image and heights of
            every pair is found first and taken back where it is sure, and what is done with pairs
            where it is unclear.
        block_m: side of the blocks of ground that weigh as one draw each [m].
        over: what is left out when coverage is told: ``sites``, ``blocks`` of ground in five
            folds, or ``auto``: sites where there are three or more.
        data: what imagery and lidar they are, one sentence; from the sites where it is empty.
        seed: chooses pixels, and deals blocks to folds.
        overwrite: whether existing files may be replaced.
    """

    radiometry: Radiometry = "satellite"
    colours: str | Path | None = None
    register: Register = "off"
    block_m: float = 50.0
    over: Over = "auto"
    data: str = ""
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense whatever the data.

        Raises:
            SettingsError: a value is out of range.
        """
        if not 0 < self.block_m < math.inf:
            msg = f"found blocks of {self.block_m} m; expected a length above 0"
            raise SettingsError(msg)
        if self.over not in get_args(Over):
            msg = f"found coverage over {self.over}; expected {', '.join(get_args(Over))}"
            raise SettingsError(msg)
        if self.register not in get_args(Register):
            msg = f"register {self.register}: expected one of {', '.join(get_args(Register))}"
            raise SettingsError(msg)
        if self.seed < 0:
            msg = f"found seed {self.seed}; expected 0 or more"
            raise SettingsError(msg)
