"""What the tensors of CHMv2 are called by its authors and by transformers, and their shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Part = Literal["authors' chmv2 head", "dinov3 backbone", "transformers dinov3 backbone"]

LEVELS = 4
"""Feature maps between backbone and head."""
FACTORS = (4, 2, 1, 0.5)
"""How much each of them is enlarged."""
KERNELS = (4, 2, 0, 3)
"""Sides of the convolutions that do it [px]; the third map keeps its size."""

PREFIXES: dict[Part, tuple[str, ...]] = {
    # The released head is bare; the rest of the authors' model puts it under these names.
    "authors' chmv2 head": ("", "decoder.", "head."),
    "dinov3 backbone": ("", "backbone.", "encoder.backbone."),
    "transformers dinov3 backbone": ("", "backbone."),
}
"""What may stand before every name of a part."""

LANDMARKS: dict[Part, tuple[str, ...]] = {
    # CHMv1 has residual convolutions without bias; other depth heads do not read the CLS token.
    "authors' chmv2 head": (
        r"reassemble_blocks\.readout_projects\.\d+\.0\.",
        r"fusion_blocks\.\d+\.res_conv_unit2\.conv1\.conv\.bias",
        r"conv_depth\.head\.\d\.",
    ),
    # DINOv2 calls its registers register_tokens, and its layers stand under encoder.
    "dinov3 backbone": (r"storage_tokens", r"blocks\.\d+\.attn\.qkv\.weight", r"patch_embed\."),
    "transformers dinov3 backbone": (
        r"embeddings\.register_tokens",
        r"(model\.)?layer\.\d+\.attention\.q_proj\.weight",
    ),
}
"""Beginnings of names that together tell what a state dict is."""


class Row(NamedTuple):
    """A tensor: its name at the authors', its name in transformers, its shape.

    ``{}`` in the second name stands for q, k and v, which the authors keep in one tensor.
    """

    theirs: str
    ours: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class HeadSizes:
    """Sizes of a CHMv2 head.

    Attributes:
        hidden: channels of the tokens it takes.
        channels: channels of each feature map.
        fusion: channels while the maps are fused.
        last: channels before the bins.
        bins: height bins.
    """

    hidden: int
    channels: tuple[int, ...]
    fusion: int
    last: int
    bins: int


@dataclass(frozen=True, kw_only=True)
class BackboneSizes:
    """Sizes of a DINOv3 vision transformer.

    Attributes:
        hidden: channels of a token.
        depth: blocks.
        inner: channels inside the perceptron of a block.
        registers: register tokens.
        patch: side of a patch [px].
    """

    hidden: int
    depth: int
    inner: int
    registers: int
    patch: int


def recognise(names: Collection[str]) -> Part | None:
    """Return what part of CHMv2 a state dict is, from its names alone; None for anything else."""
    return next((part for part in PREFIXES if prefix_of(part, names) is not None), None)


def prefix_of(part: Part, names: Collection[str]) -> str | None:
    """Return what stands before every name of a part; None where the names are not of it."""
    for prefix in PREFIXES[part]:
        bare = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        if len(bare) == len(names) and has_landmarks(part, bare):
            return prefix
    return None


def has_landmarks(part: Part, names: Collection[str]) -> bool:
    """Whether each landmark of a part begins some name."""
    return all(any(re.match(mark, name) for name in names) for mark in LANDMARKS[part])


def head_rows(sizes: HeadSizes) -> Iterator[Row]:
    """Yield the tensors of a head."""
    hidden, fusion = sizes.hidden, sizes.fusion
    theirs, ours = "reassemble_blocks", "head.reassemble_stage"
    for level, (width, kernel) in enumerate(zip(sizes.channels, KERNELS, strict=True)):
        readout = f"readout_projects.{level}.0"
        yield from layer(f"{theirs}.{readout}", f"{ours}.{readout}", (hidden, 2 * hidden))
        layers = f"{ours}.layers.{level}"
        shape = (width, hidden, 1, 1)
        yield from layer(f"{theirs}.projects.{level}.conv", f"{layers}.projection", shape)
        if kernel:
            shape = (width, width, kernel, kernel)
            yield from layer(f"{theirs}.resize_layers.{level}", f"{layers}.resize", shape)
        shape = (fusion, width, 3, 3)
        yield Row(f"convs.{level}.conv.weight", f"head.convs.{level}.weight", shape)
        yield from fusion_rows(level, fusion)
    depth = "conv_depth.head"
    yield from layer(f"{depth}.0", f"head.{depth}.0", (fusion // 2, fusion, 3, 3))
    yield from layer(f"{depth}.2", f"head.{depth}.2", (sizes.last, fusion // 2, 3, 3))
    yield from layer(f"{depth}.4", f"head.{depth}.4", (sizes.bins, sizes.last, 1, 1))


def fusion_rows(level: int, width: int) -> Iterator[Row]:
    """Yield the tensors that fuse a feature map with the coarser ones; the first has none."""
    theirs, ours = f"fusion_blocks.{level}", f"head.fusion_layers.{level}"
    yield from layer(f"{theirs}.project.conv", f"{ours}.projection", (width, width, 1, 1))
    for unit in (1, 2) if level else (2,):
        for number in (1, 2):
            yield from layer(
                f"{theirs}.res_conv_unit{unit}.conv{number}.conv",
                f"{ours}.residual_layer{unit}.convolution{number}",
                (width, width, 3, 3),
            )


def backbone_rows(sizes: BackboneSizes) -> Iterator[Row]:
    """Yield the tensors of a backbone; names in transformers' layout without ``backbone.``."""
    hidden, patch = sizes.hidden, sizes.patch
    yield Row("cls_token", "embeddings.cls_token", (1, 1, hidden))
    yield Row("mask_token", "embeddings.mask_token", (1, hidden))
    yield Row("storage_tokens", "embeddings.register_tokens", (1, sizes.registers, hidden))
    shape = (hidden, 3, patch, patch)
    yield from layer("patch_embed.proj", "embeddings.patch_embeddings", shape)
    for number in range(sizes.depth):
        yield from block_rows(number, hidden, sizes.inner)
    yield from layer("norm", "norm", (hidden,))


def block_rows(number: int, hidden: int, inner: int) -> Iterator[Row]:
    """Yield the tensors of a block."""
    theirs, ours = f"blocks.{number}", f"layer.{number}"
    qkv, out = f"{ours}.attention.{{}}_proj", f"{ours}.attention.o_proj"
    yield from layer(f"{theirs}.attn.qkv", qkv, (3 * hidden, hidden))
    yield from layer(f"{theirs}.attn.proj", out, (hidden, hidden))
    yield from layer(f"{theirs}.mlp.fc1", f"{ours}.mlp.up_proj", (inner, hidden))
    yield from layer(f"{theirs}.mlp.fc2", f"{ours}.mlp.down_proj", (hidden, inner))
    for half in (1, 2):
        yield from layer(f"{theirs}.norm{half}", f"{ours}.norm{half}", (hidden,))
        yield Row(f"{theirs}.ls{half}.gamma", f"{ours}.layer_scale{half}.lambda1", (hidden,))


def layer(theirs: str, ours: str, shape: tuple[int, ...]) -> Iterator[Row]:
    """Yield weight and bias of a layer with as many biases as its weight has rows."""
    yield Row(f"{theirs}.weight", f"{ours}.weight", shape)
    yield Row(f"{theirs}.bias", f"{ours}.bias", shape[:1])


def transformers_rows(sizes: BackboneSizes) -> Iterator[Row]:
    """Yield the tensors of a backbone as transformers stores them, under one name."""
    for row in backbone_rows(sizes):
        if row.theirs == "mask_token":
            yield Row(row.ours, row.ours, (1, *row.shape))
        elif "{}" in row.ours:
            shape = (row.shape[0] // 3, *row.shape[1:])
            yield from (Row(row.ours.format(part), row.ours.format(part), shape) for part in "qkv")
        else:
            yield Row(row.ours, row.ours, row.shape)
