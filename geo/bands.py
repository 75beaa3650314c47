"""Which bands of a raster are red, green and blue, and which one says what is valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasterio.enums import ColorInterp

from geo.errors import SceneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.io import DatasetReader

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
COLOUR_NAMES = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Roles of a raster's bands, 1-based as in GDAL.

    Attributes:
        colours: red, green and blue; the same band three times for a palette.
        alpha: the band of opacity, or None.
        palette: whether the one band is an index into colours.
    """

    colours: tuple[int, int, int]
    alpha: int | None = None
    palette: bool = False


def choose_bands(dataset: DatasetReader, wanted: Sequence[int] | None = None) -> Bands:
    """Return the bands of a dataset that are red, green and blue.

    The order asked for wins; then the colour interpretation; then band descriptions that say
    red, green and blue; then the first three bands.

    Raises:
        SceneError: there are no three such bands.
    """
    interpretation = list(dataset.colorinterp)
    alpha = find(interpretation, ColorInterp.alpha)
    if wanted is not None:
        return Bands(colours=checked(wanted, dataset, alpha), alpha=alpha)
    if interpretation[0] is ColorInterp.palette:
        return Bands(colours=(1, 1, 1), palette=True)
    optical = [band for band in range(1, dataset.count + 1) if band != alpha]
    if len(optical) < len(COLOURS):
        msg = (
            f"{dataset.name} has {described(len(optical))}"
            f"{' and alpha' if alpha else ''}: canopy height needs red, green and blue "
            "(colour carries most of what tells trees from ground), give a colour image"
        )
        raise SceneError(msg)
    return Bands(colours=by_meaning(dataset, interpretation) or triple(optical), alpha=alpha)


def by_meaning(
    dataset: DatasetReader, interpretation: Sequence[ColorInterp]
) -> tuple[int, int, int] | None:
    """Return red, green and blue as colour interpretation or descriptions name them, or None."""
    descriptions = [(text or "").strip().lower() for text in dataset.descriptions]
    for meanings, names in ((interpretation, COLOURS), (descriptions, COLOUR_NAMES)):
        if all(meanings.count(name) == 1 for name in names):
            return triple([meanings.index(name) + 1 for name in names])
    return None


def checked(
    wanted: Sequence[int], dataset: DatasetReader, alpha: int | None
) -> tuple[int, int, int]:
    """Return the bands a user asked for.

    Raises:
        SceneError: they are not three bands of colour in the dataset.
    """
    if len(wanted) != len(COLOURS):
        msg = f"{len(wanted)} bands asked for: give three, red, green and blue, such as 3,2,1"
        raise SceneError(msg)
    for band in wanted:
        if not 1 <= band <= dataset.count:
            msg = f"band {band} asked for: {dataset.name} has bands 1 to {dataset.count}"
            raise SceneError(msg)
        if band == alpha:
            msg = f"band {band} asked for: it is the alpha band of {dataset.name}, not a colour"
            raise SceneError(msg)
    return triple(wanted)


def find(interpretation: Sequence[ColorInterp], role: ColorInterp) -> int | None:
    """Return the first band with a role, 1-based, or None."""
    return interpretation.index(role) + 1 if role in interpretation else None


def triple(bands: Sequence[int]) -> tuple[int, int, int]:
    """Return the first three of some bands."""
    red, green, blue = bands[:3]
    return red, green, blue


def described(count: int) -> str:
    """Say how many bands there are."""
    return "one grey band" if count == 1 else f"{count} bands"
