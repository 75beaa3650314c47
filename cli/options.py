"""Options that several commands take, and those that read a text the user wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

Number = TypeVar("Number", int, float)


class DeviceChoice(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class RadiometryChoice(StrEnum):
    """What is done to the colours of the imagery."""

    satellite = "satellite"
    aerial = "aerial"
    none = "none"


class EncodingChoice(StrEnum):
    """How heights are stored."""

    float32 = "float32"
    int16_cm = "int16-cm"
    uint8_m = "uint8-m"


class RegisterChoice(StrEnum):
    """What is done about shifts between images and heights."""

    off = "off"
    keep_unclear = "keep-unclear"
    drop_unclear = "drop-unclear"


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error arose.")]
"""Read in cli.app, before parsing can fail."""
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on standard output.")]
Stac = Annotated[bool, typer.Option(help="Write a STAC item, OUT.json.")]
Overwrite = Annotated[bool, typer.Option(help="Replace existing files.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed finds the same.")]
Device = Annotated[
    DeviceChoice, typer.Option(help="Where the model runs; auto takes CUDA if there is one.")
]
Encoding = Annotated[EncodingChoice, typer.Option(help="Metres, centimetres or whole metres.")]
Colours = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Network that matches aerial colours; chmv1-colours by default."
    ),
]

PAIRS_HELP = (
    "IMAGE=HEIGHTS; folders of plots (rgb.tif, image.tif or imagery.tif beside chm.tif or "
    "height.tif); or CSV tables (image, heights, and where known name and site). A plot without a "
    "name is called as its image, or as the folder of one that is called rgb, image or imagery."
)


@dataclass(frozen=True, kw_only=True)
class Speech:
    """How a command speaks: the last options of nearly all of them."""

    as_json: AsJson = False
    quiet: Quiet = False
    debug: Debug = False


def numbers_in(
    option: str,
    text: str,
    expected: str,
    *,
    kind: Callable[[str], Number],
    count: int | None = None,
) -> tuple[Number, ...]:
    """Return the numbers of a text such as ``0.5,2``.

    Args:
        option: what the user wrote before it.
        text: what the user wrote.
        expected: what an error says was expected.
        kind: int or float.
        count: how many there must be; None for any.

    Raises:
        BadParameter: it has others.
    """
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or count not in {None, len(numbers)}:
        msg = f"{option} {text}: expected {expected}"
        raise typer.BadParameter(msg)
    return numbers


def number_or_auto(
    option: str, text: str, expected: str, kind: Callable[[str], Number]
) -> Number | None:
    """Return the number of a text, or None for ``auto``.

    Raises:
        BadParameter: it is neither.
    """
    if text == "auto":
        return None
    return numbers_in(option, text, f"auto, or {expected}", kind=kind, count=1)[0]


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """Return the bands of a text such as ``3,2,1``.

    Raises:
        BadParameter: it is none.
    """
    if text is None:
        return None
    expected = "three band numbers, red, green and blue, such as 3,2,1"
    return numbers_in("--bands", text, expected, kind=int)


def parse_three(
    option: str, text: str | None, meaning: str = "of red, green and blue in [0, 1]"
) -> tuple[float, float, float] | None:
    """Return the three numbers of a text such as ``0.420,0.411,0.296``.

    Args:
        option: what the user wrote before it.
        text: what the user wrote.
        meaning: what the numbers are, said where there are others.

    Raises:
        BadParameter: it has others.
    """
    if text is None:
        return None
    first, second, third = numbers_in(
        option, text, f"three numbers, {meaning}", kind=float, count=3
    )
    return first, second, third


def parse_date(option: str, text: str | None) -> datetime | None:
    """Return the moment of a text such as 2022-06-01 or 2022-06-01T10:30, UTC unless it says else.

    Raises:
        BadParameter: it is none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option} {text}: expected a date such as 2022-06-01"
        raise typer.BadParameter(msg) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_stretch(text: str) -> Literal["auto", "none"] | tuple[float, float]:
    """Return the stretch of a text: ``auto``, ``none`` or two numbers such as ``0,3000``.

    Raises:
        BadParameter: it is neither.
    """
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    expected = "auto, none, or two values such as 0,3000"
    low, high = numbers_in("--stretch", text, expected, kind=float, count=2)
    return low, high
