"""One writer at a time in a bucket: an object that its holder keeps fresh.

A bucket has no locks, so this one is an object, ``run.lock``. It is created on the condition that
there is none (If-None-Match, which Amazon S3, MinIO, R2 and others have), and its holder writes it
anew every 20 seconds on the condition that nobody else has (If-Match). One that nobody wrote for 90
seconds is that of a run that died; the next run takes it over, again on a condition. Ages are told
by the server's clock alone.

What it is worth: on servers with conditional writes two runs never hold it at once, unless one was
stopped for more than 90 seconds (a laptop asleep) and goes on: it learns at its next `confirm` that
the lock is lost. Servers without conditional writes leave a gap of about a second in which two runs
may both begin; each then reads the object again, and the one that does not find itself gives way.
Either way no product is ever half written: each is put in one step, and cells of two runs with the
same settings are the same.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from geo.errors import BusyError, NoSuchProductError, StoreError
from geo.stores.bucket_errors import PreconditionError, UnconditionalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[..., dict[str, Any]]

REFRESH_S, DEAD_S = 20.0, 90.0
SETTLE_S = 1.0
"""How long two runs that began at once need to see each other, without conditional writes."""

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class BucketLock:
    """The lock, while it is held.

    Attributes:
        place: its URL, for messages.
        key: of its object.
        owner: who holds it.
        ask: sends one request to the bucket.
        read: returns the bytes of the object.
        token: tells this holder from all others.
        etag: of the object as this holder last wrote it.
        fresh: when that was [s, monotonic].
        lost: whether another run has taken it over.
        ended: stops the refreshing.
    """

    place: str
    key: str
    owner: str
    ask: Ask
    read: Callable[[], bytes]
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    etag: str = ""
    fresh: float = 0.0
    lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises:
            BusyError: another run holds it.
            StoreError: the bucket refuses it.
        """
        self.take()
        beat = threading.Thread(target=self.keep_fresh, name="bucket-lock", daemon=True)
        beat.start()
        try:
            yield
        finally:
            self.ended.set()
            beat.join()
            self.give_back()

    def take(self) -> None:
        """Create the object, or take over one that nobody keeps fresh.

        Raises:
            BusyError: another run holds it.
            StoreError: the bucket refuses it.
        """
        try:
            self._write({"IfNoneMatch": "*"})
        except PreconditionError as error:
            self._take_over(error)
        except UnconditionalError:
            self._take_without_conditions()

    def keep_fresh(self) -> None:
        """Write the object anew until the lock ends; what runs in a thread."""
        while not (self.ended.wait(REFRESH_S) or self.lost):
            self._write_again()

    def confirm(self) -> None:
        """See that the lock is still held.

        Raises:
            BusyError: another run has taken it over, or may have: it was not kept fresh.
        """
        stale = time.monotonic() - self.fresh > DEAD_S
        if self.lost or stale:
            msg = (
                f"{self.place} was not kept fresh for {DEAD_S:g} s and another run may have begun: "
                "run the same command again when it has ended"
            )
            raise BusyError(msg)

    def give_back(self) -> None:
        """Remove the object if it is still this holder's; a bucket that fails only costs 90 s."""
        with suppress(StoreError):
            if not self.lost and self._standing().get("token") == self.token:
                self.ask("delete_object", Key=self.key)

    def _take_over(self, error: StoreError) -> None:
        """Replace a lock whose holder died."""
        try:
            head = self.ask("head_object", Key=self.key)
        except NoSuchProductError:  # given back just now
            self._write({"IfNoneMatch": "*"})
            return
        self._refuse_living(head, error)
        try:
            self._write({"IfMatch": head["ETag"]})
        except PreconditionError as newer:
            raise self._busy() from newer

    def _take_without_conditions(self) -> None:
        """Create the object on a server that knows no conditions, and see who came last."""
        with suppress(NoSuchProductError):
            self._refuse_living(self.ask("head_object", Key=self.key), None)
        self._write({})
        time.sleep(SETTLE_S)
        if self._standing().get("token") != self.token:
            raise self._busy()

    def _refuse_living(self, head: dict[str, Any], error: StoreError | None) -> None:
        """Refuse to take over a lock that was fresh less than DEAD_S ago by the server's clock."""
        now = head["ResponseMetadata"]["HTTPHeaders"].get("date")
        moment = parsedate_to_datetime(now) if now else None
        if moment is None or (moment - head["LastModified"]).total_seconds() <= DEAD_S:
            raise self._busy() from error

    def _write_again(self) -> None:
        """Write the object anew, or learn that it is another run's now."""
        try:
            self._write_if_own()
        except (PreconditionError, NoSuchProductError):
            self.lost = True
        except StoreError as error:  # the next try may do, and `confirm` tells if none does
            logger.info("%s could not be kept fresh: %s", self.place, error)

    def _write_if_own(self) -> None:
        """Write the object anew if it is still this holder's.

        Raises:
            PreconditionError: it is not.
        """
        try:
            self._write({"IfMatch": self.etag})
        except UnconditionalError as error:
            if self._standing().get("token") != self.token:
                raise PreconditionError(self.place) from error
            self._write({})

    def _write(self, condition: dict[str, str]) -> None:
        """Write the object."""
        # A counter makes each writing another object: its digest is what conditions compare.
        record = {"owner": self.owner, "token": self.token, "at": time.time()}
        began = time.monotonic()
        answer = self.ask("put_object", Key=self.key, Body=json.dumps(record).encode(), **condition)
        self.etag, self.fresh = answer["ETag"], began

    def _standing(self) -> dict[str, Any]:
        """Return what the object says; nothing where there is none."""
        try:
            record = json.loads(self.read())
        except (NoSuchProductError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _busy(self) -> BusyError:
        """Return the error of a run that is refused."""
        owner = self._standing().get("owner", "unknown")
        folder = self.place.rpartition("/")[0]
        msg = (
            f"another run is writing {folder} ({owner}): wait for it, or choose another output; "
            f"if it died, its lock ends {DEAD_S:g} s after that"
        )
        return BusyError(msg)
