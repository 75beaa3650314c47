"""Tiny plots with known heights, made by the tests."""

from __future__ import annotations

import pytest
from small_plots import write_plots

from canopy.supervision.pairs import PairSettings, read_pairs


@pytest.fixture
def plots(tmp_path):
    """A field data folder with two sites of two plots each."""
    return write_plots(tmp_path)


@pytest.fixture
def pairs(plots):
    return read_pairs(plots, PairSettings(sites=("A", "B"), unaligned=()))
