"""``canopy correct``: a height map corrected by footprints of space lidar, or by a network."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.console import print_json, print_lines, progress_bar, say, show_notes
from cli.correct_options import (  # noqa: TC001 - Typer reads the annotations
    FactorOptions,
    FootprintOptions,
    MapsOptions,
    NetworkOptions,
)
from cli.correct_words import by_footprints_in_words, by_network_in_words, written_in_words
from cli.option_groups import grouped, written
from cli.options import Speech  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.correction.correct import CorrectionReport
    from canopy.correction_network.correct import ByModelReport


@grouped
def correct_heights(
    context: typer.Context,
    maps: MapsOptions,
    shots: FootprintOptions,
    network: NetworkOptions,
    factors: FactorOptions,
    speech: Speech,
) -> None:
    """Correct HEIGHT.tif by footprints of space lidar, or by a network that learned from them.

    With --footprints a smooth field of factors is learned from footprints over the map, and judged
    on footprints kept aside. Without a sure gain, or with too few footprints, OUT.tif holds the
    same heights.

    With --model and --image a network predicts the same field from SCENE: nothing over the map
    judges it. Facts of SCENE that nobody tells have defaults, which the item names.

    Beside OUT.tif stand the field (.factor.tif), the report (.report.json, of footprints .report.md
    too), pictures (.factor.png, .preview.png, of footprints .scatter.png), a QGIS style (.qml) and
    a STAC item (.json).
    """
    show_notes(quiet=speech.quiet)
    refuse_mixed(context, network, shots)
    report: CorrectionReport | ByModelReport
    with progress_bar("correcting", quiet=speech.quiet, unit="steps") as progress:
        if network.model is not None:
            from canopy.correction_network.correct import (  # noqa: PLC0415 - help must not wait
                correct_by_model,
            )

            seen, image = network.settings(factors, maps), str(network.image)
            report = correct_by_model(
                maps.heights, network.model, image, maps.output, seen, progress
            )
            words = by_network_in_words(report.findings)
        else:
            from canopy.correction.correct import correct_map  # noqa: PLC0415

            settings, footprints = shots.settings(factors, maps), Path(str(shots.footprints))
            report = correct_map(maps.heights, footprints, maps.output, settings, progress)
            words = by_footprints_in_words(report.findings)
    if speech.as_json:
        print_json(report.findings | {"paths": [str(path) for path in report.files.all]})
    else:
        print_lines(words)
    if not speech.quiet:
        say(written_in_words(report))


def refuse_mixed(context: typer.Context, network: NetworkOptions, shots: FootprintOptions) -> None:
    """Refuse both ways of correcting together, neither, and options of the other one.

    Raises:
        BadParameter: as said.
    """
    by_network = network.model is not None
    if by_network == (shots.footprints is not None):
        msg = "expected --footprints FILE, or --model NAME with --image SCENE: one of both"
        raise typer.BadParameter(msg)
    if by_network and network.image is None:
        msg = f"--model {network.model} without --image: give the imagery that the map shows"
        raise typer.BadParameter(msg)
    way, other = ("--model", shots) if by_network else ("--footprints", network)
    given = [written(each.name) for each in fields(other) if was_given(context, each.name)]
    if given:
        msg = f"{', '.join(given)} with {way}: of no effect there, leave it out"
        raise typer.BadParameter(msg)


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
