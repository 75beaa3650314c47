"""CHMv2 at the smallest size that exercises every layer, with its heights by transformers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import CHMv2Config, CHMv2ForDepthEstimation, CHMv2ImageProcessor

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

PERIODS = 100.0 ** (torch.arange(4) / 4)
"""Of the rotary positions of heads of 16 channels."""


def tiny_chmv2(
    seed: int = 0, *, key_bias: bool = False, hidden: int = 32
) -> CHMv2ForDepthEstimation:
    """A CHMv2 model with random weights, large enough to make hills."""
    backbone = {
        "model_type": "dinov3_vit", "hidden_size": hidden, "intermediate_size": 64,
        "num_hidden_layers": 4, "num_attention_heads": 2, "num_register_tokens": 4,
        "key_bias": key_bias, "layer_norm_eps": 1e-5, "out_indices": [1, 2, 3, 4],
        "apply_layernorm": True, "reshape_hidden_states": True, "return_class_token": True,
    }  # fmt: skip
    config = CHMv2Config(
        backbone_config=backbone, post_process_channels=[8, 16, 32, 64], fusion_hidden_size=32,
        head_hidden_size=8, number_output_channels=32,
    )  # fmt: skip
    state = torch.random.get_rng_state()
    model = CHMv2ForDepthEstimation(config).eval()
    torch.random.set_rng_state(state)
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=draw)
        if re.search(r"norm\d?\.weight|lambda1", name):
            values = 1 + values / 4
        elif parameter.ndim > 1:
            values = 2 * values / parameter[0].numel() ** 0.5
        parameter.data.copy_(values)
    return model


def save_tiny(folder: Path, **changes) -> CHMv2ForDepthEstimation:
    """A tiny model, saved by transformers as a folder."""
    model = tiny_chmv2(**changes)
    model.save_pretrained(folder)
    CHMv2ImageProcessor().save_pretrained(folder)
    return model


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random pixels (height, width, 3), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@torch.inference_mode()
def their_heights(model: CHMv2ForDepthEstimation, image: np.ndarray) -> np.ndarray:
    """Heights [m] (height, width) by transformers: padded, resized to the padded size, cropped."""
    processor = CHMv2ImageProcessor()
    inputs = processor(images=[image], return_tensors="pt", input_data_format="channels_last")
    height, width = inputs["pixel_values"].shape[-2:]
    outputs = model(**inputs)
    post = processor.post_process_depth_estimation(outputs, target_sizes=[(height, width)])
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    heights = post[0]["predicted_depth"].numpy()
    return heights[top : top + image.shape[0], left : left + image.shape[1]]


AUTHORS = (
    (
        r"^head\.reassemble_stage\.layers\.(\d)\.projection\.",
        r"reassemble_blocks.projects.\1.conv.",
    ),
    (r"^head\.reassemble_stage\.layers\.(\d)\.resize\.", r"reassemble_blocks.resize_layers.\1."),
    (r"^head\.reassemble_stage\.readout_projects\.", "reassemble_blocks.readout_projects."),
    (r"^head\.convs\.(\d)\.", r"convs.\1.conv."),
    (r"^head\.fusion_layers\.(\d)\.projection\.", r"fusion_blocks.\1.project.conv."),
    (
        r"^head\.fusion_layers\.(\d)\.residual_layer(\d)\.convolution(\d)\.",
        r"fusion_blocks.\1.res_conv_unit\2.conv\3.conv.",
    ),
    (r"^head\.conv_depth\.", "conv_depth."),
    (r"^backbone\.embeddings\.register_tokens", "storage_tokens"),
    (r"^backbone\.embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^backbone\.embeddings\.", ""),
    (r"^backbone\.model\.layer\.(\d)\.attention\.o_proj\.", r"blocks.\1.attn.proj."),
    (r"^backbone\.model\.layer\.(\d)\.attention\.", r"blocks.\1.attn."),
    (r"^backbone\.model\.layer\.(\d)\.mlp\.up_proj\.", r"blocks.\1.mlp.fc1."),
    (r"^backbone\.model\.layer\.(\d)\.mlp\.down_proj\.", r"blocks.\1.mlp.fc2."),
    (r"^backbone\.model\.layer\.(\d)\.layer_scale(\d)\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"^backbone\.model\.layer\.(\d)\.norm", r"blocks.\1.norm"),
    (r"^backbone\.norm\.", "norm."),
)
"""Names in transformers, and the authors'."""


def authors_name(name: str) -> str:
    """What the authors call a tensor, before q, k and v are put together."""
    for pattern, replacement in AUTHORS:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    message = f"no name for {name}"
    raise KeyError(message)


def authors_files(model: CHMv2ForDepthEstimation) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A model as the authors' two files: the head, and the backbone with all that it stores."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head = {authors_name(name): state[name] for name in state if name.startswith("head.")}
    backbone = {authors_name(name): state[name] for name in state if not name.startswith("head.")}
    backbone["mask_token"] = backbone["mask_token"][0]
    for block in range(model.config.backbone_config.num_hidden_layers):
        fuse(backbone, f"blocks.{block}.attn", key_bias=model.config.backbone_config.key_bias)
    backbone["rope_embed.periods"] = PERIODS.clone()
    backbone["local_cls_norm.weight"] = torch.ones_like(backbone["norm.weight"])
    backbone["local_cls_norm.bias"] = torch.zeros_like(backbone["norm.bias"])
    return head, backbone


def fuse(state: dict[str, Tensor], attention: str, *, key_bias: bool) -> None:
    """Put q, k and v of a block together; the bias of k is masked where the model has none."""
    parts = [f"{attention}.{part}_proj" for part in "qkv"]
    hidden = len(state[f"{parts[0]}.weight"])
    if not key_bias:
        state[f"{parts[1]}.bias"] = torch.full((hidden,), 7.0)
    for kind in ("weight", "bias"):
        state[f"{attention}.qkv.{kind}"] = torch.cat(
            [state.pop(f"{part}.{kind}") for part in parts]
        )
    mask = torch.ones(3 * hidden)
    mask[hidden : 2 * hidden] = float(key_bias)
    state[f"{attention}.qkv.bias_mask"] = mask
