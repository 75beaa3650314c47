"""Training: split by ground, resumed exactly, refused in one line where it cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file
from small_corrections import GSD_M, NORTH, WEST, write_run, write_scene

from canopy.correction_network import train
from canopy.correction_network.samples import gather
from canopy.correction_network.train import train_correction, worth_of
from canopy.correction_network.training_run import read_correction_run
from canopy.errors import ModelError, OutputError, RunError, SettingsError


class Killed(Exception):  # noqa: N818 - no error of ours
    """Stands for a kill."""


def killer(after):
    def progress(done, _all):
        if done == after:
            raise Killed

    return progress


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path):
    config = write_run(tmp_path)
    whole = train_correction(config, tmp_path / "whole")
    with pytest.raises(Killed):
        train_correction(config, tmp_path / "killed", progress=killer(5))
    assert not (tmp_path / "killed/config.json").exists()
    assert not (tmp_path / "killed/windows.npy").exists()
    again = train_correction(config, tmp_path / "killed", resume=True)
    first, second = (load_file(run.folder / "model.safetensors") for run in (whole, again))
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor.numpy(), second[name].numpy())
    assert whole.model.card == again.model.card
    logs = [
        [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
        for run in (whole, again)
    ]
    steps = [[record["step"] for record in log] for log in logs]
    assert steps[0] == steps[1]
    assert {path.name for path in whole.folder.iterdir()} == {
        "config.json", "model.safetensors", "training.json", "log.jsonl", "curves.png",
        "checkpoint.pt",
    }  # fmt: skip


def test_it_learns(tmp_path):
    config = write_run(tmp_path, steps=150, run={
        "steps": 150, "learning_rate": 3e-3, "validate_every": 25, "average": 0.9})  # fmt: skip
    trained = train_correction(config, tmp_path / "out")
    log = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    errors = [record["validation"]["mae_m"] for record in log if "validation" in record]
    assert errors[-1] < 0.7 * errors[0]
    assert trained.validation["r2"] > 0.5
    assert 0 < trained.model.card.noise < 0.5


def test_no_window_on_one_side_shares_ground_with_one_on_the_other(tmp_path):
    run = read_correction_run(write_run(tmp_path))
    samples = gather(run, tmp_path, tmp_path / "windows.npy")
    places = np.stack([samples.metadata.latitude, samples.metadata.longitude], axis=1)
    metres = (places - places.mean(0)) * [111_200, 111_200 * np.cos(np.radians(places[0, 0]))]
    apart = np.abs(metres[samples.train][:, None] - metres[samples.aside][None]).max(axis=2)
    assert len(samples.train) > 50
    assert len(samples.aside) > 10
    assert apart.min() > run.architecture.window_px * GSD_M
    assert (samples.metadata.sun_elevation == 41.0).all()
    assert samples.metadata.missing == ("off_nadir", "slope")


def test_windows_lie_around_their_footprints(tmp_path):
    run = read_correction_run(write_run(tmp_path))
    pixels = write_scene(tmp_path / "scene.tif")
    samples = gather(run, tmp_path, tmp_path / "windows.npy")
    index = int(samples.train[3])
    from pyproj import Transformer  # noqa: PLC0415 - one test needs it

    move = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    x, y = move.transform(samples.metadata.longitude[index], samples.metadata.latitude[index])
    row, column = round((NORTH - y) / GSD_M), round((x - WEST) / GSD_M)
    expected = pixels[:, row - 16 : row + 16, column - 16 : column + 16]
    np.testing.assert_array_equal(samples.windows[index], expected)


def changed(config, **changes):
    run = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(run | changes))
    return config


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"samples": {"block_m": 5000}}, SettingsError, "blocks of ground of 5000 m"),
        ({"samples": {"percentile": 75}}, SettingsError, "no column rh75: found rh95"),
        ({"samples": {"gsd_m": 0.1}}, SettingsError, "sees trees at 0.1 m and takes up to 0.3 m"),
        ({"samples": {"least_sensitivity": 0.99}}, SettingsError, "0 footprints"),
        ({"network": {"window_px": 33}}, ModelError, "expected a multiple"),
        ({"surprise": 1}, ModelError, "unknown fields"),
        ({"pairs": []}, SettingsError, "0 pairs"),
        ({"pairs": [{"image": "scene.tif"}]}, ModelError, "footprints"),
        ({"views": {"hide": 2.0}}, SettingsError, "hide"),
    ],
)
def test_what_cannot_be_learned_from_is_said(tmp_path, changes, kind, said):
    config = changed(write_run(tmp_path), **changes)
    with pytest.raises(kind, match=said):
        train_correction(config, tmp_path / "out")
    assert not (tmp_path / "out/config.json").exists()
    assert not (tmp_path / "out/windows.npy").exists()
    train_correction(write_run(tmp_path, steps=1), tmp_path / "out")  # mended, it runs there


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, monkeypatch):
    config = write_run(tmp_path)
    network = train.CorrectionNetwork

    def broken(architecture):
        made = network(architecture)
        made.scale_m = float("nan")
        return made

    monkeypatch.setattr(train, "CorrectionNetwork", broken)
    with pytest.raises(RunError, match="the l1 loss is nan at step 1"):
        train_correction(config, tmp_path / "out")


def test_a_folder_with_another_run_is_refused(tmp_path):
    config = write_run(tmp_path, steps=2)
    train_correction(config, tmp_path / "out")
    with pytest.raises(OutputError, match="holds a run"):
        train_correction(config, tmp_path / "out")
    with pytest.raises(OutputError, match="begun with another batch"):
        train_correction(changed(config, batch=4), tmp_path / "out", resume=True)


@pytest.mark.parametrize("count", [6, 40])
def test_what_a_network_is_worth_in_forests_that_it_never_saw(count):
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(200), count)
    leans, own = rng.normal(0, 0.1, 200), rng.normal(0, 0.2, blocks.size)
    rh = 15 * np.exp(0.05 + leans[blocks] + own)
    worth = worth_of(np.full(blocks.size, 15.0), rh, blocks)
    assert worth.offset == pytest.approx(0.05, abs=0.03)
    assert worth.noise == pytest.approx(np.hypot(0.1, 0.2), rel=0.15)
    assert worth.forest_noise == pytest.approx(0.1, rel=0.2)


def test_few_forests_tell_no_more_than_single_footprints(caplog):
    rng = np.random.default_rng(1)
    rh = 15 * np.exp(rng.normal(0, 0.2, 200))
    worth = worth_of(np.full(200, 15.0), rh, np.arange(200) % 3)
    assert worth.forest_noise == worth.noise == pytest.approx(0.2, rel=0.2)
    assert "3 blocks of ground" in caplog.text
    assert "give more footprints" in caplog.text
    assert worth_of(np.zeros(9), np.zeros(9), np.arange(9)).noise == 1


# --- a network that has learned goes on ----------------------------------------


def test_a_run_goes_on_from_a_network_with_its_sizes_and_colours(tmp_path):
    first = train_correction(write_run(tmp_path, steps=20), tmp_path / "first")
    config = write_run(
        tmp_path, start="first", network=None,
        run={"steps": 1, "learning_rate": 1e-12, "average": 0.0, "validate_every": 1},
    )  # fmt: skip
    second = train_correction(config, tmp_path / "second")
    assert second.model.architecture == first.model.architecture
    assert (second.model.card.mean, second.model.card.std) == (
        first.model.card.mean, first.model.card.std,
    )  # fmt: skip
    before, after = (load_file(run.folder / "model.safetensors") for run in (first, second))
    for name, tensor in before.items():
        np.testing.assert_allclose(after[name].numpy(), tensor.numpy(), atol=1e-6)


def test_what_went_on_from_simulated_forests_says_so(tmp_path):
    told = {"name": "made", "simulated": True, "notice": "For tests.", "training_data": "forests"}
    train_correction(write_run(tmp_path, steps=1, card=told), tmp_path / "first")
    own = {"name": "mine", "notes": ["ours"]}
    config = write_run(tmp_path, steps=1, start="first", network=None, card=own)
    card = train_correction(config, tmp_path / "second").model.card
    assert card.simulated
    assert card.notice == "It began from made 1. For tests."
    assert card.notes == ("ours", "It began from made 1: forests")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"window_px": 64, "channels": [4, 4], "hidden": 8}}, "leave network out"),
        ({"network": None, "samples": {"block_m": 40, "percentile": 98}}, "RH95, samples ask for"),
        ({"network": None, "start": "nowhere"}, "no correction network nowhere"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(tmp_path, changes, said):
    train_correction(write_run(tmp_path), tmp_path / "first")
    config = write_run(tmp_path, **({"start": "first"} | changes))
    with pytest.raises((SettingsError, ModelError), match=said):
        train_correction(config, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_sizes_may_name_their_kind(tmp_path):
    sizes = {"kind": "plain", "window_px": 32, "channels": [4, 4], "hidden": 8}
    assert read_correction_run(write_run(tmp_path, network=sizes)).architecture.hidden == 8
    with pytest.raises(ModelError, match="kind is 'other'"):
        read_correction_run(write_run(tmp_path, network=sizes | {"kind": "other"}))


def test_a_killed_run_does_not_go_on_from_another_start(tmp_path):
    for seed, name in enumerate(("a", "b")):
        train_correction(write_run(tmp_path, run={"steps": 2, "seed": seed}), tmp_path / name)
    config = write_run(tmp_path, start="a", network=None)
    with pytest.raises(Killed):
        train_correction(config, tmp_path / "out", progress=killer(5))
    (tmp_path / "a/model.safetensors").write_bytes((tmp_path / "b/model.safetensors").read_bytes())
    with pytest.raises(OutputError, match="start_weights"):
        train_correction(config, tmp_path / "out", resume=True)
