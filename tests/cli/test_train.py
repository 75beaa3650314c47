"""``canopy train decoder``: chips and a configuration in, a model that maps out."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import torch
import yaml
from small_models import tiny_model
from small_pairs import write_pair
from small_scenes import write_scene

from canopy.chips.chip_set import open_chip_set
from canopy.chips.making import make_chips
from canopy.chips.settings import ChipSettings
from canopy.height_models.folder import save_height_model
from canopy.supervision.decoder_run import read_decoder_run
from canopy.supervision.decoder_task import DecoderTask
from canopy.weights import load_height_model

pytestmark = pytest.mark.usefixtures("chips")

RUN = {
    "steps": 12,
    "validate_every": 6,
    "checkpoint_every": 5,
    "log_every": 3,
    "learning_rate": 3e-3,
}


@pytest.fixture
def chips(tmp_path):
    """Bright ground is tall: heights follow the red band."""
    for number in range(9):
        blocks = np.random.default_rng(number).integers(0, 40, (4, 4)).astype(np.float32)
        heights = blocks.repeat(16, 0).repeat(16, 1)
        write_pair(tmp_path / "site" / f"p{number}", heights, east=400_000 + 900 * number)
    settings = ChipSettings(tile_px=64, shares=(0.7, 0.3, 0.0), guard_m=0.0)
    make_chips([str(tmp_path / "site")], tmp_path / "set", settings)
    save_height_model(tiny_model(), tmp_path / "start")
    return tmp_path / "set"


def configure(tmp_path, **changes):
    values = {
        "chips": "set",
        "start": {"model": str(tmp_path / "start")},
        "sampling": {"batch": 4, "crop_px": 32},
        "run": RUN,
        "card": {"name": "trial", "licence": "Apache-2.0", "imagery": "aerial"},
    }
    for name, change in changes.items():
        values[name] = {**values.get(name, {}), **change} if isinstance(change, dict) else change
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": {"main": "silog", "bins": 0.3}},
        {"loss": {"main": "charbonnier"}, "start": {"tuned": False}},
        {"start": {"model": "", "encoder": "test_vit", "decoder": "linear", "head": "regression"}},
    ],
)
def test_a_model_is_trained_and_maps(canopy_command, tmp_path, changes):
    config = configure(tmp_path, **changes)
    code, out, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["validation"]["mae_m"] > 0
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made == {
        "config.json", "model.safetensors", "training.json", "log.jsonl", "curves.png",
        "panels.png", "checkpoint.pt",
    }  # fmt: skip
    model = load_height_model(tmp_path / "run", device="cpu")
    assert (model.card.name, model.card.imagery, model.card.gsd_m) == ("trial", "aerial", 0.6)
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", tmp_path / "run", "-q"
    )
    assert code == 0, err


def test_a_network_of_plain_sizes_learns_from_chips_too(canopy_command, tmp_path):
    config = configure(tmp_path)
    values = yaml.safe_load(config.read_text())
    values["start"] = {"kind": "sizes", "dim": 24, "depth": 2, "heads": 2, "width": 8, "bins": 16}
    config.write_text(yaml.safe_dump(values))
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run", "-q")
    assert code == 0, err
    assert load_height_model(tmp_path / "run", device="cpu").card.maximum_height_m == 15


def test_a_run_keeps_how_the_model_it_goes_on_from_was_trained(canopy_command, tmp_path):
    for name, model in (("first", tmp_path / "start"), ("second", tmp_path / "first")):
        config = configure(tmp_path, start={"model": str(model)}, run={"steps": 1})
        code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / name, "-q")
        assert code == 0, err
    first, second = (
        json.loads((tmp_path / name / "training.json").read_text()) for name in ("first", "second")
    )
    assert "before" not in first
    assert second["before"] == first


def test_it_learns_what_there_is_to_learn(canopy_command, tmp_path):
    config = configure(
        tmp_path,
        start={"model": "", "encoder": "test_resnet", "decoder": "unet", "head": "regression"},
        loss={"main": "charbonnier"}, augment={"share": 0.0},
        run={"steps": 80, "validate_every": 80, "learning_rate": 1e-2},
    )  # fmt: skip
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run", "--json")
    assert code == 0, err
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"]["charbonnier"] for record in log if "loss" in record]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])


@pytest.mark.parametrize(
    "start", [{}, {"model": "", "encoder": "test_resnet", "decoder": "unet", "head": "regression"}]
)
def test_a_frozen_encoder_stays_as_it_was(canopy_command, tmp_path, start):
    frozen = {"start": {**start, "tuned": False}}
    for name, rate in (("none", 1e-9), ("run", 1e-2)):
        config = configure(tmp_path, **frozen, run={"steps": 4, "learning_rate": rate})
        assert canopy_command("train", "decoder", config, "-o", tmp_path / name, "-q")[0] == 0
    before, after = (
        load_height_model(tmp_path / name, device="cpu").network.state_dict()
        for name in ("none", "run")
    )
    if not start:
        before = load_height_model(tmp_path / "start", device="cpu").network.state_dict()
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(kept for name, kept in same.items() if name.startswith("encoder."))
    assert not all(kept for name, kept in same.items() if name.startswith("decoder."))
    counts = [int(n) for name, n in after.items() if name.endswith("num_batches_tracked")]
    encoder = [name for name in after if re.match(r"encoder.*num_batches_tracked", name)]
    assert counts[: len(encoder)] == [0] * len(encoder)
    assert counts[len(encoder) :] == [4] * (len(counts) - len(encoder))


def test_an_interrupted_run_goes_on_to_the_same_weights(canopy_command, tmp_path, monkeypatch):
    from canopy.supervision import decoder_task  # noqa: PLC0415

    config = configure(tmp_path)
    canopy_command("train", "decoder", config, "-o", tmp_path / "whole", "-q")
    draw = decoder_task.DecoderTask.batch

    def stop(task, step, rank):
        if step == 8:
            raise KeyboardInterrupt
        return draw(task, step, rank)

    monkeypatch.setattr(decoder_task.DecoderTask, "batch", stop)
    code, _, _ = canopy_command("train", "decoder", config, "-o", tmp_path / "broken", "-q")
    assert code == 130
    monkeypatch.undo()
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "broken", "-q")
    assert (code, "--resume" in err) == (2, True)
    arguments = ("train", "decoder", config, "-o", tmp_path / "broken", "--resume", "-q")
    code, _, err = canopy_command(*arguments)
    assert code == 0, err
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]


def test_the_same_seed_builds_the_same_network_and_another_seed_another(canopy_command, tmp_path):
    built = {"model": "", "encoder": "test_vit", "decoder": "linear", "head": "regression"}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = configure(tmp_path, start=built, run={"steps": 1, "seed": seed})
        assert canopy_command("train", "decoder", config, "-o", tmp_path / name, "-q")[0] == 0
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def batches(tmp_path, steps, **changes):
    """Batches of a run whose chips are nowhere low: what is 0 there is treeless ground."""
    settings = read_decoder_run(configure(tmp_path, augment={"share": 0, "holes": 0}, **changes))
    chips = open_chip_set(tmp_path / "set")
    model = tiny_model()
    task = DecoderTask(model.network, model.card, chips, settings)
    return [task.batch(step, 0) for step in range(steps)]


def test_a_tenth_of_the_examples_is_made_and_a_tenth_of_the_chips_partly_so(tmp_path):
    settings = read_decoder_run(configure(tmp_path))
    assert (settings.treeless.made, settings.treeless.pasted) == (0.1, 0.1)
    drawn = batches(tmp_path, 60)
    bare = np.concatenate([(b["heights"] == 0).numpy().mean(axis=(1, 2)) for b in drawn])
    assert (bare == 1).mean() == pytest.approx(0.1, abs=0.05)
    # 1 in 40 blocks of a chip is 0 too: a laid-over part is larger.
    assert ((bare > 0.2) & (bare < 1)).mean() == pytest.approx(0.09, abs=0.06)
    assert all(bool(batch["known"].all()) for batch in drawn)


def test_made_scenes_alone_have_height_zero_and_none_are_made_where_none_are_wanted(tmp_path):
    made = batches(tmp_path, 3, treeless={"made": 0.999, "pasted": 0.0})
    assert all(float(batch["heights"].max()) == 0 for batch in made)
    none = batches(tmp_path, 30, treeless={"made": 0.0, "pasted": 0.0})
    red_is_height = [torch.equal(batch["images"][:, 0], batch["heights"]) for batch in none]
    assert all(red_is_height)


def test_fine_chips_are_refused_until_treeless_scenes_are_left_out(canopy_command, tmp_path):
    for number in range(9):
        heights = np.random.default_rng(number).integers(0, 40, (64, 64)).astype(np.float32)
        folder = tmp_path / "fine" / f"p{number}"
        write_pair(folder, heights, pixel=0.25, east=400_000 + 900 * number)
    settings = ChipSettings(tile_px=64, shares=(0.7, 0.3, 0.0), guard_m=0.0, gsd_m=0.25)
    make_chips([str(tmp_path / "fine")], tmp_path / "fine-set", settings)
    changes = {"chips": "fine-set", "start": {"model": "", "encoder": "test_vit"}}
    config = configure(tmp_path, **changes)
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run")
    assert code == 2
    assert "0.5 to 1.5 m, not of 0.25 m: set the shares made and pasted to 0" in err
    config = configure(tmp_path, **changes, treeless={"made": 0.0, "pasted": 0.0})
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run", "-q")
    assert code == 0, err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"treeless": {"made": 1.0}}, "expected shares"),
        ({"start": {"encoder": "test_vit"}}, "has its own parts"),
        ({"chips": "nowhere"}, "no whole set of chips"),
        ({"wish": 1}, "unknown fields .*wish"),
        ({"start": {"model": "canopy-gigantic"}}, "no model canopy-gigantic"),
        ({"sampling": {"crop_px": 33}}, "multiples of"),
        ({"sampling": {"crop_px": 96}}, "up to the 64 px"),
        (
            {"loss": {"main": "magic"}},
            "loss.main is 'magic', expected one of curriculum, silog, charbonnier, huber$",
        ),
        ({"loss": {"bins": "few"}}, "loss.bins is 'few', expected a number$"),
        ({"run": {"steps": None}}, "run.steps is empty, expected a whole number$"),
        ({"loss": "huber"}, "loss is text, expected an object with main, bins"),
        ({"chips": 3}, "chips is 3, expected text$"),
        ({"run": {"steps": 0}}, "steps of 0"),
        (
            {
                "loss": {"bins": 1.0},
                "start": {"model": "", "encoder": "test_vit", "head": "regression"},
            },
            "needs a head of linear bins",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_in_one_line(canopy_command, tmp_path, changes, said):
    code, _, err = canopy_command(
        "train", "decoder", configure(tmp_path, **changes), "-o", tmp_path / "run"
    )
    assert code == 2
    assert re.search(said, err)
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("written", ["", "# later\n", "run: {steps: 3}\n"])
def test_a_configuration_says_what_it_lacks(canopy_command, tmp_path, written):
    (tmp_path / "run.yaml").write_text(written)
    code, _, err = canopy_command("train", "decoder", tmp_path / "run.yaml", "-o", tmp_path / "run")
    assert (code, err) == (2, f"error: {tmp_path / 'run.yaml'} lacks chips: add it\n")


def test_a_configuration_that_is_a_list_is_refused(canopy_command, tmp_path):
    (tmp_path / "run.yaml").write_text("[]\n")
    code, _, err = canopy_command("train", "decoder", tmp_path / "run.yaml", "-o", tmp_path / "run")
    assert code == 2
    assert "run.yaml is a list, expected an object with chips, start, loss" in err


def test_a_file_where_the_folder_shall_stand_is_one_line(canopy_command, tmp_path):
    (tmp_path / "run").write_text("something else")
    config = configure(tmp_path, chips="nowhere")
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "run is a file: expected a folder for the run" in err


def test_a_run_in_the_folder_of_its_chips_is_one_line_and_changes_nothing(canopy_command, tmp_path):
    before = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}
    config = configure(tmp_path)
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "site/../set")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is the set of chips: name another folder for the run" in err
    code, _, err = canopy_command("train", "decoder", config, "-o", tmp_path / "set", "--resume")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "set holds README.md and" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == before


@pytest.mark.parametrize("kind", ["decoder", "correction", "plots", "validate"])
def test_a_folder_is_no_configuration_and_is_called_a_folder(canopy_command, tmp_path, kind):
    code, _, err = canopy_command("train", kind, tmp_path / "site", "-o", tmp_path / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "site is a folder: expected a configuration of training, a file in YAML" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "+1.e-3", ".1e-2", "0.001", "1.0e-03"])
def test_numbers_are_read_as_they_are_written(tmp_path, written):
    config = configure(tmp_path)
    values = yaml.safe_load(config.read_text())
    del values["run"]
    betas = "[9e-1, 0.98]"
    run = f"run: {{learning_rate: {written}, betas: {betas}, steps: 3}}\n"
    config.write_text("\ufeff" + yaml.safe_dump(values) + run, encoding="utf-8")
    settings = read_decoder_run(config).run
    assert (settings.learning_rate, settings.betas, settings.steps) == (0.001, (0.9, 0.98), 3)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nan", "learning_rate is 'nan', expected a number"),
        (".nan", ".nan is no finite number"),
        ("-.inf", "-.inf is no finite number"),
        ("1e999", "1e999 is no finite number"),
        ("'1e-3'", "learning_rate is '1e-3', expected a number"),
        ("1e-3x", "learning_rate is '1e-3x', expected a number"),
    ],
)
def test_what_is_no_number_is_refused(canopy_command, tmp_path, written, said):
    (tmp_path / "run.yaml").write_text(f"chips: set\nrun: {{learning_rate: {written}}}\n")
    code, _, err = canopy_command("train", "decoder", tmp_path / "run.yaml", "-o", tmp_path / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert said in err


def test_names_that_begin_as_numbers_do_stay_names(tmp_path):
    config = configure(tmp_path)
    config.write_text("chips: set\ncard: {name: 1e-3x, notice: 12e4 trees}\n")
    card = read_decoder_run(config).card
    assert (card.name, card.notice) == ("1e-3x", "12e4 trees")


def test_chips_of_another_pixel_are_refused(canopy_command, tmp_path):
    settings = ChipSettings(tile_px=32, shares=(0.7, 0.3, 0.0), guard_m=0.0, gsd_m=1.2)
    make_chips([str(tmp_path / "site")], tmp_path / "coarse", settings)
    code, _, err = canopy_command(
        "train", "decoder", configure(tmp_path, chips="coarse"), "-o", tmp_path / "run"
    )
    assert code == 2
    assert "canopy chips --gsd 0.6" in err


def test_a_set_without_a_split_to_judge_by_is_refused(canopy_command, tmp_path):
    settings = ChipSettings(tile_px=64, shares=(1.0, 0.0, 0.0), guard_m=0.0)
    make_chips([str(tmp_path / "site")], tmp_path / "whole", settings)
    code, _, err = canopy_command(
        "train", "decoder", configure(tmp_path, chips="whole"), "-o", tmp_path / "run"
    )
    assert code == 2
    assert "has no chip to val" in err


def test_without_its_extra_it_says_what_to_install(canopy_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    for name in [name for name in sys.modules if name.startswith("canopy.supervision")]:
        monkeypatch.delitem(sys.modules, name)
    code, _, err = canopy_command("train", "decoder", tmp_path / "x.yaml", "-o", tmp_path / "run")
    assert code == 2
    assert "pip install 'canopy-height[train]'" in err
