"""Where everything stands on the page of a preview, in pixels from its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass

PAGE = (1600, 900)
"""Largest width and height of the page [px]."""

SMALLEST = (800, 420)
"""Smallest width and height of the page, so that the words find room [px]."""

MARGIN = 40
TITLE = 92  # from the top of the page to the first panel, with the panel's heading
GAP = 44  # between panels side by side, and over the heading of the lower one
ROW_SPACE = 14  # between a panel and the row of signs
SIGNS = 44  # height of the row with the scale bar
CAPTION = 50  # from the row of signs to the bottom of the page
BAR = 22  # thickness of the colour bar
LYING_BAR = 460  # greatest length of the colour bar under a wide map
BAR_SPACE = 120  # from the map to the right margin, with the bar and its numbers
SIGNS_ROOM = 360  # widest row of signs: scale bar, arrow, sign of missing data


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle on the page [px, from the upper left]."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A page.

    Attributes:
        width: of the page [px].
        height: of the page [px].
        margin: left and right of everything [px].
        side_by_side: whether image and map stand side by side, else one over the other.
        image: panel of the image.
        map: panel of the map.
        colour_bar: the bar itself; its numbers are to the right of it or under it.
        signs: row for the scale bar, the arrow to the north and the sign of missing data.
        scale_bar_px: the most that the scale bar may take.
    """

    width: int
    height: int
    margin: int
    side_by_side: bool
    image: Box
    map: Box
    colour_bar: Box
    signs: Box
    scale_bar_px: float

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return a place on the page as matplotlib counts: fractions of it, from the lower left."""
        return x / self.width, 1 - y / self.height

    def fractions(self, box: Box) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a box in fractions of the page."""
        left, bottom = self.point(box.left, box.top + box.height)
        return left, bottom, box.width / self.width, box.height / self.height


def lay_out(ground_m: tuple[float, float]) -> Layout:
    """Choose the arrangement that shows the ground larger, and the page that just holds it.

    Args:
        ground_m: Width and height of the pictured ground; only their ratio counts.

    Returns:
        The layout; its panels have the ratio of the ground, unless that is thinner than a line.
    """
    beside = _fitted(ground_m, _beside_room())
    stacked = _fitted(ground_m, _stacked_room())
    if beside[0] * beside[1] >= stacked[0] * stacked[1]:
        return _side_by_side(*beside)
    return _one_over_other(*stacked)


def _beside_room() -> tuple[float, float]:
    """Return the most that a panel may take when two stand side by side."""
    width = (PAGE[0] - 2 * MARGIN - GAP - BAR_SPACE) / 2
    return width, PAGE[1] - TITLE - ROW_SPACE - SIGNS - CAPTION


def _stacked_room() -> tuple[float, float]:
    """Return the most that a panel may take when one stands over the other."""
    height = (PAGE[1] - TITLE - GAP - ROW_SPACE - 2 * SIGNS - CAPTION) / 2
    return PAGE[0] - 2 * MARGIN, height


def _fitted(ground_m: tuple[float, float], room: tuple[float, float]) -> tuple[float, float]:
    """Return the largest panel of the ground's ratio; a side under 40 px is drawn as 40 px."""
    scale = min(room[0] / ground_m[0], room[1] / ground_m[1])
    return max(40.0, ground_m[0] * scale), max(40.0, ground_m[1] * scale)


def _side_by_side(panel_width: float, panel_height: float) -> Layout:
    """Lay out two panels with an upright colour bar at the right."""
    content = 2 * panel_width + GAP + BAR_SPACE
    width = max(SMALLEST[0], round(content) + 2 * MARGIN)
    left = (width - content) / 2
    image = Box(left=left, top=TITLE, width=panel_width, height=panel_height)
    beside = Box(left=left + panel_width + GAP, top=TITLE, width=panel_width, height=panel_height)
    return Layout(
        width=width,
        height=max(SMALLEST[1], round(TITLE + panel_height + ROW_SPACE + SIGNS + CAPTION)),
        margin=MARGIN,
        side_by_side=True,
        image=image,
        map=beside,
        colour_bar=Box(
            left=beside.left + panel_width + 24, top=TITLE, width=BAR, height=panel_height
        ),
        signs=Box(
            left=beside.left, top=TITLE + panel_height + ROW_SPACE, width=SIGNS_ROOM, height=SIGNS
        ),
        scale_bar_px=min(160.0, panel_width),
    )


def _one_over_other(panel_width: float, panel_height: float) -> Layout:
    """Lay out the image over the map, with a lying colour bar under them."""
    width = max(SMALLEST[0], round(panel_width) + 2 * MARGIN)
    left = (width - panel_width) / 2
    image = Box(left=left, top=TITLE, width=panel_width, height=panel_height)
    below = Box(left=left, top=TITLE + panel_height + GAP, width=panel_width, height=panel_height)
    row = below.top + panel_height + ROW_SPACE
    bar = min(LYING_BAR, panel_width - SIGNS_ROOM - GAP / 2)
    return Layout(
        width=width,
        height=max(SMALLEST[1], round(row + 2 * SIGNS + CAPTION)),
        margin=MARGIN,
        side_by_side=False,
        image=image,
        map=below,
        colour_bar=Box(left=width - left - bar, top=row + 4, width=bar, height=BAR * 0.75),
        signs=Box(left=left, top=row, width=SIGNS_ROOM, height=SIGNS),
        scale_bar_px=min(160.0, panel_width),
    )
