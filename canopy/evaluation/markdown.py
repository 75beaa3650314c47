"""The report in words and tables, for people who know forests and not the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from canopy.evaluation.coverage import coverage_lines
from canopy.evaluation.footprint_filters import NOT_OF_SHOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = {"pixels": "pixels", "points": "points", "footprints": "footprints"}

WRITTEN = {
    "mae_m": ("MAE", "m", "how far a {one} is off in the mean"),
    "rmse_m": ("RMSE", "m", "the same, large errors counting more"),
    "bias_m": ("Bias", "m", "map minus reference: above 0 the map is too tall"),
    "r2": ("R2", "", "1 is perfect; below 0 the reference's mean would be nearer"),
    "slope": ("Slope", "", "of map on reference: below 1 tall trees come out too low"),
    "nmae": ("Normalised MAE", "", "share of the height, where the reference has 2 m or more"),
    "cover_2m_iou": ("Tree cover, IoU at 2 m", "", "agreement on where there are trees"),
    "cover_5m_iou": ("Tree cover, IoU at 5 m", "", "the same, trees of 5 m and above"),
    "block_30m_r2": ("Block R2, 30 m", "", "R2 of the means of {blocks_30m} whole blocks"),
    "block_50px_r2": ("Block R2, 50 px", "", "R2 of the means of {blocks_50px} whole blocks"),
    "edge_error": ("Edge error", "m/m", "difference in steepness at crown edges (Sobel)"),
    "mean_3m_mae_m": ("MAE after a 3 m mean", "m", "looks past misalignment below 3 m"),
    "mean_3m_rmse_m": ("RMSE after a 3 m mean", "m", ""),
    "mean_3m_r2": ("R2 after a 3 m mean", "", ""),
}  # fmt: skip
"""Name, unit and meaning of what the main table holds."""

SITES_TOLD = 60
"""As many sites as the table of sites has room for; report.json has all."""

FEW_UNITS = 10

LEANING_M = 0.05
"""A smaller bias [m] is not worth a word."""


def as_markdown(content: dict[str, Any]) -> str:
    """Return a report as Markdown."""
    lines = [f"# {content['map']['name']} against its references", ""]
    lines += map_lines(content["map"])
    for comparison in content["comparisons"]:
        lines += ["", f"## {title_of(comparison)}", "", *headline(comparison), ""]
        lines += error_table(comparison)
        lines += shift_lines(comparison)
        lines += class_table(comparison)
        lines += coverage_lines(comparison)
        lines += group_table(comparison)
        lines += site_table(comparison)
        lines += skipped_lines(comparison["skipped"])
        lines += [f"![{name}]({name})" for name in comparison["pictures"]]
    lines += skipped_lines(content["not_compared"])
    lines += ["", "## How it was computed", ""]
    lines += [f"- `{name}`: {text}." for name, text in content["conventions"].items()]
    lines += ["", f"{content['software']}, {content['created']}.", ""]
    return "\n".join(lines)


def map_lines(facts: dict[str, Any]) -> list[str]:
    """Return what is known of the map."""
    across, down = facts["pixel_m"]
    date = f"{facts['date']} ({facts['date_from']})" if facts["date"] else "not stated in the file"
    pixels = f"{number(across)} x {number(down)} m, {facts['crs'] or 'no CRS'}"
    return [
        f"- map: `{facts['path']}`",
        f"- pixels: {pixels}, stored as {facts['stored_as']}",
        f"- date of the map: {date}",
    ]


def title_of(comparison: dict[str, Any]) -> str:
    """Return the heading of a comparison."""
    return {
        "pixels": "Against lidar rasters",
        "points": "Against measured points",
        "footprints": "Against GEDI footprints",
    }[comparison["kind"]]


def headline(comparison: dict[str, Any]) -> list[str]:
    """Return the result in three sentences."""
    kind, errors = comparison["kind"], comparison["errors"]
    area = comparison["area_ha"]
    size = f"{comparison['count']:,} {UNITS[kind]}".replace(",", " ")
    if area is not None:
        size += f", {area:.3g} ha"
    count = len(comparison["sites"])
    bias = errors["bias_m"]
    leaning = "neither too tall nor too low"
    if abs(bias) >= LEANING_M:
        leaning = f"**{number(abs(bias))} m {'too tall' if bias > 0 else 'too low'}**"
    sentences = (
        f"Compared: {comparison['compared']}; {size}, {count} site{'s' * (count > 1)}. In the mean "
        f"the map is {leaning} (bias {signed(bias)} m, map minus reference), and a single "
        f"{UNITS[kind][:-1]} is off by **{number(errors['mae_m'])} m** (MAE)."
    )
    return [
        sentences, "", interval_words(comparison), *covered_twice(comparison),
        *filter_lines(comparison),
    ]  # fmt: skip


def filter_lines(comparison: dict[str, Any]) -> list[str]:
    """Say which filters of the protocol were applied to footprints, and which could not be."""
    if comparison["kind"] != "footprints":
        return []
    lines = []
    for words, key in (("applied", "filters"), ("not applied", "filters_lacking")):
        by_filter: dict[str, int] = {}
        for site in comparison["sites"]:
            for each in site[key]:
                by_filter[each] = by_filter.get(each, 0) + 1
        said = [
            each if count == len(comparison["sites"]) else f"{each} in {count} files"
            for each, count in by_filter.items()
        ]
        if said or key == "filters":
            lines += ["", f"Filters {words}: {'; '.join(said) or 'none'}."]
    return [*lines, "", f"The protocol (CHMv2) also filters, and this does not: {NOT_OF_SHOTS}."]


def covered_twice(comparison: dict[str, Any]) -> list[str]:
    """Say how many pixels of overlapping references were left out."""
    if not (count := comparison.get("counted_before")):
        return []
    size = f"{count:,} pixels".replace(",", " ")
    words = f"References overlap: {size} lie on ground that counts for one named earlier"
    return ["", f"{words}, and were left out."]


def interval_words(comparison: dict[str, Any]) -> str:
    """Say what the intervals rest on, and warn where that is little."""
    units, over = comparison["interval_units"], comparison["intervals_over"]
    if over == "tiles":
        over = "pieces of ground" if comparison["kind"] == "pixels" else "pieces of ground of 1 km"
    if units < 2:  # noqa: PLR2004 - one cannot be compared with another
        return "No intervals: there is only one piece of ground to draw from."
    few = " They are too few for intervals to be trusted." if units < FEW_UNITS else ""
    return f"Intervals hold 95 % of bootstrap draws over {units} {over}.{few}"


def error_table(comparison: dict[str, Any]) -> list[str]:
    """Return the table of errors and their intervals."""
    one = UNITS[comparison["kind"]][:-1]
    blocks = {name: comparison.get(name, 0) for name in ("blocks_30m", "blocks_50px")}
    rows = [
        [
            name,
            with_unit(comparison["errors"][key], unit, key),
            span(comparison, key),
            text.format(one=one, **blocks),
        ]
        for key, (name, unit, text) in WRITTEN.items()
        if key in comparison["errors"]
    ]
    spread = comparison["differences_m"]
    if spread["p50"] is not None:
        rows.append(
            [
                "Differences",
                f"{signed(spread['p50'])} m",
                f"{signed(spread['p5'])} to {signed(spread['p95'])} m",
                "median, and the range of nine in ten",
            ]
        )
    return table(["", "value", "95 % interval", "meaning"], rows)


def shift_lines(comparison: dict[str, Any]) -> list[str]:
    """Say how far the map should be moved, and what that would change."""
    shifts = comparison.get("shift")
    if not shifts:
        return []
    lines = []
    if one := shifts["one_for_all"]:
        lines.append(
            f"- one shift for all: the map fits best moved {move_words(one)}; "
            f"{before_and_after(one)}"
        )
    if (each := shifts["each_site_its_own"]) and each["sites"] > 1:
        lines.append(
            f"- each site by itself: moved {number(each['median_distance_m'])} m in the median; "
            f"{before_and_after(each)}"
        )
    if not lines:
        lines = [
            "- none was tried: pixels are larger than the longest shift, or the map ends there"
        ]
    return ["", "### Alignment", "", *lines]


def move_words(shift: dict[str, Any]) -> str:
    """Return a shift in words."""
    east, north = shift["east_m"], shift["north_m"]
    if not (east or north):
        return "nowhere"
    words = []
    if east:
        words.append(f"{number(abs(east))} m {'east' if east > 0 else 'west'}")
    if north:
        words.append(f"{number(abs(north))} m {'north' if north > 0 else 'south'}")
    return " and ".join(words)


def before_and_after(shift: dict[str, Any]) -> str:
    """Return errors without and with a shift."""
    none, best = shift["unshifted"], shift["at_best"]
    return (
        f"MAE {number(none['mae_m'])} -> {number(best['mae_m'])} m, "
        f"RMSE {number(none['rmse_m'])} -> {number(best['rmse_m'])} m on the same pixels"
    )


def class_table(comparison: dict[str, Any]) -> list[str]:
    """Return the table of errors by class of reference height."""
    rows = [
        [
            class_label(entry),
            f"{100 * entry['share']:.1f} %",
            with_unit(entry["mae_m"], "m"),
            with_unit(entry["rmse_m"], "m"),
            with_unit(entry["bias_m"], "m", "bias_m"),
        ]
        for entry in comparison["height_classes"]
    ]
    heading = ["", "### By height of the reference", ""]
    return heading + table(["height", "share", "MAE", "RMSE", "bias"], rows)


def class_label(entry: dict[str, Any]) -> str:
    """Return a class in words."""
    if entry["to_m"] is None:
        return f"{entry['from_m']:g} m and above"
    return f"{entry['from_m']:g} to {entry['to_m']:g} m"


def group_table(comparison: dict[str, Any]) -> list[str]:
    """Return the table of groups, and the gap between the worst and the best."""
    groups = comparison.get("groups")
    if not groups or not groups["groups"]:
        return []
    rows = [entry_row(entry["group"], entry) for entry in groups["groups"]]
    heading = ["", f"### By {groups['column']}", ""]
    return heading + table(["group", *ENTRY_HEADS], rows) + gap_lines(groups)


def site_table(comparison: dict[str, Any]) -> list[str]:
    """Return the table of sites, and the gap between the worst and the best."""
    sites = comparison["sites"]
    rows = [
        [
            *entry_row(entry["site"], entry),
            entry.get("date") or "not stated",
            site_grid(entry),
        ]
        for entry in sites[:SITES_TOLD]
    ]
    heading = ["", "### By site", ""]
    lines = heading + table(["site", *ENTRY_HEADS, "date", "compared on"], rows)
    if len(sites) > SITES_TOLD:
        lines += ["", f"The first {SITES_TOLD} of {len(sites)} sites; report.json has all."]
    return lines + gap_lines(comparison["between_sites"])


ENTRY_HEADS = ("count", "ha", "MAE", "MAE interval", "RMSE", "bias", "R2")


def entry_row(name: str, entry: dict[str, Any]) -> list[str]:
    """Return a row of a site or a group."""
    errors = entry["errors"]
    return [
        name.replace("|", "/"),
        str(entry["count"]),
        f"{entry['area_ha']:.3g}" if entry["area_ha"] is not None else "-",
        with_unit(errors["mae_m"], "m"),
        span(entry, "mae_m"),
        with_unit(errors["rmse_m"], "m"),
        with_unit(errors["bias_m"], "m", "bias_m"),
        with_unit(errors["r2"], ""),
    ]


def site_grid(entry: dict[str, Any]) -> str:
    """Return whose pixels a site was compared on, or which points were left out."""
    if "pixel_m" in entry:
        finer, side = entry["averaged_pixel_m"][0], entry["pixel_m"][0]
        return f"{entry['compared_on']}'s {number(side)} m (the other has {number(finer)} m)"
    left = ", ".join(f"{count} {reason}" for reason, count in entry["left_out"].items())
    return f"column {entry['column']}, of {entry['read']}{f' less {left}' if left else ''}"


def gap_lines(gap: dict[str, Any]) -> list[str]:
    """Say which entry is worst and how far it is from the best."""
    if gap["gap_mae_m"] is None:
        return []
    low_high = gap["gap_mae_m_interval"]
    sure = f" (95 % interval {number(low_high[0])} to {number(low_high[1])} m)" if low_high else ""
    worst, best = gap["worst"], gap["best"]
    words = (
        f"Worst: **{worst['name']}**, MAE {number(worst['mae_m'])} m; best: {best['name']}, "
        f"{number(best['mae_m'])} m; gap {number(gap['gap_mae_m'])} m{sure}."
    )
    return ["", words]


def skipped_lines(skipped: Sequence[dict[str, str]]) -> list[str]:
    """Say which references were not compared."""
    if not skipped:
        return [""]
    lines = [f"- `{entry['path']}` {entry['reason']}" for entry in skipped]
    return ["", "### Not compared", "", *lines, ""]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def span(entry: dict[str, Any], key: str) -> str:
    """Return an interval in words."""
    found = entry["intervals"].get(key)
    if not found:
        return "-"
    low, high = (signed(end) if key == "bias_m" else number(end) for end in found)
    return f"{low} to {high}"


def with_unit(value: float | None, unit: str, key: str = "") -> str:
    """Return a value with its unit; a bias with its sign; what is undefined as such."""
    if value is None:
        return "undefined"
    text = signed(value) if key == "bias_m" else number(value)
    return f"{text} {unit}".strip()


def number(value: float) -> str:
    """Return a number to two places; what rounds to nothing has no sign."""
    return f"{value:.2f}" if round(value, 2) else "0.00"


def signed(value: float) -> str:
    """Return a number to two places with its sign; what rounds to nothing has none."""
    return f"{value:+.2f}" if round(value, 2) else "0.00"
