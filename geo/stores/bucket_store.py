"""A bucket of S3, or of a server that speaks its language, as a store of products."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo.errors import NoSuchProductError, StoreError
from geo.stores.bucket_errors import plain_errors
from geo.stores.bucket_lock import BucketLock
from geo.stores.product_names import checked_name, checked_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geo.stores.held_lock import HeldLock

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".vrt": "application/xml",
    ".qml": "application/xml",
}
LOCK_NAME = "run.lock"


@dataclass(frozen=True, kw_only=True)
class BucketStore:
    """Products in a bucket; see `geo.stores.store.Store`.

    Keys, region and endpoint come from where all AWS tools look: the environment (AWS_PROFILE,
    AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on), ``~/.aws``, or the role of the machine. They are
    never part of the store, so they do not travel to workers: each worker needs its own.

    Attributes:
        bucket: its name.
        prefix: what all keys begin with, without slashes at its ends; may be empty.
    """

    bucket: str
    prefix: str

    def __post_init__(self) -> None:
        """Refuse what is no bucket.

        Raises:
            StoreError: as said.
        """
        if not self.bucket:
            msg = "output s3://: expected s3://bucket/prefix"
            raise StoreError(msg)
        checked_prefix(self.prefix)

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def prepare(self) -> None:
        """See that the bucket is there, and that these keys may write in it.

        Raises:
            StoreError: it is not, or they may not.
        """
        self._ask("list_objects_v2", Prefix=self._key_prefix(""), MaxKeys=1)
        probe = self._key("run.probe")
        self._ask("put_object", Key=probe, Body=b"")
        self._ask("delete_object", Key=probe)

    def exists(self, name: str) -> bool:
        """Whether there is a product of that name."""
        try:
            self._ask("head_object", Key=self._key(name))
        except NoSuchProductError:
            return False
        return True

    def read_bytes(self, name: str) -> bytes:
        """Return a product.

        Raises:
            NoSuchProductError: there is none of that name.
        """
        key = self._key(name)
        with plain_errors(f"s3://{self.bucket}/{key}"):
            # With a start s3fs asks once, not for the size first.
            data: bytes = filesystem().cat_file(f"{self.bucket}/{key}", start=0)
        return data

    def put(self, path: Path, name: str) -> None:
        """Take a finished file; the bucket shows it when its last byte has come.

        Large files go up in parts. Of a run that is killed meanwhile the parts stay, unseen, until
        a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes them.

        Raises:
            StoreError: the bucket refuses it.
        """
        key = self._key(name)
        with plain_errors(f"s3://{self.bucket}/{key}"):
            filesystem().put_file(str(path), f"{self.bucket}/{key}", ContentType=_media_type(name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Take a finished product of few bytes.

        Raises:
            StoreError: the bucket refuses it.
        """
        self._ask("put_object", Key=self._key(name), Body=data, ContentType=_media_type(name))

    def names(self, prefix: str = "", *, deep: bool = True) -> list[str]:
        """Return the names under a folder of the store, sorted.

        Args:
            prefix: the folder; "" is the root.
            deep: with those in its own folders.
        """
        names: list[str] = []
        cut = len(self._key_prefix(""))
        page = {"Prefix": self._key_prefix(prefix)} | ({} if deep else {"Delimiter": "/"})
        while True:
            answer = self._ask("list_objects_v2", **page)
            names += [entry["Key"][cut:] for entry in answer.get("Contents", [])]
            if not answer.get("IsTruncated"):
                return sorted(name for name in names if name != LOCK_NAME)
            page["ContinuationToken"] = answer["NextContinuationToken"]

    def delete(self, name: str) -> None:
        """Take a product away.

        Raises:
            StoreError: the bucket refuses it.
        """
        self._ask("delete_object", Key=self._key(name))

    def uri(self, name: str) -> str:
        """Return ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self._key(name)}"

    def gdal_name(self, name: str) -> str:
        """Return ``/vsis3/bucket/key``."""
        return f"/vsis3/{self.bucket}/{self._key(name)}"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Lend a new folder on this machine's disk for temporary files; removed at the end.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            folder = Path(tempfile.mkdtemp(prefix="canopy-making-"))
        except OSError as error:
            msg = f"cannot make a temporary folder ({error.strerror}): set TMPDIR to a writable one"
            raise StoreError(msg) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, owner: str) -> Iterator[HeldLock]:
        """Hold the right to write here; see `geo.stores.bucket_lock` for what it is worth.

        Args:
            owner: who holds it, told to those who are refused.

        Raises:
            BusyError: another run is writing here.
            StoreError: the bucket refuses it.
        """
        lock = BucketLock(
            place=self.uri(LOCK_NAME),
            key=self._key(LOCK_NAME),
            owner=owner,
            ask=self._ask,
            read=lambda: self.read_bytes(LOCK_NAME),
        )
        with lock.held():
            yield lock

    def _key(self, name: str) -> str:
        """Return the key of a product."""
        return self._key_prefix("") + checked_name(name)

    def _key_prefix(self, folder: str) -> str:
        """Return what the keys under a folder of the store begin with."""
        parts = [part for part in (self.prefix, checked_prefix(folder)) if part]
        return "".join(f"{part}/" for part in parts)

    def _ask(self, method: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as S3 has them
        """Return the bucket's answer to one request."""
        with plain_errors(f"s3://{self.bucket}/{fields.get('Key', '')}"):
            answer: dict[str, Any] = filesystem().call_s3(method, Bucket=self.bucket, **fields)
        return answer


@cache
def filesystem() -> Any:  # noqa: ANN401 - of a library without types
    """Return this process's way to S3.

    Raises:
        StoreError: what speaks to buckets is not installed.
    """
    try:
        import s3fs  # noqa: PLC0415 - slow, and a folder needs none of it
    except ImportError as error:
        msg = f"outputs in buckets need {error.name}: pip install 'canopy-height[s3]'"
        raise StoreError(msg) from error
    return s3fs.S3FileSystem(
        use_listings_cache=False,  # other workers write too
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            # s3fs tries again by itself; both together would multiply.
            "retries": {"max_attempts": 1, "mode": "standard"},
        },
    )


def _media_type(name: str) -> str:
    """Return the media type that readers are told of a product."""
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
