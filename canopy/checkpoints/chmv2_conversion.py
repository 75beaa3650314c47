"""The authors' two files of CHMv2, a head and its backbone, as one model for transformers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from canopy.checkpoints.chmv2_folder import configuration
from canopy.checkpoints.chmv2_names import (
    LEVELS,
    BackboneSizes,
    HeadSizes,
    backbone_rows,
    head_rows,
    prefix_of,
    transformers_rows,
)
from canopy.errors import ModelError
from canopy.height_models.strict_weights import key_differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from canopy.checkpoints.chmv2_names import Part, Row

EPSILON, ROPE_BASE = 1e-5, 100.0
"""Of the norms and the rotary positions of every DINOv3 backbone that its authors released."""
UNUSED = re.compile(
    # Of training: a norm for small crops. Derived: rotary periods, and the mask of biases.
    r"local_cls_norm\.(weight|bias)|rope_embed\.periods|blocks\.\d+\.attn\.qkv\.bias_mask"
)
KEY_BIAS = re.compile(r"layer\.\d+\.attention\.k_proj\.bias")
GATED = re.compile(r"blocks\.\d+\.mlp\.w\d\.|layer\.\d+\.mlp\.gate_proj\.")


def convert_authors_files(
    head: Mapping[str, Tensor],
    backbone: Mapping[str, Tensor],
    backbone_config: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Join the authors' head with its backbone.

    Args:
        head: state dict of ``dinov3_vitl16_chmv2_dpt_head-*.pth``.
        backbone: state dict of ``dinov3_vitl16_pretrain_sat493m-*.pth``, or ``model.safetensors``
            of the same backbone in transformers' layout.
        backbone_config: ``config.json`` beside the latter, whose tensors do not tell the number
            of heads.

    Returns:
        The configuration, its sizes read from the tensors, and the tensors under the names of
        transformers, as ``write_chmv2_folder`` takes them.

    Raises:
        ModelError: one of them is something else, lacks a tensor or has one too many, or they do
            not fit each other.
    """
    head_sizes, tensors = read_head(bare(head, "authors' chmv2 head"))
    theirs: Part = "transformers dinov3 backbone"
    if prefix_of(theirs, backbone) is not None:
        sizes, tokens, facts = read_transformers_backbone(bare(backbone, theirs), backbone_config)
    else:
        sizes, tokens, facts = read_authors_backbone(bare(backbone, "dinov3 backbone"))
    if head_sizes.hidden != sizes.hidden:
        msg = (
            f"the chmv2 head takes {head_sizes.hidden} channels and the backbone has "
            f"{sizes.hidden}: expected the backbone that the head was trained on (vitl16 sat493m)"
        )
        raise ModelError(msg)
    tensors |= {f"backbone.{name}": tensor for name, tensor in tokens.items()}
    return configuration(head_sizes, sizes, facts), tensors


def bare(state: Mapping[str, Tensor], part: Part) -> dict[str, Tensor]:
    """Return a part without what stands before every name.

    Raises:
        ModelError: it is another part or none, or holds more than tensors.
    """
    prefix = prefix_of(part, state)
    if prefix is None or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        found = ", ".join(list(state)[:3]) or "nothing"
        msg = f"expected the {part}, found {found}: take the file as its authors released it"
        raise ModelError(msg)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def read_head(state: Mapping[str, Tensor]) -> tuple[HeadSizes, dict[str, Tensor]]:
    """Return the sizes of the authors' head, and its tensors under the names of transformers.

    Raises:
        ModelError: a tensor is missing, too many or of another shape.
    """
    what = "authors' chmv2 head"
    sizes = HeadSizes(
        hidden=size(state, "reassemble_blocks.projects.0.conv.weight", 1, what),
        channels=tuple(
            size(state, f"reassemble_blocks.projects.{level}.conv.weight", 0, what)
            for level in range(LEVELS)
        ),
        fusion=size(state, "convs.0.conv.weight", 0, what),
        last=size(state, "conv_depth.head.2.weight", 0, what),
        bins=size(state, "conv_depth.head.4.weight", 0, what),
    )
    rows = list(head_rows(sizes))
    check_rows(state, rows, what)
    return sizes, {row.ours: state[row.theirs] for row in rows}


def read_authors_backbone(
    state: dict[str, Tensor],
) -> tuple[BackboneSizes, dict[str, Tensor], dict[str, Any]]:
    """Return sizes, tensors under the names of transformers, and what else the tensors tell.

    Raises:
        ModelError: a tensor is missing, too many or of another shape.
    """
    what: Part = "dinov3 backbone"
    refuse_gated(state)
    sizes = BackboneSizes(
        hidden=size(state, "cls_token", 2, what),
        depth=blocks(state, r"blocks\.(\d+)\."),
        inner=size(state, "blocks.0.mlp.fc1.weight", 0, what),
        registers=size(state, "storage_tokens", 1, what),
        patch=size(state, "patch_embed.proj.weight", 3, what),
    )
    rows = list(backbone_rows(sizes))
    check_rows({name: state[name] for name in state if not UNUSED.fullmatch(name)}, rows, what)
    heads = heads_of(state.get("rope_embed.periods"), sizes.hidden)
    tensors = dict(unfused(state, rows))
    key_bias = any(bool(tensor.any()) for name, tensor in tensors.items() if KEY_BIAS.search(name))
    if not key_bias:
        tensors = {name: tensors[name] for name in tensors if not KEY_BIAS.search(name)}
    facts = {"num_attention_heads": heads, "layer_norm_eps": EPSILON, "rope_theta": ROPE_BASE}
    return sizes, tensors, facts | {"key_bias": key_bias}


def unfused(state: Mapping[str, Tensor], rows: Iterable[Row]) -> Iterable[tuple[str, Tensor]]:
    """Yield the authors' tensors under the names of transformers, q, k and v each for itself.

    Raises:
        ModelError: the mask of a bias has another shape, or was never filled.
    """
    for row in rows:
        tensor = state[row.theirs]
        if "{}" in row.ours:
            pieces = masked(state, row.theirs).chunk(3)
            for part, piece in zip("qkv", pieces, strict=True):
                yield row.ours.format(part), piece.clone()
        else:
            yield row.ours, tensor[None] if row.theirs == "mask_token" else tensor


def masked(state: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a tensor times its mask, where it has one.

    Raises:
        ModelError: the mask has another shape, or was never filled.
    """
    tensor, mask = state[name], state.get(f"{name}_mask")
    if mask is None:
        return tensor
    if mask.shape != tensor.shape or not mask.isfinite().all():
        msg = (
            f"dinov3 backbone: {name}_mask is not a mask of {len(tensor)} finite numbers: take the "
            "file as its authors released it"
        )
        raise ModelError(msg)
    return tensor * mask.to(tensor.dtype)


def heads_of(periods: Tensor | None, hidden: int) -> int:
    """Return the number of attention heads, from the periods of the rotary positions.

    Raises:
        ModelError: there are none, or transformers would make others.
    """
    if periods is None:
        msg = "dinov3 backbone: missing rope_embed.periods, which tell the number of heads"
        raise ModelError(msg)
    count = periods.numel()
    heads, rest = divmod(hidden, 4 * count) if count else (0, 1)
    if rest:
        msg = f"dinov3 backbone: {count} rotary periods do not fit {hidden} channels"
        raise ModelError(msg)
    expected = ROPE_BASE ** (torch.arange(count) / count)
    # They may have been stored in bfloat16.
    if not torch.allclose(periods.float().flatten(), expected, rtol=1e-2):
        msg = (
            f"dinov3 backbone: rope_embed.periods are not those of base {ROPE_BASE:g}: expected a "
            "backbone that its authors released"
        )
        raise ModelError(msg)
    return heads


def read_transformers_backbone(
    state: Mapping[str, Tensor], config: Mapping[str, Any] | None
) -> tuple[BackboneSizes, dict[str, Tensor], dict[str, Any]]:
    """Return sizes, tensors and what only the configuration of the backbone tells.

    Raises:
        ModelError: a tensor is missing, too many or of another shape, or the configuration is.
    """
    what: Part = "transformers dinov3 backbone"
    # Blocks are stored under layer. and called model.layer. in memory; both are met on disk.
    state = {re.sub(r"^model\.(?=layer\.)", "", name): state[name] for name in state}
    refuse_gated(state)
    sizes = BackboneSizes(
        hidden=size(state, "embeddings.cls_token", 2, what),
        depth=blocks(state, r"layer\.(\d+)\."),
        inner=size(state, "layer.0.mlp.up_proj.weight", 0, what),
        registers=size(state, "embeddings.register_tokens", 1, what),
        patch=size(state, "embeddings.patch_embeddings.weight", 3, what),
    )
    key_bias = any(KEY_BIAS.fullmatch(name) for name in state)
    rows = [row for row in transformers_rows(sizes) if key_bias or not KEY_BIAS.fullmatch(row.ours)]
    check_rows(state, rows, what)
    facts = ("num_attention_heads", "layer_norm_eps", "rope_theta")
    if config is None or any(fact not in config for fact in facts):
        msg = (
            f"{what}: its tensors do not tell {', '.join(facts)}: give the config.json beside "
            "them, or the authors' .pth"
        )
        raise ModelError(msg)
    return sizes, dict(state), {fact: config[fact] for fact in facts} | {"key_bias": key_bias}


def refuse_gated(state: Mapping[str, Tensor]) -> None:
    """Refuse a backbone whose blocks have gated perceptrons.

    Raises:
        ModelError: it has.
    """
    gated = next((name for name in state if GATED.match(name)), None)
    if gated:
        msg = f"dinov3 backbone: {gated} is of a gated perceptron: chmv2 takes vitl16 (sat493m)"
        raise ModelError(msg)


def blocks(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many numbers a pattern finds in names.

    Raises:
        ModelError: they cannot be tapped at four even depths.
    """
    depth = len({match[1] for name in state if (match := re.match(pattern, name))})
    if depth % LEVELS:
        msg = f"dinov3 backbone: {depth} blocks, expected a multiple of {LEVELS}, such as 24"
        raise ModelError(msg)
    return depth


def size(state: Mapping[str, Tensor], name: str, axis: int, what: str) -> int:
    """Return one side of a tensor.

    Raises:
        ModelError: it is missing or has fewer sides.
    """
    tensor = state.get(name)
    if tensor is None or tensor.ndim <= axis:
        found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}:"
        msg = f"{what}: {found} {name}: take the file as its authors released it"
        raise ModelError(msg)
    return tensor.shape[axis]


def check_rows(state: Mapping[str, Tensor], rows: Iterable[Row], what: str) -> None:
    """Refuse tensors that are not exactly those of a table.

    Raises:
        ModelError: one is missing, too many or of another shape.
    """
    shapes = {row.theirs: row.shape for row in rows}
    if difference := key_differences(list(state), list(shapes)):
        msg = f"{what}: {difference}: take the file as its authors released it"
        raise ModelError(msg)
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            msg = f"{what}: {name} has shape {tuple(state[name].shape)}, its neighbours ask {shape}"
            raise ModelError(msg)
