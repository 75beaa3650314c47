"""What is known of a height map beside its pixels: its heights in brief, how and from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from geo.acquisition import Acquisition


@dataclass(frozen=True, kw_only=True)
class HeightSummary:
    """What the valid pixels of a map say; every height is NaN where no pixel is valid.

    Attributes:
        mean_m: mean height [m].
        stddev_m: standard deviation [m].
        minimum_m: smallest height [m].
        maximum_m: greatest height [m].
        valid_percent: share of pixels that hold a height, 0 to 100.
        percentiles_m: percentile (50 for the median) to height [m].
    """

    mean_m: float
    stddev_m: float
    minimum_m: float
    maximum_m: float
    valid_percent: float
    percentiles_m: Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class IntervalFacts:
    """The intervals around the heights of a map, whose ends are its bands 2 and 3.

    Attributes:
        level: share of pixels whose true height shall lie inside, 0 to 1.
        lower: statistics of the lower ends.
        upper: statistics of the upper ends.
        calibration: what the intervals rest on, one sentence.
    """

    level: float
    lower: HeightSummary
    upper: HeightSummary
    calibration: str


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """The model that made a map.

    Attributes:
        name: its name in the zoo or on its hub.
        version: its version or pinned revision.
        href: its card or weights, a URL or a local path; best the STAC item that describes it in
            the MLM extension. None where unknown.
        licence: licence of its weights, an SPDX identifier where there is one; None where unknown.
        weights_sha256: hexadecimal digest of the file of its weights; None where unknown.
    """

    name: str
    version: str
    href: str | Path | None = None
    licence: str | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class MethodReference:
    """How heights were measured, where no model predicted them.

    Attributes:
        name: a few words.
        lineage: one sentence: from what, and how.
        source_title: what one of the sources is.
        details: numbers and choices of the method, as JSON; each becomes ``canopy:NAME``.
    """

    name: str
    lineage: str
    source_title: str
    details: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class AcquisitionInterval:
    """A span of time in which a survey was made, and how that is known.

    Attributes:
        start: its begin, with a time zone.
        end: its end, with a time zone.
        evidence: where the times come from.
    """

    start: datetime
    end: datetime
    evidence: str


@dataclass(frozen=True, kw_only=True)
class View:
    """How the imagery saw the ground, the mean over the map; None where no image tells.

    Attributes:
        sun_elevation_deg: angle of the sun above the horizon [degrees].
        off_nadir_deg: angle between the line of sight and the vertical [degrees].
        gsd_m: ground sampling distance of the imagery [m].
    """

    sun_elevation_deg: float | None = None
    off_nadir_deg: float | None = None
    gsd_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class HeightMapFacts:
    """What the file of a height map does not tell by itself.

    Attributes:
        item_id: identifier of the item, unique in its catalogue.
        title: one line for people.
        source: the imagery, or the point files: a URL (http, https, s3, gs), a GDAL /vsi path or a
            local path, or several of them.
        software: name of the software that ran it.
        software_version: its version.
        processed: when the map was made, with a time zone.
        pixel_m: side of a pixel on the ground, the mean of both sides [true m].
        heights: statistics of the heights.
        display_maximum_m: height of the last colour, as in the style and the preview [m].
        model: the model that predicted the heights; None where a method measured them.
        method: that method.
        interval: the intervals around the heights, where the map has them as bands 2 and 3.
        acquired: when the imagery was taken, or the survey flown, and how that is known; None where
            it is not.
        preview: the preview PNG, where one was written.
        style: the QGIS style, where one was written.
        density: a COG of points per square metre, where one was written.
        dates: a COG of the day on which each pixel's image was taken, where one was written.
        view: how the imagery saw the ground, where that is known.
        staged_in: folder in which map and companions wait to be moved beside the item; None
            where they already stand where they will stay.
    """

    item_id: str
    title: str
    source: str | Path | tuple[str | Path, ...]
    software: str
    software_version: str
    processed: datetime
    pixel_m: float
    heights: HeightSummary
    display_maximum_m: float
    model: ModelReference | None = None
    method: MethodReference | None = None
    interval: IntervalFacts | None = None
    acquired: Acquisition | AcquisitionInterval | None = None
    preview: Path | None = None
    style: Path | None = None
    density: Path | None = None
    dates: Path | None = None
    view: View | None = None
    staged_in: Path | None = None

    @property
    def sources(self) -> tuple[str | Path, ...]:
        """What the map was made from, one or more."""
        return self.source if isinstance(self.source, tuple) else (self.source,)
