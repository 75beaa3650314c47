"""A session with web servers: each is told only what it may know, and waited for only so long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from geo.downloads.addresses import next_address
from geo.downloads.errors import BrokenOffError, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest, Response

MOST_REDIRECTS = 10
"""A login by way of another host takes four."""

PIECE_BYTES = 2**17
"""Most that is read at once."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        connect_s: for a connection [s].
        read_s: for the next bytes [s].
        least_speed: at which bytes must come [bytes/s]; slower counts as broken off.
        window_s: over which the speed is taken [s].
        tries: how often in a row to try again where a try, with the pause before it, brought less
            than the least speed does.
        pause_s: before the first of these tries [s]; doubled before each further one.
        insists: whether to try again where a server cannot be reached or brings not one byte; else
            that is said at once.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    least_speed: float = 1024.0
    window_s: float = 60.0
    tries: int = 4
    pause_s: float = 1.0
    insists: bool = False


PATIENCE = Patience()


class TellNobody(AuthBase):
    """Tells no server a login; without one, requests would look into ~/.netrc."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave a request as it is."""
        return request


class DownloadSession:
    """A session with web servers; cookies of one file are there for the next."""

    def __init__(self, *, patience: Patience = PATIENCE, login: AuthBase | None = None) -> None:
        """Begin a session.

        Args:
            patience: how long to wait.
            login: decides by its address what a server is told, at every redirect anew; by default
                none is told anything.
        """
        self.patience = patience
        self._login = login or TellNobody()
        self._session = requests.Session()

    def ask(self, url: str, headers: dict[str, str]) -> Response:
        """Return the answer to one request, its body not read yet, redirects followed.

        Raises:
            TransferError: there is no answer, or a redirect leads where we do not follow.
        """
        url = next_address(url, url)
        for _ in range(MOST_REDIRECTS + 1):
            response = self._get(url, headers)
            if not response.is_redirect:
                return response
            response.close()
            url = next_address(url, response.headers["Location"])
        msg = f"the server redirects more than {MOST_REDIRECTS} times"
        raise TransferError(msg)

    def _get(self, url: str, headers: dict[str, str]) -> Response:
        """Return the answer of one address.

        Raises:
            TransferError: there is none.
        """
        timeout = (self.patience.connect_s, self.patience.read_s)
        try:
            return self._session.get(
                url, headers=headers, auth=self._login, stream=True, timeout=timeout,
                allow_redirects=False,
            )  # fmt: skip
        except requests.exceptions.SSLError as error:
            msg = "the server's certificate is not trusted"
            raise TransferError(msg) from error
        except requests.exceptions.Timeout as error:
            msg = "the server does not answer in time"
            raise BrokenOffError(msg) from error
        except requests.exceptions.ConnectionError as error:
            msg = "the server cannot be reached"
            raise BrokenOffError(msg) from error
        except requests.exceptions.RequestException as error:
            msg = f"the address cannot be asked ({type(error).__name__})"
            raise TransferError(msg) from error

    def pieces(self, response: Response) -> Iterator[bytes]:
        """Yield the body of an answer as it comes.

        Raises:
            BrokenOffError: the connection drops, or too little comes for too long.
        """
        pace = _Pace(self.patience)
        while True:
            began = time.monotonic()
            try:
                # Not iter_content: that waits for a whole piece, however slowly it comes.
                piece = response.raw.read1(PIECE_BYTES, decode_content=True)
            except HTTPError as error:
                msg = "the connection broke off"
                raise BrokenOffError(msg) from error
            waited_s = time.monotonic() - began
            if not piece:
                return
            yield piece
            pace.count(len(piece), waited_s)


class _Pace:
    """How fast bytes come, in one window after another."""

    def __init__(self, patience: Patience) -> None:
        """Begin the first window."""
        self._patience = patience
        self._bytes, self._waited_s = 0, 0.0

    def count(self, size: int, waited_s: float) -> None:
        """Count bytes and the time that they took.

        Raises:
            BrokenOffError: a window ends, and too few came in it.
        """
        self._bytes += size
        self._waited_s += waited_s
        if self._waited_s < self._patience.window_s:
            return
        if self._bytes < self._patience.least_speed * self._waited_s:
            speed = self._bytes / self._waited_s
            msg = f"the server sends only {speed:.0f} bytes/s"
            raise BrokenOffError(msg)
        self._bytes, self._waited_s = 0, 0.0
