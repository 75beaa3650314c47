"""Granules from NASA Earthdata: with the login of the person, which no other server is told."""

from __future__ import annotations

import ipaddress
import json
import netrc
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from geo.gedi.errors import CredentialsError, DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import PreparedRequest, Response

    Progress = Callable[[int, int | None], None]

TOKEN_VARIABLE = "EARTHDATA_TOKEN"  # noqa: S105 - the name of a variable, no secret
LOGIN_HOST = "urs.earthdata.nasa.gov"
DATA_HOSTS = ("earthdata.nasa.gov", "earthdatacloud.nasa.gov")
"""Domains of NASA Earthdata: the archive asks here for the token, and redirects to signed URLs of
other hosts, which are not given it."""

HOW_TO_LOG_IN = (
    f"set {TOKEN_VARIABLE} to a token from https://{LOGIN_HOST} (Generate Token), or add "
    f"'machine {LOGIN_HOST} login NAME password PASSWORD' to ~/.netrc"
)

MOST_REDIRECTS = 10
BLOCK_BYTES = 64 * 1024
"""Read at once; of a line that breaks, less than that is lost."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How HDF5 begins."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who asks: a token, or a name with a password.

    Attributes:
        token: bearer token of Earthdata, or None.
        name, password: of the account, or None.
    """

    token: str | None = None
    name: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return "Login(token)" if self.token else "Login(name, password)"


def find_login() -> Login:
    """Return the login that the environment gives, or ~/.netrc (or the file that NETRC names).

    Raises:
        CredentialsError: neither does; the message says what to set.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token:
        return Login(token=token)
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(path).authenticators(LOGIN_HOST) if path.is_file() else None
    except (netrc.NetrcParseError, OSError) as error:
        msg = f"{path} cannot be read ({error}): mend it, or {HOW_TO_LOG_IN}"
        raise CredentialsError(msg) from error
    if found is None:
        msg = f"NASA Earthdata asks for a login: {HOW_TO_LOG_IN}"
        raise CredentialsError(msg)
    return Login(name=found[0], password=found[2])


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Which hosts are told the login.

    Attributes:
        data: domains that are told the token: they and all below them.
        login: the host that is told name and password.
    """

    data: tuple[str, ...] = DATA_HOSTS
    login: str = LOGIN_HOST

    def may_know_token(self, url: str) -> bool:
        """Whether a server may be told the token: one of Earthdata, over a line that is sealed."""
        host = (urlsplit(url).hostname or "").lower()
        ours = any(host == domain or host.endswith(f".{domain}") for domain in self.data)
        return ours and is_safe(url)

    def may_know_password(self, url: str) -> bool:
        """Whether a server may be told name and password."""
        return (urlsplit(url).hostname or "").lower() == self.login and is_safe(url)


def is_safe(url: str) -> bool:
    """Whether nobody can listen in: https, or http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"


class _Nobody(AuthBase):
    """Tells no login; given always, since requests would look into ~/.netrc otherwise."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Leave a request as it is."""
        return request


class _Bearer(AuthBase):
    """Tells a token."""

    def __init__(self, token: str) -> None:
        """Keep the token."""
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the token into a request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """How granules are fetched.

    Attributes:
        hosts: which are told the login.
        connect_s: for a connection [s].
        read_s: for the next bytes [s].
        tries: how often a file is asked for, with no new byte in between.
        pause_s: before the second try [s]; doubled before each further one.
    """

    hosts: Hosts = Hosts()
    connect_s: float = 20.0
    read_s: float = 60.0
    tries: int = 4
    pause_s: float = 1.0


class Archive:
    """A session with the archive."""

    def __init__(self, login: Login, fetching: Fetching | None = None) -> None:
        """Begin a session."""
        self._login, self._fetching = login, fetching or Fetching()
        self._session = requests.Session()

    def fetch(self, url: str, path: Path, progress: Progress | None = None) -> Path:
        """Fetch a granule, or the rest of it; what is whole here already is not asked for.

        Args:
            url: where it lies.
            path: where it shall stand; it appears when it is whole. What came of an unfinished one
                waits beside it, in `.part`.
            progress: told the bytes that are here and, where the server tells them, all bytes.

        Raises:
            CredentialsError: the login is refused.
            DownloadError: it does not come whole.
        """
        if path.is_file():
            return path
        part = path.with_name(f"{path.name}.part")
        failures, pause_s = 0, self._fetching.pause_s
        while True:
            before = _size(part)
            try:
                self._receive(url, part, progress)
                break
            except (requests.ConnectionError, requests.Timeout, _Passing) as error:
                failures = 1 if _size(part) > before else failures + 1
                if failures >= self._fetching.tries:
                    msg = f"{path.name} does not come ({_reason(error)}): try again later"
                    raise DownloadError(msg) from error
                time.sleep(pause_s * 2 ** (failures - 1))
            except requests.RequestException as error:
                msg = f"{path.name} cannot be asked for ({type(error).__name__})"
                raise DownloadError(msg) from error
        self._finish(part, path)
        return path

    def _receive(self, url: str, part: Path, progress: Progress | None) -> None:
        """Ask for a file once, and append what comes."""
        headers = {"Accept-Encoding": "identity"}
        version = _version(part)
        if version and _size(part):
            headers |= {"Range": f"bytes={_size(part)}-", "If-Range": version}
        with self._ask(url, headers) as answer:
            self._refuse(answer, part)
            resumed = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if answer.status_code == requests.codes.partial_content:
                if resumed is None or int(resumed[1]) != _size(part):
                    part.unlink(missing_ok=True)
                    msg = "another part came than the one asked for"
                    raise _Passing(msg)
                total: int | None = int(resumed[2])
            else:
                length = answer.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else None
                part.write_bytes(b"")
                _remember(part, answer)
            self._append(answer, part, total, progress)
        if total is not None and _size(part) != total:
            msg = f"{_size(part)} of {total} bytes came"
            raise _Passing(msg)

    def _append(
        self, answer: Response, part: Path, total: int | None, progress: Progress | None
    ) -> None:
        """Append the body of an answer."""
        done = _size(part)
        with part.open("ab") as file:
            try:
                for block in answer.iter_content(BLOCK_BYTES):
                    file.write(block)
                    done += len(block)
                    if progress:
                        progress(done, total)
            except requests.RequestException as error:
                msg = "the connection broke off"
                raise _Passing(msg) from error

    def _ask(self, url: str, headers: dict[str, str]) -> Response:
        """Return the answer of the last of several redirects, each told what it may know.

        Raises:
            DownloadError: a redirect leads where it may not, or without end.
        """
        timeout = (self._fetching.connect_s, self._fetching.read_s)
        for _ in range(MOST_REDIRECTS + 1):
            if not is_safe(url):
                msg = f"{urlsplit(url).netloc} is not asked: expected https all the way"
                raise DownloadError(msg)
            answer = self._session.get(
                url, headers=headers, auth=self._auth(url), stream=True, timeout=timeout,
                allow_redirects=False,
            )  # fmt: skip
            if not answer.is_redirect:
                return answer
            answer.close()
            url = urljoin(url, answer.headers["Location"])
        msg = f"the archive redirects more than {MOST_REDIRECTS} times"
        raise DownloadError(msg)

    def _auth(self, url: str) -> AuthBase:
        """Return what a server is told: nothing, unless it is one of Earthdata."""
        login, hosts = self._login, self._fetching.hosts
        if login.token and hosts.may_know_token(url):
            return _Bearer(login.token)
        if login.name and login.password is not None and hosts.may_know_password(url):
            return HTTPBasicAuth(login.name, login.password)
        return _Nobody()

    def _refuse(self, answer: Response, part: Path) -> None:
        """Refuse an answer that is no file.

        Raises:
            CredentialsError: it asks for another login.
            DownloadError: the archive has no such file, or gives none.
        """
        code = answer.status_code
        if code in {401, 403}:
            msg = (
                f"NASA Earthdata refuses the login (HTTP {code}): it may be outdated, or the "
                f"archive's application is not approved in the account; {HOW_TO_LOG_IN}"
            )
            raise CredentialsError(msg)
        if code in {408, 425, 429} or code >= 500:  # noqa: PLR2004 - HTTP
            msg = f"the server is busy or broken, HTTP {code}"
            raise _Passing(msg)
        if code == 416:  # noqa: PLR2004 - HTTP
            part.unlink(missing_ok=True)
            msg = "the file changed"
            raise _Passing(msg)
        if code not in {200, 206}:
            msg = f"{urlsplit(answer.url).path.rpartition('/')[2]}: the server answers HTTP {code}"
            raise DownloadError(msg)

    @staticmethod
    def _finish(part: Path, path: Path) -> None:
        """Move a whole file to its place.

        Raises:
            CredentialsError: a page came instead of a granule.
        """
        with part.open("rb") as file:
            begins = file.read(len(SIGNATURE))
        _record(part).unlink(missing_ok=True)
        if begins != SIGNATURE:
            part.unlink()
            msg = f"a page came instead of {path.name}, as where a login is asked: {HOW_TO_LOG_IN}"
            raise CredentialsError(msg)
        part.replace(path)


class _Passing(Exception):  # noqa: N818 - never leaves this module
    """What another try may mend."""


def _reason(error: Exception) -> str:
    """Return what is wrong with the line, without names of objects."""
    if isinstance(error, _Passing):
        return str(error)
    return "no answer in time" if isinstance(error, requests.Timeout) else "no connection"


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _record(part: Path) -> Path:
    """Return where the version of an unfinished file is kept."""
    return part.with_name(f"{part.name}.json")


def _remember(part: Path, answer: Response) -> None:
    """Keep which version of a file comes."""
    etag = answer.headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
    _record(part).write_text(json.dumps({"version": version}), encoding="utf-8")


def _version(part: Path) -> str | None:
    """Return the version of an unfinished file, if it can be resumed."""
    try:
        version = json.loads(_record(part).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None
