"""ingest_granules(): from GEDI granules to one table of footprints."""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from geo.catalog.area import read_area
from geo.gedi.columns import schema_of
from geo.gedi.errors import GediError, GranuleError
from geo.gedi.filters import PRESETS, Removed, removals
from geo.gedi.granule import Reading
from geo.gedi.parts import Part, Rows, Seen, Task, make_part, shots_of, tables_of
from geo.gedi.settings import IngestSettings
from geo.gedi.sources import find_sources, paired, refuse_nothing
from geo.gedi.table import with_geometry_facts
from geo.outputs import refuse_collisions, refuse_missing_folder
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geo.gedi.sources import Pair

    Progress = Callable[[int, int], None]

logger = logging.getLogger(__name__)

SUFFIXES = {".parquet", ".geoparquet"}


@dataclass(kw_only=True)
class IngestReport:
    """What came of it.

    Attributes:
        output: the table.
        granules: granules that were read, in whole or in part.
        read: shots in their beams.
        no_place: of these, without coordinates.
        outside: outside the area.
        broken: of those within, in parts of beams that could not be read.
        twice: of those within, taken from another granule already.
        removed: what each filter did to those left.
        kept: shots in the table.
        by_beam: of these, by name of the beam.
        full_power: of these, of beams of full power.
        columns: names of columns of the table.
        skipped: filters that could not be applied to some granules: what they lack, and to how
            many.
        notes: what a user should know, and of how many granules.
        faults: what could not be read.
    """

    output: Path
    granules: int = 0
    read: int = 0
    no_place: int = 0
    outside: int = 0
    broken: int = 0
    twice: int = 0
    removed: list[Removed] = field(default_factory=list)
    kept: int = 0
    by_beam: Counter[str] = field(default_factory=Counter)
    full_power: int = 0
    columns: list[str] = field(default_factory=list)
    skipped: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def refuse_table(
    output: Path, sources: Sequence[Path], settings: IngestSettings | None = None
) -> None:
    """Refuse a table that may not be written, before anything is read or fetched.

    Raises:
        OutputError: its folder is missing, or it collides with something.
        GediError: its name is none of GeoParquet, or a choice makes no sense.
    """
    settings = settings or IngestSettings()
    settings.check()
    if output.suffix.lower() not in SUFFIXES:
        msg = f"--output {output}: footprints are GeoParquet, end the name in .parquet"
        raise GediError(msg)
    refuse_missing_folder(output)
    refuse_collisions([output], list(sources), overwrite=settings.overwrite)


def ingest_granules(
    sources: Sequence[Path],
    output: Path,
    settings: IngestSettings | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Read GEDI granules of level 2A and 2B into one table of footprints.

    The table is GeoParquet with points in EPSG:4326, one row a shot: `geo.gedi.columns` lists what
    it has. Heights are in metres. A shot that comes twice is kept once. Memory is bounded: granules
    are read in slices, and parts of the table wait on the disk of the output.

    Args:
        sources: granules (.h5, .zip) and folders of them.
        output: the table; it appears when it is whole.
        settings: choices.
        progress: told how many of all granules are read.

    Returns:
        What was read, removed and kept; its faults name the files that could not be read.

    Raises:
        GediError: the request makes no sense, or no shot is left.
        GranuleError: not one granule could be read.
        CatalogError: the area cannot be read.
        OutputError: the output may not be written.
        MapFileError: the system does not write it.
    """
    settings = settings or IngestSettings()
    refuse_table(output, sources, settings)
    area = read_area(settings.area).geometry if settings.area else None
    found = find_sources(sources)
    refuse_nothing(found)
    report = IngestReport(output=output, faults=list(found.faults))
    if found.passed_over:
        report.notes["files of other GEDI products passed over"] += found.passed_over
    reading = Reading(ranks=tuple(sorted(set(settings.ranks))), area=area)
    with (
        whole_file(output) as path,
        tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}.") as folder,
    ):
        tasks = _tasks(paired(found.sources), Path(folder), reading, settings.preset)
        parts = list(_parts(tasks, settings.workers_for(len(tasks)), progress))
        _report_parts(parts, report)
        _join([part for part in parts if not part.fault], path, settings, report)
    return report


def _tasks(pairs: list[Pair], folder: Path, reading: Reading, preset: str) -> list[Task]:
    """Return what is to be done, each in a folder of its own."""
    tasks = [
        Task(number=number, pair=pair, folder=folder / str(number), reading=reading, preset=preset)
        for number, pair in enumerate(pairs)
    ]
    for task in tasks:
        task.folder.mkdir()
    return tasks


def _parts(tasks: list[Task], workers: int, progress: Progress | None) -> Iterator[Part]:
    """Yield the part of each granule, in their order."""
    done: dict[int, Part] = {}
    if workers > 1:
        done = _in_workers(tasks, workers, progress)
    for task in tasks:
        if task.number in done:
            yield done[task.number]
            continue
        # Alone in a process where it may have ended one, else here.
        yield _alone(task) if workers > 1 else make_part(task)
        if progress:
            progress(task.number + 1, len(tasks))


def _in_workers(tasks: list[Task], workers: int, progress: Progress | None) -> dict[int, Part]:
    """Return the parts of granules read side by side, as far as no file ends a process."""
    done: dict[int, Part] = {}
    with _pool(workers) as pool:
        try:
            futures = [pool.submit(make_part, task) for task in tasks]
            for future in as_completed(futures):
                part = future.result()
                done[part.task.number] = part
                if progress:
                    progress(len(done), len(tasks))
        except BrokenProcessPool:
            logger.debug("a worker ended: the granules left are read one by one")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return done


def _pool(workers: int) -> ProcessPoolExecutor:
    """Return workers that share nothing with this process: libraries with threads do not fork."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _alone(task: Task) -> Part:
    """Return the part of a granule read in a process of its own, which a broken file may end."""
    with _pool(1) as pool:
        try:
            return pool.submit(make_part, task).result()
        except BrokenProcessPool:
            fault = f"{task.pair.main} is broken: reading it ends the process, fetch it again"
            return Part(task=task, fault=fault)


def _report_parts(parts: list[Part], report: IngestReport) -> None:
    """Sum up what was found in granules.

    Raises:
        GranuleError: none could be read.
    """
    for part in parts:
        if part.fault:
            report.faults.append(part.fault)
            continue
        report.granules += 1
        report.read += part.findings.read
        report.no_place += part.findings.no_place
        report.outside += part.findings.outside
        report.broken += part.findings.broken
        report.notes.update(f"{_level(part)}: {note}" for note in part.findings.notes)
        report.faults += [f"{part.task.pair.main}: {fault}" for fault in part.findings.faults]
        for name, columns in part.lacking.items():
            report.skipped[name] = (columns, report.skipped.get(name, ("", 0))[1] + 1)
    versions = {part.version for part in parts if part.version and not part.fault}
    if len(versions) > 1:
        told = " and ".join(map(str, sorted(versions)))
        report.notes[f"versions {told} number shots differently: some may be there twice"] += 1
    if not report.granules:
        msg = f"no granule could be read: {'; '.join(report.faults[:3])}"
        raise GranuleError(msg)


def _level(part: Part) -> str:
    """Return how a note names the kind of a granule."""
    return f"{part.product} version {part.version or 'unknown'}"


def _join(parts: list[Part], path: Path, settings: IngestSettings, report: IngestReport) -> None:
    """Write the parts as one table, each shot once.

    Raises:
        GediError: no shot is left.
    """
    filters = PRESETS[settings.preset]
    seen = Seen(parts)
    report.removed = removals(filters, np.zeros(0, np.uint32))
    schema = _schema(parts, settings)
    report.columns = list(schema.names)
    with Rows(path, schema) as rows:
        for part in parts:
            shots = shots_of(part)
            first = seen.first(part, shots["shot"])
            failed = shots["failed"]
            report.twice += int((~first).sum())
            report.removed = _summed(report.removed, removals(filters, failed[first]))
            for table in tables_of(part, first[failed == 0], schema):
                count_beams(table, report)
                rows.add(table)
        report.kept = rows.written
    if not report.kept:
        raise GediError(_nothing_left(report, settings))


def count_beams(table: Any, report: IngestReport) -> None:  # noqa: ANN401 - pyarrow has no types
    """Count the shots of a table by beam."""
    for entry in table["beam"].value_counts().to_pylist():
        report.by_beam[entry["values"]] += entry["counts"]
    report.full_power += table["full_power"].to_pylist().count(True)


def _schema(parts: list[Part], settings: IngestSettings) -> pa.Schema:
    """Return the schema of the table: the columns that one granule at least has."""
    have = set[str]().union(*(part.columns for part in parts))
    have |= {"product", "version", "granule", "geometry"}
    have |= {"time"} if "delta_time" in have else set()
    schema = schema_of(tuple(sorted(set(settings.ranks))))
    kept = pa.schema([each for each in schema if each.name in have])
    facts = {
        "preset": settings.preset, "filters": [each.keeps for each in PRESETS[settings.preset]],
        "granules": [part.name for part in parts],
    }  # fmt: skip
    return with_geometry_facts(kept, facts)


def _summed(before: list[Removed], more: list[Removed]) -> list[Removed]:
    """Return what filters did to two lots of shots."""
    return [
        Removed(
            name=old.name, keeps=old.keeps,
            in_turn=old.in_turn + new.in_turn, alone=old.alone + new.alone,
        )
        for old, new in zip(before, more, strict=True)
    ]  # fmt: skip


def _nothing_left(report: IngestReport, settings: IngestSettings) -> str:
    """Say why no shot is left, and what to do."""
    causes = [
        (report.broken, f"could not be read ({'; '.join(report.faults[:3])})"),
        (report.no_place, "have no coordinates"),
        (report.outside, f"lie outside --area {settings.area}, try another"),
    ]
    causes += [
        (each.in_turn, f"are removed by {each.keeps!r} of --preset {settings.preset}, relax it")
        for each in report.removed
    ]
    causes.sort(key=lambda cause: -cause[0])
    told = [f"{shots} {why}" for shots, why in causes if shots]
    if not told:
        told = [*report.faults[:1], "the granules hold no shots"][:1]
    return f"none of {report.read} shots is left: {'; '.join(told)}"
