"""What can be wrong with GEDI granules, and with getting them; each message is one line."""

from __future__ import annotations

from importlib.util import find_spec

from geo.errors import GeoError


class GediError(GeoError):
    """Footprints cannot be made as they were asked for."""


class GranuleError(GediError):
    """A file cannot be read as a GEDI granule; other files may be."""


class CredentialsError(GediError):
    """NASA Earthdata asks for a login that was not given, or refuses the one that was."""


class DownloadError(GediError):
    """A granule does not come; the same request may be met later."""


def refuse_missing_reader() -> None:
    """Refuse to begin without the package that reads granules.

    Raises:
        GediError: it is not installed.
    """
    if find_spec("h5py") is None:
        msg = "GEDI granules are HDF5, which h5py reads: pip install 'canopy-height[gedi]'"
        raise GediError(msg)
