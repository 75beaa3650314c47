"""An entry of the zoo for one small file."""

from __future__ import annotations

from small_downloads import BODY

from canopy.zoo import HttpFile, ZooEntry


def entry_of(url, *, sha256=None, **choices):
    """Return an entry of the zoo for one file."""
    facts = {
        "name": "chm-test",
        "summary": "For tests.",
        "licence": "Apache-2.0",
        "licence_url": "https://example.org/licence",
        "imagery": "satellite",
        "parameters": 1,
        "approximate_bytes": len(BODY),
        "source": HttpFile(url=url, file_name="weights.pth", sha256=sha256),
    }
    return ZooEntry(**(facts | choices))
