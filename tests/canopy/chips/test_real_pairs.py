"""The real plots become chips whose ground is on one side only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from canopy.chips.making import make_chips
from canopy.chips.settings import ChipSettings

ROOT = os.environ.get("CANOPY_FIELD_DATA")
SITES = ("NEON_TEAK", "NEON_OSBS", "NEON_MLBS")


@pytest.mark.skipif(not ROOT, reason="needs field data in CANOPY_FIELD_DATA")
def test_plots_of_three_sites_are_cut_and_dealt(tmp_path):
    sources = [str(Path(ROOT) / "pairs" / site) for site in SITES]
    settings = ChipSettings(tile_px=96, guard_m=10, shares=(0.6, 0.2, 0.2))
    made = make_chips(sources, tmp_path / "set", settings)
    plots = made.index.explode("plots")
    assert plots["plots"].nunique() == 105
    assert (made.index.groupby(["split", "site"]).size() > 0).all()
    assert made.index["split"].nunique() == 3
    for site, part in made.index.groupby("site"):
        local = part.to_crs(part.estimate_utm_crs())
        grounds = dict(iter(local.geometry.groupby(local["split"])))
        for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
            apart = grounds[first].union_all().distance(grounds[second].union_all())
            assert apart > 10 - 0.1, site
    tall = made.index.set_index("site")["height_p95_m"].groupby("site").mean()
    assert tall["NEON_TEAK"] > tall["NEON_OSBS"] > 10
    assert np.average(made.index["height_mean_m"], weights=made.index["known"]) == pytest.approx(
        12.5, abs=2
    )
