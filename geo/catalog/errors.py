"""What can go wrong between a catalog and an area; each message is one line."""

from __future__ import annotations

from geo.errors import GeoError


class CatalogError(GeoError):
    """A catalog cannot answer what was asked, or was asked what makes no sense."""


class CatalogDownError(CatalogError):
    """A catalog does not answer just now; the same request may be met later."""


class NothingFoundError(CatalogError):
    """A catalog has nothing that was asked for; the message says what to relax."""


class UntrustedHrefError(CatalogError):
    """A catalog points at a place that one from there may not point at."""
