"""``canopy calibrate``: lidar set aside in, intervals that hold out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import (
    PAIRS_HELP,
    Colours,
    Device,
    DeviceChoice,
    Overwrite,
    RadiometryChoice,
    RegisterChoice,
    Seed,
    Speech,
)

if TYPE_CHECKING:
    from canopy.calibration.report import CalibrationReport
    from canopy.calibration.settings import CalibrationSettings


class LeftOut(StrEnum):
    """What is left out when coverage is told."""

    auto = "auto"
    sites = "sites"
    blocks = "blocks"


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """Options about a calibration, as they were given."""

    data: Annotated[
        str, typer.Option(metavar="TEXT", help="What imagery and lidar they are, one sentence.")
    ] = ""
    radiometry: Annotated[
        RadiometryChoice, typer.Option(help="As `canopy map --radiometry`, which must be the same.")
    ] = RadiometryChoice.satellite
    colours: Colours = None
    register: Annotated[
        RegisterChoice,
        typer.Option(
            help="As `canopy chips --register`: take back sure shifts between image and lidar."
        ),
    ] = RegisterChoice.off
    block: Annotated[
        float, typer.Option(metavar="M", help="Side of the blocks of ground that weigh the same.")
    ] = 50.0
    over: Annotated[
        LeftOut,
        typer.Option(help="What is left out to tell coverage; auto: sites, if three or more."),
    ] = LeftOut.auto
    seed: Seed = 0
    overwrite: Overwrite = False

    def settings(self) -> CalibrationSettings:
        """Return what is chosen.

        Raises:
            SettingsError: an option makes no sense.
        """
        from canopy.calibration.settings import CalibrationSettings  # noqa: PLC0415 - help must not wait

        return CalibrationSettings(
            radiometry=self.radiometry.value,
            colours=self.colours,
            register=self.register.value,
            block_m=self.block,
            over=self.over.value,
            data=self.data,
            seed=self.seed,
            overwrite=self.overwrite,
        )


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """Where a calibration will stand: one of the two."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.json", help="Where it will stand."),
    ] = None
    into_model: Annotated[
        bool, typer.Option("--into-model", help="Write it into the folder of the model instead.")
    ] = False

    def file_for(self, model: str) -> Path:
        """Return where the calibration of a model will stand.

        Raises:
            BadParameter: both places are named, or none.
            SettingsError: the model is no folder.
        """
        from canopy.calibration.calibrate import file_in_model  # noqa: PLC0415 - a slow import

        if self.output is not None and not self.into_model:
            return self.output
        if self.output is None and self.into_model:
            return file_in_model(model)
        msg = "give either --output FILE.json or --into-model"
        raise typer.BadParameter(msg)


@grouped
def calibrate_model(
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="PAIRS...",
            help=f"{PAIRS_HELP} The model must not have learned from them.",
        ),
    ],
    *,
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="Height model, as `canopy map` takes it.")
    ],
    place: PlaceOptions,
    device: Device = DeviceChoice.auto,
    options: CalibrationOptions,
    speech: Speech,
) -> None:
    """Calibrate the intervals of a model on lidar that it has not learned from.

    Beside FILE.json, which `canopy map --interval` takes, stand FILE.report.md and
    FILE.report.json: the coverage on sites, or blocks of ground, left out of the calibration.
    """
    show_notes(quiet=speech.quiet)
    from canopy.calibration.calibrate import (  # noqa: PLC0415 - help must not wait for torch
        calibrate_intervals,
    )

    file, settings = place.file_for(model), options.settings()
    with progress_bar("predicting", quiet=speech.quiet, unit="pairs") as progress:
        report = calibrate_intervals(
            pairs, file, model=model, settings=settings, device=device.value, progress=progress
        )
    if not speech.quiet:
        summarise(report, file)
    if speech.as_json:
        print_json({"path": str(file)} | report.as_json())


def summarise(report: CalibrationReport, file: Path) -> None:
    """Say how well the intervals held."""
    made = report.calibration
    highest = "no level" if made.highest_level is None else f"levels up to {made.highest_level:g}"
    classes = len(made.classes)
    say(
        f"plots    {made.plots}, {made.pixels} pixels, {classes} class{'es' * (classes > 1)} of "
        f"height: {highest}"
    )
    for entry in report.coverage:
        if entry["coverage"] is None:
            say(f"  {entry['level']:.2f}   not told: takes {entry['plots_needed']} plots beside "
                "those left out; give more pairs, or a smaller --block")  # fmt: skip
        else:
            say(
                f"  {entry['level']:.2f}   held {100 * entry['coverage']:.1f} % of pixels on "
                f"{report.left_out} left out, {entry['width_m']:.1f} m wide in the mean"
            )
    say(f"written  {file}, {file.with_suffix('.report.md').name}")
    say("note     this holds only if the model has not learned from these plots")
