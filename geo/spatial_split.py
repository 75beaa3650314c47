"""Cut plots into folds by blocks of ground, so that no ground is on both sides of a split."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

Key = TypeVar("Key", bound="Hashable")


@dataclass(frozen=True, kw_only=True)
class PlotBox:
    """The ground that one plot covers.

    Attributes:
        site: Where the plot lies. Boxes of two sites are never compared: each may have its CRS.
        left: Western edge, in the units of the site's CRS (m for every metric CRS).
        bottom: Southern edge.
        right: Eastern edge.
        top: Northern edge.
    """

    site: str
    left: float
    bottom: float
    right: float
    top: float

    def __post_init__(self) -> None:
        """Refuse a box without ground.

        Raises:
            ValueError: If an edge lies on the wrong side of its opposite.
        """
        if self.left >= self.right or self.bottom >= self.top:
            found = f"found a plot box ({self.left}, {self.bottom}, {self.right}, {self.top})"
            message = f"{found}; expected left < right and bottom < top; check the order of edges"
            raise ValueError(message)

    @property
    def area(self) -> float:
        """Ground covered, in squared CRS units."""
        return (self.right - self.left) * (self.top - self.bottom)

    def is_near(self, other: PlotBox, guard: float) -> bool:
        """Whether two boxes of one site overlap or lie nearer than `guard` along both axes."""
        return (
            self.site == other.site
            and self.left < other.right + guard
            and other.left < self.right + guard
            and self.bottom < other.top + guard
            and other.bottom < self.top + guard
        )


def ground_blocks(boxes: Sequence[PlotBox], *, guard: float = 0.0) -> list[int]:
    """Group boxes that overlap, or lie within a guard distance, also through others in between.

    Args:
        boxes: The plots.
        guard: Distance in CRS units (m) under which two plots count as one piece of ground.

    Returns:
        The number of the block of each box, counted from 0 in order of first appearance.

    Raises:
        ValueError: If the guard distance is negative.
    """
    if guard < 0:
        message = f"found a guard distance of {guard}; expected 0 or more CRS units"
        raise ValueError(message)
    parent = list(range(len(boxes)))
    for later, box in enumerate(boxes):
        for earlier in range(later):
            if box.is_near(boxes[earlier], guard):
                parent[_root(parent, later)] = _root(parent, earlier)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(_root(parent, index), len(numbers)) for index in range(len(boxes))]


def spatial_folds(
    boxes: Sequence[PlotBox], *, folds: int = 5, guard: float = 0.0, seed: int = 0
) -> list[int]:
    """Deal blocks of ground into folds that hold about the same area of every site.

    Blocks of a site are dealt from the largest to the smallest, each to the fold that holds least
    of that site so far; the seed decides between equals. A site with fewer blocks than folds is
    absent from some.

    Args:
        boxes: The plots.
        folds: How many folds.
        guard: See `ground_blocks`.
        seed: Same seed, same folds.

    Returns:
        The fold of each box, from 0 to `folds - 1`. Boxes of one block share a fold.

    Raises:
        ValueError: If there are fewer blocks of ground than folds, or fewer than two folds.
    """
    blocks = ground_blocks(boxes, guard=guard)
    _check_fold_count(folds, len(set(blocks)))
    members = _members(blocks)
    fold_of_block: dict[int, int] = {}
    filled = [0.0] * folds
    for site in sorted({box.site for box in boxes}):
        areas = {
            block: sum(boxes[index].area for index in indices)
            for block, indices in members.items()
            if boxes[indices[0]].site == site
        }
        fold_of_block.update(_deal(areas, filled, random.Random(f"{seed}/{site}")))  # noqa: S311 - no secret here
        for block, area in areas.items():
            filled[fold_of_block[block]] += area
    return [fold_of_block[block] for block in blocks]


def leave_one_out(groups: Sequence[str]) -> dict[str, list[int]]:
    """Hold out one group (a site) at a time.

    Args:
        groups: The group of each item.

    Returns:
        For every group, in sorted order, the indices of the items held out with it.
    """
    return dict(sorted(_members(groups).items()))


def _root(parent: list[int], index: int) -> int:
    """Representative of a block, halving the path on the way (Tarjan 1975)."""
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _members(keys: Sequence[Key]) -> dict[Key, list[int]]:
    """Indices of the items of each key."""
    members: dict[Key, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        members[key].append(index)
    return dict(members)


def _deal(areas: dict[int, float], filled: Sequence[float], order: random.Random) -> dict[int, int]:
    """Give each block to the fold with the least area of this site, then of all sites."""
    of_site = [0.0] * len(filled)
    dealt: dict[int, int] = {}
    shuffled = sorted(areas)
    order.shuffle(shuffled)
    for block in sorted(shuffled, key=lambda block: -areas[block]):
        fold = min(
            range(len(filled)), key=lambda fold: (of_site[fold], filled[fold], order.random())
        )
        of_site[fold] += areas[block]
        dealt[block] = fold
    return dealt


def _check_fold_count(folds: int, blocks: int) -> None:
    """Refuse a number of folds that cannot be filled."""
    if folds < 2:  # noqa: PLR2004 - one fold leaves nothing to learn from
        message = f"found {folds} folds; expected at least 2"
        raise ValueError(message)
    if blocks < folds:
        found = f"found {blocks} separate blocks of ground for {folds} folds"
        message = f"{found}; expected as many at least; use fewer folds or a smaller guard"
        raise ValueError(message)
