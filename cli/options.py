"""Options that several commands take, and those that read a text the user wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error arose.")]
"""Read in cli.app, before parsing can fail."""
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on standard output.")]
Overwrite = Annotated[bool, typer.Option(help="Replace existing files.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed finds the same.")]
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


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """Return the bands of a text such as ``3,2,1``.

    Raises:
        BadParameter: it is none.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--bands {text}: expected three band numbers, red, green and blue, such as 3,2,1"
        raise typer.BadParameter(msg) from error


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
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"{option} {text}: expected three numbers, {meaning}"
        raise typer.BadParameter(msg) from error
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


def parse_batch(text: str) -> int | None:
    """Return the batch of a text: a number, or None for ``auto``.

    Raises:
        BadParameter: it is neither.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        msg = f"--batch {text}: expected auto, or a number of tiles"
        raise typer.BadParameter(msg) from error


def parse_stretch(text: str) -> Literal["auto", "none"] | tuple[float, float]:
    """Return the stretch of a text: ``auto``, ``none`` or two numbers such as ``0,3000``.

    Raises:
        BadParameter: it is neither.
    """
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--stretch {text}: expected auto, none, or two values such as 0,3000"
        raise typer.BadParameter(msg) from error
    return low, high
