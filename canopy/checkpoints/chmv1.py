"""The released CHMv1 files (Tolan et al. 2024), float or int8, as height networks.

Their layout: a vision transformer under ``backbone.`` and a DPT decoder under ``decode_head.``.
Compressed files are state dicts of torch's dynamic quantisation: each linear layer is packed as
int8 with one scale. They are dequantised and run in float: the authors' own loader quantises
activations by the range of a whole batch, so that its heights depend on what else is in it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from torch import Tensor

from canopy.checkpoints.container import PACKED
from canopy.encoders import EncoderSettings
from canopy.errors import ModelError
from canopy.height_models.card import ModelCard
from canopy.height_models.network import Architecture
from decoders import DPTSettings, HeightBinsSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAMES = (
    ("backbone.", "encoder."),
    ("decode_head.reassemble_blocks.projects.#.conv.", "decoder.reassemblies.#.projection."),
    ("decode_head.reassemble_blocks.resize_layers.#.", "decoder.reassemblies.#.resize."),
    ("decode_head.reassemble_blocks.readout_projects.#.0.", "decoder.reassemblies.#.readout."),
    ("decode_head.convs.#.conv.", "decoder.convs.#."),
    ("decode_head.fusion_blocks.#.project.conv.", "decoder.fusions.#.projection."),
    (
        "decode_head.fusion_blocks.#.res_conv_unit#.conv#.conv.",
        "decoder.fusions.#.residual#.conv#.",
    ),
    ("decode_head.project.conv.", "decoder.projection."),
    ("decode_head.conv_depth.head.0.", "decoder.reduction."),
    ("decode_head.conv_depth.head.2.", "decoder.refinement."),
    ("decode_head.conv_depth.head.4.", "head.logits."),
)
"""How names of tensors begin in the released files, and here; # is a number."""

UNUSED = {"backbone.mask_token", "backbone.norm.weight", "backbone.norm.bias"}
"""Stored in the released files, not used by their forward pass."""

LEFTOVERS = (".scale", ".zero_point", "._packed_params.dtype")
"""What else dynamic quantisation stores for a layer, beside its packed weight and bias."""

SIZES = {
    # (channels, blocks): name, heads, tapped blocks. Heads and taps leave no trace in the tensors.
    (1024, 24): ("large", 16, (4, 11, 17, 23)),
    (1280, 32): ("huge", 20, (9, 16, 22, 29)),
    (32, 4): ("tiny", 2, (0, 1, 2, 3)),  # the authors' modules at the size of test vectors
}

MAXIMUM_M = 100.0
MEAN, STD = (0.420, 0.411, 0.296), (0.213, 0.156, 0.143)

RED_MEAN = (
    "Mean of red: 0.420, as in the authors' inference script, by which they evaluated, and as in "
    "CHMv2; their notebook has 0.430, a difference of 0.05 standard deviations. "
    "`canopy map --mean 0.430,0.411,0.296` takes the other."
)
TILES = (
    "Trained and evaluated on 256 px at 0.6 m (Maxar Vivid2, 0.597 m at the equator). Any multiple "
    "of 32 px works; 512 px takes 0.8 to 0.95 of the time, its accuracy was not measured."
)
DECODER = (
    "The file does not tell whether its decoder learned from satellite or from aerial images: the "
    "layouts are the same."
)


def is_chmv1(names: Mapping[str, Any]) -> bool:
    """Whether a state dict has the two parts of the released layout."""
    return "backbone.cls_token" in names and any(name.startswith("decode_head.") for name in names)


def read_chmv1(state: dict[str, Any], path: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """Return the architecture of a released state dict, and its tensors under the names used here.

    Packed layers are taken out of ``state`` as they are unpacked, so that both are never held.

    Args:
        state: the state dict, as the file has it; emptied.
        path: the file, for what is said of it.

    Raises:
        ModelError: a size is none of the released ones, or a tensor that tells it is missing.
    """
    tensors = from_chmv1_names(dequantised(state, path))
    return read_architecture(tensors, path), tensors


def dequantised(state: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """Return a state dict in float32, with packed layers as their weight and bias; empties it.

    Raises:
        ModelError: a value is no tensor and no packed layer.
    """
    floats: dict[str, Tensor] = {}
    packed = {name.removesuffix(PACKED) for name in state if name.endswith(PACKED)}
    for name in list(state):
        value, layer = state.pop(name), name.removesuffix(PACKED)
        if layer != name and is_packed(value):
            weight, bias = value
            floats[f"{layer}.weight"] = weight.dequantize()
            if bias is not None:
                floats[f"{layer}.bias"] = bias.detach()
        elif isinstance(value, Tensor) and not is_leftover(name, packed):
            floats[name] = value.detach()
        elif not is_leftover(name, packed):
            msg = f"{path}: {name} is {type(value).__name__}, expected a tensor"
            raise ModelError(msg)
    return floats


def is_packed(value: object) -> bool:
    """Whether a value is a packed layer: a quantised weight and a bias or None."""
    match value:
        case (Tensor() as weight, Tensor() | None):
            return weight.is_quantized
        case _:
            return False


def is_leftover(name: str, packed: set[str]) -> bool:
    """Whether a name is one of those that a packed layer leaves beside its weights."""
    return any(name.endswith(end) and name.removesuffix(end) in packed for end in LEFTOVERS)


def from_chmv1_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict under the names used here, unused tensors left out."""
    return {translated(name, NAMES): tensor for name, tensor in state.items() if name not in UNUSED}


def released_name(name: str) -> str:
    """Return what a tensor is called in the released files; unknown names stay."""
    return translated(name, [(here, there) for there, here in NAMES])


def translated(name: str, table: Sequence[tuple[str, str]]) -> str:
    """Return a name as the second column of a table has it; unknown names stay."""
    for source, target in table:
        pattern = "^" + re.escape(source).replace(r"\#", r"(\d+)")
        if found := re.match(pattern, name):
            for number in found.groups():
                target = target.replace("#", number, 1)  # noqa: PLW2901 - filled in place
            return target + name[found.end() :]
    return name


def read_architecture(tensors: Mapping[str, Tensor], path: Path) -> Architecture:
    """Return the architecture that the shapes of tensors tell.

    Raises:
        ModelError: it is of no released size, or a tensor is missing.
    """
    try:
        return architecture_of(tensors, path)
    except KeyError as error:
        missing = released_name(str(error.args[0]))
        msg = f"{path} is no whole CHMv1 model: {missing} is missing"
        raise ModelError(msg) from error
    except (IndexError, ValueError, ArithmeticError) as error:
        msg = f"{path} is no CHMv1 model: the shapes of its tensors make no sense ({error})"
        raise ModelError(msg) from error


def architecture_of(tensors: Mapping[str, Tensor], path: Path) -> Architecture:
    """Read every size from the shape of a tensor that has it."""
    dim = tensors["encoder.cls_token"].shape[2]
    depth = sum(
        bool(re.fullmatch(r"encoder\.blocks\.\d+\.norm1\.weight", name)) for name in tensors
    )
    _, heads, taps = size_of(dim, depth, path)
    patch = tensors["encoder.patch_embed.proj.weight"].shape[3]
    encoder = EncoderSettings(
        dim=dim,
        depth=depth,
        heads=heads,
        taps=taps,
        patch=patch,
        position_grid=math.isqrt(tensors["encoder.pos_embed"].shape[1] - 1),
        mlp_ratio=tensors["encoder.blocks.0.mlp.fc1.weight"].shape[0] / dim,
    )
    decoder = DPTSettings(
        in_channels=(dim,) * 4,
        in_strides=(patch,) * 4,
        level_channels=tuple(
            tensors[f"decoder.reassemblies.{level}.projection.weight"].shape[0]
            for level in range(4)
        ),
        patch=patch,
        width=tensors["decoder.convs.0.weight"].shape[0],
        head_channels=tensors["decoder.refinement.weight"].shape[0],
    )
    bins = HeightBinsSettings(
        bins=tensors["head.logits.weight"].shape[0], maximum_m=MAXIMUM_M, readout="linear"
    )
    return Architecture(encoder=encoder, decoder=decoder, head=bins)


def size_of(dim: int, depth: int, path: Path) -> tuple[str, int, tuple[int, ...]]:
    """Return name, heads and tapped blocks of a released size.

    Raises:
        ModelError: no model of that size was released.
    """
    if (dim, depth) not in SIZES:
        known = ", ".join(f"{size[0]} channels in {size[1]} blocks" for size in SIZES)
        msg = (
            f"{path} has {dim} channels in {depth} blocks: expected a released size ({known}), "
            "whose heads and taps are known"
        )
        raise ModelError(msg)
    return SIZES[dim, depth]


def size_name(architecture: Architecture) -> str:
    """Return what a released size is called."""
    encoder = architecture.encoder
    if not isinstance(encoder, EncoderSettings):
        msg = f"{encoder} is no encoder of CHMv1"
        raise TypeError(msg)
    return SIZES[encoder.dim, encoder.depth][0]


def chmv1_card(size: str, *, quantised: bool) -> ModelCard:
    """Return the card of a CHMv1 model of some size, as far as its file tells."""
    return ModelCard(
        name=f"chmv1-{size}{'-int8' if quantised else ''}",
        version="1",
        summary=f"CHMv1 (Tolan et al. 2024), {size} vision transformer, DPT decoder, 256 bins"
        f"{'; stored as int8, run in float32' if quantised else ''}.",
        licence="Apache-2.0",
        training_data="Encoder: 18 million Maxar satellite images, without labels (DINOv2). "
        "Decoder: NEON airborne lidar over the USA with satellite or aerial images.",
        imagery="satellite",
        gsd_m=0.6,
        maximum_height_m=MAXIMUM_M,
        mean=MEAN,
        std=STD,
        tile_px=256,
        overlap_px=32,
        url="https://github.com/facebookresearch/HighResCanopyHeight",
        notes=(RED_MEAN, TILES, DECODER),
    )
