"""Why a file did not come; whoever asked for it adds its name and what to do."""

from __future__ import annotations

from geo.errors import GeoError


class TransferError(GeoError):
    """The file did not come; the message says what the server or the network did."""


class NoRoomError(TransferError):
    """The disk has too little room for the file."""


class WebPageError(TransferError):
    """A web page came instead of the file."""


class RefusedError(TransferError):
    """The server gives no file.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the message and the status."""
        super().__init__(message)
        self.status = status


class BrokenOffError(TransferError):
    """The file did not come whole; another try may bring the rest.

    Attributes:
        passing: whether another try is worth it even when not one byte came.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        """Keep the message and whether the fault is a passing one."""
        super().__init__(message)
        self.passing = passing
