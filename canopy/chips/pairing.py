"""Which image belongs to which lidar: from folders, from a table, or as they are named."""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from canopy.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IMAGES, HEIGHTS = ("rgb.tif", "image.tif", "imagery.tif"), ("chm.tif", "height.tif")
"""What the two files of a plot are called where a folder is given; the first that is there counts.

Worlds of ``canopy simulate`` have the last name of imagery.
"""

GENERIC = frozenset(Path(name).stem for name in (*IMAGES, *HEIGHTS))
"""Names of files that say nothing of the plot: its folder tells."""

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
            an image beside heights, called as :data:`IMAGES` and :data:`HEIGHTS` say, the folder
            above a plot being its site; or a CSV table, of commas or semicolons, with the columns
            image, heights and, where they are known, name and site, of paths relative to the table.

    A pair that no folder or table names is called as its image (see :func:`named`).

    Raises:
        SettingsError: a source is none of these, a file is missing, or two plots share a name.
    """
    pairs = named([pair for source in sources for pair in pairs_of(source)])
    if not pairs:
        msg = "no pairs: expected IMAGE=HEIGHTS, a folder of plots, or a CSV table"
        raise SettingsError(msg)
    names = [pair.name for pair in pairs]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        msg = (
            f"two plots are called {doubled}: name them apart in the column name of a CSV table, "
            "or give one of them alone"
        )
        raise SettingsError(msg)
    return sorted(pairs, key=lambda pair: (pair.site, pair.name))


def named(pairs: Sequence[PairFiles]) -> list[PairFiles]:
    """Return pairs with a name each, in the order they came.

    One without a name is called as its image, ``north.tif`` as ``north``; as the folder where the
    image has one of the :data:`GENERIC` names, ``A/rgb.tif`` as ``A``; and as both where another
    pair has the name, ``A/north.tif`` as ``A-north``.
    """
    counts = Counter(pair.name or name_of(pair.image) for pair in pairs)

    def name_for(image: Path) -> str:
        name, folder = name_of(image), image.absolute().parent.name
        return f"{folder}-{name}" if counts[name] > 1 and name != folder else name

    return [pair if pair.name else replace(pair, name=name_for(pair.image)) for pair in pairs]


def name_of(image: Path) -> str:
    """Return what an image alone says of the name of its plot."""
    return image.absolute().parent.name if image.stem.lower() in GENERIC else image.stem


def site_of(image: Path) -> str:
    """Return the site of an image: its folder, or the one above where that names the plot."""
    folder = image.absolute().parent
    return folder.parent.name if image.stem.lower() in GENERIC else folder.name


def pairs_of(source: str) -> list[PairFiles]:
    """Return the pairs that one source names, those that it gives no name without one.

    Raises:
        SettingsError: it is none, or names a file that is missing.
    """
    if JOINT in source:
        image, _, heights = source.partition(JOINT)
        path = existing(Path(image))
        heights_path = existing(Path(heights))
        return [PairFiles(name="", site=site_of(path), image=path, heights=heights_path)]
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
        files = f"{' or '.join(IMAGES)} beside {' or '.join(HEIGHTS)}"
        msg = f"{folder} holds no plot: expected folders with {files}"
        raise SettingsError(msg)


def rows_of(table: Path) -> Iterator[PairFiles]:
    """Yield the pairs of a table.

    Raises:
        SettingsError: a column or a file is missing.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin with a mark
            header = file.readline()
            file.seek(0)
            delimiter = ";" if ";" in header and "," not in header else ","
            reader = csv.DictReader(file, delimiter=delimiter)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table} cannot be read as a table ({error}): expected CSV in UTF-8"
        raise SettingsError(msg) from error
    if missing := {"image", "heights"} - set(columns):
        msg = f"{table} has no column {', '.join(sorted(missing))}: expected image and heights"
        raise SettingsError(msg)
    for number, row in enumerate(rows, start=1):
        if not (row["image"] and row["heights"]):
            msg = f"{table} lacks the image or the heights of row {number}: fill it in, or drop it"
            raise SettingsError(msg)
        image = existing(table.parent / row["image"])
        heights = existing(table.parent / row["heights"])
        site = row.get("site") or site_of(image)
        yield PairFiles(name=row.get("name") or "", site=site, image=image, heights=heights)


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
    """Yield the image of a folder and of all below it, also behind links, each real folder once."""
    seen: set[Path] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from [Path(place) / name for name in IMAGES if name in files][:1]
