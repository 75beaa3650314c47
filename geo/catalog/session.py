"""A session with a STAC API: patient, but not without end, and never led astray."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pystac_client.stac_api_io import StacApiIO
from requests import ConnectionError as LineError
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from geo.catalog.errors import UntrustedHrefError
from geo.catalog.trust import trusted_href

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest, Response
    from urllib3 import BaseHTTPResponse

RETRIED_STATUSES = (429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an API is waited for.

    Attributes:
        limit_s: all requests of one search together [s].
        request_s: silence after which a request counts as failed [s].
        retries: how often a request that failed, or was answered 429 or 5xx, is sent again.
        backoff_s: waiting before the second retry; doubled at each one after [s].
        page_bytes: largest answer that is read.
    """

    limit_s: float = 300.0
    request_s: float = 30.0
    retries: int = 4
    backoff_s: float = 0.5
    page_bytes: int = 256 * 1024 * 1024


class Deadline:
    """The moment at which a search gives up."""

    def __init__(self, limit_s: float) -> None:
        """Begin to count."""
        self.limit_s = limit_s
        self._end = time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds left; an error when there are none.

        Raises:
            LineError: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            msg = f"no answer within {self.limit_s:g} s"
            raise LineError(msg)
        return left


@dataclass
class _PatientBody:
    """The body of an answer, read as it comes: a server that trickles bytes is given up too."""

    answer: BaseHTTPResponse
    deadline: Deadline
    page_bytes: int

    def stream(self, amount: int = 65536, *, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield the body in pieces."""
        size = 0
        while data := self.answer.read1(amount, decode_content=decode_content):
            size += len(data)
            if size > self.page_bytes:
                msg = f"an answer of more than {self.page_bytes} bytes"
                raise LineError(msg)
            _ = self.deadline.left_s
            yield data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the answer has
        """Return what the answer has."""
        return getattr(self.answer, name)


@dataclass(eq=False)
class _Transport(HTTPAdapter):
    """Sends requests: asks at every hop whether it may go there, and keeps the time limit."""

    api: str
    patience: Patience
    allow_local: bool
    deadline: Deadline = field(init=False)

    def __post_init__(self) -> None:
        """Make it ready."""
        self.deadline = Deadline(self.patience.limit_s)
        retry = Retry(
            total=self.patience.retries,
            read=1,  # each costs a whole silence
            backoff_factor=self.patience.backoff_s,
            status_forcelist=RETRIED_STATUSES,
            allowed_methods=None,  # a search changes nothing: POST is repeated too
            raise_on_status=False,
            retry_after_max=max(1, round(self.patience.backoff_s * 60)),
        )
        super().__init__(max_retries=retry)

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:  # noqa: ANN401
        """Send a request; a redirect comes here again."""
        trusted_href(str(request.url), catalog=self.api, allow_local=self.allow_local)
        options["timeout"] = min(self.patience.request_s, self.deadline.left_s)
        return super().send(request, *arguments, **options)

    def build_response(self, req: PreparedRequest, resp: BaseHTTPResponse) -> Response:
        """Return an answer whose body keeps the time limit."""
        answer = super().build_response(req, resp)
        answer.raw = _PatientBody(resp, self.deadline, self.patience.page_bytes)
        return answer


class CatalogSession(StacApiIO):
    """What pystac-client reads through: requests and nothing else, none where it may not go."""

    def __init__(self, api: str, patience: Patience, *, allow_local: bool = False) -> None:
        """Begin a session, and its time limit.

        Args:
            api: URL of the landing page.
            patience: how long it is waited for.
            allow_local: follow it wherever it points.
        """
        super().__init__()
        self._api, self._allow_local = api, allow_local
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Transport(api, patience, allow_local))

    def read_text(self, source: Any, *arguments: Any, **options: Any) -> str:  # noqa: ANN401
        """Read a document; a link of an API to a file here is refused, not opened.

        Raises:
            UntrustedHrefError: it leads where the API may not lead, or to no server at all.
        """
        if isinstance(source, str):
            source = trusted_href(source, catalog=self._api, allow_local=self._allow_local)
            if not source.startswith(("http://", "https://")):
                msg = f"{source} in {self._api} lies on no web server: expected http or https"
                raise UntrustedHrefError(msg)
        return super().read_text(source, *arguments, **options)
