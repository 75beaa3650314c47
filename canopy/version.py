"""The name of the software and its version, from its installed metadata."""

from importlib.metadata import PackageNotFoundError, version

SOFTWARE = "canopy-height"
"""The distribution, as items, files and reports name it."""

try:
    __version__ = version(SOFTWARE)
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
