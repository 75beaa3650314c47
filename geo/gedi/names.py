"""What the name of a GEDI file tells: product, orbit, version."""

from __future__ import annotations

import re
from dataclasses import dataclass

HDF5_SUFFIXES = {".h5", ".hdf5", ".he5"}

PRODUCTS = {"A": "L2A", "B": "L2B"}

# GEDI02_A_2019108080338_O01964_T05337_02_001_01 (version 1: a whole orbit in a file) and
# GEDI02_A_2020146180335_O08222_02_T03349_02_003_01_V002 (version 2: four files an orbit).
_NAME = re.compile(
    r"GEDI02_(?P<product>[AB])_(?P<start>\d{13})_(?P<orbit>O\d{5})(?:_(?P<part>\d{2}))?"
    r"_(?P<track>T\d{5})(?:_\d{2,3}){3}(?:_V(?P<version>\d{3}))?"
)
_OTHER = re.compile(r"GEDI(?:01_|03_|04_|_L[34])")


@dataclass(frozen=True, kw_only=True)
class GranuleName:
    """What a name tells.

    Attributes:
        product: ``L2A`` or ``L2B``.
        ground: what files of the same shots share: start, orbit, part of the orbit, track.
        version: of the product, 1 or 2; later ones as they come.
        text: the name as the archive writes it, without suffix.
    """

    product: str
    ground: tuple[str, str, str, str]
    version: int
    text: str


def parse_name(name: str) -> GranuleName | None:
    """Return what a file's name tells; None where it is not one that the archive gives.

    Text before and after it, such as ``processed_`` and ``_sub``, is passed over.
    """
    found = _NAME.search(name)
    if not found:
        return None
    part = found["part"] or ""
    version = int(found["version"]) if found["version"] else (2 if part else 1)
    return GranuleName(
        product=PRODUCTS[found["product"]],
        ground=(found["start"], found["orbit"], part, found["track"]),
        version=version,
        text=found[0],
    )


def is_another_product(name: str) -> bool:
    """Whether a name is that of a GEDI product that has no footprints of level 2."""
    return bool(_OTHER.search(name)) and parse_name(name) is None
