"""What can go wrong above the Earth and the tensors; each message is one line."""

from __future__ import annotations

from geo.errors import OutputError

__all__ = [
    "CanopyError",
    "FetchError",
    "ModelError",
    "OutputError",
    "RunError",
    "SettingsError",
]


class CanopyError(Exception):
    """A request that cannot be met: what was found, what was expected, what to do."""


class SettingsError(CanopyError):
    """An option has a value that makes no sense, alone or with another."""


class ModelError(CanopyError):
    """A model is unknown, broken or not what its card says."""


class FetchError(ModelError):
    """A model cannot be fetched: the network, the server or the file that came is to blame."""


class RunError(CanopyError):
    """The run began and could not finish."""
