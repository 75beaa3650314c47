"""The released CHMv1 files: names of tensors there and here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

CHMV1_NAMES = (
    (r"^backbone\.", "encoder."),
    (
        r"^decode_head\.reassemble_blocks\.projects\.(\d)\.conv\.",
        r"decoder.reassemblies.\1.projection.",
    ),
    (r"^decode_head\.reassemble_blocks\.resize_layers\.(\d)\.", r"decoder.reassemblies.\1.resize."),
    (
        r"^decode_head\.reassemble_blocks\.readout_projects\.(\d)\.0\.",
        r"decoder.reassemblies.\1.readout.",
    ),
    (r"^decode_head\.convs\.(\d)\.conv\.", r"decoder.convs.\1."),
    (r"^decode_head\.fusion_blocks\.(\d)\.project\.conv\.", r"decoder.fusions.\1.projection."),
    (
        r"^decode_head\.fusion_blocks\.(\d)\.res_conv_unit(\d)\.conv(\d)\.conv\.",
        r"decoder.fusions.\1.residual\2.conv\3.",
    ),
    (r"^decode_head\.project\.conv\.", "decoder.projection."),
    (r"^decode_head\.conv_depth\.head\.0\.", "decoder.reduction."),
    (r"^decode_head\.conv_depth\.head\.2\.", "decoder.refinement."),
    (r"^decode_head\.conv_depth\.head\.4\.", "bins.logits."),
)
"""Names of tensors in the released CHMv1 files, and here."""

CHMV1_UNUSED = {"backbone.mask_token", "backbone.norm.weight", "backbone.norm.bias"}
"""Stored in the released files, not used by their forward pass."""


def from_chmv1_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released CHMv1 state dict under the names used here, unused tensors left out."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in CHMV1_UNUSED:
            continue
        for pattern, replacement in CHMV1_NAMES:
            renamed_once, count = re.subn(pattern, replacement, name)
            if count:
                renamed[renamed_once] = tensor
                break
        else:
            renamed[name] = tensor
    return renamed
