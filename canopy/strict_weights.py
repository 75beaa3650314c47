"""Weights into a network: every name and shape must be the network's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def key_differences(found: Sequence[str], expected: Sequence[str], most: int = 3) -> str:
    """Say which names of tensors are missing or too many, a few of each."""
    missing = sorted(set(expected) - set(found))[:most]
    extra = sorted(set(found) - set(expected))[:most]
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts)
