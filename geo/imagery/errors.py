"""What can go wrong with many images of one region; each message is one line."""

from __future__ import annotations

from geo.errors import GeoError


class PreferenceError(GeoError):
    """Images are preferred by something that is no preference."""


class NoImagesError(GeoError):
    """There is no image that can be read; the message says why."""
