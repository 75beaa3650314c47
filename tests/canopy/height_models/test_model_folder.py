"""A model's folder is whole or absent, old ones stay readable, and loading takes no second copy."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_timm  # noqa: F401 - registers its architectures
import torch
from safetensors.torch import load_file, save_file
from small_models import card, tiny_architecture, tiny_model
from torch import nn

from canopy.encoders import EncoderSettings, TimmSettings
from canopy.errors import ModelError
from canopy.height_models.folder import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    fits,
    has_meta_tensors,
    load_model_folder,
    load_network,
    save_height_model,
)
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from canopy.weights import shipped_folder
from decoders import decoder_settings, head_settings

IMAGE = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 64)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    save_height_model(tiny_model(), tmp_path / "model")
    return tmp_path / "model"


def architecture_of(encoder):
    """An encoder with the smallest decoder and head."""
    return Architecture(
        encoder=encoder,
        decoder=decoder_settings("linear", encoder.levels),
        head=head_settings("regression"),
    )


def as_first_written(folder, target):
    """A folder as it was before there were kinds and heads."""
    shutil.copytree(folder, target)
    config = json.loads((target / CONFIG_FILE).read_text())
    parts = config["architecture"]
    parts["bins"] = parts.pop("head")
    for part in parts.values():
        part.pop("kind")
    parts["bins"].pop("spacing")
    (target / CONFIG_FILE).write_text(json.dumps(config))
    tensors = load_file(target / WEIGHTS_FILE)
    renamed = {name.replace("head.", "bins.", 1) if name.startswith("head.") else name: tensor
               for name, tensor in tensors.items()}  # fmt: skip
    save_file(renamed, target / WEIGHTS_FILE)
    return target


def test_a_folder_of_the_first_form_loads_as_before(folder, tmp_path):
    old = load_model_folder(as_first_written(folder, tmp_path / "old"))
    assert old.architecture == tiny_model().architecture
    np.testing.assert_array_equal(old.predict(IMAGE), load_model_folder(folder).predict(IMAGE))


def test_the_shipped_model_loads_and_is_saved_as_it_was(tmp_path):
    shipped = shipped_folder() / "canopy-tiny"
    model = load_model_folder(shipped)
    save_height_model(model, tmp_path / "again")
    assert "head.logits.weight" in load_file(tmp_path / "again" / WEIGHTS_FILE)
    again = load_model_folder(tmp_path / "again")
    np.testing.assert_allclose(again.predict(IMAGE), model.predict(IMAGE), rtol=0, atol=1e-4)


# --- writing ------------------------------------------------------------------


def test_only_two_files_are_left(folder):
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    assert (folder / WEIGHTS_FILE).stat().st_mode & 0o777 == 0o644


def test_a_disk_without_room_leaves_the_old_model_whole(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fill_up(_, path):
        path.write_bytes(b"half a mod")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("canopy.height_models.folder.save_file", fill_up)
    with pytest.raises(ModelError, match=r"cannot be saved .*No space left.*another folder"):
        save_height_model(tiny_model(seed=1), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_weights_of_one_model_never_stand_beside_the_configuration_of_another(folder, monkeypatch):
    moments = []
    replace = Path.replace

    def watch(path, target):
        moments.append((Path(target).name, (folder / CONFIG_FILE).exists()))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    save_height_model(tiny_model(seed=1, name="other"), folder)
    assert moments == [(WEIGHTS_FILE, False), (CONFIG_FILE, False)]
    assert load_model_folder(folder).card.name == "other"


def test_a_move_that_fails_leaves_no_mixture(folder, monkeypatch):
    replace = Path.replace

    def fail_on_config(path, target):
        if Path(target).name == CONFIG_FILE:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_on_config)
    with pytest.raises(ModelError, match="cannot be saved"):
        save_height_model(tiny_model(seed=1), folder)
    assert [path.name for path in folder.iterdir()] == [WEIGHTS_FILE]
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        load_model_folder(folder)


def test_a_model_can_be_saved_over_the_file_it_was_loaded_from(folder):
    model = load_model_folder(folder)
    before = model.predict(IMAGE)
    save_height_model(model, folder)
    np.testing.assert_array_equal(model.predict(IMAGE), before)
    np.testing.assert_array_equal(load_model_folder(folder).predict(IMAGE), before)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="model small cannot be saved") as error:
        save_height_model(tiny_model(), tmp_path / "file" / "model")
    assert "\n" not in str(error.value)


# --- reading ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ((1, 2), tuple[int, ...] | None, True),
        (None, tuple[int, ...] | None, True),
        ((1, "x"), tuple[int, ...] | None, False),
        ("x", tuple[int, ...] | None, False),
        (True, bool | None, True),
        (True, int | None, False),
    ],
)
def test_a_value_fits_one_of_several_types(value, hint, expected):
    assert fits(value, hint) == expected


def test_no_tensor_of_a_loaded_network_is_without_values(folder):
    network = load_model_folder(folder).network
    assert not has_meta_tensors(network)
    with torch.device("meta"):
        assert has_meta_tensors(HeightNetwork(tiny_architecture()))


def test_attributes_without_values_are_seen_too():
    module = nn.Identity()
    assert not has_meta_tensors(module)
    module.positions = torch.zeros(2, device="meta")
    assert has_meta_tensors(nn.Sequential(module))


def test_what_no_file_holds_is_computed(tmp_path):
    """Windows of Swin have positions that timm computes and does not store."""
    architecture = architecture_of(TimmSettings(architecture="small_windows"))
    network = HeightNetwork(architecture)
    assert set(dict(network.named_buffers())) - set(network.state_dict())
    model = HeightModel(network=network, card=card(), architecture=architecture)
    save_height_model(model, tmp_path / "swin")
    loaded = load_network(architecture, tmp_path / "swin" / WEIGHTS_FILE)
    assert not has_meta_tensors(loaded)
    for name, buffer in network.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer)


def test_an_encoder_that_timm_does_not_have_is_refused_by_name(folder):
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["architecture"]["encoder"] = {"kind": "timm", "architecture": "convnext_tinny"}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json: .*no encoder convnext_tinny in timm: exp"):
        load_model_folder(folder)


LOADING = """
import sys
from pathlib import Path
import torch
from canopy.height_models.folder import WEIGHTS_FILE, load_model_folder

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

before = peak()
folder = Path(sys.argv[1])
network = load_model_folder(folder).network
loaded = peak() - before
total = sum(float(weight.sum()) for weight in network.parameters())
print(loaded * 1024, (peak() - before) * 1024, (folder / WEIGHTS_FILE).stat().st_size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see the peak")
def test_loading_takes_no_memory_twice(tmp_path):
    encoder = EncoderSettings(dim=1024, depth=5, heads=16, taps=(1, 2, 3, 4))
    architecture = architecture_of(encoder)
    with torch.device("meta"):
        network = HeightNetwork(architecture)
    model = HeightModel(
        network=network.to_empty(device="cpu"), card=card(), architecture=architecture
    )
    save_height_model(model, tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    loaded, used, stored = map(int, run.stdout.split())
    assert stored > 200e6
    assert loaded < 0.3 * stored  # the weights are still in the file
    assert used < 1.3 * stored
