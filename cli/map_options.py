"""What ``canopy map`` lets its user choose about a map."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from cli.map_scene import MapRequest
from cli.options import (
    Colours,
    Device,
    DeviceChoice,
    Encoding,
    EncodingChoice,
    RadiometryChoice,
    Stac,
    number_or_auto,
    parse_bands,
    parse_date,
    parse_stretch,
    parse_three,
)


class GridChoice(StrEnum):
    """Which pixels the map has."""

    model = "model"
    scene = "scene"


class PrecisionChoice(StrEnum):
    """What the model computes in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """Options about a map, as they were given."""

    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH|hf:REPO[@REVISION]",
            help="Height model: a name of `canopy models list`, a folder, a released file, or a "
            "repository on the Hugging Face Hub.",
        ),
    ] = "canopy-tiny"
    bands: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Bands that are red, green and blue, such as 3,2,1."),
    ] = None
    pixel_size: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of a pixel [m], for a scene without georeference."),
    ] = None
    stretch: Annotated[
        str,
        typer.Option(
            metavar="auto|none|LOW,HIGH",
            help="Pixel values that become black and white; auto: uint8 as it is, else the 2nd "
            "to 98th percentile of the whole scene.",
        ),
    ] = "auto"
    radiometry: Annotated[
        RadiometryChoice,
        typer.Option(
            help="satellite: pixels get the model's mean and std; aerial: first their colours are "
            "matched to satellite images; none: the model sees pixels as they are."
        ),
    ] = RadiometryChoice.satellite
    colours: Colours = None
    mean: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Mean of pixels in [0, 1]; the model's by default."),
    ] = None
    std: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="Their standard deviation; the model's by default."),
    ] = None
    grid: Annotated[
        GridChoice,
        typer.Option(help="Pixels of the map: the model's, in metres, or the scene's own."),
    ] = GridChoice.model
    resolution: Annotated[
        float | None,
        typer.Option(metavar="M", help="Side of the map's pixels [m]; the model's by default."),
    ] = None
    tile: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Side of a tile; the model's choice by default."),
    ] = None
    overlap: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Least overlap of tiles; the model's choice by default."),
    ] = None
    batch: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Tiles at once, in each thread; auto: what the device has room for.",
        ),
    ] = "auto"
    device: Device = DeviceChoice.auto
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            help="auto: float32 on a CPU; on CUDA float16, else bfloat16, if heights stay within "
            "0.05 m in the mean."
        ),
    ] = PrecisionChoice.auto
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the model first: for long runs.")
    ] = False
    encoding: Encoding = EncodingChoice.float32
    acquired: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="When the imagery was taken, for the STAC item; by default what its tags say.",
        ),
    ] = None
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL",
            help="Add the ends of an interval as bands 2 and 3: 0.9 shall hold nine in ten true "
            "heights.",
        ),
    ] = None
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What intervals rest on, of `canopy calibrate`; the model's own by default.",
        ),
    ] = None
    correction: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="Correct the heights by a network of `canopy train correction`; none by default.",
        ),
    ] = None
    preview: Annotated[bool, typer.Option(help="Draw image and map into OUT.preview.png.")] = True
    stac: Stac = True
    overwrite: Annotated[bool, typer.Option(help="Replace an existing map.")] = False
    resume: Annotated[
        bool, typer.Option(help="Go on from an interrupted run; areas always do.")
    ] = False

    def request(self, *, quiet: bool) -> MapRequest:
        """Return what is asked for.

        Raises:
            BadParameter: an option is not written as expected.
            SettingsError: options make no sense, or not together.
        """
        from canopy.mapping.settings import MapSettings  # noqa: PLC0415 - help must not wait

        settings = MapSettings(
            bands=parse_bands(self.bands),
            pixel_size_m=self.pixel_size,
            stretch=parse_stretch(self.stretch),
            radiometry=self.radiometry.value,
            colours=self.colours,
            mean=parse_three("--mean", self.mean),
            std=parse_three("--std", self.std),
            grid=self.grid.value,
            resolution_m=self.resolution,
            tile_px=self.tile,
            overlap_px=self.overlap,
            batch=number_or_auto("--batch", self.batch, "a number of tiles", int),
            precision=self.precision.value,
            compiled=self.compiled,
            encoding=self.encoding.value,
            acquired=parse_date("--acquired", self.acquired),
            interval=self.interval,
            calibration=self.calibration,
            preview=self.preview,
            stac=self.stac,
            overwrite=self.overwrite,
            resume=self.resume,
        )
        return MapRequest(
            model=self.model,
            device=self.device.value,
            settings=settings,
            quiet=quiet,
            correction=self.correction,
        )
