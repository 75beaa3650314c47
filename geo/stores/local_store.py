"""A folder of this machine, or one that all workers share, as a store of products."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from geo.errors import BusyError, NoSuchProductError, StoreError
from geo.stores.product_names import checked_name, checked_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from geo.stores.held_lock import HeldLock

LOCK_FILE, OWNER_FILE = ".lock", ".lock-owner"
STAGING_FOLDER = ".making"
"""Where files are made: inside the store, so that each is renamed on one disk."""


@dataclass(frozen=True, kw_only=True)
class LocalStore:
    """Products in a folder; see `geo.stores.store.Store`.

    Attributes:
        root: the folder, absolute. Workers on other machines must see it under the same path.
    """

    root: Path

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    def prepare(self) -> None:
        """Make the folder, and see that it can be written.

        Raises:
            StoreError: it cannot.
        """
        with self._plain_errors(), self.staging() as folder:
            (folder / "writable").touch()

    def exists(self, name: str) -> bool:
        """Whether there is a product of that name."""
        return self._path(name).is_file()

    def read_bytes(self, name: str) -> bytes:
        """Return a product.

        Raises:
            NoSuchProductError: there is none of that name.
        """
        path = self._path(name)
        with self._plain_errors():
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                msg = f"{path} is missing: expected a finished product"
                raise NoSuchProductError(msg) from error

    def put(self, path: Path, name: str) -> None:
        """Take a finished file: renamed where it lies in a staging folder, copied from elsewhere.

        Its bytes are on the disk before its name is: not even a power cut leaves half of it.

        Raises:
            StoreError: it cannot be written.
        """
        with self._plain_errors():
            if path.absolute().is_relative_to(self.root / STAGING_FOLDER):
                self._rename(path, name)
                return
            with self.staging() as folder:
                self._rename(shutil.copyfile(path, folder / path.name), name)

    def put_bytes(self, data: bytes, name: str) -> None:
        """Take a finished product of few bytes.

        Raises:
            StoreError: it cannot be written.
        """
        final = self._path(name)
        with self._plain_errors(), self.staging() as folder:
            part = folder / final.name
            part.write_bytes(data)
            self._rename(part, name)

    def names(self, prefix: str = "", *, deep: bool = True) -> list[str]:
        """Return the names under a folder of the store, sorted.

        Args:
            prefix: the folder; "" is the root.
            deep: with those in its own folders.
        """
        folder = self.root / checked_prefix(prefix)
        found: list[str] = []
        for place, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if deep and not name.startswith(".")]
            inner = os.path.relpath(place, self.root).replace(os.sep, "/")
            start = "" if inner == "." else f"{inner}/"
            found += [f"{start}{name}" for name in files if not name.startswith(".")]
        return sorted(found)

    def delete(self, name: str) -> None:
        """Take a product away, and its folder where that is empty then.

        Raises:
            StoreError: it cannot be taken away.
        """
        path = self._path(name)
        with self._plain_errors():
            path.unlink(missing_ok=True)
        if path.parent != self.root:
            with suppress(OSError):  # something else is in it
                path.parent.rmdir()

    def uri(self, name: str) -> str:
        """Return the absolute path of a product."""
        return self._path(name).as_posix()

    def gdal_name(self, name: str) -> str:
        """Return what GDAL opens: the same path."""
        return self.uri(name)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend a new folder inside the store, hidden; it is removed at the end.

        Raises:
            StoreError: it cannot be made.
        """
        folder = self.root / STAGING_FOLDER / secrets.token_hex(8)
        with self._plain_errors():
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, owner: str) -> Iterator[HeldLock]:
        """Hold the only right to write here, and clear away what a killed run was making.

        The lock is the operating system's and ends with the process that holds it. On network disks
        it is as good as their `flock`: on NFS without a lock service two machines may both get it.

        Args:
            owner: who holds it, told to those who are refused.

        Raises:
            BusyError: another run is writing here.
            StoreError: the folder cannot be written.
        """
        with self._plain_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / LOCK_FILE)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise BusyError(self._busy()) from error
            (self.root / OWNER_FILE).write_text(owner, encoding="utf-8")
        try:
            shutil.rmtree(self.root / STAGING_FOLDER, ignore_errors=True)
            yield _Held()
            # The run has ended well: what is there now was left by a worker that was killed.
            shutil.rmtree(self.root / STAGING_FOLDER, ignore_errors=True)
        finally:
            with suppress(OSError):
                (self.root / OWNER_FILE).unlink()
            with suppress(OSError):  # a worker elsewhere still makes something
                (self.root / STAGING_FOLDER).rmdir()
            lock.release()

    def _path(self, name: str) -> Path:
        """Return where a product stands."""
        return self.root / checked_name(name)

    def _rename(self, path: Path, name: str) -> None:
        """Give a file on the same disk its final name."""
        final = self._path(name)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        for last in (False, False, True):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.replace(final)
            except FileNotFoundError:  # another worker took the empty folder away just now
                if last or not path.exists():
                    raise
            else:
                return

    def _busy(self) -> str:
        """Return the message for a run that is refused."""
        owner = ""
        with suppress(OSError):
            owner = (self.root / OWNER_FILE).read_text(encoding="utf-8").strip()
        who = f" ({owner})" if owner else ""
        return f"another run is writing {self.root}{who}: wait for it, or choose another output"

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Tell in a line what the operating system refuses."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            msg = f"cannot use {self.root} ({reason}): expected a folder that can be written"
            raise StoreError(msg) from error


class _Held:
    """A lock that the operating system keeps: nobody takes it over."""

    def confirm(self) -> None:
        """It is still held."""
