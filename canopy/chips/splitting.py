"""Blocks of ground dealt to train, val and test, so that no ground is on two sides."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

from canopy.chips.settings import SPLITS
from canopy.chips.windows import near_pairs
from canopy.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from canopy.chips.settings import ChipSettings
    from canopy.chips.windows import ChipWindow

LEFT_OUT = ""
"""The split of windows too near to another split's."""


def deal(windows: Sequence[ChipWindow], settings: ChipSettings) -> list[str]:
    """Return the split of each window; an empty word for those that are left out.

    Plots that overlap, or lie nearer than the guard distance, stay together with the blocks that
    they lie in, as long as such a cluster is small; in ground that goes on and on, blocks are dealt
    one by one and training windows too near to another split's are left out.

    Raises:
        SettingsError: a split that was asked for got nothing.
    """
    near = near_pairs(windows, settings.guard_m).tolist()
    groups = clusters(windows, near, settings)
    split_of = deal_groups(groups, windows, settings)
    splits = [split_of[group] for group in groups]
    for first, second in near:
        ours, theirs = splits[first], splits[second]
        if ours != theirs and LEFT_OUT not in {ours, theirs}:
            # What is learned from gives way to what is judged by.
            loser = first if SPLITS.index(ours) < SPLITS.index(theirs) else second
            splits[loser] = LEFT_OUT
    for name, share in zip(SPLITS, settings.shares, strict=True):
        if share and name not in splits:
            msg = (
                f"no chip is left for {name}: {len(set(groups))} pieces of ground are too few or "
                f"too near for blocks of {settings.block_m:g} m and a guard of "
                f"{settings.guard_m:g} m, make them smaller or the share of {name} 0"
            )
            raise SettingsError(msg)
    return splits


def clusters(
    windows: Sequence[ChipWindow], near: Sequence[Sequence[int]], settings: ChipSettings
) -> list[int]:
    """Return the group of each window: small plots that are near each other, else its block."""
    largest = settings.block_m / settings.gsd_m
    parent = list(range(len(windows)))
    for first, second in near:
        ours, theirs = windows[first], windows[second]
        if ours.pair != theirs.pair or ours.block == theirs.block:
            parent[root(parent, second)] = root(parent, first)
    members = defaultdict(list)
    for index in range(len(windows)):
        members[root(parent, index)].append(index)
    numbers: dict[object, int] = {}
    groups = [0] * len(windows)
    for cluster, inside in members.items():
        area = sum(windows[index].height * windows[index].width for index in inside)
        whole = area <= largest**2
        for index in inside:
            key = ("cluster", cluster) if whole else ("block", windows[index].block)
            groups[index] = numbers.setdefault(key, len(numbers))
    return groups


def root(parent: list[int], index: int) -> int:
    """Return the representative of a cluster, halving the path on the way (Tarjan 1975)."""
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def deal_groups(
    groups: Sequence[int], windows: Sequence[ChipWindow], settings: ChipSettings
) -> Mapping[int, str]:
    """Return the split of each group: site by site, the largest first, to who lacks most."""
    areas: dict[int, float] = defaultdict(float)
    site_of: dict[int, str] = {}
    for group, window in zip(groups, windows, strict=True):
        areas[group] += window.area
        site_of.setdefault(group, window.site)
    total = sum(settings.shares)
    dealt: dict[int, str] = {}
    all_sites = dict.fromkeys(SPLITS, 0.0)
    for site in sorted(set(site_of.values())):
        here = sorted(group for group in areas if site_of[group] == site)
        random.Random(f"{settings.seed}/{site}").shuffle(here)  # noqa: S311 - no secret here
        here.sort(key=lambda group: -areas[group])
        filled, whole = dict.fromkeys(SPLITS, 0.0), sum(areas[group] for group in here)
        for group in here:
            wanted = {
                name: share / total * whole - filled[name]
                for name, share in zip(SPLITS, settings.shares, strict=True)
                if share
            }
            split = max(wanted, key=lambda name: (wanted[name], -all_sites[name]))
            dealt[group] = split
            filled[split] += areas[group]
            all_sites[split] += areas[group]
    return dealt
