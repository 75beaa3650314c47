"""Whether an output may be written where it was asked for: asked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from geo.errors import OutputError
from geo.scene import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Files = TypeVar("Files")

GEOTIFF_SUFFIXES = {".tif", ".tiff"}


def refuse_raster(output: Path, what: str) -> None:
    """Refuse a raster whose name is that of no GeoTIFF, or whose folder is missing.

    Args:
        output: where it will stand.
        what: what it is, for the message: ``a map``.

    Raises:
        OutputError: as said.
    """
    if output.suffix.lower() not in GEOTIFF_SUFFIXES:
        msg = f"output {output}: {what} is a GeoTIFF, end its name in .tif"
        raise OutputError(msg)
    refuse_missing_folder(output)


def refuse_missing_folder(output: Path) -> None:
    """Refuse an output whose folder is missing.

    Raises:
        OutputError: as said.
    """
    if not output.parent.is_dir():
        msg = f"output folder {output.parent} does not exist: make it, or choose another"
        raise OutputError(msg)


def others_in(folder: Path, is_own: Callable[[str], bool]) -> str:
    """Return what a folder holds beside one's own, such as ``notes.txt and 2 more``; empty if none.

    Args:
        folder: it exists.
        is_own: whether a name is one's own.
    """
    others = sorted(path.name for path in folder.iterdir() if not is_own(path.name))
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"{others[0]}{more}" if others else ""


def staged(files: Files, folder: Path) -> Files:
    """Return places of files under the same names in another folder.

    Args:
        files: a dataclass whose fields are paths, None for files that are not wanted.
        folder: where the files are made before they are put in place.
    """
    kind = type(files)
    return kind(**{name: path and folder / path.name for name, path in vars(files).items()})


def put_in_place(folder: Path, files: Iterable[Path]) -> None:
    """Move finished files from the folder in which they were made, in their order."""
    for path in files:
        (folder / path.name).replace(path)


def refuse_collisions(
    files: Iterable[Path], sources: Sequence[str | Path], *, overwrite: bool
) -> None:
    """Refuse to write over what shall be read, a folder, or what may not be overwritten.

    Args:
        files: all that will be written.
        sources: all that will be read; URLs collide with nothing.
        overwrite: whether files that stand there may be replaced.

    Raises:
        OutputError: a path is one of them.
    """
    local = [Path(source) for source in sources if not is_remote(str(source))]
    for path in files:
        if path.is_dir():
            msg = f"output {path} is a folder: name a file in it, such as {path / 'height.tif'}"
            raise OutputError(msg)
        if not path.exists():
            continue
        if any(source.exists() and path.samefile(source) for source in local):
            msg = f"output {path} is what shall be read: choose another output"
            raise OutputError(msg)
        if not overwrite:
            msg = f"{path} exists: choose another output, or replace it with --overwrite"
            raise OutputError(msg)
