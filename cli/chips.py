"""``canopy chips``: pairs of imagery and lidar in, a set of chips to learn from out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import PAIRS_HELP, RegisterChoice, Speech, parse_three

if TYPE_CHECKING:
    from canopy.chips.settings import ChipSettings

SHARES = "the shares of train, val and test, such as 0.8,0.1,0.1"


@dataclass(frozen=True, kw_only=True)
class ChipOptions:
    """Options about a set of chips, as they were given."""

    gsd: Annotated[float, typer.Option(metavar="M", help="Pixel of the model.")] = 0.6
    tile: Annotated[int, typer.Option(metavar="PX", help="Side of a chip.")] = 256
    block: Annotated[
        float, typer.Option(metavar="M", help="Side of the blocks dealt to the splits.")
    ] = 500.0
    guard: Annotated[
        float, typer.Option(metavar="M", help="Least distance between chips of two splits.")
    ] = 50.0
    shares: Annotated[str, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the ground.")] = (
        "0.8,0.1,0.1"
    )
    least_known: Annotated[
        float, typer.Option(metavar="SHARE", help="Least share of a window that has lidar.")
    ] = 0.25
    collages: Annotated[
        bool, typer.Option(help="Put plots smaller than a chip together on one.")
    ] = True
    register: Annotated[
        RegisterChoice,
        typer.Option(
            help="Find the shift between image and heights of every pair, take it back where it is "
            "sure, and keep or drop the pairs where it is unclear."
        ),
    ] = RegisterChoice.off
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed deals the same.")] = 0

    def settings(self) -> ChipSettings:
        """Return what is chosen.

        Raises:
            BadParameter: an option is not written as expected.
            SettingsError: an option makes no sense.
        """
        from canopy.chips.settings import ChipSettings  # noqa: PLC0415 - help must not wait for it

        return ChipSettings(
            gsd_m=self.gsd,
            tile_px=self.tile,
            block_m=self.block,
            guard_m=self.guard,
            shares=parse_three("--shares", self.shares, SHARES) or ChipSettings.shares,
            least_known=self.least_known,
            collages=self.collages,
            register=self.register.value,
            seed=self.seed,
        )


@grouped
def cut_chips(
    pairs: Annotated[
        list[str],
        typer.Argument(metavar="PAIRS...", help=PAIRS_HELP),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="SET", help="Folder of the set.")
    ],
    *,
    options: ChipOptions,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing set.")] = False,
    speech: Speech,
) -> None:
    """Cut PAIRS into chips at the model's pixel, split by blocks of ground.

    The set holds an index (GeoParquet), files of many chips, and a data card with pictures.
    """
    show_notes(quiet=speech.quiet)
    from canopy.chips.card import card_as_json  # noqa: PLC0415 - help must not wait for torch
    from canopy.chips.making import make_chips  # noqa: PLC0415

    settings = options.settings()
    with progress_bar("cutting", quiet=speech.quiet, unit="readings") as progress:
        made = make_chips(pairs, output, settings, overwrite=overwrite, progress=progress)
    counts = card_as_json(made.index)
    if not speech.quiet:
        for split, sites in counts.items():
            words = ", ".join(f"{count} of {site}" for site, count in sites.items())
            say(f"{split:8} {sum(sites.values())} chips: {words}")
        say(f"card     {output / 'README.md'}")
    if speech.as_json:
        print_json({"path": str(output), "chips": counts})
