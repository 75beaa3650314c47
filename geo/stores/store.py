"""Where the products of a region are put: a local folder, or a bucket of S3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geo.errors import StoreError
from geo.stores.bucket_store import BucketStore
from geo.stores.local_store import LocalStore

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from geo.stores.held_lock import HeldLock

__all__ = ["BucketStore", "LocalStore", "Store", "store_of"]

BUCKET_SCHEME = "s3://"


class Store(Protocol):
    """Products by name, `cells/<id>/height.tif`, in a folder or a bucket.

    Stores are small, hashable and picklable: each worker has its own. A product appears under its
    name when it is whole, or not at all, and replaces an older one in one step.

    Every method raises StoreError where a name leads out of the store (`..`, an absolute path) or
    is hidden (`.name`), where the folder or bucket may not be used, and StoreDownError where
    another try may help.
    """

    @property
    def url(self) -> str:
        """The folder or bucket, as people write it."""

    def prepare(self) -> None:
        """Make the folder, or see that the bucket is there and may be used."""

    def exists(self, name: str) -> bool:
        """Whether there is a product of that name."""

    def read_bytes(self, name: str) -> bytes:
        """Return a product; NoSuchProductError where there is none."""

    def put(self, path: Path, name: str) -> None:
        """Take a finished file, which is gone afterwards where it lies in a staging folder."""

    def put_bytes(self, data: bytes, name: str) -> None:
        """Take a finished product of few bytes."""

    def names(self, prefix: str = "", *, deep: bool = True) -> list[str]:
        """Return the names under a folder of the store ("" is its root), sorted.

        Args:
            prefix: the folder, ``cells/ID``.
            deep: with those in its own folders.
        """

    def delete(self, name: str) -> None:
        """Take a product away; nothing happens where there is none."""

    def uri(self, name: str) -> str:
        """Return what STAC readers open: an absolute path, or s3://bucket/key."""

    def gdal_name(self, name: str) -> str:
        """Return what GDAL opens: an absolute path, or /vsis3/bucket/key."""

    def staging(self) -> AbstractContextManager[Path]:
        """Lend a new local folder in which a cell is made; it is removed at the end."""

    def lock(self, owner: str) -> AbstractContextManager[HeldLock]:
        """Hold the only right to write here; BusyError where another run has it."""


def store_of(url: str | Path) -> Store:
    """Return the store that a person named.

    Nothing is opened or made: see `Store.prepare`.

    Args:
        url: a local folder, or ``s3://bucket`` or ``s3://bucket/prefix``.

    Raises:
        StoreError: it is a URL of another kind, or names no bucket.
    """
    text = str(url)
    if text.startswith(BUCKET_SCHEME):
        bucket, _, prefix = text.removeprefix(BUCKET_SCHEME).partition("/")
        return BucketStore(bucket=bucket, prefix=prefix.strip("/"))
    if "://" in text or text.startswith("/vsi"):
        msg = f"output {text}: expected a local folder, or s3://bucket/prefix"
        raise StoreError(msg)
    return LocalStore(root=Path(text).absolute())
