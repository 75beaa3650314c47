"""What a user may choose about a map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from canopy.errors import SettingsError
from canopy.intervals import check_level
from geo.height_maps.encoding import ENCODINGS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from canopy.height_models.forward import Precision

GRIDS = ("model", "scene")
Radiometry = Literal["satellite", "aerial", "none"]


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Choices that decide what a height map looks like, and how it is made.

    Attributes:
        bands: which bands of the scene are red, green and blue (1-based); None to decide from
            the file.
        pixel_size_m: side of a pixel [m], for a scene without georeference.
        stretch: ``auto``, ``none``, or the two values that become black and white.
        radiometry: ``satellite``: pixels are given the mean and spread of the model's card;
            ``aerial``: before that, their colours are matched to those of satellite images;
            ``none``: the network sees them as they are, over 255 where they are bytes, unclipped.
        colours: file of the colour-matching network; None for the one in the zoo.
        mean: mean of red, green and blue that pixels are normalised by; None for the card's.
        std: their standard deviation; None for the card's.
        grid: ``model`` for pixels of the model's GSD in metres, ``scene`` for the scene's own.
        resolution_m: side of the map's pixels [m]; None for the model's GSD.
        tile_px: side of a tile [px]; None for the model's own choice.
        overlap_px: least overlap of neighbouring tiles [px]; None for the model's own choice.
        batch: tiles predicted at once, in each thread of a CPU; None for what the device can take.
        precision: what it computes in, see :class:`~canopy.height_models.forward.ForwardSettings`.
        compiled: whether the network is compiled first.
        acquired: when the imagery was taken, for the item; None for what its tags say.
        encoding: ``float32``, ``int16-cm`` or ``uint8-m``.
        interval: level of an interval around each height, such as 0.9; its ends become bands 2
            and 3 of the map. None for heights alone.
        calibration: file of ``canopy calibrate`` that intervals rest on; None for the one in the
            model's folder.
        preview: whether to draw a preview beside the map.
        stac: whether to write a STAC item beside the map.
        overwrite: whether an existing map may be replaced.
        resume: whether to go on from an unfinished map.
    """

    bands: tuple[int, ...] | None = None
    pixel_size_m: float | None = None
    stretch: Literal["auto", "none"] | tuple[float, float] = "auto"
    radiometry: Radiometry = "satellite"
    colours: str | Path | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    grid: Literal["model", "scene"] = "model"
    resolution_m: float | None = None
    tile_px: int | None = None
    overlap_px: int | None = None
    batch: int | None = None
    precision: Precision = "auto"
    compiled: bool = False
    acquired: datetime | None = None
    encoding: str = "float32"
    interval: float | None = None
    calibration: str | Path | None = None
    preview: bool = True
    stac: bool = True
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense whatever the scene.

        Raises:
            SettingsError: a value is out of range, or contradicts another.
        """
        for name, length in (("pixel size", self.pixel_size_m), ("resolution", self.resolution_m)):
            if length is not None and not 0 < length < float("inf"):
                msg = f"{name} of {length} m: expected a length above 0"
                raise SettingsError(msg)
        ends = self.stretch if isinstance(self.stretch, tuple) else (0.0, 1.0)
        if not -math.inf < ends[0] < ends[1] < math.inf:
            msg = f"stretch {ends[0]:g},{ends[1]:g}: the first value must be below the second"
            raise SettingsError(msg)
        self._check_radiometry()
        self._check_interval()
        if self.batch is not None and self.batch < 1:
            msg = f"batch of {self.batch}: expected at least one tile"
            raise SettingsError(msg)
        if self.grid not in GRIDS or self.encoding not in ENCODINGS:
            msg = (
                f"grid {self.grid}, encoding {self.encoding}: expected a grid of "
                f"{', '.join(GRIDS)} and an encoding of {', '.join(ENCODINGS)}"
            )
            raise SettingsError(msg)
        if self.grid == "scene" and self.resolution_m is not None:
            msg = "grid scene with a resolution: the scene's own pixels are asked for, drop one"
            raise SettingsError(msg)

    def _check_radiometry(self) -> None:
        """Refuse options about pixel values that would have no effect, or none that makes sense.

        Raises:
            SettingsError: as said.
        """
        if self.radiometry not in get_args(Radiometry):
            msg = f"radiometry {self.radiometry}: expected {', '.join(get_args(Radiometry))}"
            raise SettingsError(msg)
        if self.colours is not None and self.radiometry != "aerial":
            msg = "colours without radiometry aerial have no effect: ask for it, or drop them"
            raise SettingsError(msg)
        if self.radiometry == "none" and (self.mean or self.std):
            msg = "radiometry none with a mean or std: nothing is normalised then, drop one"
            raise SettingsError(msg)
        numbers = (*(self.mean or ()), *(self.std or ()))
        if not all(map(math.isfinite, numbers)) or min(self.std or (1,)) <= 0:
            msg = f"mean {self.mean}, std {self.std}: expected finite numbers, a std above 0"
            raise SettingsError(msg)

    def _check_interval(self) -> None:
        """Refuse an interval that means nothing, and a calibration without one.

        Raises:
            SettingsError: as said.
        """
        if self.interval is None:
            if self.calibration is not None:
                msg = "calibration without an interval has no effect: ask for one, or drop it"
                raise SettingsError(msg)
            return
        check_level(self.interval)
        if self.mean or self.std:
            msg = (
                "interval with a mean or std: intervals are calibrated on pixels normalised by the "
                "model's own, drop one"
            )
            raise SettingsError(msg)
