"""A run learns, stops at what is no number, and ends the same after a kill as undisturbed."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from canopy.errors import OutputError, RunError, SettingsError
from canopy.learning.curves import draw_curves
from canopy.learning.loop import learn
from canopy.learning.optimiser import make_optimiser, rate_factor
from canopy.learning.run_folder import RunFolder
from canopy.learning.settings import RunSettings

SETTINGS = RunSettings(
    steps=30, learning_rate=0.05, average=0.5, validate_every=10, checkpoint_every=7, log_every=4
)


class Line:
    """Learn y = 2 x + 1 from batches that follow from the step; dropout needs torch's chance."""

    def __init__(self, spoilt_at=None):
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.spoilt_at = spoilt_at
        self.steps = []

    def batch(self, step, rank):
        self.steps.append(step)
        x = torch.rand(16, 1, generator=torch.Generator().manual_seed(step + rank))
        return {"x": x, "y": 2 * x + 1 if step != self.spoilt_at else x * float("nan")}

    def losses(self, network, batch, done):
        assert 0 <= done < 1
        return {"square": (network(batch["x"]) - batch["y"]).square().mean()}

    def validate(self, network):
        return {"weight": float(network[0].weight.detach().sum()), "nothing": float("nan")}


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def begun(path):
    folder = RunFolder(path=path)
    folder.begin({"run": "line"})
    return folder


def test_a_run_learns_and_leaves_a_log(tmp_path):
    folder, told = begun(tmp_path / "run"), []
    learn(Line(), SETTINGS, folder, progress=lambda done, total: told.append((done, total)))
    records = folder.read_log()
    losses = [record["loss"]["square"] for record in records if "loss" in record]
    assert losses[-1] < losses[0] / 3
    assert [record["step"] for record in records if "loss" in record][:3] == [4, 8, 12]
    validated = [record for record in records if "validation" in record]
    assert [record["step"] for record in validated] == [10, 20, 30]
    assert validated[0]["validation"]["nothing"] is None
    assert told == [(step, 30) for step in range(1, 31)]


@pytest.mark.parametrize("stopped_at", [3, 8, 20, 29])
def test_a_stopped_run_ends_as_an_undisturbed_one(tmp_path, stopped_at):
    whole = learn(Line(), SETTINGS, begun(tmp_path / "whole"))

    def stop(done, _):
        if done == stopped_at:
            raise KeyboardInterrupt

    folder = begun(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        learn(Line(), SETTINGS, folder, progress=stop)
    state = folder.resume({"run": "line"})
    task = Line()
    again = learn(task, SETTINGS, folder, state=state)
    assert torch.equal(weights(again), weights(whole))
    assert task.steps[0] == 7 * (stopped_at // 7)
    logs = [RunFolder(path=tmp_path / name).read_log() for name in ("whole", "broken")]
    told = [[{**record, "seconds": 0} for record in log] for log in logs]
    assert told[0] == told[1]


def test_a_run_without_anything_kept_aside_has_no_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(Line, "validate", lambda *_: {})
    folder = begun(tmp_path / "run")
    learn(Line(), SETTINGS, folder)
    records = folder.read_log()
    assert [record["step"] for record in records] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert all("loss" in record for record in records)
    draw_curves(records, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_time_of_a_resumed_run_counts_from_its_beginning(tmp_path):
    folder = begun(tmp_path / "run")
    learn(Line(), SETTINGS, folder)
    state = folder.resume({"run": "line"})
    longer = RunSettings(**{**asdict(SETTINGS), "steps": 31})
    learn(Line(), longer, folder, state={**state, "seconds": 1000.0})
    assert folder.read_log()[-1]["seconds"] >= 1000


def test_a_loss_that_is_no_number_stops_the_run_by_name_and_step(tmp_path):
    with pytest.raises(RunError, match="the square loss is nan at step 6"):
        learn(Line(spoilt_at=5), SETTINGS, begun(tmp_path / "run"))


def test_a_network_that_came_in_evaluation_mode_learns_in_training_mode(tmp_path):
    task, modes = Line(), []
    task.network.eval()
    task.network[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    learn(task, SETTINGS, begun(tmp_path / "run"))
    assert modes == [True] * 30


def test_what_does_not_learn_stays(tmp_path):
    task = Line()
    task.network[0].requires_grad_(requires_grad=False)
    before = task.network[0].weight.clone()
    average = learn(task, SETTINGS, begun(tmp_path / "run"))
    assert torch.equal(task.network[0].weight, before)
    torch.testing.assert_close(average[0].weight, before)


def test_statistics_of_batch_norms_are_averaged_as_the_weights_are(tmp_path):
    task = Line()
    task.network = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    settings = RunSettings(**{**asdict(SETTINGS), "average": 0.9, "validate_every": 100})
    task.validate = lambda _: {}
    average = learn(task, settings, begun(tmp_path / "run"))
    running = kept = 0.0
    for step in range(settings.steps):
        running += 0.1 * (task.batch(step, 0)["x"].mean().item() - running)
        decay = min(0.9, (step + 1) / (step + 11))
        kept = decay * kept + (1 - decay) * running
    assert average[0].running_mean.item() == pytest.approx(kept, abs=1e-6)
    assert average[0].num_batches_tracked == settings.steps


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "thesis.txt", "windows.npy"])
def test_no_run_begins_among_the_files_of_something_else(tmp_path, name):
    (tmp_path / name).write_text("precious")
    for resume in (False, True):
        with pytest.raises(OutputError, match=f"holds {name}, which no run wrote there"):
            RunFolder(path=tmp_path, scratch=("windows.npy",)).open({}, resume=resume)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(name, "precious")]


def test_a_model_that_came_without_its_log_is_not_written_over(tmp_path):
    for name in ("training.json", "config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match=r"holds config\.json and 1 more, which no run wrote"):
        RunFolder(path=tmp_path).check(resume=False)


def test_a_run_begins_beside_its_configuration_and_after_a_kill_before_its_first_step(tmp_path):
    for name in ("run.yaml", "job.log", ".directory", "training.json", "windows.npy"):
        (tmp_path / name).touch()
    RunFolder(path=tmp_path, scratch=("windows.npy",)).begin({"run": "line"})
    assert json.loads((tmp_path / "training.json").read_text()) == {"run": "line"}


def test_a_run_goes_on_whatever_was_laid_beside_it(tmp_path):
    folder = begun(tmp_path / "run")
    (tmp_path / "run" / "map.tif").touch()
    folder.check(resume=True)
    assert folder.open({"run": "line"}, resume=True) is None


def test_a_run_is_not_begun_twice_nor_gone_on_with_another_way(tmp_path):
    folder = begun(tmp_path / "run")
    assert folder.resume({"run": "line"}) is None
    with pytest.raises(OutputError, match=r"another run: .* or begin anew without --resume"):
        folder.resume({"run": "curve"})
    folder.begin({"run": "curve"})  # nothing had been learned yet
    folder.begin({"run": "line"})
    folder.log({"step": 1})
    with pytest.raises(OutputError, match=r"holds a run: .*--resume"):
        folder.begin({"run": "line"})
    with pytest.raises(OutputError, match=r"another run: .* or name another folder"):
        folder.resume({"run": "curve"})
    (folder.path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(OutputError, match="cannot be read"):
        folder.resume({"run": "line"})


def test_resuming_where_nothing_stands_begins(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = RunFolder(path=tmp_path / "none")
    assert folder.open({"run": "line"}, resume=True) is None
    assert "no run to go on from" in caplog.text
    assert json.loads((folder.path / "training.json").read_text()) == {"run": "line"}
    folder.log({"step": 1})
    (folder.path / "training.json").write_text("torn")
    with pytest.raises(OutputError, match=r"training\.json of the run cannot be read"):
        folder.open({"run": "line"}, resume=True)


def test_what_another_run_differs_in_is_named_as_a_configuration_has_it(tmp_path):
    folder = RunFolder(path=tmp_path / "run")
    before = {"run": {"steps": 3, "seed": 0}, "stretch": (0, 2), "loss": {"main": "huber"}}
    folder.begin(before)
    after = {"run": {"steps": 4, "seed": 0}, "stretch": (0, 3), "loss": {"main": "huber"}}
    with pytest.raises(OutputError, match=r"begun with another run\.steps, stretch: give what"):
        folder.resume(after)
    many = {f"part {number}": number for number in range(9)}
    with pytest.raises(OutputError, match="part 3, part 4 and 4 more: give what"):
        folder.resume(before | many)
    assert folder.resume(before) is None


def test_a_torn_line_of_the_log_is_left_out(tmp_path):
    folder = begun(tmp_path / "run")
    folder.log({"step": 1})
    folder.log({"step": 2})
    with (folder.path / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert [record["step"] for record in folder.read_log()] == [1, 2]
    folder.forget_after(1)
    assert json.loads((folder.path / "log.jsonl").read_text()) == {"step": 1}


def test_the_rate_warms_up_and_decays_to_nothing():
    settings = RunSettings(steps=100, warm_up=0.1)
    rates = [rate_factor(step, settings) for step in range(100)]
    assert rates[:2] == [0.1, 0.2]
    assert rates[9] == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_vectors_do_not_decay():
    groups = make_optimiser(nn.Linear(3, 2), RunSettings(weight_decay=0.1)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0]
    assert [group["params"][0].ndim for group in groups] == [2, 1]


@pytest.mark.parametrize(
    "choices", [{"steps": 0}, {"learning_rate": 0}, {"average": 1}, {"clip": 0}]
)
def test_settings_that_make_no_sense_are_refused(choices):
    with pytest.raises(SettingsError, match="expected"):
        RunSettings(**choices)
