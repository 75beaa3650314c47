"""Hrefs that are signed when they are read, and never written: they expire, and they are keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geo.catalog.apis import api_of_host
from geo.catalog.errors import CatalogDownError, CatalogError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADVICE = "pip install 'canopy-height[planetary-computer]'"


def needs_signing(item: Mapping[str, Any]) -> bool:
    """Whether the files of an item are read through signed URLs.

    Args:
        item: a STAC item as JSON values; its links tell which API it came from.
    """
    links = (link for link in item.get("links", []) if link.get("rel") in {"self", "root"})
    apis = (api_of_host(str(link.get("href"))) for link in links)
    return any(api.signed for api in apis if api)


def signed_href(href: str) -> str:
    """Return an href as it can be read now; call it right before reading, and write it nowhere.

    Hrefs that lead elsewhere than to Azure's storage come back as they are. Tokens are asked for
    once per container, and kept in memory until they expire.

    Raises:
        CatalogError: the package that signs is not installed.
        CatalogDownError: no token was given.
    """
    refuse_missing_signer()
    import planetary_computer  # noqa: PLC0415 - an extra
    from requests import RequestException  # noqa: PLC0415 - slow

    try:
        return str(planetary_computer.sign(href))
    except RequestException as error:
        msg = f"no key for {href} ({error}): the Planetary Computer gave none, try again later"
        raise CatalogDownError(msg) from error


def refuse_missing_signer() -> None:
    """Refuse to sign where the package that does it is missing.

    Raises:
        CatalogError: it is.
    """
    try:
        import planetary_computer  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        missing = f"{error.name} is missing: {ADVICE}"
        msg = f"files of the Planetary Computer are read signed, and {missing}"
        raise CatalogError(msg) from error
