"""``canopy map``: a scene in, a canopy height map out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.options import parse_bands, parse_stretch

if TYPE_CHECKING:
    from canopy.map_report import MapReport
    from canopy.map_settings import MapSettings
    from canopy.mapping import MapJob


class GridChoice(StrEnum):
    """Which pixels the map has."""

    model = "model"
    scene = "scene"


class DeviceChoice(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EncodingChoice(StrEnum):
    """How heights are stored."""

    float32 = "float32"
    int16_cm = "int16-cm"
    uint8_m = "uint8-m"


def map_scene(
    scene: Annotated[
        str, typer.Argument(metavar="SCENE", help="Imagery: a file, or an http(s), s3 or gs URL.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.tif", help="Where the map will stand.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Height model: a name, a folder, or hf:REPO.")
    ] = "canopy-tiny",
    bands: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Bands that are red, green and blue, such as 3,2,1."),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of a pixel [m], for a scene without georeference."),
    ] = None,
    stretch: Annotated[
        str,
        typer.Option(
            metavar="auto|none|LOW,HIGH",
            help="Pixel values that become black and white; auto: uint8 as it is, else the 2nd "
            "to 98th percentile of the whole scene.",
        ),
    ] = "auto",
    grid: Annotated[
        GridChoice,
        typer.Option(help="Pixels of the map: the model's, in metres, or the scene's own."),
    ] = GridChoice.model,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of the map's pixels [m]; the model's by default."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Least overlap of tiles; the model's choice by default."),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Tiles predicted at once.")] = 4,
    device: Annotated[
        DeviceChoice, typer.Option(help="Where the model runs; auto takes CUDA if there is one.")
    ] = DeviceChoice.auto,
    encoding: Annotated[
        EncodingChoice, typer.Option(help="Metres, centimetres or whole metres.")
    ] = EncodingChoice.float32,
    preview: Annotated[bool, typer.Option(help="Draw image and map into OUT.preview.png.")] = True,
    stac: Annotated[bool, typer.Option(help="Write a STAC item, OUT.json.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing map.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on from an interrupted run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.")] = False,
    debug: Annotated[  # noqa: ARG001 - read in cli.app, before parsing can fail
        bool, typer.Option("--debug", help="Show where an error arose.")
    ] = False,
) -> None:
    """Map the canopy height of SCENE into a cloud-optimized GeoTIFF.

    Beside it stand a QGIS style (.qml), a picture (.preview.png) and a STAC item (.json).
    """
    show_notes(quiet=quiet)
    from canopy.map_settings import MapSettings  # noqa: PLC0415 - help must not wait for torch

    settings = MapSettings(
        bands=parse_bands(bands),
        pixel_size_m=pixel_size,
        stretch=parse_stretch(stretch),
        grid=grid.value,
        resolution_m=resolution,
        overlap_px=overlap,
        batch=batch,
        encoding=encoding.value,
        preview=preview,
        stac=stac,
        overwrite=overwrite,
        resume=resume,
    )
    if dry_run:
        summary = plan_only(scene, output, model, device.value, settings, quiet=quiet)
    else:
        summary = run(scene, output, model, device.value, settings, quiet=quiet)
    if as_json:
        print_json(summary)


def plan_only(
    scene: str, output: Path, model: str, device: str, settings: MapSettings, *, quiet: bool
) -> dict[str, Any]:
    """Say what a run would do, and return it as JSON values."""
    from canopy.map_report import plan_as_json  # noqa: PLC0415 - help must not wait for torch
    from canopy.mapping import prepare_map  # noqa: PLC0415

    job = prepare_map(scene, output, model=model, settings=settings, device=device)
    if not quiet:
        announce(job)
    return plan_as_json(job.plan, job.model.card, job.outputs.files)


def announce(job: MapJob) -> None:
    """Say what a run would do."""
    plan, card = job.plan, job.model.card
    rows, columns = plan.out_grid.shape
    crs = plan.out_grid.crs.to_string() if plan.out_grid.crs else "no CRS"
    say(f"scene    {plan.scene.source}: {plan.scene.gsd_m:.3g} m pixels, {plan.scene.dtype}")
    say(f"map      {job.outputs.map}: {columns} x {rows} px of {plan.pixel_m:.3g} m, {crs}")
    say(f"model    {card.name} {card.version}, {plan.tiles.count} tiles")
    say("dry run: nothing was written")


def run(
    scene: str, output: Path, model: str, device: str, settings: MapSettings, *, quiet: bool
) -> dict[str, Any]:
    """Make the map, say what came of it, and return it as JSON values."""
    from canopy.mapping import map_heights  # noqa: PLC0415 - help must not wait for torch

    with progress_bar("mapping", quiet=quiet) as progress:
        report = map_heights(
            scene, output, model=model, settings=settings, device=device, progress=progress
        )
    if not quiet:
        summarise(report)
    return report.as_json()


def summarise(report: MapReport) -> None:
    """Say what a map holds and where its companions are."""
    heights, grid = report.heights, report.grid
    low, middle, high = (heights.percentiles_m[share] for share in (5, 50, 95))
    crs = grid.crs.to_string() if grid.crs else "no CRS"
    say(f"map      {report.map}: {grid.width} x {grid.height} px, {crs}")
    if heights.valid_percent:
        say(
            f"heights  mean {heights.mean_m:.1f} m, median {middle:.1f} m, 5 to 95 % "
            f"{low:.1f} to {high:.1f} m, highest {heights.maximum_m:.1f} m"
        )
    else:
        say("heights  none: the scene has no valid pixel")
    beside = [path.name for path in (report.style, report.preview, report.item) if path]
    say(f"beside   {', '.join(beside)}")
    say(
        f"run      {report.seconds:.1f} s, {report.tiles_run} tiles, "
        f"{report.tiles_skipped} without data skipped, {report.tiles_resumed} kept from before"
    )
    card = report.model
    say(f"model    {card.name} {card.version}{f': {card.notice}' if card.notice else ''}")
