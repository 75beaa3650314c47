"""``canopy map``: a scene in, a canopy height map out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import download_bar, print_json, progress_bar, say, say_heights, show_notes
from cli.options import (
    Colours,
    Debug,
    Quiet,
    parse_bands,
    parse_batch,
    parse_stretch,
    parse_three,
)

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


class RadiometryChoice(StrEnum):
    """What is done to the colours of the imagery."""

    satellite = "satellite"
    aerial = "aerial"
    none = "none"


class PrecisionChoice(StrEnum):
    """What the model computes in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


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
        str,
        typer.Option(
            metavar="NAME|PATH|hf:REPO[@REVISION]",
            help="Height model: a name of `canopy models list`, a folder, a released file, or a "
            "repository on the Hugging Face Hub.",
        ),
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
    radiometry: Annotated[
        RadiometryChoice,
        typer.Option(
            help="satellite: pixels get the model's mean and std; aerial: first their colours are "
            "matched to satellite images; none: the model sees pixels as they are."
        ),
    ] = RadiometryChoice.satellite,
    colours: Colours = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Mean of pixels in [0, 1]; the model's by default."),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Their standard deviation; the model's by default."),
    ] = None,
    grid: Annotated[
        GridChoice,
        typer.Option(help="Pixels of the map: the model's, in metres, or the scene's own."),
    ] = GridChoice.model,
    resolution: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of the map's pixels [m]; the model's by default."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Side of a tile; the model's choice by default."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Least overlap of tiles; the model's choice by default."),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(metavar="N|auto", help="Tiles at once; auto: what the device has room for."),
    ] = "auto",
    device: Annotated[
        DeviceChoice, typer.Option(help="Where the model runs; auto takes CUDA if there is one.")
    ] = DeviceChoice.auto,
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            help="auto: float32 on a CPU; on CUDA float16, if heights stay within 0.05 m in the "
            "mean."
        ),
    ] = PrecisionChoice.auto,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the model first: for long runs.")
    ] = False,
    encoding: Annotated[
        EncodingChoice, typer.Option(help="Metres, centimetres or whole metres.")
    ] = EncodingChoice.float32,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL",
            help="Add the ends of an interval as bands 2 and 3: 0.9 shall hold nine in ten true "
            "heights.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What intervals rest on, of `canopy calibrate`; the model's own by default.",
        ),
    ] = None,
    preview: Annotated[bool, typer.Option(help="Draw image and map into OUT.preview.png.")] = True,
    stac: Annotated[bool, typer.Option(help="Write a STAC item, OUT.json.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing map.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on from an interrupted run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Map the canopy height of SCENE into a cloud-optimized GeoTIFF.

    Beside it stand a QGIS style (.qml), a picture (.preview.png) and a STAC item (.json).
    """
    show_notes(quiet=quiet)
    from canopy.map_settings import MapSettings  # noqa: PLC0415 - help must not wait for torch
    from canopy.mapping import check_request  # noqa: PLC0415
    from canopy.weights import is_here  # noqa: PLC0415

    settings = MapSettings(
        bands=parse_bands(bands),
        pixel_size_m=pixel_size,
        stretch=parse_stretch(stretch),
        radiometry=radiometry.value,
        colours=colours,
        mean=parse_three("--mean", mean),
        std=parse_three("--std", std),
        grid=grid.value,
        resolution_m=resolution,
        tile_px=tile,
        overlap_px=overlap,
        batch=parse_batch(batch),
        precision=precision.value,
        compiled=compile_,
        encoding=encoding.value,
        interval=interval,
        calibration=calibration,
        preview=preview,
        stac=stac,
        overwrite=overwrite,
        resume=resume,
    )
    if missing := [name for name in (model, *colour_models(settings)) if not is_here(name)]:
        check_request(scene, output, model=model, settings=settings)
        bring_models(missing, fetches=not dry_run, quiet=quiet)
    if dry_run:
        summary = plan_only(scene, output, model, device.value, settings, quiet=quiet)
    else:
        summary = run(scene, output, model, device.value, settings, quiet=quiet)
    if as_json:
        print_json(summary)


def colour_models(settings: MapSettings) -> list[str]:
    """Return the name of the colour-matching network, where a map needs the one of the zoo."""
    from canopy.weights import COLOURS  # noqa: PLC0415 - help must not wait for torch

    return [COLOURS] if settings.radiometry == "aerial" and settings.colours is None else []


def bring_models(names: list[str], *, fetches: bool, quiet: bool) -> None:
    """Fetch models that are not on this machine, and show how it goes on.

    Raises:
        ModelError: one cannot be fetched, or nothing shall be fetched.
    """
    from canopy.errors import ModelError  # noqa: PLC0415 - help must not wait for torch
    from canopy.weights import find_model  # noqa: PLC0415

    for name in names:
        if not fetches:
            msg = (
                f"{name} is not on this machine, and a dry run fetches nothing: "
                f"canopy models fetch {name}"
            )
            raise ModelError(msg)
        with download_bar(name, quiet=quiet) as progress:
            find_model(name, progress=progress)


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
    if plan.interval:
        made = plan.interval.calibration
        say(f"interval {plan.interval.title}, calibrated on {made.plots} plots: {made.data}")
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
    crs = grid.crs.to_string() if grid.crs else "no CRS"
    say(f"map      {report.map}: {grid.width} x {grid.height} px, {crs}")
    say_heights(heights, none="the scene has no valid pixel")
    if (interval := report.interval) and report.heights.valid_percent:
        say(
            f"interval {100 * interval.level:g} %: {interval.lower.mean_m:.1f} to "
            f"{interval.upper.mean_m:.1f} m in the mean, calibrated on {interval.calibration}"
        )
    beside = [path.name for path in (report.style, report.preview, report.item) if path]
    say(f"beside   {', '.join(beside)}")
    say(
        f"run      {report.seconds:.1f} s, {report.tiles_run} tiles, "
        f"{report.tiles_skipped} without data skipped, {report.tiles_resumed} kept from before"
    )
    card = report.model
    say(f"model    {card.name} {card.version}{f': {card.notice}' if card.notice else ''}")
