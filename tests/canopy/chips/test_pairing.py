"""Plots are found wherever a folder leads."""

from __future__ import annotations

import pytest

from canopy.chips.pairing import find_pairs
from canopy.errors import SettingsError


def make_plot(folder):
    folder.mkdir(parents=True)
    for name in ("rgb.tif", "chm.tif"):
        (folder / name).touch()


def test_plots_behind_links_are_found_once(tmp_path):
    make_plot(tmp_path / "elsewhere/SITE/A")
    make_plot(tmp_path / "plots/SITE/B")
    (tmp_path / "plots/LINKED").symlink_to(tmp_path / "elsewhere/SITE")
    (tmp_path / "plots/SITE/round").symlink_to(tmp_path / "plots")
    pairs = find_pairs([str(tmp_path / "plots")])
    assert [(pair.site, pair.name) for pair in pairs] == [
        ("LINKED", "LINKED-A"),
        ("SITE", "SITE-B"),
    ]


def test_a_folder_without_plots_is_said(tmp_path):
    with pytest.raises(SettingsError, match="expected"):
        find_pairs([str(tmp_path)])
