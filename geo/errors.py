"""What can go wrong between files and the Earth; each message is one line."""

from __future__ import annotations


class GeoError(Exception):
    """Something geographic cannot be done: what was found, what was expected, what to do."""


class SceneError(GeoError):
    """Imagery cannot be opened, read or understood."""


class ConnectionLostError(SceneError):
    """Imagery on a server cannot be read just now; what was done is worth keeping."""


class GridError(GeoError):
    """A place on Earth cannot be put on a grid."""


class MapFileError(GeoError):
    """A height map cannot be written or validated."""


class ApartError(GeoError):
    """An image and heights share too little ground to be brought together."""


class OutputError(GeoError):
    """An output may not be written where it was asked for."""


class ResumeError(GeoError):
    """An unfinished map cannot be gone on with as it was asked."""


class StoreError(GeoError):
    """A folder or bucket for products cannot be used as it was named."""


class NoSuchProductError(StoreError):
    """A folder or bucket has no product of that name."""


class StoreDownError(StoreError):
    """A bucket does not answer just now; the same request may be met later."""


class BusyError(OutputError):
    """Another run is writing the same output."""
