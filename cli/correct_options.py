"""What ``canopy correct`` lets its user choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DeviceChoice, Overwrite, Seed, Stac, number_or_auto, numbers_in

if TYPE_CHECKING:
    from canopy.correction.settings import CorrectionSettings
    from canopy.correction_network.place_facts import ViewFacts
    from canopy.correction_network.settings import ByModelSettings


@dataclass(frozen=True, kw_only=True)
class MapsOptions:
    """Which map is corrected, and where that will stand."""

    heights: Annotated[Path, typer.Argument(metavar="HEIGHT.tif", help="Height map in metres.")]
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.tif", help="Where the map will stand.")
    ]
    stac: Stac = True
    preview: Annotated[bool, typer.Option(help="Draw the map before and after.")] = True
    overwrite: Overwrite = False


@dataclass(frozen=True, kw_only=True)
class FactorOptions:
    """Options that mean something to both ways of correcting."""

    bandwidth: Annotated[
        str,
        typer.Option(
            metavar="M", help="Of the field's kernel; auto: chosen on folds, 75 with --model."
        ),
    ] = "auto"
    limits: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Least and greatest factor.")] = (
        "0.5,2"
    )
    keep_below: Annotated[
        float, typer.Option(metavar="M", help="Heights up to it stay; from 3 times it all change.")
    ] = 1.0
    least_height: Annotated[
        float, typer.Option(metavar="M", help="Of RH and map together, for a shot to be used.")
    ] = 3.0
    least_change: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Mean change by which less is left as it is: 0.05; with --model factors that "
            "change less, by default as its card says.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FootprintOptions:
    """Options about footprints over the map."""

    footprints: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Footprints with relative heights: GeoParquet, CSV, ..."),
    ] = None
    percentile: Annotated[
        float, typer.Option(metavar="P", help="Of the map, against the RH of the same rank.")
    ] = 98.0
    rh: Annotated[
        str | None, typer.Option("--rh", metavar="COLUMN", help="Column of RH; rhP by default.")
    ] = None
    resolution: Annotated[
        float, typer.Option(metavar="M", help="Side of a cell of the factor field.")
    ] = 50.0
    least_sensitivity: Annotated[
        float, typer.Option(metavar="S", help="Shots with less are left out.")
    ] = 0.9
    filters: Annotated[
        bool, typer.Option(help="Leave shots out by quality, degrade flag and sensitivity.")
    ] = True
    full_power: Annotated[
        bool, typer.Option("--full-power", help="Leave shots of coverage beams out.")
    ] = False
    max_shift: Annotated[
        float, typer.Option(metavar="M", help="Farthest shift of a track; 0 moves none.")
    ] = 20.0
    shift_step: Annotated[float, typer.Option(metavar="M", help="Step of that search.")] = 4.0
    piece: Annotated[
        float, typer.Option(metavar="M", help="Length of a track that shares a shift.")
    ] = 5000.0
    least_shots: Annotated[
        int, typer.Option(metavar="N", help="With fewer usable shots the map stays as it is.")
    ] = 30
    folds: Annotated[int, typer.Option(metavar="N", help="Folds of ground.")] = 5
    block: Annotated[
        str, typer.Option(metavar="M", help="Side of blocks in a fold; auto: by gaps of shots.")
    ] = "auto"
    seed: Seed = 0

    def settings(self, factors: FactorOptions, maps: MapsOptions) -> CorrectionSettings:
        """Return what is chosen about a correction by footprints.

        Raises:
            BadParameter: an option is not written as expected.
            SettingsError: an option makes no sense.
        """
        from canopy.correction.settings import CorrectionSettings  # noqa: PLC0415 - help must not wait

        least_change = factors.least_change
        return CorrectionSettings(
            percentile=self.percentile,
            rh_column=self.rh,
            filters=self.filters,
            least_sensitivity=self.least_sensitivity,
            full_power=self.full_power,
            least_height_m=factors.least_height,
            keep_below_m=factors.keep_below,
            limits=parse_limits(factors.limits),
            resolution_m=self.resolution,
            bandwidth_m=number_or_auto("--bandwidth", factors.bandwidth, "metres", float),
            max_shift_m=self.max_shift,
            shift_step_m=self.shift_step,
            piece_m=self.piece,
            fewest=self.least_shots,
            least_change=CorrectionSettings.least_change if least_change is None else least_change,
            folds=self.folds,
            block_m=number_or_auto("--block", self.block, "metres", float),
            seed=self.seed,
            stac=maps.stac,
            preview=maps.preview,
            overwrite=maps.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Options about a network and the imagery that it sees."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR", help="Instead of footprints: a network of canopy train correction."
        ),
    ] = None
    image: Annotated[
        str | None,
        typer.Option(metavar="SCENE", help="With --model: the imagery that the map shows."),
    ] = None
    item: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --model: STAC item of SCENE, which tells sun and view."
        ),
    ] = None
    sun_elevation: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="With --model: height of the sun over SCENE."),
    ] = None
    off_nadir: Annotated[
        float | None,
        typer.Option(metavar="DEG", help="With --model: how far from straight down SCENE looks."),
    ] = None
    slope: Annotated[
        str | None,
        typer.Option(
            metavar="DEG|DTM.tif", help="With --model: slope of the ground, or its elevations [m]."
        ),
    ] = None
    device: Annotated[
        DeviceChoice,
        typer.Option(help="With --model: where it runs; auto takes CUDA if there is one."),
    ] = DeviceChoice.auto

    def settings(self, factors: FactorOptions, maps: MapsOptions) -> ByModelSettings:
        """Return what is chosen about a correction by a network.

        Raises:
            BadParameter: an option is not written as expected.
            CanopyError: an option makes no sense, or the item or the terrain cannot be read.
        """
        from canopy.correction_network.settings import (  # noqa: PLC0415 - help must not wait
            ByModelSettings,
            FieldSettings,
        )

        bandwidth = number_or_auto("--bandwidth", factors.bandwidth, "metres", float)
        field = FieldSettings(
            bandwidth_m=FieldSettings.bandwidth_m if bandwidth is None else bandwidth,
            least_height_m=factors.least_height,
            keep_below_m=factors.keep_below,
            limits=parse_limits(factors.limits),
            least_change=factors.least_change,
        )
        return ByModelSettings(
            factors=field,
            view=self.view(),
            device=self.device.value,
            stac=maps.stac,
            preview=maps.preview,
            overwrite=maps.overwrite,
        )

    def view(self) -> ViewFacts:
        """Return how the imagery was taken: as options say, else as its item does."""
        from canopy.correction_network.place_facts import (  # noqa: PLC0415 - help must not wait
            ViewFacts,
            facts_of_item,
            slope_or_terrain,
        )

        said = ViewFacts(sun_elevation=self.sun_elevation, off_nadir=self.off_nadir)
        if self.slope is not None:
            said = said.over(slope_or_terrain(self.slope))
        return said if self.item is None else said.over(facts_of_item(self.item))


def parse_limits(text: str) -> tuple[float, float]:
    """Return the two factors of a text such as ``0.5,2``.

    Raises:
        BadParameter: it has others.
    """
    expected = "least and greatest factor, such as 0.5,2"
    low, high = numbers_in("--limits", text, expected, kind=float, count=2)
    return low, high
