"""The report of an evaluation: a folder with JSON, Markdown and pictures, whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy.errors import OutputError
from canopy.evaluation.markdown import as_markdown
from canopy.evaluation.section import clean, section_as_json
from canopy.version import __version__
from geo.errors import MapFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.evaluation.height_source import HeightSource
    from canopy.evaluation.section import Section
    from canopy.evaluation.settings import EvaluationSettings

SCHEMA_VERSION = "1.0"
"""Of report.json: the first number changes where a value changes its meaning or its place."""

REPORT, WORDS = "report.json", "report.md"

CONVENTIONS = {
    "bias_m": "mean of map minus reference [m]; positive: the map is too tall",
    "r2": "1 - SSE / SST, negative where the mean of the reference would be nearer",
    "slope": "of the least-squares line of the map on the reference; below 1 the tall are too low "
    "or the low too tall",
    "nmae": "mean of |map - reference| / (1 m + reference), reference 2 m and above (Open-Canopy)",
    "block_50px_r2": "R2 of means of whole blocks of 50 x 50 compared pixels, at least half valid; "
    "as the code of Tolan et al. (2024) but for its crop of three rows and columns a tile",
    "block_30m_r2": "R2 of means of whole blocks of about 30 m",
    "edge_error": "mean |difference| of the magnitudes of Sobel gradients [m/m], kernels divided "
    "by 8 and by the pixel's side",
    "edge_error_relative": "the same over the mean gradient of the reference",
    "cover_2m_iou": "intersection over union of the pixels of 2 m and above",
    "cover_5m_iou": "intersection over union of the pixels of 5 m and above",
    "mean_3m": "the same errors after means over blocks of about 3 m, at least half valid",
    "shift": "of the map to the east and north that gives the smallest RMSE, on the pixels that "
    "all shifts have in common; by whole pixels of the finer raster, without interpolation",
    "counted_before": "valid pixels whose centre lies in ground that was compared with a reference "
    "named earlier; they are left out, so that ground counts once",
    "below_0": "heights below 0 count as 0",
    "undefined": "null",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finished evaluation.

    Attributes:
        folder: where it stands.
        files: its files.
        content: what ``report.json`` holds.
    """

    folder: Path
    files: tuple[Path, ...]
    content: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the content and the paths of the files as JSON values."""
        return {"paths": [str(path) for path in self.files], **self.content}


def refuse_output(folder: Path, settings: EvaluationSettings) -> None:
    """Refuse a folder that may not be written.

    Raises:
        OutputError: its parent is missing, or it exists and may not be replaced.
    """
    if not folder.resolve().parent.is_dir():
        msg = f"folder {folder.parent} does not exist: make it, or choose another output"
        raise OutputError(msg)
    if not folder.exists():
        return
    if not folder.is_dir():
        msg = f"output {folder} is a file: a report is a folder, name another"
        raise OutputError(msg)
    inside = [path.name for path in folder.iterdir()]
    if not inside:
        return
    if not settings.overwrite:
        msg = f"output {folder} exists: choose another, or replace it with --overwrite"
        raise OutputError(msg)
    if strange := sorted(name for name in inside if not is_of_report(name)):
        msg = f"output {folder} holds {strange[0]}, which is of no report: choose another output"
        raise OutputError(msg)


def is_of_report(name: str) -> bool:
    """Whether a file is one that reports have."""
    kinds = ("pixels-", "points-", "footprints-")
    return name in {REPORT, WORDS} or (name.startswith(kinds) and name.endswith(".png"))


def write_report(
    folder: Path,
    map_source: HeightSource,
    sections: Sequence[Section],
    settings: EvaluationSettings,
) -> Report:
    """Write everything into a folder beside, then put it in place.

    Args:
        folder: where the report will stand.
        map_source: the map.
        sections: what was compared; of those without a site only what was skipped is told.
        settings: choices.

    Raises:
        MapFileError: the operating system refused.
    """
    told = [section for section in sections if section.sites]
    skipped = [entry for section in sections if not section.sites for entry in section.skipped]
    content = content_of(map_source, told, settings) | {"not_compared": skipped}
    made = folder.resolve().with_name(f".{folder.resolve().name}.{secrets.token_hex(4)}.part")
    try:
        made.mkdir()
        for number, section in enumerate(told):
            content["comparisons"][number]["pictures"] = draw(made, section, content, number)
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        (made / REPORT).write_text(text, encoding="utf-8")
        (made / WORDS).write_text(as_markdown(content), encoding="utf-8")
        put_in_place(made, folder.resolve())
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"cannot write {folder} ({reason}): expected a writable place, choose another"
        raise MapFileError(msg) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    files = tuple(folder / path.name for path in sorted(folder.iterdir()))
    return Report(folder=folder, files=files, content=content)


def draw(folder: Path, section: Section, content: dict[str, Any], number: int) -> list[str]:
    """Draw the pictures of a section and return their names."""
    from canopy.evaluation.pictures import draw_pictures  # noqa: PLC0415 - a slow import

    return draw_pictures(folder, section, content["comparisons"][number], content["map"]["name"])


def put_in_place(made: Path, folder: Path) -> None:
    """Rename a finished folder; an older report there gives way only then."""
    if not folder.exists():
        made.replace(folder)
        return
    older = made.with_suffix(".old")
    folder.replace(older)
    try:
        made.replace(folder)
    except OSError:
        older.replace(folder)
        raise
    shutil.rmtree(older)


def content_of(
    map_source: HeightSource, sections: Sequence[Section], settings: EvaluationSettings
) -> dict[str, Any]:
    """Return what ``report.json`` holds, but for the names of the pictures."""
    grid = map_source.grid
    content = {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": f"canopy-height {__version__}",
        "map": {
            "path": map_source.path,
            "name": Path(map_source.path).name,
            "crs": grid.crs.to_string() if grid.crs else None,
            "shape": [*grid.shape],
            "pixel_m": [round(side, 6) for side in map_source.pixel_m],
            "stored_as": map_source.dtype,
            "metres_of_a_unit": map_source.scale,
            "date": map_source.date,
            "date_from": map_source.evidence,
        },
        "conventions": CONVENTIONS,
        "settings": asdict(settings) | {"sites": str(settings.sites) if settings.sites else None},
        "comparisons": [section_as_json(section, settings) for section in sections],
    }
    cleaned: dict[str, Any] = clean(content)
    return cleaned
