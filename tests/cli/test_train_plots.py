"""``canopy train plots`` and ``canopy train validate``: a recipe and folders of plots in."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
import yaml

pytest.importorskip("sklearn", reason="needs the extra train")

from small_plots import write_plots
from small_recipes import TINY
from small_scenes import write_scene

from canopy.supervision import cross_validation, plot_errors, plot_task
from canopy.supervision.baselines import BASELINES
from canopy.supervision.pairs import FIELD_DATA_VARIABLE
from canopy.weights import load_height_model


@pytest.fixture(autouse=True)
def field_data(tmp_path, monkeypatch):
    """Two sites to learn from, one elsewhere; few folds and scenes, bare ground everywhere."""
    monkeypatch.setenv(FIELD_DATA_VARIABLE, str(write_plots(tmp_path / "field", ("A", "B", "C"))))
    monkeypatch.setattr(cross_validation, "FOLDS", 2)
    monkeypatch.setattr(plot_errors, "MADE_SCENES", 10)
    everywhere = lambda pair: np.ones(pair.image.shape[1:], bool)  # noqa: E731
    monkeypatch.setattr(plot_errors, "bare_ground", everywhere)


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe with some changes; return its path."""

    def write(**changes):
        values = json.loads(json.dumps(asdict(TINY)))
        for name, change in changes.items():
            inside = isinstance(change, dict) and name in values and "kind" not in change
            values[name] = {**values[name], **change} if inside else change
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def test_a_model_is_trained_on_plots_and_maps(canopy_command, recipe, tmp_path):
    folder = tmp_path / "model"
    code, out, err = canopy_command("train", "plots", recipe(), "-o", folder, "--json")
    assert code == 0, err
    assert json.loads(out) == {"path": str(folder), "name": "tiny"}
    assert load_height_model(folder, device="cpu").card.training_data == "made by a test"
    settings = json.loads((folder / "training.json").read_text())
    assert settings["start"]["dim"] == 24
    assert settings["learned"] == ["A_0", "A_1", "B_0", "B_1"]
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", "--model", folder, "-q")
    assert code == 0, err


def test_named_parts_and_another_loss_make_a_model(canopy_command, recipe, tmp_path):
    config = recipe(
        start=None, loss={"main": "silog", "bins": 0}, sampling={"low": 0.1, "tall": 0.2}
    )
    values = yaml.safe_load(config.read_text())
    values["start"] = {"encoder": "test_resnet", "decoder": "unet", "head": "regression"}
    config.write_text(yaml.safe_dump(values))
    code, _, err = canopy_command("train", "plots", config, "-o", tmp_path / "model", "-q")
    assert code == 0, err
    assert load_height_model(tmp_path / "model", device="cpu").card.name == "tiny"
    log = [json.loads(line) for line in (tmp_path / "model" / "log.jsonl").read_text().splitlines()]
    assert "silog" in log[0]["loss"]


def test_an_interrupted_run_goes_on_to_the_same_weights(
    canopy_command, recipe, tmp_path, monkeypatch
):
    config = recipe()
    canopy_command("train", "plots", config, "-o", tmp_path / "whole", "-q")
    draw = plot_task.PlotTask.batch

    def stop(task, step, rank):
        if step == 3:
            raise KeyboardInterrupt
        return draw(task, step, rank)

    monkeypatch.setattr(plot_task.PlotTask, "batch", stop)
    code, _, err = canopy_command("train", "plots", config, "-o", tmp_path / "broken", "-q")
    assert (code, "--resume" in err) == (130, True)
    monkeypatch.setattr(plot_task.PlotTask, "batch", draw)
    code, _, err = canopy_command("train", "plots", config, "-o", tmp_path / "broken", "-q")
    assert (code, "--resume" in err) == (2, True)
    arguments = ("train", "plots", config, "-o", tmp_path / "broken", "--resume", "-q")
    assert canopy_command(*arguments)[0] == 0
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stepps": 3}, "unknown fields .*stepps"),
        ({"optimiser": {"learning_rate": 1}}, "unknown fields .*optimiser"),
        ({"loss": {"main": "magic"}}, "main"),
        ({"run": {"steps": 0}}, "steps of 0"),
        ({"pairs": {"sites": ["NOWHERE"]}}, "no rgb.tif under .*NOWHERE"),
        ({"examples": {"tiles_px": [40]}}, "multiples of"),
        ({"start": {"kind": "dreams"}}, "dreams"),
        ({"sampling": {"low": 0.8, "tall": 0.8}}, "expected shares"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    canopy_command, recipe, tmp_path, changes, said
):
    code, _, err = canopy_command("train", "plots", recipe(**changes), "-o", tmp_path / "run")
    assert code == 2
    assert re.search(said, err), err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_missing_field_data_is_one_line(canopy_command, recipe, tmp_path, monkeypatch):
    monkeypatch.delenv(FIELD_DATA_VARIABLE)
    code, _, err = canopy_command("train", "plots", recipe(), "-o", tmp_path / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert FIELD_DATA_VARIABLE in err
    assert "--data" in err


@pytest.mark.parametrize("command", ["plots", "validate"])
def test_a_file_where_the_folder_shall_stand_is_refused_before_plots_are_read(
    canopy_command, recipe, tmp_path, command
):
    (tmp_path / "run").write_text("something else")
    nowhere = tmp_path / "no plots here"
    code, _, err = canopy_command(
        "train", command, recipe(), "-o", tmp_path / "run", "--data", nowhere
    )
    assert (code, len(err.splitlines())) == (2, 1)
    assert "run is a file: expected a folder for the run" in err
    assert (tmp_path / "run").read_text() == "something else"


@pytest.mark.parametrize("command", ["plots", "validate"])
def test_plots_are_not_learned_from_into_the_folder_that_holds_them(
    canopy_command, recipe, tmp_path, command
):
    folder = tmp_path / "field"
    before = sorted(folder.rglob("*"))
    code, _, err = canopy_command("train", command, recipe(), "-o", folder)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "field holds pairs, which no run wrote there: name a folder for the run alone" in err
    assert sorted(folder.rglob("*")) == before


def test_all_splits_are_run_and_judged(canopy_command, recipe, tmp_path):
    config, folder = recipe(), tmp_path / "cv"
    arguments = ("train", "validate", config, "-o", folder, "--json")
    code, out, err = canopy_command(*arguments, "--only", "blocks-0,sites-B")
    assert code == 0, err
    assert json.loads(out)["missing"] == ["blocks-1", "sites-A"]
    assert "2 still to run before there is a report: blocks-1, sites-A" in err
    assert not (folder / "errors.json").exists()
    canopy_command("train", "plots", config, "-o", tmp_path / "final", "-q")
    code, out, err = canopy_command(*arguments, "--final", tmp_path / "final")
    assert code == 0, err
    report = json.loads((folder / "errors.json").read_text())
    assert json.loads(out)["errors"] == report
    assert set(report["blocks"]["pooled"]) == {"network", *BASELINES}
    assert report["sites"]["A"]["ridge"]["1 m"]["count"] == 2 * 12 * 11
    assert set(report["made scenes"]["lawn"]) == {"mean_m", "p95_m", "share_above_2m"}
    assert report["elsewhere"]["C"]["1 px"]["count"] == 2 * 12 * 11
    table = (folder / "errors.md").read_text()
    assert "| pooled | gradient boosting |" in table
    assert "| C | 6 px |" in table
    assert json.loads((folder / "recipe.json").read_text())["run"]["steps"] == 4


def test_a_split_that_was_stopped_goes_on(canopy_command, recipe, tmp_path, monkeypatch):
    config = recipe()
    draw = plot_task.PlotTask.batch
    arguments = ("train", "validate", config, "--only", "blocks-0,blocks-1", "-q", "-o")
    assert canopy_command(*arguments, tmp_path / "whole")[0] == 0

    def stop(task, step, rank):
        if step == 3:
            raise KeyboardInterrupt
        return draw(task, step, rank)

    monkeypatch.setattr(plot_task.PlotTask, "batch", stop)
    assert canopy_command(*arguments, tmp_path / "broken")[0] == 130
    monkeypatch.setattr(plot_task.PlotTask, "batch", draw)
    code, _, err = canopy_command(*arguments, tmp_path / "broken")
    assert (code, "--resume" in err) == (2, True)
    assert canopy_command(*arguments, tmp_path / "broken", "--resume")[0] == 0
    for split in ("blocks-0", "blocks-1"):  # one gone on with, one not begun before
        files = [
            (tmp_path / name / split / "model.safetensors").read_bytes()
            for name in ("whole", "broken")
        ]
        assert files[0] == files[1]


def test_several_seeds_have_folders_and_one_table(canopy_command, recipe, tmp_path):
    folder = tmp_path / "cv"
    code, _, err = canopy_command(
        "train", "validate", recipe(), "-o", folder, "--seeds", "0,3", "-q"
    )
    assert code == 0, err
    each = [json.loads((folder / f"seed-{n}" / "errors.json").read_text()) for n in (0, 3)]
    maes = [one["blocks"]["pooled"]["network"]["1 m"]["mae"] for one in each]
    assert maes[0] != maes[1]
    report = json.loads((folder / "errors.json").read_text())
    mean = report["blocks"]["pooled"]["network"]["1 m"]["mae"]
    assert mean == pytest.approx(np.mean(maes))
    table = (folder / "errors.md").read_text()
    for name in ("seed-0", "seed-3", "mean over seeds"):
        assert f"| {name} | network |" in table
    held_out = [
        json.loads((folder / f"seed-{n}" / "blocks-0" / "training.json").read_text())["held_out"]
        for n in (0, 3)
    ]
    assert held_out[0] == held_out[1]
    recipes = [json.loads((folder / f"seed-{n}" / "recipe.json").read_text()) for n in (0, 3)]
    assert [(one["seed"], one["run"]["seed"]) for one in recipes] == [(0, 0), (0, 3)]


def test_a_recipe_that_goes_on_is_judged_from_models_that_saw_nothing_of_it(
    canopy_command, recipe, tmp_path
):
    first, folds = tmp_path / "first", tmp_path / "folds"
    assert canopy_command("train", "plots", recipe(), "-o", first, "-q")[0] == 0
    assert canopy_command("train", "validate", recipe(), "-o", folds, "-q")[0] == 0
    second = recipe(start={"kind": "parts", "model": str(first)})
    arguments = ("train", "validate", second, "-o", tmp_path / "judged", "-q")
    code, _, err = canopy_command(*arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "start.model learned from plots that are held out (A_" in err
    assert "give that folder as --start" in err
    code, _, err = canopy_command(*arguments, "--start", folds)
    assert code == 0, err
    settings = json.loads((tmp_path / "judged" / "sites-B" / "training.json").read_text())
    assert settings["start"]["model"] == str(folds / "sites-B")
    assert settings["before"]["learned"] == settings["learned"] == ["A_0", "A_1"]
    assert settings["before"]["start"]["kind"] == "sizes"
    # Judged again, every split is kept; by other models, refused.
    assert canopy_command(*arguments, "--start", folds)[0] == 0
    (tmp_path / "others").symlink_to(folds)
    code, _, err = canopy_command(*arguments, "--start", tmp_path / "others")
    assert (code, "was made with another start" in err) == (2, True)


def test_what_a_model_learned_long_before_counts_as_well(canopy_command, recipe, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    canopy_command("train", "plots", recipe(), "-o", first, "-q")
    only_a = {"gsd_m": 0.6, "sites": ["A"], "unaligned": [], "elsewhere": ["C"]}
    goes_on = recipe(start={"kind": "parts", "model": str(first)}, pairs=only_a)
    canopy_command("train", "plots", goes_on, "-o", second, "-q")
    third = recipe(start={"kind": "parts", "model": str(second)})
    code, _, err = canopy_command(
        "train", "validate", third, "-o", tmp_path / "cv", "--only", "sites-B", "-q"
    )
    assert (code, "learned from plots that are held out (B_0, B_1)" in err) == (2, True)


@pytest.mark.parametrize(
    ("begins", "said"),
    [
        (False, "the recipe begins anew; set its start.model to go on from one"),
        (True, "found no blocks-0 in it; expected a finished validation"),
    ],
)
def test_a_start_that_is_none_is_refused(canopy_command, recipe, tmp_path, begins, said):
    goes_on = {"start": {"kind": "parts", "model": "canopy-tiny"}} if begins else {}
    arguments = ("train", "validate", recipe(**goes_on), "-o", tmp_path / "cv", "-q", "--start")
    code, _, err = canopy_command(*arguments, tmp_path / "field")
    assert (code, said in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--only", "blocks-7"), "no split blocks-7: expected some of blocks-0"),
        (("--seeds", "0,0"), "--seeds 0,0"),
        (("--seeds", "one"), "--seeds one"),
        (("--final", "canopy-gigantic"), "no model canopy-gigantic"),
        (("--threads", "0"), "--threads"),
    ],
)
def test_choices_that_make_no_sense_are_refused(canopy_command, recipe, tmp_path, options, said):
    code, _, err = canopy_command(
        "train", "validate", recipe(), "-o", tmp_path / "cv", *options, "-q"
    )
    assert code == 2
    assert said in err
    assert not (tmp_path / "cv").exists()
