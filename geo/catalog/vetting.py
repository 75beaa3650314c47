"""Items as they may be kept: hrefs whole, without keys, and none that points where it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geo.catalog.errors import UntrustedHrefError
from geo.catalog.trust import trusted_href
from geo.hrefs import source_href


def vetted(
    item: dict[str, Any], catalog: str, refused: list[str], *, allow_local: bool = False
) -> dict[str, Any]:
    """Return an item whose hrefs can be kept and later be read.

    Args:
        item: a STAC item as JSON values.
        catalog: where it came from: a URL, or a local path.
        refused: gets a message for each asset that is left out.
        allow_local: keep hrefs wherever they point.

    Returns:
        The item with whole hrefs: assets and links that point where a catalog from there may not
        are gone, and so are user names and signatures in URLs.
    """
    rule = _Rule(catalog=catalog, base=None, allow_local=allow_local)
    links = _dicts(item.get("links"))
    own = next((link for link in links if link.get("rel") == "self"), {})
    document = rule.in_full(own, [])
    rule = _Rule(
        catalog=catalog, base=document["href"] if document else None, allow_local=allow_local
    )
    assets = item.get("assets")
    messages: list[str] = []
    kept = {
        name: rule.in_full(asset, messages)
        for name, asset in (assets.items() if isinstance(assets, dict) else ())
        if isinstance(asset, dict)
    }
    refused += [f"{item.get('id')}: {message}" for message in messages]
    return item | {
        "assets": {name: asset for name, asset in kept.items() if asset},
        "links": [link for link in (rule.in_full(link, []) for link in links) if link],
    }


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What the hrefs of one document may be; see `trusted_href`."""

    catalog: str
    base: str | None
    allow_local: bool

    def in_full(self, entry: dict[str, Any], refused: list[str]) -> dict[str, Any] | None:
        """Return an asset or a link with a whole href without keys; None where it is refused."""
        href = entry.get("href")
        if not isinstance(href, str):
            return None
        try:
            whole = trusted_href(
                href, catalog=self.catalog, base=self.base, allow_local=self.allow_local
            )
        except UntrustedHrefError as error:
            refused.append(str(error))
            return None
        return entry | {"href": source_href(whole, ".") if "://" in whole else whole}


def _dicts(values: object) -> list[dict[str, Any]]:
    """Return the objects of a list of JSON values."""
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )
