"""Granules from NASA Earthdata: with the login of the person, which no other server is told."""

from __future__ import annotations

import netrc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.auth import AuthBase, HTTPBasicAuth

from geo.downloads.addresses import is_sealed
from geo.downloads.alone import alone
from geo.downloads.errors import (
    BrokenOffError,
    NoRoomError,
    RefusedError,
    TransferError,
    WebPageError,
)
from geo.downloads.part import Part
from geo.downloads.session import DownloadSession, Patience
from geo.downloads.transfer import transfer
from geo.gedi.errors import CredentialsError, DownloadError, GediError

if TYPE_CHECKING:
    from requests import PreparedRequest

    from geo.downloads.transfer import Progress

TOKEN_VARIABLE = "EARTHDATA_TOKEN"  # noqa: S105 - the name of a variable, no secret
LOGIN_HOST = "urs.earthdata.nasa.gov"
DATA_HOSTS = ("earthdata.nasa.gov", "earthdatacloud.nasa.gov")
"""Domains of NASA Earthdata: the archive asks here for the token, and redirects to signed URLs of
other hosts, which are not given it."""

HOW_TO_LOG_IN = (
    f"set {TOKEN_VARIABLE} to a token from https://{LOGIN_HOST} (Generate Token), or add "
    f"'machine {LOGIN_HOST} login NAME password PASSWORD' to ~/.netrc"
)

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How HDF5 begins."""

PATIENCE = Patience(connect_s=20, tries=3, insists=True)
"""Many files are fetched in a row: one that does not begin is no reason to give up."""


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
    """Which hosts are told the login, by addresses as requests has prepared them.

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
        return ours and is_sealed(url)

    def may_know_password(self, url: str) -> bool:
        """Whether a server may be told name and password."""
        return (urlsplit(url).hostname or "").lower() == self.login and is_sealed(url)


class EarthdataAuth(AuthBase):
    """Tells each server what it may know: nothing, unless it is one of Earthdata."""

    def __init__(self, login: Login, hosts: Hosts) -> None:
        """Keep who asks, and which hosts are told."""
        self._login, self._hosts = login, hosts

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put into a request what its server may know."""
        login, url = self._login, request.url or ""
        if login.token and self._hosts.may_know_token(url):
            request.headers["Authorization"] = f"Bearer {login.token}"
        elif login.name and login.password is not None and self._hosts.may_know_password(url):
            return HTTPBasicAuth(login.name, login.password)(request)
        return request


class Archive:
    """A session with the archive."""

    def __init__(
        self, login: Login, hosts: Hosts | None = None, patience: Patience = PATIENCE
    ) -> None:
        """Begin a session.

        Args:
            login: who asks.
            hosts: which are told the login; those of NASA if not given.
            patience: how long to wait for them.
        """
        auth = EarthdataAuth(login, hosts or Hosts())
        self._session = DownloadSession(patience=patience, login=auth)

    def fetch(self, url: str, path: Path, progress: Progress | None = None) -> Path:
        """Fetch a granule, or the rest of it; what is whole here already is not asked for.

        Args:
            url: where it lies.
            path: where it shall stand; it appears when it is whole. What came of an unfinished one
                waits beside it, in `.part`. Two runs that fetch it wait for one another.
            progress: told the bytes that are here and, where the server tells them, all bytes.

        Raises:
            CredentialsError: the login is refused.
            DownloadError: it does not come whole.
        """
        lock = path.with_name(f".{path.name}.lock")
        with alone(lock, path.name):
            if not path.is_file():
                self._fetch(url, path, progress)
            lock.unlink(missing_ok=True)  # the granule is here: nobody needs it any more
        return path

    def _fetch(self, url: str, path: Path, progress: Progress | None) -> None:
        part = Part(path=path.with_name(f"{path.name}.part"), url=url)
        try:
            transfer(part, self._session, progress)
            _check_beginning(part)
        except TransferError as fault:
            raise _refusal(path, fault) from fault
        part.finish(path)


def _check_beginning(part: Part) -> None:
    """Refuse a file that is no granule.

    Raises:
        WebPageError: it does not begin as HDF5 does; it is gone.
    """
    with part.path.open("rb") as file:
        begins = file.read(len(SIGNATURE))
    if begins != SIGNATURE:
        part.discard()
        msg = "it does not begin as HDF5 does"
        raise WebPageError(msg)


def _refusal(path: Path, fault: TransferError) -> GediError:
    """Return the error of a granule that did not come: one line that says what to do."""
    name = path.name
    if isinstance(fault, RefusedError) and fault.status in {401, 403}:
        return CredentialsError(
            f"NASA Earthdata refuses the login (HTTP {fault.status}): it may be outdated, or the "
            f"archive's application is not approved in the account; {HOW_TO_LOG_IN}"
        )
    if isinstance(fault, WebPageError):
        return CredentialsError(
            f"a page came instead of {name}, as where a login is asked: {HOW_TO_LOG_IN}"
        )
    if isinstance(fault, NoRoomError):
        return DownloadError(f"{name} does not fit ({fault}): make room in {path.parent}")
    if isinstance(fault, BrokenOffError):
        return DownloadError(f"{name} does not come ({fault}): try again later")
    return DownloadError(f"{name} cannot be fetched ({fault})")
