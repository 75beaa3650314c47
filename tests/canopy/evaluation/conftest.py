"""A way to evaluate arrays, as the command does with files."""

from __future__ import annotations

import itertools

import pytest
from small_heights import write_heights

import canopy.evaluation.report
from canopy.evaluation.evaluate import evaluate_map
from canopy.evaluation.settings import EvaluationSettings


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """A function that evaluates a map without pictures and returns the report's content."""
    monkeypatch.setattr(canopy.evaluation.report, "draw", lambda *_: [])
    numbers = itertools.count()

    def run(map_path, *references, footprints=(), **choices):
        choices = {"replicates": 50} | choices
        report = evaluate_map(
            map_path, references, tmp_path / f"report{next(numbers)}",
            footprints=footprints, settings=EvaluationSettings(**choices),
        )  # fmt: skip
        return report.content

    return run


@pytest.fixture
def compare(tmp_path, evaluate):
    """A function that evaluates heights against others and returns the comparison."""

    def run(predicted, true, **choices):
        here = write_heights(tmp_path / "map.tif", predicted, pixel=choices.pop("pixel", 1.0))
        there = write_heights(tmp_path / "reference.tif", true, pixel=choices.pop("other", 1.0))
        return evaluate(here, there, **choices)["comparisons"][0]

    return run
