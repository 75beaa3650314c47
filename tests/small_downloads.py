"""A small file to fetch, and a user without patience."""

from __future__ import annotations

import numpy as np

from geo.downloads.session import Patience

SOON = Patience(connect_s=2, read_s=0.3, tries=2, pause_s=0.01)
PIECE = 2**17
BODY = b"PK\x03\x04" + np.random.default_rng(7).bytes(6 * PIECE + 1234)
HALF = 3 * PIECE
