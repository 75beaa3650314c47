"""The main path: a height map and its references in, a report out. The file to read first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.errors import SettingsError
from canopy.evaluation.counts import HeightCounts, Residuals
from canopy.evaluation.coverage import cover_points, cover_raster, coverage_for
from canopy.evaluation.height_source import open_heights
from canopy.evaluation.overlaps import with_earlier
from canopy.evaluation.points import heights_at, neighbourhood_of, on_the_ground, read_points
from canopy.evaluation.raster_sums import SiteSums, sum_pair, tiling_of
from canopy.evaluation.read_pairs import find_rasters, name_sites, plan_pair
from canopy.evaluation.report import Report, refuse_output, write_report
from canopy.evaluation.section import PointResiduals, Section
from canopy.evaluation.settings import EvaluationSettings
from canopy.evaluation.sums import LENGTH, part_of, sums_of_heights
from canopy.evaluation.vectors import is_vector
from canopy.evaluation.zones import read_grouping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from canopy.evaluation.height_source import HeightSource
    from canopy.evaluation.points import Points
    from canopy.evaluation.read_pairs import RasterPair
    from canopy.evaluation.zones import Grouping

    Array = NDArray[np.float64]
    Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)

PICTURED_SITES = 12
"""As many sites as a picture of residuals has room for, the largest ones."""


def evaluate_map(
    map_path: str | Path,
    references: Sequence[str | Path],
    output: str | Path,
    *,
    footprints: Sequence[str | Path] = (),
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare a height map with lidar rasters, measured points or GEDI footprints.

    Args:
        map_path: the map, a raster of one band of heights.
        references: rasters, folders of rasters, or vector files of points with a height. Ground
            under several rasters counts for the first; those of a folder come by their paths.
        output: folder of the report; nothing stands there before all of it is whole.
        footprints: vector files of GEDI footprints.
        settings: choices.
        progress: told the number of finished pieces of ground and of all.

    Returns:
        What was found, and where it was written.

    Raises:
        CanopyError: the settings, the references or the output do not fit.
        GeoError: a file cannot be read or written.
    """
    settings = settings or EvaluationSettings()
    refuse_output(Path(output), settings)
    if not references and not footprints:
        msg = "found no reference: expected a raster, a folder, points or --footprints"
        raise SettingsError(msg)
    map_source = open_heights(map_path, settings.map_scale)
    grouping = None
    if settings.sites and settings.groups:
        grouping = read_grouping(settings.sites, settings.groups)
    named = [str(reference) for reference in references]
    points = [path for path in named if is_vector(path)]
    rasters = find_rasters([path for path in named if not is_vector(path)])
    refuse_groups_of_rasters(rasters, settings)
    if settings.tile_m is not None and not rasters:
        msg = (
            f"--tile {settings.tile_m:g} without rasters to compare with: intervals of points are "
            "drawn from pieces of about 1 km, leave it out"
        )
        raise SettingsError(msg)
    job = Job(map=map_source, settings=settings, grouping=grouping)
    sections = [
        job.compare_rasters(rasters, progress),
        job.compare_points(points, footprints=False),
        job.compare_points([str(path) for path in footprints], footprints=True),
    ]
    refuse_nothing_compared(sections, map_source)
    return write_report(Path(output), map_source, sections, settings)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all comparisons share.

    Attributes:
        map: the map.
        settings: choices.
        grouping: groups from a file of sites, or None.
    """

    map: HeightSource
    settings: EvaluationSettings
    grouping: Grouping | None

    def compare_rasters(self, paths: Sequence[str], progress: Progress | None) -> Section:
        """Compare the map with rasters, pixel by pixel."""
        section = Section(
            kind="pixels",
            words="map pixels with pixels of lidar rasters, both valid",
            counts=HeightCounts(),
            column=self.settings.groups,
            coverage=coverage_for(self.map),
        )
        pairs = self.plan_pairs(paths, section)
        pictured = {pair.site for pair in largest(pairs)}
        whole = sum(tiling_of(pair, self.settings).count for pair in pairs)
        finished = 0

        def done(count: int) -> None:
            nonlocal finished
            finished += count
            if progress:
                progress(finished, whole)

        for pair in pairs:
            residuals = Residuals(pair.grid.shape) if pair.site in pictured else None
            sums = sum_pair(
                pair,
                self.settings,
                counts=section.counts,
                residuals=residuals,
                zones=self.grouping.zones_on(pair.grid) if self.grouping else None,
                done=done,
            )
            self.add_raster(section, pair, sums, residuals)
        return section

    def plan_pairs(self, paths: Sequence[str], section: Section) -> list[RasterPair]:
        """Return the pairs that overlap, in the order of their names; say which do not.

        Ground that several references cover counts for the one that is named first.
        """
        pairs = []
        for site, path in zip(name_sites(paths), paths, strict=True):
            pair = plan_pair(site, self.map, path, self.settings)
            if pair is None:
                skip(section, path, "does not overlap the map")
            else:
                pairs.append(pair)
        return sorted(with_earlier(pairs), key=lambda pair: pair.site)

    def add_raster(
        self, section: Section, pair: RasterPair, sums: SiteSums, residuals: Residuals | None
    ) -> None:
        """Add a compared raster to a section, or say that nothing of it could be compared."""
        path = pair.reference.path
        section.counted_before += sums.counted_before
        if not part_of(sums.pieces, "pixel")[:, 0].any():
            reason = "has no pixel that is valid in both"
            if sums.counted_before:
                reason = "lies under references that are named before it"
            skip(section, path, reason)
            return
        section.sites.append(sums)
        section.facts.append(facts_of(pair, sums))
        if residuals is not None:
            section.residuals[pair.site] = residuals
        if self.grouping and self.grouping.by_site is not None:
            section.group_of[pair.site] = self.grouping.group_of(pair.site, path)
        if section.coverage:
            cover_raster(
                section.coverage,
                pair,
                self.settings,
                zones=self.grouping.zones_on(pair.grid) if self.grouping else None,
                group=section.group_of.get(pair.site),
            )

    def compare_points(self, paths: Sequence[str], *, footprints: bool) -> Section:
        """Compare the map with points or footprints, each file a site."""
        around = neighbourhood_of(self.settings, footprints=footprints)
        section = Section(
            kind="footprints" if footprints else "points",
            words=around.words,
            counts=HeightCounts(),
            column=self.settings.groups,
            # RH98 of a footprint is no mean: the ends of pixels say nothing of it.
            coverage=None if footprints else coverage_for(self.map),
        )
        if not paths:
            return section
        with self.map.open() as reader:
            for site, path in sorted(zip(name_sites(paths), paths, strict=True)):
                points = read_points(path, self.map, self.settings, footprints=footprints)
                self.add_points(section, site, points, heights_at(reader, points, around))
                if section.coverage:
                    groups = self.groups_at(points)
                    cover_points(section.coverage, site, points, self.map, around, groups)
        return section

    def add_points(self, section: Section, site: str, points: Points, predicted: Array) -> None:
        """Add the points of a file to a section, or say that none lies on the map."""
        valid = np.isfinite(predicted)
        if not valid.any():
            skip(section, points.path, nothing_of(points))
            return
        groups = np.array(self.groups_at(points) or [""] * len(valid), dtype=object)
        names = sorted({name for name in groups[valid].tolist() if name})
        section.counts.add(predicted[valid], points.heights[valid])
        x, y = on_the_ground(points.x[valid], points.y[valid], self.map.grid)
        section.points.append(
            PointResiduals(
                site=site,
                x=x,
                y=y,
                residuals=predicted[valid] - points.heights[valid],
            )
        )
        section.sites.append(
            SiteSums(
                site=site,
                pieces=sums_by_piece(points, predicted, valid),
                piece_m=1000.0,
                pixel_ha=0.0,
                groups={
                    name: sums_by_piece(points, predicted, valid & (groups == name))
                    for name in names
                },
            )
        )
        left_out = points.left_out | {"no height on the map": int((~valid).sum())}
        section.facts.append(
            {
                "path": points.path,
                "column": points.column,
                "filters": points.filters,
                "filters_lacking": points.lacking,
                "read": points.read,
                "left_out": {reason: count for reason, count in left_out.items() if count},
            }
        )

    def groups_at(self, points: Points) -> list[str] | None:
        """Return the group of each point: from its own column, or from polygons or a table."""
        if self.grouping is None:
            return points.groups
        if self.grouping.polygons is not None:
            return self.grouping.groups_at(points.x, points.y, self.map.grid.crs)
        group = self.grouping.group_of(Path(points.path).stem, points.path)
        return [group] * len(points.x)


def nothing_of(points: Points) -> str:
    """Say why no point of a file can be compared."""
    if len(points.x) or not points.filters:
        return "has no point with a height on the map"
    reasons = ", ".join(f"{count} {reason}" for reason, count in points.left_out.items())
    return f"has no footprint left of {points.read} ({reasons}): --all-footprints keeps them"


def sums_by_piece(points: Points, predicted: Array, chosen: NDArray[np.bool_]) -> Array:
    """Return the sums (pieces, LENGTH) of the chosen points (n,) by piece of ground."""
    order = np.flatnonzero(chosen)
    order = order[np.argsort(points.pieces[order], kind="stable")]
    ends = np.flatnonzero(np.diff(points.pieces[order])) + 1
    found = [
        sums_of_heights(predicted[part], points.heights[part]) for part in np.split(order, ends)
    ]
    return np.array(found).reshape(-1, LENGTH)


def facts_of(pair: RasterPair, sums: SiteSums) -> dict[str, Any]:
    """Return what is known of a compared raster beside its errors."""
    return {
        "path": pair.reference.path,
        "date": pair.reference.date,
        "compared_on": pair.on,
        "crs": pair.grid.crs.to_string() if pair.grid.crs else None,
        "pixel_m": [round(side, 6) for side in pair.pixel_m],
        "averaged_pixel_m": [round(side, 6) for side in pair.averaged.pixel_m],
        "shape": [*pair.grid.shape],
        "tile_m": round(sums.piece_m, 3),
        "counted_before": sums.counted_before,
    }


def largest(pairs: Sequence[RasterPair]) -> list[RasterPair]:
    """Return the pairs with the largest area, as many as are pictured."""
    order = sorted(
        pairs, key=lambda pair: (-pair.pixel_ha * pair.grid.height * pair.grid.width, pair.site)
    )
    return order[:PICTURED_SITES]


def skip(section: Section, path: str, reason: str) -> None:
    """Say that a reference was not compared, and why."""
    log.warning("%s %s: skipped", path, reason)
    section.skipped.append({"path": path, "reason": reason})


def refuse_groups_of_rasters(rasters: Sequence[str], settings: EvaluationSettings) -> None:
    """Refuse groups that nothing tells.

    Raises:
        SettingsError: rasters have no columns, and there is no file of sites.
    """
    if rasters and settings.groups and not settings.sites:
        msg = (
            f"--groups {settings.groups}: rasters have no columns; name the table or the polygons "
            "that hold it with --sites FILE"
        )
        raise SettingsError(msg)


def refuse_nothing_compared(sections: Sequence[Section], map_source: HeightSource) -> None:
    """Refuse to report on nothing.

    Raises:
        SettingsError: no reference could be compared.
    """
    if any(section.sites for section in sections):
        return
    skipped = [entry for section in sections for entry in section.skipped]
    first = skipped[0]
    msg = (
        f"no reference could be compared with {map_source.path}: {first['path']} "
        f"{first['reason']}{f' (and {len(skipped) - 1} more)' if len(skipped) > 1 else ''}; check "
        "place and CRS of both"
    )
    raise SettingsError(msg)
