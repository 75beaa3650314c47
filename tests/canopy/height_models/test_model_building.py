"""Every encoder goes with every decoder and every head: built, learnt from, saved, loaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_timm  # noqa: F401 - registers its architectures
import torch
from safetensors.torch import save_file
from small_models import card, tiny_architecture

from canopy import build_height_model
from canopy.encoders import EncoderSettings, TimmSettings
from canopy.errors import ModelError
from canopy.height_models.building import design
from canopy.height_models.folder import load_model_folder, save_height_model
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from decoders import DecoderSettings, decoder_settings, head_settings, kinds
from decoders.catalogue import HEADS

HYBRID = EncoderSettings(
    dim=16, depth=2, heads=2, taps=(0, 1), stem="convolutional", stem_channels=(4, 8),
    stem_depth=(1, 1), position_grid=0,
)  # fmt: skip

ENCODERS = {
    "own, patches": tiny_architecture().encoder,
    "own, convolutional stem": HYBRID,
    "timm ViT": TimmSettings(architecture="test_vit"),
    "as DINOv2": TimmSettings(architecture="small_patch14_reg4", taps=(0, 1, 3, 4)),
    "as DINOv3": TimmSettings(architecture="small_patch16_rope"),
    "no class token": TimmSettings(architecture="small_patch16_tokenless", final_norm=False),
    "ResNet": TimmSettings(architecture="test_resnet"),
    "ConvNeXt": TimmSettings(architecture="test_convnext"),
    "Swin": TimmSettings(architecture="small_windows"),
}


def network_of(encoder, decoder, head):
    torch.manual_seed(0)
    architecture = Architecture(
        encoder=encoder,
        decoder=decoder_settings(decoder, encoder.levels),
        head=head_settings(head),
    )
    return architecture, HeightNetwork(architecture)


@pytest.mark.parametrize("decoder", kinds(DecoderSettings))
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_every_encoder_goes_with_every_decoder_and_head(encoder, decoder, tmp_path):
    for head in HEADS:
        architecture, network = network_of(encoder, decoder, head)
        side = -(-33 // network.multiple_px) * network.multiple_px
        learn(network, torch.rand(1, 3, side, 2 * side))
        model = HeightModel(
            network=network,
            card=card(multiple_px=network.multiple_px, tile_px=4 * network.multiple_px),
            architecture=architecture,
        )
        pixels = np.random.default_rng(0).integers(0, 255, (1, 3, side - 3, side + 5))
        heights = model.predict(pixels.astype(np.uint8))
        assert heights.shape == (1, side - 3, side + 5)
        assert np.isfinite(heights).all()
        assert heights.min() >= 0
        save_height_model(model, tmp_path / head)
        loaded = load_model_folder(tmp_path / head)
        assert loaded.architecture == architecture
        # Sums of float32 depend on where in memory a tensor begins: rounding only.
        np.testing.assert_allclose(
            loaded.predict(pixels.astype(np.uint8)), heights, rtol=0, atol=1e-4
        )


def learn(network, images):
    """One step back: every weight that a network has must feel it."""
    heights = network.train()(images)
    assert heights.shape == (len(images), *images.shape[-2:])
    heights.mean().backward()
    untouched = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert untouched == []
    for part in (network.encoder, network.decoder, network.head):
        assert any(weight.grad.abs().max() > 0 for weight in part.parameters())


@pytest.mark.parametrize("decoder", kinds(DecoderSettings))
def test_a_height_does_not_depend_on_the_rest_of_the_batch(decoder):
    _, network = network_of(ENCODERS["ResNet"], decoder, "regression")
    network.train()(torch.rand(2, 3, 64, 64))  # batch norms have seen something
    network.eval()
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        together = network(images)
        for image, heights in zip(images, together, strict=True):
            torch.testing.assert_close(network(image[None])[0], heights, rtol=0, atol=1e-4)


def test_two_names_make_a_model():
    model = build_height_model("test_resnet", "unet")
    assert model.card.name == "test_resnet_unet_bins"
    assert model.card.multiple_px == 32
    assert model.card.maximum_height_m == 100
    assert "untrained" in model.card.notice
    heights = model.predict(np.zeros((1, 3, 40, 50), np.uint8))
    assert heights.shape == (1, 40, 50)


def test_three_names_make_a_model_on_pixels_as_its_encoder_expects():
    model = build_height_model("test_vit", "linear", "regression")
    assert model.card.mean == (0.5, 0.5, 0.5)
    assert model.network.multiple_px == 16
    assert model.network.head.settings.kind == "regression"


def test_tiles_are_multiples_of_what_the_network_takes():
    model = build_height_model("small_patch14_reg4", "dpt", card=card(tile_px=256, licence="X"))
    assert (model.card.multiple_px, model.card.tile_px, model.card.licence) == (28, 252, "X")


def test_a_card_that_fits_stays_as_it_is():
    given = card(multiple_px=64, tile_px=128)
    assert build_height_model("test_resnet", "fpn", card=given).card == given


@pytest.mark.parametrize("name", ["vit-tiny", "vit-huge", "hybrid-tiny"])
def test_own_encoders_go_by_their_size(name):
    architecture = design(name, "dpt")
    assert architecture.encoder.kind == "vit"
    assert architecture.decoder.in_channels == architecture.encoder.tap_channels


def test_the_sizes_of_chmv1_come_out_of_its_names():
    decoder = design("vit-huge", "dpt").decoder
    assert decoder.level_channels == (160, 320, 640, 1280)
    assert decoder.width == 256


@pytest.mark.parametrize(
    "architecture", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"]
)
def test_released_encoders_are_known_by_name(architecture):
    sizes = design(architecture, "upernet")
    patch = 14 if "14" in architecture else 16
    assert sizes.decoder.in_channels == (384,) * 4
    assert sizes.decoder.in_strides == (patch,) * 4
    assert sizes.encoder.levels.class_tokens == (True,) * 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("vit-tinny", "dpt"), "no encoder vit-tinny: expected one of vit-tiny, vit-small"),
        (("convnext_tinny", "dpt"), "no encoder convnext_tinny in timm: expected convnext_tiny"),
        (("zzzzzz", "dpt"), r"no encoder zzzzzz in timm: expected a name that timm\.list_models"),
        (("hf-hub:timm/x", "dpt"), "no encoder hf-hub:timm/x: expected one of vit-tiny"),
        (("test_vit.none", "dpt"), r"no weights test_vit\.none in timm: expected test_vit\.r160"),
        (("test_vit", "segformer"), "no decoder segformer: expected one of dpt, linear, unet, fpn"),
        (("test_vit", "dpt", "ordinal"), "no head ordinal: expected one of bins, bins-mixlog, reg"),
        (("beit_base_patch16_224", "dpt"), "beit_base_patch16_224 cannot take images of any size"),
        (("levit_128", "dpt"), "of timm's levit_128: expected 4 or more from 0 to 2"),
        (("inception_v3", "dpt"), "inception_v3 gives maps of strides .* no whole parts"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(names, said):
    with pytest.raises(ModelError, match=said) as error:
        build_height_model(*names)
    assert "\n" not in str(error.value)


def test_a_decoder_for_other_taps_is_refused():
    sizes = tiny_architecture()
    wrong = replace(sizes.decoder, in_strides=(8,) * 4)
    with pytest.raises(ValueError, match=r"takes taps of strides \(8, .* the encoder gives \(16"):
        replace(sizes, decoder=wrong)


def test_released_encoder_weights_are_taken_from_a_file(tmp_path):
    donor = build_height_model("test_vit", "linear").network.encoder.model
    tensors = {name: tensor.contiguous() for name, tensor in donor.state_dict().items()}
    save_file(tensors, tmp_path / "donor.safetensors")
    model = build_height_model("test_vit", "dpt", encoder_weights=tmp_path / "donor.safetensors")
    for name, tensor in model.network.encoder.model.state_dict().items():
        assert torch.equal(tensor, donor.state_dict()[name])
