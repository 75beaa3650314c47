"""What can be wrong with points and surfaces."""

from __future__ import annotations

from geo.errors import GeoError


class LidarError(GeoError):
    """Points or surfaces cannot be read, understood or brought together."""
