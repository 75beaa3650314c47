"""Networks of the released sizes with random weights, on which speed does not depend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from canopy.checkpoints.chmv1 import SIZES, UNUSED, chmv1_card, released_name
from canopy.encoders import EncoderSettings
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from decoders import DPTSettings, HeightBinsSettings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from canopy.height_models.forward import ForwardSettings

LEVELS = {
    "tiny": (8, 16, 32, 64),
    "large": (128, 256, 512, 1024),
    "huge": (160, 320, 640, 1280),
}
WIDTHS = {"tiny": 32, "large": 256, "huge": 256}


def architecture_of(size: str) -> Architecture:
    """Return the architecture of a released size: tiny, large or huge."""
    dim, depth = next(sizes for sizes, facts in SIZES.items() if facts[0] == size)
    _, heads, taps = SIZES[dim, depth]
    return Architecture(
        encoder=EncoderSettings(dim=dim, depth=depth, heads=heads, taps=taps),
        decoder=DPTSettings(
            in_channels=(dim,) * 4,
            in_strides=(16,) * 4,
            level_channels=LEVELS[size],
            width=WIDTHS[size],
        ),
        head=HeightBinsSettings(maximum_m=100.0),
    )


def model_of(size: str, device: str = "cpu", run: ForwardSettings | None = None) -> HeightModel:
    """Return a height model of a released size with random weights."""
    torch.manual_seed(0)
    network = HeightNetwork(architecture_of(size))
    options = {"run": run} if run else {}
    return HeightModel(
        network=network,
        card=chmv1_card(size, quantised=False),
        device=torch.device(device),
        **options,
    )


def released_state(size: str) -> dict[str, Tensor]:
    """Return random weights of a released size under the names of the released files."""
    network = HeightNetwork(architecture_of(size))
    state = {released_name(name): tensor for name, tensor in network.state_dict().items()}
    dim = network.encoder.settings.dim
    return state | {name: torch.zeros(1, dim).squeeze() for name in UNUSED}


def write_float(size: str, path: Path) -> Path:
    """Write a float file in the released layout."""
    torch.save({"state_dict": released_state(size)}, path)
    return path


def write_int8(size: str, path: Path) -> Path:
    """Write a compressed file in the released layout: each linear layer packed as int8."""
    state: dict[str, object] = {}
    floats = released_state(size)
    for name, tensor in floats.items():
        layer = name.removesuffix(".weight")
        linear = tensor.ndim == 2 and name.endswith(".weight") and f"{layer}.bias" in floats  # noqa: PLR2004
        if linear:
            scale = float(tensor.abs().max()) / 127
            packed = torch.quantize_per_tensor(tensor, scale, 0, torch.qint8)
            state[f"{layer}._packed_params._packed_params"] = (packed, floats[f"{layer}.bias"])
            state[f"{layer}._packed_params.dtype"] = torch.qint8
            state[f"{layer}.scale"], state[f"{layer}.zero_point"] = (
                torch.tensor(1.0),
                torch.tensor(0),
            )
        elif not (name.endswith(".bias") and is_linear(floats, name.removesuffix(".bias"))):
            state[name] = tensor
    torch.save(state, path)
    return path


def is_linear(floats: dict[str, Tensor], layer: str) -> bool:
    """Whether a layer is one that dynamic quantisation packs."""
    weight = floats.get(f"{layer}.weight")
    return weight is not None and weight.ndim == 2  # noqa: PLR2004
