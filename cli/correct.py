"""``canopy correct``: a height map corrected by footprints of space lidar, or by a network."""

from __future__ import annotations

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
from cli.option_groups import grouped, option_names
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
    if network.model is None:
        report = by_footprints(maps, shots, factors, quiet=speech.quiet)
        words = by_footprints_in_words(report.findings)
    else:
        report = by_network(maps, network, factors, quiet=speech.quiet)
        words = by_network_in_words(report.findings)
    if speech.as_json:
        print_json(report.findings | {"paths": [str(path) for path in report.files.all]})
    else:
        print_lines(words)
    if not speech.quiet:
        say(written_in_words(report))


def by_footprints(
    maps: MapsOptions, shots: FootprintOptions, factors: FactorOptions, *, quiet: bool
) -> CorrectionReport:
    """Correct a map by footprints over it."""
    from canopy.correction.correct import correct_map  # noqa: PLC0415 - help must not wait

    settings, footprints = shots.settings(factors, maps), Path(str(shots.footprints))
    with progress_bar("correcting", quiet=quiet, unit="steps") as progress:
        return correct_map(maps.heights, footprints, maps.output, settings, progress)


def by_network(
    maps: MapsOptions, network: NetworkOptions, factors: FactorOptions, *, quiet: bool
) -> ByModelReport:
    """Correct a map by what a network sees in its imagery."""
    from canopy.correction_network.correct import (  # noqa: PLC0415 - help must not wait
        correct_by_model,
    )

    settings, model, image = network.settings(factors, maps), str(network.model), str(network.image)
    with progress_bar("correcting", quiet=quiet, unit="steps") as progress:
        return correct_by_model(maps.heights, model, image, maps.output, settings, progress)


def refuse_mixed(context: typer.Context, network: NetworkOptions, shots: FootprintOptions) -> None:
    """Refuse both ways of correcting together, neither, and options of the other one.

    Raises:
        BadParameter: as said.
    """
    has_model = network.model is not None
    if has_model == (shots.footprints is not None):
        msg = "expected --footprints FILE, or --model NAME with --image SCENE: one of both"
        raise typer.BadParameter(msg)
    if has_model and network.image is None:
        msg = f"--model {network.model} without --image: give the imagery that the map shows"
        raise typer.BadParameter(msg)
    way, other = ("--model", shots) if has_model else ("--footprints", network)
    given = [name for field, name in option_names(other).items() if was_given(context, field)]
    if given:
        msg = f"{', '.join(given)} with {way}: of no effect there, leave it out"
        raise typer.BadParameter(msg)


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
