"""Image: one picture of the ground, where its colours stand and when it was taken; no pixel yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shapely.geometry.base import BaseGeometry


class ColourSource(NamedTuple):
    """Where a colour stands.

    Attributes:
        href: a path, or an http, https, s3 or gs URL, without keys.
        band: number of the band in that file, from 1; None where the file itself says which of its
            bands are red, green and blue.
    """

    href: str
    band: int | None


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image of a region. It can be pickled.

    Attributes:
        id: its name in the catalog.
        footprint: its ground in EPSG:4326, cut at the antimeridian.
        acquired: when it was taken, UTC; None if nobody says.
        cloud: share of clouds [%]; None if nobody says.
        gsd_m: ground sampling distance [m], as the catalog says; or None.
        sun_elevation: angle of the sun above the horizon [degrees], or None.
        off_nadir: angle between the view and the vertical [degrees], or None.
        sources: one file that says itself where its colours are, or the sources of red, green and
            blue.
        signed: whether its files are read through signed URLs.
        link: href of its item, for `derived_from`; of the file itself where there is no item.
        identity: JSON values that tell one state of it from another.
    """

    id: str
    footprint: BaseGeometry
    acquired: datetime | None = None
    cloud: float | None = None
    gsd_m: float | None = None
    sun_elevation: float | None = None
    off_nadir: float | None = None
    sources: tuple[ColourSource, ...]
    signed: bool = False
    link: str
    identity: Mapping[str, Any] = field(hash=False)
