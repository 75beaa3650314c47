"""Which image belongs to which lidar: from folders, from a table, or as they are named."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from canopy.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IMAGES, HEIGHTS = ("rgb.tif", "image.tif"), ("chm.tif", "height.tif")
"""What the two files of a plot are called where a folder is given."""

JOINT = "="


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """An image and the canopy heights of the same ground.

    Attributes:
        name: name of the plot, unique in a set.
        site: where it lies: plots of a site are dealt together.
        image: imagery, red, green and blue.
        heights: canopy heights from lidar [m], one band.
        shift_m: what is added to the coordinates of the heights, east and north on the grid of the
            pair [m].
    """

    name: str
    site: str
    image: Path
    heights: Path
    shift_m: tuple[float, float] = (0.0, 0.0)


def find_pairs(sources: Sequence[str]) -> list[PairFiles]:
    """Return every pair that sources name, sorted by site and name.

    Args:
        sources: each an ``IMAGE=HEIGHTS``; a folder that holds, at any depth, folders with
            ``rgb.tif`` (or ``image.tif``) beside ``chm.tif`` (or ``height.tif``), the folder above
            a plot being its site; or a CSV table with the columns image, heights and, where it is
            known, site, of paths relative to the table.

    Raises:
        SettingsError: a source is none of these, a file is missing, or two plots share a name.
    """
    pairs = [pair for source in sources for pair in pairs_of(source)]
    if not pairs:
        msg = "no pairs: expected IMAGE=HEIGHTS, a folder of plots, or a CSV table"
        raise SettingsError(msg)
    names = [pair.name for pair in pairs]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        msg = f"two plots are called {doubled}: name them apart, or give one of them alone"
        raise SettingsError(msg)
    return sorted(pairs, key=lambda pair: (pair.site, pair.name))


def pairs_of(source: str) -> list[PairFiles]:
    """Return the pairs that one source names.

    Raises:
        SettingsError: it is none, or names a file that is missing.
    """
    if JOINT in source:
        image, _, heights = source.partition(JOINT)
        path = existing(Path(image))
        site = path.absolute().parent.name
        return [PairFiles(name=path.stem, site=site, image=path, heights=existing(Path(heights)))]
    path = Path(source)
    if path.is_dir():
        return list(plots_in(path))
    if path.suffix.lower() == ".csv":
        return list(rows_of(existing(path)))
    msg = f"{source}: expected IMAGE=HEIGHTS, a folder of plots, or a CSV table"
    raise SettingsError(msg)


def plots_in(folder: Path) -> Iterator[PairFiles]:
    """Yield the plots of a folder; an image without heights beside it is no plot.

    Raises:
        SettingsError: there is none.
    """
    found = False
    for image in sorted(images_in(folder)):
        beside = (image.with_name(name) for name in HEIGHTS)
        heights = next((path for path in beside if path.is_file()), None)
        if heights is None:
            continue
        found = True
        plot = image.parent.absolute()
        inside = plot.relative_to(folder.absolute()).parts
        name = "-".join(inside) or plot.name
        yield PairFiles(
            name=name, site=plot.parent.name if inside else plot.name, image=image, heights=heights
        )
    if not found:
        msg = f"{folder} holds no plot: expected folders with {IMAGES[0]} beside {HEIGHTS[0]}"
        raise SettingsError(msg)


def rows_of(table: Path) -> Iterator[PairFiles]:
    """Yield the pairs of a table.

    Raises:
        SettingsError: a column or a file is missing.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table} cannot be read as a table ({error}): expected CSV in UTF-8"
        raise SettingsError(msg) from error
    if missing := {"image", "heights"} - set(columns):
        msg = f"{table} has no column {', '.join(sorted(missing))}: expected image and heights"
        raise SettingsError(msg)
    for row in rows:
        image = existing(table.parent / row["image"])
        heights = existing(table.parent / row["heights"])
        site = row.get("site") or image.absolute().parent.name
        yield PairFiles(name=row.get("name") or image.stem, site=site, image=image, heights=heights)


def existing(path: Path) -> Path:
    """Return a path to a file.

    Raises:
        SettingsError: there is none.
    """
    if not path.is_file():
        msg = f"{path} does not exist: expected a file of a pair"
        raise SettingsError(msg)
    return path


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the images in a folder and all below it, also behind links, each real folder once."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place) / name for name in IMAGES if name in files)
