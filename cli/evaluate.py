"""``canopy evaluate``: a height map against lidar rasters, points or GEDI footprints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import Speech  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.evaluation.report import Report
    from canopy.evaluation.settings import EvaluationSettings


class ComparedGrid(StrEnum):
    """Whose pixels are compared."""

    coarser = "coarser"
    map = "map"
    reference = "reference"


class DrawnOver(StrEnum):
    """What intervals are drawn over."""

    auto = "auto"
    sites = "sites"
    tiles = "tiles"


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options about an evaluation, as they were given."""

    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Errors by the values of a column, of points or of --sites."
        ),
    ] = None
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Polygons that group the ground, or a table that names the references.",
        ),
    ] = None
    grid: Annotated[
        ComparedGrid, typer.Option(help="Whose pixels are compared; the other is averaged on them.")
    ] = ComparedGrid.coarser
    map_scale: Annotated[
        float | None,
        typer.Option(metavar="M", help="Metres of a stored unit, where the map does not say."),
    ] = None
    reference_scale: Annotated[
        float | None, typer.Option(metavar="M", help="The same for the references.")
    ] = None
    height_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Heights of points; a usual name if not.")
    ] = None
    radius: Annotated[
        float | None,
        typer.Option(
            metavar="M", help="Distance around points [m]; 0 (footprints: 12) by default."
        ),
    ] = None
    percentile: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Of the map within it; the mean (footprints: 98) by default."
        ),
    ] = None
    all_footprints: Annotated[
        bool, typer.Option("--all-footprints", help="Keep footprints of poor quality too.")
    ] = False
    over: Annotated[
        DrawnOver,
        typer.Option(help="What intervals are drawn over; auto: sites if there are ten or more."),
    ] = DrawnOver.auto
    tile: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Side of the tiles that intervals of rasters are drawn over; 100 by default.",
        ),
    ] = None
    replicates: Annotated[int, typer.Option(metavar="N", help="Draws of the bootstrap.")] = 1000
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same intervals.")] = 0
    overwrite: Annotated[bool, typer.Option(help="Replace an older report.")] = False

    def settings(self) -> EvaluationSettings:
        """Return what is chosen.

        Raises:
            SettingsError: an option makes no sense.
        """
        from canopy.evaluation.settings import EvaluationSettings  # noqa: PLC0415 - help must not wait

        return EvaluationSettings(
            grid=self.grid.value,
            map_scale=self.map_scale,
            reference_scale=self.reference_scale,
            groups=self.groups,
            sites=self.sites,
            height_column=self.height_column,
            radius_m=self.radius,
            percentile=self.percentile,
            filters=not self.all_footprints,
            tile_m=self.tile,
            unit=self.over.value,
            replicates=self.replicates,
            seed=self.seed,
            overwrite=self.overwrite,
        )


@grouped
def evaluate_height_map(
    map_path: Annotated[
        str,
        typer.Argument(
            metavar="MAP",
            help="Height map: a raster of one band of heights, or with the bands of --interval.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="REPORT", help="A new folder for the report.")
    ],
    *,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REFERENCE]...",
            help="Lidar rasters, folders of them, or points with heights (GPKG, GeoJSON, "
            "GeoParquet, CSV with longitude and latitude). Of rasters that overlap, the first "
            "counts.",
        ),
    ] = None,
    footprints: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="GEDI footprints: the map's 98th percentile within 12 m against RH98. Repeatable.",
        ),
    ] = None,
    options: EvaluationOptions,
    speech: Speech,
) -> None:
    """Compare the heights of MAP with references, and write a report.

    REPORT holds report.json, report.md and three pictures. Bias is map minus reference. No model is
    needed.
    """
    show_notes(quiet=speech.quiet)
    from canopy.evaluation.evaluate import evaluate_map  # noqa: PLC0415 - help must not wait for it

    settings = options.settings()
    with progress_bar("comparing", quiet=speech.quiet) as progress:
        report = evaluate_map(
            map_path,
            references or [],
            output,
            footprints=footprints or [],
            settings=settings,
            progress=progress,
        )
    if not speech.quiet:
        summarise(report)
    if speech.as_json:
        print_json(report.as_json())


def summarise(report: Report) -> None:
    """Say what was found."""
    for comparison in report.content["comparisons"]:
        count, kind = comparison["count"], comparison["kind"]
        area = f", {comparison['area_ha']:.4g} ha" if comparison["area_ha"] else ""
        sites = len(comparison["sites"])
        say(f"compared {count} {kind}{area}, {sites} site{'s' * (sites > 1)}")
        for name, key, unit in ERRORS:
            if key in comparison["errors"]:
                say(f"  {name:<24}{error_words(comparison, key, unit)}")
        if found := comparison.get("interval"):
            name = f"inside {100 * found['level']:g} % intervals"
            share, width = 100 * found["coverage"], found["width_m"]
            say(f"  {name:<24}{share:.1f} %, {width:.1f} m wide in the mean")
        say_gap("sites", comparison["between_sites"])
        say_gap("groups", comparison.get("groups") or {})
        if comparison.get("counted_before"):
            say(f"  {'left out':<24}{comparison['counted_before']} pixels under earlier references")
        if comparison["kind"] == "footprints":
            say_filters(comparison["sites"])
        if comparison["skipped"]:
            say(f"  {'skipped':<24}{len(comparison['skipped'])} references")
    say(f"report   {report.folder / 'report.md'}")


ERRORS = (
    ("MAE", "mae_m", " m"),
    ("RMSE", "rmse_m", " m"),
    ("bias (map - reference)", "bias_m", " m"),
    ("R2", "r2", ""),
    ("block R2, 30 m", "block_30m_r2", ""),
    ("tree cover IoU at 2 m", "cover_2m_iou", ""),
    ("MAE after a 3 m mean", "mean_3m_mae_m", " m"),
)
"""Name, key and unit of the errors that are said."""


def error_words(comparison: dict[str, Any], key: str, unit: str) -> str:
    """Return an error and its interval."""
    value, found = comparison["errors"][key], comparison["intervals"].get(key)
    sign = "+" if key == "bias_m" else ""
    if value is None:
        return "undefined"
    span = f"  [{found[0]:{sign}.2f}, {found[1]:{sign}.2f}]" if found else ""
    return f"{value:{sign}.2f}{unit}{span}"


def say_filters(sites: list[dict[str, Any]]) -> None:
    """Say which filters footprints went through, what they left out, and which had no columns."""
    read = sum(site["read"] for site in sites)
    reasons: dict[str, int] = {}
    for site in sites:
        for reason, count in site["left_out"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    say(f"  {f'left out of {read}':<24}{told or 'none'}")
    for label, key in (("filters applied", "filters"), ("not applied", "filters_lacking")):
        names = dict.fromkeys(each for site in sites for each in site[key])
        for number, name in enumerate(names or (["none"] if key == "filters" else [])):
            say(f"  {'' if number else label:<24}{name}")


def say_gap(name: str, gap: dict[str, Any]) -> None:
    """Say which entry is worst, where there are several."""
    if gap.get("gap_mae_m") is not None:
        worst, best = gap["worst"], gap["best"]
        say(
            f"  {f'worst of {name}':<24}{worst['name']}, MAE {worst['mae_m']:.2f} m; best "
            f"{best['name']}, {best['mae_m']:.2f} m"
        )
