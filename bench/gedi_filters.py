"""Which filter of GEDI shots is worth what it costs: RH98 against airborne lidar, before and after.

    CANOPY_FIELD_DATA=... python bench/gedi_filters.py docs/images/gedi-filters.png

Reads the table of 398 shots over four NEON sites (UNDE, WREF, TALL, TREE), prints the tables of
docs/gedi.md, and draws its picture. Filters are those of `canopy gedi ingest`. Intervals hold 95 %
of draws over pieces of ground of 0.01 degrees, whole pieces at a time, the same draws for all.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from canopy.evaluation.footprint_filters import protocol_filters

TABLE = "gedi/neon_US/gedi_with_airborne_height.csv"
PIECE_DEG = 0.01
DRAWS, SEED = 4000, 0
LARGE_M = 10.0
LEAST_SENSITIVITY_OF_TROPICS = 0.98

ODD_SITE = "TREE"
"""26 shots that stand 9.5 m above the airborne heights in the mean, whatever the beam."""

POWER, COVERAGE = "#1b7a5a", "#d9822b"

Mask = Any  # (shots,) bool


@dataclass(frozen=True)
class Errors:
    """RH98 less airborne height of some shots [m]."""

    count: int
    mae: float
    rmse: float
    bias: float
    r2: float
    large: float


def errors_of(space: Any, air: Any) -> Errors:  # noqa: ANN401 - arrays
    """Return the errors of heights (n,) against others."""
    if len(air) < 3:  # noqa: PLR2004 - too few to say anything
        return Errors(len(air), *[float("nan")] * 5)
    residual = space - air
    spread = ((air - air.mean()) ** 2).sum()
    return Errors(
        len(air), float(np.abs(residual).mean()), float(np.sqrt((residual**2).mean())),
        float(residual.mean()), float(1 - (residual**2).sum() / spread),
        float((np.abs(residual) > LARGE_M).mean()),
    )  # fmt: skip


def draws_of(table: pd.DataFrame) -> list[Any]:
    """Return rows drawn with replacement, whole pieces of ground at a time."""
    places = np.floor(table[["Longitude", "Latitude"]].to_numpy() / PIECE_DEG)
    _, piece = np.unique(places, axis=0, return_inverse=True)
    rows = [np.flatnonzero(piece.ravel() == number) for number in range(piece.max() + 1)]
    print(f"{len(table)} shots in {len(rows)} pieces of ground\n")
    chance = np.random.default_rng(SEED)
    return [
        np.concatenate([rows[each] for each in chance.integers(0, len(rows), len(rows))])
        for _ in range(DRAWS)
    ]


def filters_of(table: pd.DataFrame) -> dict[str, Mask]:
    """Return what each filter, and each pair that matters, keeps."""
    renamed = table.rename(columns={"srtm_elevation": "digital_elevation_model"})
    kept, applied, lacking = protocol_filters(renamed)
    print("applied:", "; ".join(applied), "\nnot applied:", "; ".join(lacking), "\n")
    sensitive, power = kept["sensitivity below 0.95"], kept["coverage beam"]
    return {
        "all shots": np.ones(len(table), bool),
        "sensitivity >= 0.95": sensitive,
        "left out by it": ~sensitive,
        "sensitivity >= 0.98": table["sensitivity"].to_numpy() >= LEAST_SENSITIVITY_OF_TROPICS,
        "full power": power,
        "coverage beams": ~power,
        "ground within 150 m": kept["ground far from the elevation model"],
        "strict, as far as it goes": np.logical_and.reduce(list(kept.values())),
        "coverage, sensitivity >= 0.95": ~power & sensitive,
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Return the middle 95 % of draws."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def compared(table: pd.DataFrame, filters: dict[str, Mask], draws: list[Any], air: str) -> Any:  # noqa: ANN401
    """Print a table of errors, and return them with their intervals by filter."""
    space, truth = table["RH98"].to_numpy(), table[air].to_numpy()
    base = [errors_of(space[rows], truth[rows]).mae for rows in draws]
    found = {}
    print(f"against {air}")
    print("| shots | n | MAE m | RMSE m | bias m | R2 | off by > 10 m | MAE less that of all |")
    print("|---|---|---|---|---|---|---|---|")
    for name, mask in filters.items():
        here = errors_of(space[mask], truth[mask])
        drawn = [rows[mask[rows]] for rows in draws]
        many = [errors_of(space[rows], truth[rows]) for rows in drawn]
        spans = {
            key: interval([getattr(each, key) for each in many])
            for key in ("mae", "rmse", "bias", "r2")
        }
        gains = [each.mae - all_ for each, all_ in zip(many, base, strict=True)]
        found[name] = (here, spans)
        cells = [
            f"{getattr(here, key):.2f} ({spans[key][0]:.2f} to {spans[key][1]:.2f})"
            for key in spans
        ]
        gain = here.mae - errors_of(space, truth).mae
        low, high = interval(gains)
        last = "" if name == "all shots" else f"{gain:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"| {name} | {here.count} | {' | '.join(cells)} | {here.large:.0%} | {last} |")
    print()
    return found


def by_site(table: pd.DataFrame, filters: dict[str, Mask]) -> None:
    """Print errors by site and power."""
    space, truth = table["RH98"].to_numpy(), table["DHM_98"].to_numpy()
    print("| site | full power: n | MAE m | bias m | coverage: n | MAE m | bias m |")
    print("|---|---|---|---|---|---|---|")
    for site in sorted(set(table["site"])):
        cells = []
        for power in ("full power", "coverage beams"):
            mask = filters[power] & (table["site"] == site).to_numpy()
            here = errors_of(space[mask], truth[mask])
            told = [f"{here.mae:.2f}", f"{here.bias:+.2f}"] if np.isfinite(here.mae) else ["-", "-"]
            cells += [str(here.count), *told]
        print(f"| {site} | {' | '.join(cells)} |")
    print()


def draw(table: pd.DataFrame, filters: dict[str, Mask], found: Any, path: Path) -> None:  # noqa: ANN401
    """Draw heights against heights, and errors by filter."""
    figure = Figure(figsize=(11, 4.6), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for name, colour in (("coverage beams", COVERAGE), ("full power", POWER)):
        mask = filters[name]
        left.scatter(table["DHM_98"][mask], table["RH98"][mask], s=13, alpha=0.65, lw=0,
                     color=colour, label=f"{name} ({mask.sum()})")  # fmt: skip
    left.plot([0, 70], [0, 70], color="#555555", lw=0.8)
    left.set(xlim=(0, 70), ylim=(0, 70), aspect="equal", xlabel="airborne 98th percentile [m]",
             ylabel="GEDI RH98 [m]", title="398 shots, four NEON sites")  # fmt: skip
    left.legend(frameon=False, loc="upper left", fontsize=9)
    names = list(found)[::-1]
    colours = {"full power": POWER, "strict, as far as it goes": POWER, "coverage beams": COVERAGE}
    for row, name in enumerate(names):
        here, spans = found[name]
        low, high = spans["mae"]
        colour = colours.get(name, "#3a4a5a")
        right.plot([low, high], [row, row], color=colour, lw=2, alpha=0.5)
        right.plot([here.mae], [row], "o", color=colour, ms=6)
        right.annotate(f"n {here.count}", (high, row), xytext=(6, -3.5),
                       textcoords="offset points", fontsize=8, color="#555555")  # fmt: skip
    right.axvline(found["all shots"][0].mae, color="#999999", lw=0.8, ls=":")
    right.set(title="MAE of RH98 and its 95 % interval", xlabel="MAE [m]", xlim=(2, 9))
    right.set_yticks(range(len(names)), names)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Print the tables and draw the picture."""
    root = os.environ.get("CANOPY_FIELD_DATA")
    if root is None:
        sys.exit("CANOPY_FIELD_DATA is not set: it names the folder of field data")
    table = pd.read_csv(Path(root) / TABLE)
    draws, filters = draws_of(table), filters_of(table)
    found = compared(table, filters, draws, "DHM_98")
    compared(table, filters, draws, "DHM_98_c")
    by_site(table, filters)
    others = table[table["site"] != ODD_SITE].reset_index(drop=True)
    print(f"without {ODD_SITE}: ", end="")
    compared(others, filters_of(others), draws_of(others), "DHM_98")
    if len(sys.argv) > 1:
        draw(table, filters, found, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
