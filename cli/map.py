"""``canopy map``: a scene or an area in, canopy heights out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, show_notes
from cli.map_scene import MapRequest, map_one
from cli.options import (
    Colours,
    Debug,
    Quiet,
    parse_bands,
    parse_batch,
    parse_date,
    parse_stretch,
    parse_three,
)
from cli.region import RegionOptions, is_region, map_area, one_scene
from cli.region_options import API, AREA, COLLECTION, AllowLocal, Cloud, Datetime


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


def map_canopy(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.tif|DIR|s3://...",
            help="Where the map will stand: one file for a scene; a folder, or a bucket and a "
            "prefix, for an area in cells.",
        ),
    ],
    scene: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENE]",
            help="Imagery: a file, or an http(s), s3 or gs URL; or STAC: an item, a collection of "
            "items, a catalog, or a stac-geoparquet table.",
            show_default=False,
        ),
    ] = None,
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
        typer.Option(
            metavar="N|auto",
            help="Tiles at once, in each thread; auto: what the device has room for.",
        ),
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
    acquired: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="When the imagery was taken, for the STAC item; by default what its tags say.",
        ),
    ] = None,
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
    correction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="Correct the heights by a network of `canopy train correction`; none by default.",
        ),
    ] = None,
    preview: Annotated[bool, typer.Option(help="Draw image and map into OUT.preview.png.")] = True,
    stac: Annotated[bool, typer.Option(help="Write a STAC item, OUT.json.")] = True,
    area: Annotated[str | None, AREA] = None,
    api: Annotated[str | None, API] = None,
    collection: Annotated[str | None, COLLECTION] = None,
    datetime: Datetime = None,
    cloud: Cloud = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Most items of the API; 1000 by default.")
    ] = None,
    asset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME,NAME]",
            help="Asset with red, green and blue, or the three of them; found by default.",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="newest|cloud|nearest:DATE",
            help="Image that wins where several show the same ground; newest by default.",
        ),
    ] = None,
    allow_local: AllowLocal = False,
    cell: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Side of a cell, a power of two; 4096 by default."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes of a Dask cluster on this machine."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster that runs already."),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(metavar="N", help="Further tries of a cell that fails; 3 by default."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing map.")] = False,
    resume: Annotated[
        bool, typer.Option(help="Go on from an interrupted run; areas always do.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> int:
    """Map the canopy height of SCENE into a cloud-optimized GeoTIFF, or of an area in cells.

    Beside a map stand a QGIS style (.qml), a picture (.preview.png) and a STAC item (.json).

    With a folder or s3://bucket/prefix as output, cells of a fixed grid come out, each a COG with
    its dates and its STAC item, under a collection, a table of items, a mosaic and a report. The
    same command again makes what is missing or stale. Exit code 1 where cells failed.
    """
    show_notes(quiet=quiet)
    from canopy.mapping.settings import MapSettings  # noqa: PLC0415 - help must not wait for torch

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
        acquired=parse_date("--acquired", acquired),
        interval=interval,
        calibration=calibration,
        preview=preview,
        stac=stac,
        overwrite=overwrite,
        resume=resume,
    )
    options = RegionOptions(
        area=area,
        api=api,
        collection=collection,
        datetime=datetime,
        cloud=cloud,
        limit=limit,
        asset=asset,
        allow_local=allow_local,
        prefer=prefer,
        cell=cell,
        workers=workers,
        scheduler=scheduler,
        retries=retries,
    )
    request = MapRequest(
        model=model, device=device.value, settings=settings, quiet=quiet, correction=correction
    )
    if is_region(scene, output, options):
        summary, code = map_area(scene, output, options, request, dry_run=dry_run)
    else:
        named, request = one_scene(str(scene), options, request)
        summary, code = map_one(named, Path(output), request, dry_run=dry_run), 0
    if as_json:
        print_json(summary)
    return code
