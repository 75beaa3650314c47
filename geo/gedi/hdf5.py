"""HDF5 of strangers: nothing outside the file is opened, and no more is read than may be."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from geo.gedi.errors import GranuleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

MOST_SHOTS = 5_000_000
"""Shots of a beam that a file may claim: a whole orbit has 0.7 million (242 a second)."""

MOST_CHUNK_BYTES = 64 * 1024 * 1024
"""Bytes of a chunk, which is unpacked at once; GEDI's have a few thousand."""

MOST_TEXTS = 16
"""Values of an attribute that is read as text."""

H5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises of broken files."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Lend an HDF5 file, open for reading.

    Raises:
        GranuleError: it is none, or it is cut short.
    """
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except FileNotFoundError as error:
        msg = "does not exist: check the path"
        raise GranuleError(msg) from error
    except H5_ERRORS as error:
        raise GranuleError(_opening(path, str(error))) from error
    with file:
        yield file


def _opening(path: Path, said: str) -> str:
    """Say why a file does not open."""
    try:
        if path.stat().st_size == 0:
            return "is empty: fetch it again"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if "truncated" in said:
        return "is cut short: fetch it again"
    if "signature not found" in said:
        return "is no HDF5: expected a GEDI granule (.h5, or .zip of it)"
    return f"cannot be opened as HDF5 ({' '.join(said.split())[:120]})"


def member(group: h5py.Group, path: str) -> Any:  # noqa: ANN401 - h5py is published without types
    """Return a group or dataset of a file, or None where there is none.

    Args:
        group: where the path begins.
        path: names with slashes.

    Raises:
        GranuleError: the path runs over a link that leads elsewhere, which is not followed.
    """
    here: Any = group
    for name in path.split("/"):
        if not isinstance(here, h5py.Group):
            return None
        try:
            link = here.get(name, getlink=True)
            if isinstance(link, h5py.HardLink):
                here = here[name]
        except H5_ERRORS as error:
            msg = f"{group.name}/{path} cannot be read: the file is broken"
            raise GranuleError(msg) from error
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            msg = f"{group.name}/{path} is a link to elsewhere, which is not followed"
            raise GranuleError(msg)
    return here


def column(group: h5py.Group, path: str, kinds: str) -> h5py.Dataset | None:
    """Return a dataset of numbers, or None where there is none.

    Args:
        group: where the path begins.
        path: names with slashes.
        kinds: NumPy's letters of the kinds of numbers that it may hold: ``f``, ``iu``.

    Raises:
        GranuleError: it is something else, or its values lie outside the file.
    """
    found = member(group, path)
    if found is None:
        return None
    where = f"{group.name}/{path}"
    if not isinstance(found, h5py.Dataset):
        msg = f"{where} is no dataset: expected a column of numbers"
        raise GranuleError(msg)
    if found.is_virtual or found.external:
        msg = f"{where} keeps its values in another file, which is not opened"
        raise GranuleError(msg)
    if found.dtype.kind not in kinds:
        msg = f"{where} holds {found.dtype}: expected {_in_words(kinds)}"
        raise GranuleError(msg)
    if found.chunks and np.prod(found.chunks, dtype=float) * found.dtype.itemsize > (
        MOST_CHUNK_BYTES
    ):
        msg = f"{where} is packed in chunks of {found.chunks}: no granule has such"
        raise GranuleError(msg)
    return found


def _in_words(kinds: str) -> str:
    """Return kinds of numbers in words."""
    names = {"f": "floating-point numbers", "i": "integers", "u": "unsigned integers"}
    return " or ".join(names[kind] for kind in kinds)


def refuse_shape(dataset: h5py.Dataset, shape: tuple[int, ...]) -> None:
    """Refuse a dataset that has not one row a shot, as the others have.

    Raises:
        GranuleError: as said.
    """
    if dataset.shape != shape:
        msg = f"{dataset.name} has the shape {dataset.shape}: expected {shape}"
        raise GranuleError(msg)


def read_rows(dataset: h5py.Dataset, rows: slice) -> NDArray[Any]:
    """Return rows of a dataset.

    Raises:
        GranuleError: they are not there, or are broken.
    """
    try:
        return np.asarray(dataset[rows])
    except H5_ERRORS as error:
        msg = f"{dataset.name} breaks off within rows {rows.start} to {rows.stop}"
        raise GranuleError(msg) from error


def text_of(thing: Any, name: str) -> str | None:  # noqa: ANN401 - see member
    """Return the text of an attribute, or None where there is none that can be read."""
    try:
        if name not in thing.attrs:
            return None
        if thing.attrs.get_id(name).get_space().get_simple_extent_npoints() > MOST_TEXTS:
            return None
        value = thing.attrs[name]
    except H5_ERRORS:
        return None
    while isinstance(value, np.ndarray | list | tuple):
        if len(np.atleast_1d(value)) == 0:
            return None
        value = np.atleast_1d(value)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).strip() or None
