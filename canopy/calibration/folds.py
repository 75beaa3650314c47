"""Calibrate a model by the out-of-fold models of its recipe.

``python -m canopy.calibration.folds CV_FOLDER --model FOLDER --output intervals.json``: where every
plot was learned from, none is set aside for calibration. Cross-validation has models that did not
see each plot; what they predict there is what a model of this recipe does on new ground
(cross-conformal prediction: Vovk 2015). The calibration says so.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from canopy.calibration.calibrate import facts_of, plan_files
from canopy.calibration.conformal import PlotSample, calibrate
from canopy.calibration.coverage import Test, coverage_of, leave_groups_out
from canopy.calibration.report import CalibrationReport, coverage_table, part_table, write_report
from canopy.calibration.settings import CalibrationSettings
from canopy.errors import CanopyError, SettingsError
from canopy.supervision.cross_validation import make_splits
from canopy.supervision.pairs import PairSettings, field_data_root, read_pairs
from canopy.supervision.zero_height import mirrored
from canopy.weights import load_height_model
from geo.errors import GeoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canopy.calibration.conformal import ModelFacts
    from canopy.height_models.height_model import HeightModel
    from canopy.supervision.cross_validation import Split
    from canopy.supervision.pairs import HeightPair

log = logging.getLogger(__name__)

DATA = "NEON airborne imagery and lidar (NEON open data; plots of IDTReeS 2020)"


@dataclass(frozen=True, kw_only=True)
class FoldSettings:
    """What the models of a cross-validation have in common.

    Attributes:
        seed: that dealt plots to folds.
        tile_px: side to which smaller plots are mirrored [px].
        pairs: which plots there are.
    """

    seed: int
    tile_px: int
    pairs: PairSettings


def read_fold_settings(folder: Path) -> FoldSettings:
    """Read what a cross-validation says of itself in ``recipe.json``.

    Raises:
        SettingsError: there is none.
    """
    path = folder / "recipe.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        recipe: dict[str, Any] = content.get("recipe", content)
        pairs = {name: recipe["pairs"][name] for name in ("gsd_m", "sites", "unaligned")}
        return FoldSettings(
            seed=int(recipe["seed"] if "seed" in recipe else recipe["run"]["seed"]),
            tile_px=int(recipe["evaluation_tile_px"]),
            pairs=PairSettings(
                gsd_m=pairs["gsd_m"],
                sites=tuple(pairs["sites"]),
                unaligned=tuple(pairs["unaligned"]),
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} cannot be read ({error!r}): expected the folder of a cross-validation"
        raise SettingsError(msg) from error


def sample_split(
    folder: Path, split: Split, pairs: Sequence[HeightPair], settings: FoldSettings
) -> list[PlotSample]:
    """Return the held-out plots of a split, predicted by the model that never saw them.

    Plots whose imagery and lidar are known not to fit are left out.

    Raises:
        ModelError: the model of the split is missing or broken.
    """
    model = load_height_model(folder / f"{split.scheme}-{split.name}", device="cpu")
    held_out = [pairs[index] for index in split.held_out]
    return [
        sample_plot(model, pair, settings.tile_px)
        for pair in held_out
        if pair.plot not in settings.pairs.unaligned
    ]


def sample_plot(model: HeightModel, pair: HeightPair, tile: int) -> PlotSample:
    """Return a plot predicted by a model; a plot smaller than a tile is mirrored."""
    rows, columns = pair.image.shape[-2:]
    side = max(tile, rows, columns)
    images = (mirrored(pair.image, side, (0, 0)) / np.float32(255))[None]
    heights, scale = model.predict_with_scale(images)
    known = pair.image_valid
    return PlotSample(
        plot=pair.plot,
        site=pair.box.site,
        image=pair.plot,
        box=pair.box,
        heights=heights[0, :rows, :columns][known],
        scale=scale[0, :rows, :columns][known],
        true=pair.image_heights[known],
    )


@dataclass(frozen=True, kw_only=True)
class FoldReport:
    """A calibration by out-of-fold models, and its coverage.

    Attributes:
        report: the calibration, and its coverage on each fold by the other folds.
        sites: coverage on each site, predicted by a model that never saw it and calibrated on the
            out-of-fold predictions of the other sites; empty without models of sites.
    """

    report: CalibrationReport
    sites: list[dict[str, Any]]

    def as_markdown(self) -> str:
        """Return the report as Markdown."""
        text = self.report.as_markdown()
        if not self.sites:
            return text
        lines = [
            "## Coverage on a site that neither model nor calibration saw",
            "",
            *coverage_table(self.sites),
            "",
            *part_table(self.sites, "by_group"),
            "",
        ]
        return text + "\n" + "\n".join(lines)


def calibrate_folds(folder: Path, model: HeightModel, root: Path) -> FoldReport:
    """Calibrate a model by what the models of its recipe predicted where they had not learned.

    Args:
        folder: of a cross-validation: ``recipe.json``, and a model in each of ``blocks-0``,
            ``blocks-1``, ... and, to judge new sites, ``sites-NAME``.
        model: that the calibration is for: of the same recipe, trained on all plots.
        root: of the field data, with ``pairs/``.

    Raises:
        CanopyError: a folder is not what it should be.
    """
    settings = read_fold_settings(folder)
    pairs = read_pairs(root, settings.pairs)
    splits = make_splits(pairs, seed=settings.seed)
    facts = facts_of(model, CalibrationSettings(), DATA, "out-of-fold")
    samples: list[PlotSample] = []
    groups: list[str] = []
    for split in (split for split in splits if split.scheme == "blocks"):
        found = sample_split(folder, split, pairs, settings)
        samples += found
        groups += [f"fold {split.name}"] * len(found)
        log.info("fold %s: %d plots", split.name, len(found))
    tests = leave_groups_out(samples, groups, facts)
    report = CalibrationReport(
        calibration=calibrate(samples, facts),
        left_out="folds of ground",
        groups=len(tests),
        coverage=coverage_of(tests),
    )
    sites = [
        site_test(sample_split(folder, split, pairs, settings), split.name, samples, facts)
        for split in splits
        if split.scheme == "sites" and (folder / f"sites-{split.name}").is_dir()
    ]
    return FoldReport(report=report, sites=coverage_of(sites) if sites else [])


def site_test(
    judged: Sequence[PlotSample], site: str, samples: Sequence[PlotSample], facts: ModelFacts
) -> Test:
    """Return the test of a site by the calibration on all other sites."""
    others = [sample for sample in samples if sample.site != site]
    return Test(group=site, samples=judged, calibration=calibrate(others, facts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Calibrate, and write the calibration and its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the cross-validation")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model it is for")
    parser.add_argument("--output", type=Path, help="intervals.json; in the model by default")
    parser.add_argument("--data", type=Path, help="field data; CANOPY_FIELD_DATA by default")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    output = options.output or options.model / "intervals.json"
    try:
        files = plan_files(output, [], overwrite=options.overwrite)
        model = load_height_model(options.model, device="cpu")
        found = calibrate_folds(options.folder, model, field_data_root(options.data))
        write_report(found.report, files, words=found.as_markdown())
    except (CanopyError, GeoError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - one line, no traceback
        return 1
    log.info("written %s", ", ".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
