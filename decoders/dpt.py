"""The dense prediction transformer: four tapped feature maps in, one full-resolution map out.

Ranftl et al. 2021, "Vision Transformers for Dense Prediction", in the form of the released CHMv1
decoder (Tolan et al. 2024): residual maps resized without aligned corners, upsampling with aligned
corners, and a 1x1 projection after each upsampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoders.levels import FOUR
from decoders.pyramid import LEVELS, Padding, resizing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decoders.levels import Levels

Norm = Literal["none", "batch"]


@dataclass(frozen=True, kw_only=True)
class DPTSettings:
    """Size of a DPT decoder.

    Attributes:
        in_channels: channels of the four taps.
        in_strides: strides of the four taps [px].
        level_channels: channels of the four levels before fusion.
        patch: side of a token [px]; levels lie at a quarter, a half, one and two patches.
        width: channels while levels are fused.
        head_channels: channels of the map that the decoder returns.
        readout: for each tap, whether its class token is concatenated and projected; a
            convolutional tap has none.
        padding: what 3x3 convolutions see beyond a border: ``zeros`` in released weights,
            ``replicate`` in ours, which makes neighbouring tiles agree.
        norm: what follows a 3x3 convolution: ``none`` in released weights; ``batch`` in ours,
            without which a decoder learns slowly from scratch. It uses fixed statistics when it
            predicts, so that a height does not depend on what else a tile holds.
    """

    kind: Literal["dpt"] = "dpt"
    in_channels: tuple[int, ...]
    in_strides: tuple[int, ...]
    level_channels: tuple[int, ...]
    patch: int = 16
    width: int = 256
    head_channels: int = 32
    readout: tuple[bool, ...] = (True, True, True, True)
    padding: Padding = "zeros"
    norm: Norm = "none"

    @classmethod
    def for_levels(cls, levels: Levels) -> DPTSettings:
        """Return a decoder in proportion to what an encoder advertises, to be trained here."""
        read = levels.last(FOUR)
        return cls(
            in_channels=read.channels,
            in_strides=read.strides,
            level_channels=levels.level_channels(),
            patch=levels.patch,
            width=levels.width(),
            readout=read.class_tokens,
            padding="replicate",
            norm="batch",
        )

    def build(self) -> DPTDecoder:
        """Return a decoder of this size with random weights."""
        return DPTDecoder(self)


class DPTDecoder(nn.Module):
    """Reassemble four taps into a pyramid, fuse it from coarse to fine, upsample to pixels."""

    def __init__(self, settings: DPTSettings) -> None:
        """Build the decoder with random weights."""
        super().__init__()
        width = settings.width
        self.settings = settings
        self.out_channels = settings.head_channels
        self.multiple_px = 2 * settings.patch
        self.reassemblies = nn.ModuleList(Reassembly(settings, level) for level in range(FOUR))
        self.convs = nn.ModuleList(
            convolution(channels, width, settings, bias=False)
            for channels in settings.level_channels
        )
        self.fusions = nn.ModuleList(
            Fusion(settings, takes_residual=level > 0) for level in range(FOUR)
        )
        self.projection = convolution(width, width, settings)
        self.reduction = convolution(width, width // 2, settings)
        self.refinement = convolution(width // 2, settings.head_channels, settings)

    def forward(self, taps: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Return features at pixel resolution.

        Args:
            taps: pairs of a map (B, C, h, w) and its class token (B, C) or None, from fine to
                coarse; the last four are read.

        Returns:
            (B, head_channels, H, W); each side has ``2 * patch * ceil(tokens / 2)`` pixels: the
            input's when that is a multiple of two patches, else more.
        """
        levels = [
            conv(reassemble(*tap))
            for tap, reassemble, conv in zip(
                taps[-FOUR:], self.reassemblies, self.convs, strict=True
            )
        ]
        fused = self.fusions[0](levels[-1])
        for fusion, level in zip(self.fusions[1:], levels[-2::-1], strict=True):
            fused = fusion(fused, level)
        features = self.reduction(functional.relu(self.projection(fused)))
        return functional.relu(self.refinement(self._to_pixels(features)))

    def _to_pixels(self, features: Tensor) -> Tensor:
        """Bring the fused map, at an eighth of a patch, to pixels: twice for a patch of 16."""
        size = [side * self.settings.patch // 8 for side in features.shape[-2:]]
        return functional.interpolate(features, size, mode="bilinear", align_corners=True)


class Reassembly(nn.Module):
    """Bring one tap to the stride of its level."""

    def __init__(self, settings: DPTSettings, level: int) -> None:
        """Build the readout, the projection and the resizing of one level."""
        super().__init__()
        dim = settings.in_channels[level]
        channels = settings.level_channels[level]
        if settings.readout[level]:
            self.readout = nn.Linear(2 * dim, dim)
        self.projection = nn.Conv2d(dim, channels, 1)
        factor = settings.in_strides[level] / (LEVELS[level] * settings.patch)
        self.resize = resizing(channels, factor, settings.padding)

    def forward(self, features: Tensor, class_token: Tensor | None) -> Tensor:
        """(B, C, h, w) and (B, C) -> (B, level_channels, rows, columns) of the level."""
        if class_token is not None and hasattr(self, "readout"):
            features = self._read_class_token(features, class_token)
        resized: Tensor = self.resize(self.projection(features))
        return resized

    def _read_class_token(self, features: Tensor, class_token: Tensor) -> Tensor:
        tokens = features.flatten(2).transpose(1, 2)
        both = torch.cat([tokens, class_token.unsqueeze(1).expand_as(tokens)], dim=-1)
        mixed = functional.gelu(self.readout(both))
        return mixed.transpose(1, 2).reshape(features.shape)


class Fusion(nn.Module):
    """Add a finer level to the coarser sum, refine, double the resolution."""

    def __init__(self, settings: DPTSettings, *, takes_residual: bool) -> None:
        """Build the residual units; the coarsest fusion takes no finer level."""
        super().__init__()
        if takes_residual:
            self.residual1 = ResidualUnit(settings)
        self.residual2 = ResidualUnit(settings)
        self.projection = nn.Conv2d(settings.width, settings.width, 1)

    def forward(self, coarse: Tensor, fine: Tensor | None = None) -> Tensor:
        """(B, width, h, w) [and the level to add] -> (B, width, 2 h, 2 w)."""
        if fine is not None:
            if fine.shape != coarse.shape:
                size = coarse.shape[-2:]
                fine = functional.interpolate(fine, size, mode="bilinear", align_corners=False)
            coarse = coarse + self.residual1(fine)
        # The 1x1 projection and the bilinear upsampling commute but for rounding; the released
        # order is the reverse, four times the work.
        return twice(self.projection(self.residual2(coarse)))


class ResidualUnit(nn.Module):
    """Pre-activated pair of 3x3 convolutions around a shortcut."""

    def __init__(self, settings: DPTSettings) -> None:
        """Build the convolutions."""
        super().__init__()
        width = settings.width
        self.conv1 = convolution(width, width, settings, bias=False)
        self.conv2 = convolution(width, width, settings, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w)."""
        residual = self.conv1(functional.relu(features))
        refined: Tensor = features + self.conv2(functional.relu(residual))
        return refined


def convolution(
    channels_in: int, channels_out: int, settings: DPTSettings, *, bias: bool = True
) -> nn.Module:
    """Return a 3x3 convolution that keeps the size, and the norm that follows it."""
    unnormed = settings.norm == "none"
    convolved = nn.Conv2d(
        channels_in,
        channels_out,
        3,
        padding=1,
        bias=bias and unnormed,
        padding_mode=settings.padding,
    )
    return convolved if unnormed else nn.Sequential(convolved, nn.BatchNorm2d(channels_out))


def twice(features: Tensor) -> Tensor:
    """Double the resolution, bilinear with aligned corners."""
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)
