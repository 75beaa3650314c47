"""A file that is not whole yet: its bytes so far, and which version of the original they are of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Part:
    """An unfinished file, kept from one run to the next.

    Attributes:
        path: where the bytes so far stand; the folder exists.
        url: where they come from.
    """

    path: Path
    url: str

    @property
    def record(self) -> Path:
        """Where the version of the original is kept."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str | None:
        """What tells the original's version, an ETag or a date; None where nothing can resume."""
        if not self.size:
            return None
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            url, version = record["url"], record["version"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if url == self.url and isinstance(version, str) else None

    def begin(self, version: str | None) -> None:
        """Empty the file and note of which version of the original the bytes to come are."""
        # In this order: old bytes under a new version would be resumed into a mixture.
        self.path.write_bytes(b"")
        record = {"url": self.url, "version": version}
        self.record.write_text(json.dumps(record), encoding="utf-8")

    def finish(self, path: Path) -> None:
        """Move the file to its final path in one step."""
        self.path.replace(path)
        self.record.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget the bytes so far."""
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)
