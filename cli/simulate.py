"""``canopy simulate``: forests whose canopy heights are known exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import Speech  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from geo.simulation.worlds import WorldsRequest, WorldSummary


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Options about simulated worlds, as they were given."""

    worlds: Annotated[int, typer.Option(metavar="N", help="How many worlds.")] = 1
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="conifer, broadleaf, mixed, savanna, plantation, treeless or urban-edge; several "
            "are taken in turn, all stands for each of them.",
        ),
    ] = "mixed"
    size_m: Annotated[float, typer.Option(metavar="M", help="Side of a world [m].")] = 256.0
    gsd: Annotated[float, typer.Option(metavar="M", help="Side of a pixel [m].")] = 0.6
    sun_elevation: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="Height of the sun; the preset's by default."),
    ] = None
    overwrite: Annotated[bool, typer.Option(help="Replace worlds that stand in DIR.")] = False

    def request(self, output: Path, seed: int) -> WorldsRequest:
        """Return what is asked for."""
        from geo.simulation.worlds import WorldsRequest  # noqa: PLC0415 - help must not wait for it

        return WorldsRequest(
            output=output,
            seed=seed,
            worlds=self.worlds,
            presets=tuple(self.preset.split(",")),
            size_m=self.size_m,
            gsd_m=self.gsd,
            sun_elevation_deg=self.sun_elevation,
            overwrite=self.overwrite,
        )


@grouped
def simulate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A new folder for the worlds.")
    ],
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Number that all chance comes from: same N, same worlds."),
    ],
    options: WorldOptions,
    speech: Speech,
) -> None:
    """Simulate forests: imagery like an aerial photograph, and the exact truth.

    Each world is a folder with imagery, canopy height, ground and surface as GeoTIFF, laser points
    as LAZ, trees and GEDI-like footprints as GeoParquet, and a STAC item.
    """
    show_notes(quiet=speech.quiet)
    from geo.simulation.worlds import make_worlds  # noqa: PLC0415 - help must not wait for it

    with progress_bar("simulating", quiet=speech.quiet, unit="worlds") as progress:
        summaries = make_worlds(options.request(output, seed), progress)
    if not speech.quiet:
        for summary in summaries:
            announce(summary)
        say(f"written  {output}")
    if speech.as_json:
        worlds_made = [asdict(summary) for summary in summaries]
        print_json({"output": str(output), "seed": seed, "worlds": worlds_made})


def announce(world: WorldSummary) -> None:
    """Say what a world holds."""
    say(
        f"world    {world.name}: {world.pixels} x {world.pixels} px, {world.trees} trees, cover "
        f"{100 * world.cover:.0f} %, median {world.p50_m:.1f} m, highest {world.maximum_m:.1f} m"
    )
