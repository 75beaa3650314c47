"""Words and numbers of a preview: round lengths, and text that fits and can be drawn."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from matplotlib.font_manager import FontProperties, findfont, get_font

if TYPE_CHECKING:
    from matplotlib.text import Text

METRES_IN_KM = 1000
FEWEST_LETTERS = 8
TICK_STEPS_M = ((6, 1.0), (12, 2.0), (40, 5.0), (80, 10.0), (200, 20.0))
STEPS = (5.0, 2.0, 1.0)


def nice_length(limit_m: float) -> float:
    """Return the longest of 1, 2, 5, 10, 20, 50 ... [m] that is no longer than a limit [m]."""
    decade = 10.0 ** math.floor(math.log10(limit_m))
    return next((step * decade for step in STEPS if step * decade <= limit_m), decade)


def length_label(length_m: float) -> str:
    """Return a length with its unit: kilometres from one upward, centimetres below a metre."""
    if length_m >= METRES_IN_KM:
        return f"{length_m / METRES_IN_KM:g} km"
    return f"{length_m:g} m" if length_m >= 1 else f"{length_m * 100:g} cm"


def height_ticks(top_m: float) -> list[float]:
    """Return the heights to name beside the colours: a few round numbers from 0 upward [m]."""
    step = next((step for reach, step in TICK_STEPS_M if top_m <= reach), top_m / 5)
    return [count * step for count in range(int(top_m / step + 1e-9) + 1)]


@cache
def _known_letters() -> frozenset[int]:
    """Return the code points of the font, which need not be those of every script."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def drawable(text: str) -> str:
    """Return a text on one line, with a question mark for each letter that the font lacks."""
    known = _known_letters()
    return "".join(letter if ord(letter) in known else "?" for letter in " ".join(text.split()))


def shortened(text: Text, words: str, room_px: float) -> None:
    """Write words into a text, their middle left out where they would need more room [px]."""
    text.set(text=words, parse_math=False)
    while (width := text.get_window_extent().width) > room_px and len(words) > FEWEST_LETTERS + 1:
        keep = max(FEWEST_LETTERS, min(len(words) - 2, int(len(words) * room_px / width)))
        head = keep // 2
        words = f"{words[:head].rstrip('… ')}…{words[head - keep :].lstrip('… ')}"
        text.set_text(words)
