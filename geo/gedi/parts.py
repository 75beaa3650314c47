"""One granule to a part of the table: what a worker does, and what the parts become together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geo.gedi.beams import Findings
from geo.gedi.columns import L2A, L2B, schema_of
from geo.gedi.errors import GranuleError
from geo.gedi.filters import PRESETS, failures, lacking
from geo.gedi.granule import Reading, facts_of, read_granule
from geo.gedi.hdf5 import opened
from geo.gedi.sources import Pair, plain_file
from geo.gedi.table import as_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

    from geo.gedi.granule import GranuleFacts
    from geo.gedi.sources import Source

GROUP_ROWS = 65_536
"""Rows of a group in the table."""

SHOT_BATCH = np.dtype([("shot", "<u8"), ("failed", "<u4")])
"""What is kept of every shot within the area, filtered out or not."""

ORBIT_DIGITS = 10**13
"""A shot number is OOOOO and 13 digits more: beam, part of the orbit, shot."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker does.

    Attributes:
        number: of the part.
        pair: the granule.
        folder: where the part goes; its own.
        reading: how it is read.
        preset: name of the filters.
    """

    number: int
    pair: Pair
    folder: Path
    reading: Reading
    preset: str

    @property
    def rows(self) -> Path:
        """Where the rows that the filters keep stand."""
        return self.folder / "rows.parquet"

    @property
    def shots(self) -> Path:
        """Where all shots stand, with what removes them."""
        return self.folder / "shots.bin"


@dataclass(kw_only=True)
class Part:
    """What came of a granule.

    Attributes:
        task: what was to be done.
        name: the granule.
        product: whose shots they are, and what was joined.
        version: of the product.
        findings: what was found on the way.
        columns: names of columns that it has.
        lacking: columns that filters lack, by filter.
        orbits: of its shots.
        fault: why there is none of it, or "".
    """

    task: Task
    name: str = ""
    product: str = ""
    version: int | None = None
    findings: Findings = field(default_factory=Findings)
    columns: set[str] = field(default_factory=set)
    lacking: dict[str, str] = field(default_factory=dict)
    orbits: set[int] = field(default_factory=set)
    fault: str = ""


def make_part(task: Task) -> Part:
    """Read a granule into a part of the table. A granule that cannot be read is said in the part.

    Raises:
        OSError: the disk does not take the part.
    """
    part = Part(task=task, name=task.pair.main.file_name)
    try:
        _fill(part)
    except GranuleError as error:
        part.fault = f"{task.pair.main} {error}"
    return part


def _fill(part: Part) -> None:
    """Read the granule of a part."""
    task = part.task
    with ExitStack() as stack:
        file, facts = _open(task.pair.main, task.folder / "main", stack)
        part.name, part.product, part.version = facts.name, facts.product, facts.version
        beside = _beside(part, facts, stack)
        schema = schema_of(task.reading.ranks)
        texts = {"product": part.product, "version": part.version, "granule": part.name}
        rows = stack.enter_context(Rows(task.rows, schema))
        shots = stack.enter_context(task.shots.open("wb"))
        filters = PRESETS[task.preset]
        for batch in read_granule(file, beside, facts, task.reading, part.findings):
            numbers = batch["shot_number"]
            failed = failures(filters, batch, len(numbers))
            part.columns |= set(batch)
            part.lacking |= lacking(filters, batch)
            part.orbits |= set(np.unique(numbers // np.uint64(ORBIT_DIGITS)).tolist())
            record = np.empty(len(numbers), SHOT_BATCH)
            record["shot"], record["failed"] = numbers, failed
            shots.write(record.tobytes())
            rows.add(as_table(_taken(batch, failed == 0), schema, texts))


def _open(source: Source, folder: Path, stack: ExitStack) -> tuple[h5py.File, GranuleFacts]:
    """Return an open granule and what it says of itself."""
    folder.mkdir(parents=True, exist_ok=True)
    path = stack.enter_context(plain_file(source, folder))
    file = stack.enter_context(opened(path))
    return file, facts_of(file, source.file_name)


def _beside(part: Part, facts: GranuleFacts, stack: ExitStack) -> h5py.File | None:
    """Return the open L2B granule beside a granule; None, and a fault, where it cannot be read."""
    source = part.task.pair.beside
    if source is None:
        return None
    try:
        file, others = _open(source, part.task.folder / "beside", stack)
        if others.product != L2B or facts.product != L2A:
            msg = f"is {others.product}: expected L2B, as its name says"
            raise GranuleError(msg)  # noqa: TRY301 - said as any other trouble with it
    except GranuleError as error:
        part.findings.faults.append(f"{source} {error}; no profile is joined")
        return None
    part.product = f"{L2A}+{L2B}"
    return file


def _taken(batch: dict[str, NDArray[Any]], kept: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Return the shots of a batch that are kept."""
    return {name: values[kept] if values.ndim else values for name, values in batch.items()}


class Rows:
    """A Parquet file that is written in groups of many rows, however few come at once."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Begin a file."""
        self.schema = schema
        self.written = 0
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting: list[Any] = []
        self._count = 0

    def __enter__(self) -> Self:
        """Lend it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, and the end of the file."""
        self._flush()
        self._writer.close()

    def add(self, table: Any) -> None:  # noqa: ANN401 - pyarrow is published without types
        """Add rows."""
        self._waiting.append(table)
        self._count += table.num_rows
        self.written += table.num_rows
        if self._count >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Write what waits."""
        if self._count:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=GROUP_ROWS)
        self._waiting, self._count = [], 0


class Seen:
    """The shots that were taken already, of orbits that several granules have shots of."""

    def __init__(self, parts: list[Part]) -> None:
        """Find the orbits that must be remembered."""
        count: dict[int, int] = {}
        for part in parts:
            for orbit in part.orbits:
                count[orbit] = count.get(orbit, 0) + 1
        self._shared = {orbit for orbit, times in count.items() if times > 1}
        self._taken: dict[int, NDArray[np.uint64]] = {}

    def first(self, part: Part, shots: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which shots of a part come for the first time (n,), and remember them."""
        first = np.zeros(len(shots), bool)
        first[np.unique(shots, return_index=True)[1]] = True
        orbits = shots // np.uint64(ORBIT_DIGITS)
        for orbit in part.orbits & self._shared:
            here = first & (orbits == orbit)
            if orbit in self._taken:
                first[here] = ~np.isin(shots[here], self._taken[orbit])
                here &= first
            before = self._taken.get(orbit, np.zeros(0, np.uint64))
            self._taken[orbit] = np.concatenate([before, shots[here]])
        return first


def shots_of(part: Part) -> NDArray[Any]:
    """Return all shots of a part within the area, with what removes them: SHOT_BATCH (n,)."""
    return np.fromfile(part.task.shots, SHOT_BATCH)


def tables_of(part: Part, kept: NDArray[np.bool_], schema: pa.Schema) -> Iterator[Any]:
    """Yield the rows of a part that are kept, in tables.

    Args:
        part: the part.
        kept: which of its rows are kept (rows,).
        schema: of the tables: a part of the columns, with what is said of the whole.
    """
    start = 0
    with pq.ParquetFile(part.task.rows) as file:
        for batch in file.iter_batches(batch_size=GROUP_ROWS, columns=schema.names):
            mask = kept[start : start + batch.num_rows]
            start += batch.num_rows
            table = pa.Table.from_batches([batch]).select(schema.names)
            yield table.filter(pa.array(mask)).replace_schema_metadata(schema.metadata)
