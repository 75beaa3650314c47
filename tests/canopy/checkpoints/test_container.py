"""Files of weights are told apart by what is in them, and none of them gets to run anything."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_files import Runs

from canopy.checkpoints.container import open_state_file
from canopy.errors import ModelError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


def refused(path, said):
    with pytest.raises(ModelError, match=said) as error:
        open_state_file(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def save_old(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("save", "container"),
    [
        (torch.save, "torch archive"),
        (save_old, "torch pickle"),
        (save_file, "safetensors"),
    ],
)
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model.txt", "model"])
def test_a_file_is_read_whatever_it_is_called(tmp_path, save, container, name):
    save(STATE, tmp_path / name)
    file = open_state_file(tmp_path / name)
    assert file.container == container
    assert not file.wrapped
    assert not file.quantised
    assert file.state.keys() == STATE.keys()
    for key, tensor in STATE.items():
        assert torch.equal(file.state[key], tensor)


def test_a_state_dict_is_found_in_a_training_checkpoint(tmp_path):
    torch.save({"epoch": 3, "state_dict": STATE, "lr": [0.1]}, tmp_path / "last.ckpt")
    file = open_state_file(tmp_path / "last.ckpt")
    assert file.wrapped
    assert file.state.keys() == STATE.keys()


def save_plain(value, path):
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize("save", [torch.save, save_old, save_plain])
def test_code_is_named_and_never_run(tmp_path, monkeypatch, save):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    save({"state_dict": STATE, "x": Runs()}, path)
    name = r"wants to run code when it is opened \((posix|nt)\.system\)"
    refused(path, "would run code" if save is save_plain else name)
    assert not (tmp_path / "harmed").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    refused(tmp_path / "model.pth", r"wants to run code .*Linear")


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(2), {}, {1: torch.zeros(2)}, "text"])
def test_what_is_no_state_dict_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "model.pth")
    refused(tmp_path / "model.pth", "expected names with tensors")


@pytest.mark.parametrize("save", [torch.save, save_old, save_file])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_a_truncated_file_is_refused(tmp_path, save, keep):
    path = tmp_path / "model.pth"
    save({"a": torch.zeros(5000)}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    refused(path, "broken|cannot be read|no file of weights")


def test_a_corrupt_file_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(STATE, path)
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(30, 200, 40):
        data[place] ^= 0xFF
    path.write_bytes(data)
    refused(path, "broken|no file of weights|wants to run")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no file of weights"),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page"),
        (b"\n <html>", "is a web page"),
        (b"II*\x00" + b"\x00" * 40, "no file of weights"),
        (b"PK\x03\x04" + b"\x00" * 40, "broken"),
        (b"\x80\x04\x95", "broken"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "no file of weights"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(tmp_path, data, said):
    (tmp_path / "model.pth").write_bytes(data)
    refused(tmp_path / "model.pth", said)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refused(tmp_path / "missing.pth", "cannot be read")
    refused(tmp_path, "is no file")
