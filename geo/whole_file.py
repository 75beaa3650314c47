"""A file appears at its path when it is whole, or not at all."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geo.errors import MapFileError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Lend a temporary path beside `path` and rename it when the block ends well.

    Args:
        path: Where the finished file shall stand; an older file there is replaced in one step.

    Yields:
        A path in the same folder for the block to create and fill; deleted when the block raises.

    Raises:
        MapFileError: The operating system refused (no folder, no permission, no space).
    """
    final = Path(path)
    # tempfile would make the file readable by its owner alone; a plain open follows the umask.
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(final)
    except OSError as error:
        reason = error.strerror or str(error)
        msg = f"cannot write {final} ({reason}): expected a writable folder, choose another path"
        raise MapFileError(msg) from error
    finally:
        part.unlink(missing_ok=True)
