"""Released CHMv1 files give the authors' heights, float or int8, whatever they are called."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from small_files import chmv1_state

from canopy.checkpoints.chmv1 import (
    MEAN,
    STD,
    UNUSED,
    dequantised,
    from_chmv1_names,
    is_chmv1,
    released_name,
)
from canopy.checkpoints.container import open_state_file
from canopy.checkpoints.released import load_released
from canopy.errors import ModelError
from canopy.height_models.height_model import HeightModel


@pytest.fixture
def float_file(tmp_path, golden):
    torch.save({"state_dict": chmv1_state(golden)}, tmp_path / "any.pth")
    return tmp_path / "any.pth"


@pytest.fixture
def int8_file(tmp_path, data_folder):
    return shutil.copy(data_folder / "compressed_SSLtiny.pth", tmp_path / "SSLhuge_float.pth")


def model_in(path):
    released = load_released(path)
    return HeightModel(network=released.network, card=released.card)


@pytest.mark.parametrize("name", ["224", "256"])
def test_a_float_file_gives_the_authors_heights(float_file, golden, name):
    image = golden[f"image.{name}"]
    found = model_in(float_file).predict(image[None])[0]
    expected = golden[f"height_m.{name}"][: image.shape[1], : image.shape[2]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_an_int8_file_gives_the_heights_of_its_dequantised_weights(int8_file, golden, released):
    found = model_in(int8_file).predict(golden["image.256"][None])[0]
    np.testing.assert_allclose(found[::4, ::4], released["height_m.dequantised"], rtol=0, atol=1e-4)


def test_heights_of_an_int8_file_do_not_depend_on_the_batch(int8_file, golden):
    model, image = model_in(int8_file), golden["image.224"]
    images = np.stack([image, 255 - image, image[:, ::-1] // 3])
    alone = np.concatenate([model.predict(image[None]) for image in images])
    np.testing.assert_allclose(model.predict(images), alone, rtol=0, atol=1e-4)


def test_dequantised_weights_follow_their_scale(int8_file):
    state = open_state_file(int8_file).state
    packed = dict(state)
    floats = dequantised(state, int8_file)
    assert not state, "unpacked layers are taken out one by one"
    layers = [name for name in packed if name.endswith("._packed_params._packed_params")]
    assert len(layers) == 4 * 4 + 4
    for name in layers:
        weight, bias = packed[name]
        layer = name.removesuffix("._packed_params._packed_params")
        expected = weight.int_repr().numpy() * np.float32(weight.q_scale())
        np.testing.assert_allclose(floats[f"{layer}.weight"], expected, rtol=1e-6)
        assert torch.equal(floats[f"{layer}.bias"], bias)
    assert not [name for name in floats if "packed" in name or name.endswith((".scale",))]


def test_a_file_says_what_it_is(float_file, int8_file):
    as_float, as_int8 = load_released(float_file), load_released(int8_file)
    assert as_float.card.name == "chmv1-tiny"
    assert as_int8.card.name == "chmv1-tiny-int8"
    assert "torch archive, float32" in as_float.description
    assert "int8, dequantised" in as_int8.description
    assert as_float.architecture == as_int8.architecture


def test_sizes_are_read_from_the_tensors(float_file):
    architecture = load_released(float_file).architecture
    encoder, decoder = architecture.encoder, architecture.decoder
    assert (encoder.dim, encoder.depth, encoder.heads, encoder.patch) == (32, 4, 2, 16)
    assert (encoder.position_grid, encoder.mlp_ratio) == (14, 4)
    assert decoder.level_channels == (8, 16, 32, 64)
    assert (decoder.width, decoder.head_channels) == (32, 32)


@pytest.mark.parametrize(
    ("dim", "depth", "heads", "taps"),
    [(1024, 24, 16, (4, 11, 17, 23)), (1280, 32, 20, (9, 16, 22, 29))],
)
def test_the_released_sizes_are_known(golden, tmp_path, dim, depth, heads, taps):
    from canopy.checkpoints.chmv1 import read_architecture  # noqa: PLC0415

    with torch.device("meta"):
        tensors = from_chmv1_names(chmv1_state(golden))
        tensors["encoder.cls_token"] = torch.empty(1, 1, dim)
        tensors["encoder.pos_embed"] = torch.empty(1, 197, dim)
        tensors["encoder.blocks.0.mlp.fc1.weight"] = torch.empty(4 * dim, dim)
        for block in range(depth):
            tensors[f"encoder.blocks.{block}.norm1.weight"] = torch.empty(dim)
    encoder = read_architecture(tensors, tmp_path).encoder
    assert (encoder.heads, encoder.taps, encoder.mlp_ratio) == (heads, taps, 4)


def changed(golden, tmp_path, change):
    state = chmv1_state(golden)
    change(state)
    torch.save(state, tmp_path / "changed.pth")
    with pytest.raises(ModelError) as error:
        load_released(tmp_path / "changed.pth")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_and_extra_tensors_are_named(golden, tmp_path):
    said = changed(golden, tmp_path, lambda state: state.pop("backbone.blocks.2.attn.qkv.bias"))
    assert "missing backbone.blocks.2.attn.qkv.bias" in said
    said = changed(golden, tmp_path, lambda state: state.update({"backbone.x": torch.zeros(1)}))
    assert "extra backbone.x" in said
    said = changed(golden, tmp_path, lambda state: state.pop("decode_head.convs.0.conv.weight"))
    assert "decode_head.convs.0.conv.weight is missing" in said


def test_another_shape_and_another_size_are_named(golden, tmp_path):
    key = "backbone.blocks.1.norm2.bias"
    said = changed(golden, tmp_path, lambda state: state.update({key: torch.zeros(5)}))
    assert "backbone.blocks.1.norm2.bias has shape (5,)" in said

    def shorten(state):
        for name in [name for name in state if name.startswith("backbone.blocks.3.")]:
            state.pop(name)

    said = changed(golden, tmp_path, shorten)
    assert "32 channels in 3 blocks" in said
    assert "1280 channels in 32 blocks" in said


def test_what_is_no_tensor_is_refused(golden, tmp_path):
    said = changed(golden, tmp_path, lambda state: state.update({"backbone.cls_token": [1.0]}))
    assert "backbone.cls_token is list" in said


def test_an_unknown_state_dict_is_refused_by_its_names(tmp_path):
    torch.save({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match=r"tensors called conv1\.weight, fc\.bias: expected"):
        load_released(tmp_path / "resnet.pth")


def test_building_a_model_leaves_the_random_numbers_alone(float_file):
    before = torch.random.get_rng_state()
    load_released(float_file)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_card_says_which_red_it_takes(float_file):
    card = load_released(float_file).card
    assert (card.mean, card.std) == (MEAN, STD) == ((0.420, 0.411, 0.296), (0.213, 0.156, 0.143))
    assert any("0.430" in note and "0.420" in note for note in card.notes)
    assert card.gsd_m == 0.6
    assert card.maximum_height_m == 100


def test_only_both_parts_together_are_the_layout(golden):
    state = chmv1_state(golden)
    assert is_chmv1(state)
    assert not is_chmv1({name: 0 for name in state if name.startswith("backbone")})
    assert not is_chmv1({name: 0 for name in state if name.startswith("decode_head")})


def test_every_released_name_goes_there_and_back(golden):
    for name in chmv1_state(golden):
        if name not in UNUSED:
            (here,) = from_chmv1_names({name: 0})
            assert here != name
            assert released_name(here) == name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("backbone.pos_embed", (1, 0, 32)),
        ("backbone.patch_embed.proj.weight", (32, 3, 16, 0)),
        ("backbone.cls_token", (32,)),
    ],
)
def test_shapes_that_make_no_sense_are_refused(golden, tmp_path, name, shape):
    said = changed(golden, tmp_path, lambda state: state.update({name: torch.zeros(shape)}))
    assert "is no CHMv1 model" in said
