"""Names of products in a store: relative, plain, and never leading out of it."""

from __future__ import annotations

import re

from geo.errors import StoreError

_PART = re.compile(r"[^\s./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")


def checked_name(name: str) -> str:
    """Return a name if it is one of a product.

    Args:
        name: parts with ``/`` between them; none may be empty or begin with a dot, so that no name
            leads out of the store or at what a store hides.

    Raises:
        StoreError: it is none.
    """
    if all(_PART.fullmatch(part) for part in name.split("/")):
        return name
    msg = f"product {name!r}: expected a relative name such as cells/ID/height.tif"
    raise StoreError(msg)


def checked_prefix(prefix: str) -> str:
    """Return a folder of names, ``cells/ID``, without slashes at its ends; "" is all of them.

    Raises:
        StoreError: it leads out of the store.
    """
    bare = prefix.rstrip("/")
    return checked_name(bare) if bare else ""
