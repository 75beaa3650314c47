"""``canopy correct``: a height map corrected by footprints of space lidar, or by a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, print_lines, progress_bar, say, show_notes
from cli.options import Debug, Quiet  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.correction.correct import CorrectionReport

BY_FOOTPRINTS = (
    "percentile", "rh", "resolution", "least_sensitivity", "filters", "full_power", "max_shift",
    "shift_step", "piece", "least_shots", "folds", "block", "seed",
)  # fmt: skip
BY_MODEL = ("image", "item", "sun_elevation", "off_nadir", "slope")
"""Options that mean something to one way of correcting alone, by the names of their parameters."""


def correct_heights(
    context: typer.Context,
    heights: Annotated[Path, typer.Argument(metavar="HEIGHT.tif", help="Height map in metres.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.tif", help="Where the map will stand.")
    ],
    footprints: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Footprints with relative heights: GeoParquet, CSV, ..."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR", help="Instead of footprints: a network of canopy train correction."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="SCENE", help="With --model: the imagery that the map shows."),
    ] = None,
    item: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --model: STAC item of SCENE, which tells sun and view."
        ),
    ] = None,
    sun_elevation: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="With --model: height of the sun over SCENE."),
    ] = None,
    off_nadir: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="With --model: how far from straight down SCENE looks."),
    ] = None,
    slope: Annotated[
        str | None,
        typer.Option(
            metavar="DEG|DTM.tif", help="With --model: slope of the ground, or its elevations [m]."
        ),
    ] = None,
    percentile: Annotated[
        float, typer.Option(metavar="P", help="Of the map, against the RH of the same rank.")
    ] = 98.0,
    rh: Annotated[
        str | None, typer.Option("--rh", metavar="COLUMN", help="Column of RH; rhP by default.")
    ] = None,
    resolution: Annotated[
        float, typer.Option(metavar="M", help="Side of a cell of the factor field.")
    ] = 50.0,
    bandwidth: Annotated[
        str,
        typer.Option(
            metavar="M", help="Of the field's kernel; auto: chosen on folds, 75 with --model."
        ),
    ] = "auto",
    limits: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Least and greatest factor.")
    ] = "0.5,2",
    keep_below: Annotated[
        float, typer.Option(metavar="M", help="Heights up to it stay; from 3 times it all change.")
    ] = 1.0,
    least_height: Annotated[
        float, typer.Option(metavar="M", help="Of RH and map together, for a shot to be used.")
    ] = 3.0,
    least_sensitivity: Annotated[
        float, typer.Option(metavar="S", help="Shots with less are left out.")
    ] = 0.9,
    filters: Annotated[
        bool, typer.Option(help="Leave shots out by quality, degrade flag and sensitivity.")
    ] = True,
    full_power: Annotated[
        bool, typer.Option("--full-power", help="Leave shots of coverage beams out.")
    ] = False,
    max_shift: Annotated[
        float, typer.Option(metavar="M", help="Farthest shift of a track; 0 moves none.")
    ] = 20.0,
    shift_step: Annotated[float, typer.Option(metavar="M", help="Step of that search.")] = 4.0,
    piece: Annotated[
        float, typer.Option(metavar="M", help="Length of a track that shares a shift.")
    ] = 5000.0,
    least_shots: Annotated[
        int, typer.Option(metavar="N", help="With fewer usable shots the map stays as it is.")
    ] = 30,
    least_change: Annotated[
        float, typer.Option(metavar="S", help="Mean change by which less is left as it is.")
    ] = 0.05,
    folds: Annotated[int, typer.Option(metavar="N", help="Folds of ground.")] = 5,
    block: Annotated[
        str, typer.Option(metavar="M", help="Side of blocks in a fold; auto: by gaps of shots.")
    ] = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed finds the same.")] = 0,
    stac: Annotated[bool, typer.Option(help="Write a STAC item, OUT.json.")] = True,
    preview: Annotated[bool, typer.Option(help="Draw the map before and after.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
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
    show_notes(quiet=quiet)
    refuse_mixed(context, footprints, model, image)
    if model is not None:
        from cli.correct_by_model import ByModelRequest, correct_with  # noqa: PLC0415

        choices = ByModelRequest(
            heights=heights, model=model, image=str(image), output=output, item=item,
            sun_elevation=sun_elevation, off_nadir=off_nadir, slope=slope,
            bandwidth=metres_or_auto("--bandwidth", bandwidth), limits=parse_limits(limits),
            keep_below=keep_below, least_height=least_height, stac=stac, preview=preview,
            overwrite=overwrite,
        )  # fmt: skip
        correct_with(choices, quiet=quiet, as_json=as_json)
        return
    from canopy.correction.correct import (  # noqa: PLC0415 - help must not wait for these
        correct_map,
    )
    from canopy.correction.settings import CorrectionSettings  # noqa: PLC0415

    settings = CorrectionSettings(
        percentile=percentile,
        rh_column=rh,
        filters=filters,
        least_sensitivity=least_sensitivity,
        full_power=full_power,
        least_height_m=least_height,
        keep_below_m=keep_below,
        limits=parse_limits(limits),
        resolution_m=resolution,
        bandwidth_m=metres_or_auto("--bandwidth", bandwidth),
        max_shift_m=max_shift,
        shift_step_m=shift_step,
        piece_m=piece,
        fewest=least_shots,
        least_change=least_change,
        folds=folds,
        block_m=metres_or_auto("--block", block),
        seed=seed,
        stac=stac,
        preview=preview,
        overwrite=overwrite,
    )
    with progress_bar("correcting", quiet=quiet, unit="steps") as progress:
        report = correct_map(heights, Path(str(footprints)), output, settings, progress)
    if as_json:
        print_json(report.findings | {"paths": [str(path) for path in report.files.all]})
    else:
        print_lines(in_words(report.findings))
    if not quiet:
        say(written_in_words(report))


def refuse_mixed(
    context: typer.Context, footprints: Path | None, model: str | None, image: str | None
) -> None:
    """Refuse both ways of correcting together, neither, and options of the other one.

    Raises:
        BadParameter: as said.
    """
    if (footprints is None) == (model is None):
        msg = "expected --footprints FILE, or --model NAME with --image SCENE: one of both"
        raise typer.BadParameter(msg)
    if model is not None and image is None:
        msg = f"--model {model} without --image: give the imagery that the map shows"
        raise typer.BadParameter(msg)
    other, way = (BY_FOOTPRINTS, "--model") if model is not None else (BY_MODEL, "--footprints")
    given = [name for name in other if was_given(context, name)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        msg = f"{names} with {way}: of no effect there, leave it out"
        raise typer.BadParameter(msg)


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_limits(text: str) -> tuple[float, float]:
    """Return the two factors of a text such as ``0.5,2``.

    Raises:
        BadParameter: it has others.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        msg = f"--limits {text}: expected least and greatest factor, such as 0.5,2"
        raise typer.BadParameter(msg) from error
    return low, high


def metres_or_auto(option: str, text: str) -> float | None:
    """Return the metres of a text, or None for ``auto``.

    Raises:
        BadParameter: it is neither.
    """
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError as error:
        msg = f"{option} {text}: expected auto, or metres"
        raise typer.BadParameter(msg) from error


def in_words(found: dict[str, Any]) -> dict[str, str]:
    """Return what was found, line by line."""
    shots, tracks, field, aside = (found[k] for k in ("shots", "tracks", "field", "kept_aside"))
    left_out = ", ".join(f"{count} {reason}" for reason, count in shots["left_out"].items())
    lines = {
        "footprints": f"{shots['used']} used of {shots['read']}"
        + (f"; left out: {left_out}" if left_out else "")
    }
    if tracks["pieces"]:
        length = tracks["median_shift_m"]
        lines["tracks"] = (
            f"{tracks['believed']} of {tracks['pieces']} pieces moved on clear evidence"
            + (f", by {length:.0f} m in the median" if length is not None else "")
        )
    if aside and aside["before"]:
        lines |= {name: errors_in_words(aside[name]) for name in ("before", "after")}
    if found["applied"]:
        lines["factors"] = (
            f"{field['least']:.2f} to {field['greatest']:.2f}, median {field['median']:.2f}, "
            f"bandwidth {field['bandwidth_m']:g} m"
        )
    return lines | {"verdict": ("corrected: " if found["applied"] else "left unchanged: ")
                    + found["reason"]}  # fmt: skip


def errors_in_words(errors: dict[str, float | None]) -> str:
    """Return errors on footprints kept aside."""
    r2 = errors["r2"]
    return (
        f"MAE {errors['mae_m']:.2f} m, bias {errors['bias_m']:+.2f} m, "
        f"R2 {'undefined' if r2 is None else f'{r2:.2f}'} on footprints kept aside"
    )


def written_in_words(report: CorrectionReport) -> str:
    """Say what was written."""
    beside = ", ".join(path.name for path in report.files.all[:-1])
    same = "" if report.findings["applied"] else ", the heights unchanged"
    return f"written  {report.files.map}{same}; beside it {beside}"
