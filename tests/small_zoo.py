"""An entry of the zoo for one small file, and a user without patience."""

from __future__ import annotations

import numpy as np

from canopy.zoo import HttpFile, ZooEntry
from canopy.zoo.transfer import CHUNK_BYTES, Patience

SOON = Patience(connect_s=2, read_s=0.3, tries=2, pause_s=0.01)
BODY = b"PK\x03\x04" + np.random.default_rng(7).bytes(6 * CHUNK_BYTES + 1234)


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
