"""Released models by name: what there is, under which licence, and how it gets into the cache."""

from canopy.zoo.cache import cached
from canopy.zoo.entries import ZOO, HttpFile, HubRepository, Shipped, ZooEntry, find_entry
from canopy.zoo.fetch import fetch
from canopy.zoo.hub import fetch_reference

__all__ = [
    "ZOO",
    "HttpFile",
    "HubRepository",
    "Shipped",
    "ZooEntry",
    "cached",
    "fetch",
    "fetch_reference",
    "find_entry",
]
