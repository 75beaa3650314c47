"""The data card of a set of chips: what is in it, how tall it is, where it lies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from canopy.chips.settings import SPLITS
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd
    from matplotlib.axes import Axes

    from canopy.chips.settings import ChipSettings

CARD_FILE, HEIGHTS_PNG, BLOCKS_PNG = "README.md", "heights.png", "blocks.png"
HEIGHT_EDGES_M = np.arange(0.0, 122.0)
"""Edges of the classes of height that the index counts pixels in [m]."""
TABLE = "(table)"
COLOURS = {"train": "#3b6fb6", "val": "#e0a030", "test": "#b03060"}
"""Told apart by the colour-blind too."""


def write_card(
    folder: Path, index: gpd.GeoDataFrame, settings: ChipSettings, facts: dict[str, Any]
) -> None:
    """Write the card and its two pictures into the folder of a set."""
    draw_heights(index, folder / HEIGHTS_PNG)
    draw_blocks(index, folder / BLOCKS_PNG)
    with whole_file(folder / CARD_FILE) as part:
        part.write_text(card_text(index, settings, facts), encoding="utf-8")


def card_text(index: gpd.GeoDataFrame, settings: ChipSettings, facts: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    side = f"{settings.tile_px} x {settings.tile_px} px at {settings.gsd_m:g} m"
    text = f"""# Chips of imagery and canopy height

{len(index)} chips of {side}, from {facts["pairs"]} pairs of imagery and lidar. Blocks of
{settings.block_m:g} m were dealt to splits; chips of two splits are {settings.guard_m:g} m apart
or more, for which {facts["left_out"]} windows were left out.{registration_words(facts)}

{TABLE}

Ground counts once, however many chips of its site show it; the area of chips counts it each time.

![Heights by split]({HEIGHTS_PNG})

![Where the chips lie]({BLOCKS_PNG})

Heights are metres above ground, kept in centimetres; where the lidar knows nothing they do not
count. Settings: `set.json`. Index: `index.parquet` (GeoParquet, longitude and latitude).
"""
    return text.replace(TABLE, "\n".join(split_table(index)))


def registration_words(facts: dict[str, Any]) -> str:
    """Return a paragraph about shifts of heights beside their images, where these were found."""
    found = facts.get("registration")
    if found is None:
        return ""
    verdicts, middle = found["verdicts"], found["median_shift_m"]
    unclear = "dropped" if found["dropped"] else "kept as they are"
    return f"""

Heights were registered to their images first: {verdicts["shifted"]} pairs were moved{
        f" (by {middle:.1f} m in the median)" if middle else ""
    }, {verdicts["aligned"]} lay where they should, {verdicts["unclear"]} are unclear{
        f" and were {unclear}" if verdicts["unclear"] else ""
    }."""


def split_table(index: gpd.GeoDataFrame) -> list[str]:
    """Return chips, ground and heights by split and site as a Markdown table."""
    names = (
        "split", "site", "chips", "known ground [ha]", "known area of chips [ha]",
        "mean height [m]", "mean of p95 [m]",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for split in SPLITS:
        rows = index[index["split"] == split]
        for site, part in rows.groupby("site"):
            known = part["known_m2"] / 1e4
            mean = np.average(part["height_mean_m"], weights=known) if known.sum() else np.nan
            lines.append(
                f"| {split} | {site} | {len(part)} | {part['new_ground_m2'].sum() / 1e4:.2f} | "
                f"{known.sum():.2f} | {mean:.1f} | {part['height_p95_m'].mean():.1f} |"
            )
    return lines


def draw_heights(index: gpd.GeoDataFrame, path: Path) -> None:
    """Draw how often each height occurs among the known pixels of each split."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    tallest = 5
    for split in SPLITS:
        rows = index[index["split"] == split]
        if rows.empty:
            continue
        counts = np.sum(np.stack(rows["height_counts"].to_numpy()), axis=0)
        shares = 100 * counts / max(1, counts.sum())
        label = f"{split} ({len(rows)} chips)"
        axes.stairs(shares, HEIGHT_EDGES_M, label=label, color=COLOURS[split], linewidth=1.8)
        tallest = max(tallest, int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0)
    axes.set(xlabel="canopy height [m]", ylabel="known pixels of the split [%]", xlim=(0, tallest))
    axes.legend(frameon=False)
    tidy(axes)
    save(figure, path)


def draw_blocks(index: gpd.GeoDataFrame, path: Path) -> None:
    """Draw where the chips of each split lie, one map a site."""
    sites = sorted(index["site"].unique())
    columns = min(3, len(sites))
    rows = -(-len(sites) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(sites) :]:
        axes.set_axis_off()
    for axes, site in zip(grid.flat, sites, strict=False):
        draw_site(axes, index[index["site"] == site], site)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(SPLITS), frameon=False)
    save(figure, path)


def draw_site(axes: Axes, part: gpd.GeoDataFrame, site: str) -> None:
    """Draw the chips of one site, in metres from its south-western corner."""
    local = part.to_crs(part.estimate_utm_crs())
    west, south, east, north = local.total_bounds
    for split in SPLITS:
        shown = local[local["split"] == split]
        axes.scatter([], [], marker="s", color=COLOURS[split], label=split)
        if len(shown):
            moved = shown.geometry.translate(-west, -south)
            moved.plot(ax=axes, color=COLOURS[split], edgecolor="white", linewidth=0.3)
    # Small plots far apart would vanish: a dot marks each.
    middles = local.geometry.explode(index_parts=False).centroid.translate(-west, -south)
    splits = local["split"].reindex(middles.index)
    if max(east - west, north - south) > 50 * (local.area.max() ** 0.5):
        axes.scatter(middles.x, middles.y, s=12, color=[COLOURS[name] for name in splits])
    axes.set(title=site, xlabel="east [m]", ylabel="north [m]", aspect="equal")
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Take away the lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    FigureCanvasAgg(figure)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=130)


def card_as_json(index: gpd.GeoDataFrame) -> dict[str, Any]:
    """Return the numbers of chips by split and site as JSON values."""
    counts = index.groupby(["split", "site"]).size()
    found: dict[str, dict[str, int]] = {}
    for (split, site), count in counts.items():
        found.setdefault(str(split), {})[str(site)] = int(count)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return] # plain values
