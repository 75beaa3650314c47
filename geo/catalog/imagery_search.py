"""find_imagery(): from what a user asks to a file of items, a table and a map."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geo.catalog.apis import resolve_api
from geo.catalog.area import read_area
from geo.catalog.dates import parse_time_span
from geo.catalog.errors import CatalogError, NothingFoundError
from geo.catalog.findings import cover, group
from geo.catalog.item_files import picture_of, refuse_items_file, write_items
from geo.catalog.picture import CoveragePicture, draw_coverage
from geo.catalog.search import Catalog, Request, SearchSettings, relaxed
from geo.outputs import refuse_collisions
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    import pystac

    from geo.catalog.findings import Coverage, Group
    from geo.catalog.search import Found

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a user asks, as they write it.

    Attributes:
        api: name or URL of a STAC API.
        collection: id of the collection.
        area: `west,south,east,north` in degrees, or a vector file.
        datetime: a span such as 2022 or 2021-05/2022-09; None for any time.
        cloud: largest cloud cover [%]; None for any.
    """

    api: str
    collection: str
    area: str
    datetime: str | None = None
    cloud: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchOutput:
    """Where it goes.

    Attributes:
        items: the file of items, .json or .parquet.
        preview: draw a map beside it, .preview.png.
        overwrite: replace files that stand there.
    """

    items: Path
    preview: bool = True
    overwrite: bool = False

    @property
    def files(self) -> list[Path]:
        """All files that are written."""
        return [self.items, picture_of(self.items)] if self.preview else [self.items]


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """What came of it.

    Attributes:
        found: the items, and how many more there are.
        groups: the items by time and platform.
        coverage: how much of the area they cover.
        files: what was written.
    """

    found: Found
    groups: list[Group]
    coverage: Coverage
    files: list[Path]


def find_imagery(
    wish: Wish, output: SearchOutput, settings: SearchSettings | None = None
) -> SearchReport:
    """Search a STAC API, write what it has, and say how much of the area that covers.

    The file and its map appear together when both are whole.

    Args:
        wish: what is asked.
        output: where it goes.
        settings: how it is looked for.

    Raises:
        CatalogError: the request makes no sense, or the API has no such collection.
        CatalogDownError: the API does not answer, or not in time.
        NothingFoundError: nothing was found; the message says what to relax.
        OutputError: the output may not be written.
        MapFileError: the system does not write it.
    """
    settings = settings or SearchSettings()
    request = _understood(wish, settings)
    refuse_items_file(output.items)
    refuse_collisions(output.files, [wish.area], overwrite=output.overwrite)
    found = _found(wish, request, settings)
    report = SearchReport(
        found=found,
        groups=group(found.items, request.area),
        coverage=cover(found.items, request.area),
        files=output.files,
    )
    _write(report, output)
    return report


def search_for(wish: Wish, settings: SearchSettings) -> Found:
    """Search a STAC API, and write nothing.

    Args:
        wish: what is asked.
        settings: how it is looked for.

    Raises:
        CatalogError: the request makes no sense, or the API has no such collection.
        CatalogDownError: the API does not answer, or not in time.
        NothingFoundError: nothing was found; the message says what to relax.
    """
    return _found(wish, _understood(wish, settings), settings)


def _found(wish: Wish, request: Request, settings: SearchSettings) -> Found:
    """Return what an API has, or say what to relax."""
    catalog = Catalog(resolve_api(wish.api), settings)
    collection = catalog.collection(wish.collection)
    logger.info("asking %s for %s", catalog.api.url, wish.collection)
    found = catalog.search(request)
    if not found.items:
        raise NothingFoundError(_advice(catalog, collection, request))
    return found


def _understood(wish: Wish, settings: SearchSettings) -> Request:
    """Return the request of a wish; everything that needs no network is checked here."""
    if wish.cloud is not None and not 0 <= wish.cloud <= 100:  # noqa: PLR2004 - percent
        msg = f"--cloud {wish.cloud:g}: expected a share of cloud in percent, 0 to 100"
        raise CatalogError(msg)
    if settings.limit < 1:
        msg = f"--limit {settings.limit}: expected 1 or more"
        raise CatalogError(msg)
    span = parse_time_span(wish.datetime) if wish.datetime is not None else None
    area = read_area(wish.area)
    return Request(collection=wish.collection, area=area, span=span, cloud=wish.cloud)


def _advice(catalog: Catalog, collection: pystac.Collection, request: Request) -> str:
    """Say that nothing was found, and what to relax."""
    nothing = f"nothing of {request.collection} was found"
    counts = {words: catalog.count(other) for words, other in relaxed(request).items()}
    helping = [f"{words} there would be {count}" for words, count in counts.items() if count != "0"]
    if helping:
        return f"{nothing}: {', '.join(helping)}"
    nowhere = "whatever the limits" if counts else "over the area"
    return f"{nothing} {nowhere}: the collection has {_extent(collection)}; try another area"


def _extent(collection: pystac.Collection) -> str:
    """Say where and when a collection has imagery."""
    west, south, *_, east, north = _flat(collection.extent.spatial.bboxes[0])
    start, end = collection.extent.temporal.intervals[0]
    first, last = (f"{moment:%Y-%m-%d}" if moment else "now" for moment in (start, end))
    return f"imagery within {west:g},{south:g},{east:g},{north:g} from {first} to {last}"


def _flat(bbox: list[float]) -> list[float]:
    """Return a box without heights."""
    return bbox if len(bbox) == 4 else [*bbox[:2], *bbox[3:5]]  # noqa: PLR2004 - sides of a box


def _write(report: SearchReport, output: SearchOutput) -> None:
    """Write the items and their map, both or none."""
    with ExitStack() as stack:
        parts = [stack.enter_context(whole_file(path)) for path in output.files]
        write_items(report.found.items, parts[0], output.items.suffix)
        for part in parts[1:]:
            draw_coverage(part, _picture(report))


def _picture(report: SearchReport) -> CoveragePicture:
    """Return what the map shows."""
    found = report.found
    count = f"{len(found.items)} image{'s' if len(found.items) > 1 else ''}"
    when = [each.when for each in report.groups]
    dates = min(when) if min(when) == max(when) else f"{min(when)} to {max(when)}"
    return CoveragePicture(
        area=found.request.area,
        coverage=report.coverage,
        title=f"{found.request.collection}: {count}, {report.coverage.in_words} covered",
        caption=f"{found.api.url}  ·  {dates}  ·  area {found.request.area.name}",
    )
