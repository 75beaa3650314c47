"""Where red, green, blue and infrared stand among the files of a STAC item; no pixel is read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geo.catalog.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pystac

COLOURS = ("red", "green", "blue")
NIR = "nir"
NIR_NAMES = (NIR, "nir08", "nir09")
"""Common names of near infrared, the widest band first (STAC eo extension)."""

CONVENTIONAL = ("image", "visual")
"""Names of assets that hold red, green and blue first, whether they say so or not."""

NO_IMAGERY = {"thumbnail", "overview", "metadata", "preview"}
"""Roles, and names, of what is for looking at or for reading about."""

RASTERS = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-geotiff")
"""Media types of imagery, without their parameters."""


@dataclass(frozen=True)
class Band:
    """A band of a file: the name of the asset, and the number of the band in it, from 1."""

    asset: str
    number: int


@dataclass(frozen=True, kw_only=True)
class ColourAssets:
    """Where the colours of an item stand.

    Attributes:
        red: the band of red light.
        green: of green light.
        blue: of blue light.
        nir: of near infrared; None where there is none.
        by: how they were found, for a report.
    """

    red: Band
    green: Band
    blue: Band
    nir: Band | None
    by: str

    @property
    def assets(self) -> tuple[str, ...]:
        """The names of the assets that are read, each once."""
        bands = (self.red, self.green, self.blue, self.nir)
        return tuple(dict.fromkeys(band.asset for band in bands if band))


def find_colours(item: pystac.Item, asset: str | Sequence[str] | None = None) -> ColourAssets:
    """Find red, green, blue, and near infrared if there is one.

    One file that has all three comes first, the finest of them. Bands are known by common names, in
    `bands` (STAC 1.1) or `eo:bands` (0.8 to 1.0); a file called `image` or `visual` that tells no
    bands has red, green and blue first, by convention. Then come three files, known by common names
    or called `red`, `green` and `blue`. Thumbnails and overviews are never taken.

    Args:
        item: the item; nothing is read but its JSON.
        asset: name of the asset with all colours, or three names, of red, green and blue; found if
            not given.

    Raises:
        CatalogError: there are none; the message lists the assets.
    """
    if asset is not None:
        return _named(item, (asset,) if isinstance(asset, str) else tuple(asset))
    files = {name: _band_names(item, name) for name in item.assets if _is_imagery(item, name)}
    return _together(item, files) or _apart(files) or _refuse(item)


def _together(item: pystac.Item, files: dict[str, list[str | None]]) -> ColourAssets | None:
    """Return the colours of the best file that has all three, told or by convention."""
    told = {name: bands for name, bands in files.items() if set(COLOURS) <= set(bands)}
    silent = [name for name in CONVENTIONAL if name in files and not any(files[name])]
    names = [*told, *silent]
    if not names:
        return None
    best = min(names, key=lambda name: _rank(item, name))
    if best in silent:
        return _in_one(best, list(COLOURS), "convention, as it tells no bands")
    return _in_one(best, told[best], "common names of its bands")


def _apart(files: dict[str, list[str | None]]) -> ColourAssets | None:
    """Return the colours of three files."""
    found = {colour: _file_of(colour, files) for colour in COLOURS}
    nir = next((band for band in map(lambda n: _file_of(n, files), NIR_NAMES) if band), None)  # noqa: C417
    if not all(found.values()):
        return None
    return ColourAssets(**found, nir=nir, by="common names of three files")  # type: ignore[arg-type]


def _file_of(colour: str, files: dict[str, list[str | None]]) -> Band | None:
    """Return the band of a colour: of the file with fewest bands, else of one called so."""
    having = [name for name, bands in files.items() if colour in bands]
    if having:
        best = min(having, key=lambda name: (len(files[name]), name != colour))
        return Band(best, files[best].index(colour) + 1)
    return Band(colour, 1) if colour in files and not any(files[colour]) else None


def _in_one(name: str, bands: list[str | None], by: str) -> ColourAssets:
    """Return the colours of one file with named bands."""
    red, green, blue = (Band(name, bands.index(colour) + 1) for colour in COLOURS)
    nir = next((Band(name, bands.index(each) + 1) for each in NIR_NAMES if each in bands), None)
    return ColourAssets(red=red, green=green, blue=blue, nir=nir, by=f"{name}: {by}")


def _named(item: pystac.Item, names: tuple[str, ...]) -> ColourAssets:
    """Return the colours of assets that a user named."""
    missing = [name for name in names if name not in item.assets]
    if missing or len(names) not in {1, 3}:
        wrong = f"has no asset {', '.join(missing)}" if missing else f"got {len(names)} names"
        expected = "expected one, or three of red, green, blue"
        msg = f"--asset: {item.id} {wrong}; {expected}; {_listed(item)}"
        raise CatalogError(msg)
    if len(names) == 3:  # noqa: PLR2004 - the colours
        red, green, blue = (_only(item, *pair) for pair in zip(names, COLOURS, strict=True))
        return ColourAssets(
            red=red, green=green, blue=blue, nir=None, by="the names that were given"
        )
    bands = _band_names(item, names[0])
    if set(COLOURS) <= set(bands):
        return _in_one(names[0], bands, "common names of its bands")
    if any(bands) or 0 < len(bands) < len(COLOURS):
        said = ", ".join(band or "?" for band in bands)
        msg = f"--asset {names[0]} of {item.id} has bands {said}: expected red, green and blue"
        raise CatalogError(msg)
    return _in_one(names[0], list(COLOURS), "its first three bands, which tell no names")


def _only(item: pystac.Item, name: str, colour: str) -> Band:
    """Return the band of a colour in a file: the one that is called so, else the first."""
    bands = _band_names(item, name)
    return Band(name, bands.index(colour) + 1 if colour in bands else 1)


def _band_names(item: pystac.Item, name: str) -> list[str | None]:
    """Return the common names of the bands of an asset, None for a band without."""
    fields = item.assets[name].extra_fields
    bands = fields.get("bands") or fields.get("eo:bands") or []
    every = item.properties.get("eo:bands") or []
    names = [_common_name(band, every) for band in bands] if isinstance(bands, list) else []
    # A name that two bands have says nothing of either.
    often = Counter(names)
    return [each if often[each] == 1 else None for each in names]


def _common_name(band: object, every: list[Any]) -> str | None:
    """Return the common name of a band; in STAC 0.8 it may be a number into those of the item."""
    if isinstance(band, int) and 0 <= band < len(every):
        band = every[band]
    if not isinstance(band, dict):
        return None
    name = band.get("eo:common_name") or band.get("common_name")
    if name is None and str(band.get("name", "")).lower() in {*COLOURS, NIR}:
        name = band["name"]
    return str(name).lower() if name else None


def _is_imagery(item: pystac.Item, name: str) -> bool:
    """Whether an asset may be imagery, by its roles, its name and its media type."""
    asset = item.assets[name]
    if NO_IMAGERY & {name.lower(), *(asset.roles or [])}:
        return False
    media = (asset.media_type or "").partition(";")[0].strip().lower()
    return not media or media in RASTERS


def _rank(item: pystac.Item, name: str) -> tuple[float, int, int]:
    """Return how late a file comes: coarse ones, odd names, those for eyes rather than data."""
    asset = item.assets[name]
    known = CONVENTIONAL.index(name) if name in CONVENTIONAL else len(CONVENTIONAL)
    return _gsd_m(item, name), known, int("data" not in (asset.roles or ["data"]))


def _gsd_m(item: pystac.Item, name: str) -> float:
    """Return the ground sampling distance that an asset tells [m]; endless where it tells none."""
    fields = item.assets[name].extra_fields
    bands = fields.get("raster:bands") or fields.get("bands") or [{}]
    first = bands[0] if isinstance(bands, list) and isinstance(bands[0], dict) else {}
    told = (
        fields.get("gsd"), fields.get("raster:spatial_resolution"), first.get("spatial_resolution"),
        first.get("raster:spatial_resolution"), first.get("gsd"), item.properties.get("gsd"),
    )  # fmt: skip
    return next((float(each) for each in told if isinstance(each, int | float)), math.inf)


def _refuse(item: pystac.Item) -> ColourAssets:
    """Refuse an item without colours."""
    msg = f"{item.id} has no red, green and blue that can be found; {_listed(item)}; try --asset"
    raise CatalogError(msg)


def _listed(item: pystac.Item) -> str:
    """Say which assets there are, and their bands where they tell them."""
    said = []
    for name in item.assets:
        bands = [band for band in _band_names(item, name) if band]
        said.append(f"{name} ({', '.join(bands)})" if bands else name)
    return f"its assets are {'; '.join(said)}" if said else "it has no assets"
