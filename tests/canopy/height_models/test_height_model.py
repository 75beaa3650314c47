"""A model predicts the released heights, whatever the size, the type and the batch of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import FirstBand, LocalMean, card, model_of, tiny_model
from torch import nn

from canopy.checkpoints.chmv1 import from_chmv1_names
from canopy.encoders import EncoderSettings
from canopy.errors import ModelError
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from decoders import DPTSettings, HeightBinsSettings


@pytest.fixture(scope="session")
def golden_model(golden):
    """The released architecture at a tiny size, with stored weights."""
    architecture = Architecture(
        encoder=EncoderSettings(dim=32, depth=4, heads=2, taps=(0, 1, 2, 3)),
        decoder=DPTSettings(
            in_channels=(32,) * 4, in_strides=(16,) * 4, level_channels=(8, 16, 32, 64), width=32
        ),
        head=HeightBinsSettings(),
    )
    network = HeightNetwork(architecture)
    state = {name[2:]: torch.from_numpy(golden[name]) for name in golden if name.startswith("w.")}
    network.load_state_dict(from_chmv1_names(state), strict=True)
    stored = {name: tuple(golden[name].tolist()) for name in ("mean", "std")}
    return HeightModel(network=network, card=card(maximum_height_m=100.0, **stored))


@pytest.mark.parametrize("name", ["224", "256", "160x208", "250x240"])
def test_heights_are_the_golden_ones(golden, golden_model, name):
    image, expected = golden[f"image.{name}"], golden[f"height_m.{name}"]
    with torch.inference_mode():
        found = golden_model.network(
            (torch.from_numpy(image)[None] / 255 - torch.tensor(golden["mean"]).view(-1, 1, 1))
            / torch.tensor(golden["std"]).view(-1, 1, 1)
        )
    assert found[0].shape == expected.shape
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.01


@pytest.mark.parametrize("name", ["224", "256"])
def test_predict_gives_the_golden_heights(golden, golden_model, name):
    found = golden_model.predict(golden[f"image.{name}"][None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], golden[f"height_m.{name}"], rtol=0, atol=1e-4)


def test_bytes_and_real_numbers_give_the_same_heights(golden, golden_model):
    image = golden["image.224"][None]
    reals = image.astype(np.float32) / 255
    np.testing.assert_allclose(
        golden_model.predict(reals), golden_model.predict(image), rtol=0, atol=1e-4
    )


def test_heights_do_not_depend_on_the_rest_of_the_batch(golden, golden_model):
    images = np.stack([golden["image.256"], golden["image.256"][:, ::-1], golden["image.256"] // 2])
    together = golden_model.predict(images)
    for image, heights in zip(images, together, strict=True):
        alone = golden_model.predict(image[None])[0]
        # The order of float32 sums depends on the batch: a few units in the last place of 50 m.
        np.testing.assert_allclose(alone, heights, rtol=0, atol=1e-4)


def test_heights_of_a_local_model_do_not_depend_on_the_batch_at_all():
    images = np.random.default_rng(0).integers(0, 255, (5, 3, 64, 64)).astype(np.uint8)
    together = model_of(LocalMean()).predict(images)
    for image, heights in zip(images, together, strict=True):
        np.testing.assert_allclose(
            model_of(LocalMean()).predict(image[None])[0], heights, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 64), (50, 31), (96, 96)])
def test_any_size_is_extended_by_its_edge_and_cropped_back(height, width):
    model = tiny_model()
    image = np.random.default_rng(0).integers(0, 255, (1, 3, height, width)).astype(np.uint8)
    pad = ((0, 0), (0, 0), (0, -height % 32), (0, -width % 32))
    expected = model.predict(np.pad(image, pad, mode="edge"))[:, :height, :width]
    found = model.predict(image)
    assert found.shape == (1, height, width)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_left_as_they_were(dtype):
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 32, 32)).astype(dtype)
    before = image.copy()
    model_of(LocalMean(), mean=(0.4, 0.4, 0.3), std=(0.2, 0.2, 0.2)).predict(image)
    np.testing.assert_array_equal(image, before)


def test_the_first_band_is_red():
    image = np.zeros((1, 3, 32, 32), np.uint8)
    image[:, 0] = 255
    assert model_of(FirstBand()).predict(image).min() == pytest.approx(50)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 4, 32, 32), (1, 32, 32, 3)])
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(ModelError, match=r"images of shape .*\(batch, 3, height, width\)"):
        model_of(LocalMean()).predict(np.zeros(shape, np.uint8))


def test_a_model_is_put_into_evaluation():
    network = nn.Sequential(nn.Dropout(0.5))
    assert not model_of(network).network.training
