"""When imagery was taken, as far as its own tags tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# From the most to the least telling. TIFF calls its tag the time of "image creation", which for
# scanned or mosaicked imagery is the time of the file: it is taken only when nothing better is
# there.
ACQUISITION_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "EXIF_DateTimeOriginal",
    "NITF_IDATIM",
    "TIFFTAG_DATETIME",
)
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%d")


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """A moment at which imagery was taken, and how that is known.

    Attributes:
        moment: The time, with a time zone.
        evidence: Where the time comes from, such as the name of a tag or "given by the user".
    """

    moment: datetime
    evidence: str


def acquisition_from_tags(tags: Mapping[str, str]) -> Acquisition | None:
    """Find the acquisition time among the tags of a raster.

    Args:
        tags: Tag names and texts as GDAL gives them; merge its IMAGERY and EXIF domains with the
            default one.

    Returns:
        The time of the most telling tag that reads as one, in UTC where the tag names no zone; None
        when no tag does.
    """
    for name in ACQUISITION_TAGS:
        moment = _read_time(tags.get(name, ""))
        if moment is not None:
            return Acquisition(moment=moment, evidence=name)
    return None


def _read_time(text: str) -> datetime | None:
    """Return the time that a text names, or None: such tags also hold all sorts of prose."""
    cleaned = text.strip().strip("\x00")
    for pattern in _FORMATS:
        try:
            return datetime.strptime(cleaned, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
