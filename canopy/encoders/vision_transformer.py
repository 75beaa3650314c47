"""The vision transformer: images in, four tapped feature maps out.

Two stems turn pixels into tokens. ``patch`` is one strided convolution, as in the released CHMv1
weights (Tolan et al. 2024). ``convolutional`` is a small convolutional network whose stride 4 and
stride 8 maps are the first two taps, as in DPT-Hybrid (Ranftl et al. 2021, section 3): it keeps
crown-sized detail that sixteen-pixel tokens lose, which matters when there is little data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy.encoders.tap import Levels, Tap

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 1 << 14
"""No size is larger: a configuration that says so would exhaust the memory of any machine."""
TAPS = 4
"""A DPT decoder takes four levels."""


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Size of a vision transformer.

    Attributes:
        dim: channels of a token.
        depth: number of transformer blocks.
        heads: attention heads; must divide ``dim``.
        taps: blocks (0-based) whose output is tapped: four for the patch stem, two for the
            convolutional stem, whose own maps come first.
        patch: side of a token [px].
        position_grid: side of the stored grid of position embeddings [tokens]; 0 for none, when
            the padding of the convolutional stem is the only cue of position.
        stem: ``patch`` or ``convolutional``.
        stem_channels: channels of the convolutional stem at strides 4 and 8.
        stem_depth: residual blocks of the convolutional stem at strides 4 and 8.
        stem_norm: norm of the convolutional stem: over the ``channel`` axis of each pixel, or
            ``batch`` with fixed statistics when it predicts. Neither makes a height depend on what
            else a tile holds.
        mlp_ratio: width of a block's hidden layer over ``dim``.
    """

    kind: Literal["vit"] = "vit"
    dim: int
    depth: int
    heads: int
    taps: tuple[int, ...]
    patch: int = 16
    position_grid: int = 14
    stem: Literal["patch", "convolutional"] = "patch"
    stem_channels: tuple[int, int] = (64, 128)
    stem_depth: tuple[int, int] = (2, 2)
    stem_norm: Literal["channel", "batch"] = "channel"
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        sizes = (self.dim, self.depth, self.heads, self.patch, *self.stem_channels)
        if not 0 < min(sizes) <= max(sizes) <= LARGEST or not 0 <= self.position_grid <= LARGEST:
            msg = f"sizes {sizes} and a grid of {self.position_grid}: expected 1 to {LARGEST}"
            raise ValueError(msg)
        if not 0 < self.mlp_ratio <= LARGEST:
            msg = f"mlp_ratio {self.mlp_ratio}: expected above 0"
            raise ValueError(msg)
        expected = TAPS if self.stem == "patch" else TAPS - 2
        if list(self.taps) != sorted(set(self.taps)) or min(self.taps, default=-1) < 0:
            msg = f"taps {self.taps}: expected ascending numbers of blocks, from 0"
            raise ValueError(msg)
        if len(self.taps) != expected or self.taps[-1] >= self.depth:
            msg = f"taps {self.taps}: a {self.stem} stem needs {expected} taps below {self.depth}"
            raise ValueError(msg)
        if self.dim % self.heads:
            msg = f"dim {self.dim} is not a multiple of heads {self.heads}: change one of them"
            raise ValueError(msg)
        if self.stem == "convolutional" and self.patch != 16:  # noqa: PLR2004 - four strides of two
            msg = f"a convolutional stem makes tokens of 16 px, not {self.patch}: set patch to 16"
            raise ValueError(msg)

    @property
    def tap_channels(self) -> tuple[int, ...]:
        """Channels of the four taps."""
        stem = self.stem_channels if self.stem == "convolutional" else ()
        return (*stem, *(self.dim for _ in self.taps))

    @property
    def tap_strides(self) -> tuple[int, ...]:
        """Stride of the four taps [px]."""
        stem = (4, 8) if self.stem == "convolutional" else ()
        return (*stem, *(self.patch for _ in self.taps))

    @property
    def levels(self) -> Levels:
        """What the encoder advertises of its taps."""
        tokens = (False,) * (TAPS - len(self.taps)) + (True,) * len(self.taps)
        return Levels(self.tap_channels, self.tap_strides, tokens)

    def build(self) -> VisionTransformer:
        """Return an encoder of this size with random weights."""
        return VisionTransformer(self)


class VisionTransformer(nn.Module):
    """Vision transformer (Dosovitskiy et al. 2021) with layer scale and tapped blocks.

    Names of parameters follow DINOv2, so that released state dicts map one to one. No final norm:
    the released decoder takes the blocks' raw output.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """Build the encoder with random weights."""
        super().__init__()
        self.settings = settings
        self.multiple_px = settings.patch
        self.patch_embed = (
            PatchStem(settings) if settings.stem == "patch" else ConvolutionalStem(settings)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, settings.dim))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        if settings.position_grid:
            shape = (1, 1 + settings.position_grid**2, settings.dim)
            self.pos_embed = nn.Parameter(torch.zeros(shape))
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            TransformerBlock(settings.dim, settings.heads, settings.mlp_ratio)
            for _ in range(settings.depth)
        )

    def forward(self, images: Tensor) -> list[Tap]:
        """Return the four taps of normalised images.

        Args:
            images: (batch, 3, height, width), normalised. A side that is no multiple of the patch
                is padded with zeros at its right or lower end.

        Returns:
            Four taps from fine to coarse; maps have ceil(side / stride) cells.
        """
        taps: list[Tap]
        tokens, taps = self.patch_embed(images)
        rows, columns = tokens.shape[-2:]
        sequence = self._with_class_token(tokens)
        for index, block in enumerate(self.blocks):
            sequence = block(sequence)
            if index in self.settings.taps:
                grid = sequence[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
                taps.append(Tap(grid, sequence[:, 0]))
        return taps

    def _with_class_token(self, tokens: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1 + h * w, C), positions added."""
        rows, columns = tokens.shape[-2:]
        sequence = tokens.flatten(2).transpose(1, 2)
        sequence = torch.cat([self.cls_token.expand(len(tokens), -1, -1), sequence], dim=1)
        if not self.settings.position_grid:
            return sequence
        return sequence + self._positions(rows, columns)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings (1, 1 + rows * columns, C) resampled to a grid of tokens.

        Bicubic with aligned corners, as the released CHMv1 code does; DINOv2's own resampling
        (corners not aligned) gives other heights.
        """
        side = self.settings.position_grid
        if rows == columns == side:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = functional.interpolate(
            grid, size=(rows, columns), mode="bicubic", align_corners=True
        )
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


class PatchStem(nn.Module):
    """One convolution whose stride is the patch."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Build the stem."""
        super().__init__()
        self.patch = settings.patch
        self.proj = nn.Conv2d(3, settings.dim, settings.patch, stride=settings.patch)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tap]]:
        """Return tokens (B, C, ceil(H / patch), ceil(W / patch)) and no taps."""
        height, width = images.shape[-2:]
        images = functional.pad(images, (0, -width % self.patch, 0, -height % self.patch))
        return self.proj(images), []


class ConvolutionalStem(nn.Module):
    """Strides 2, 4, 8 and 16; the maps at 4 and 8 are taps.

    Borders are replicated, not zeroed, so that the edge of a tile looks like the ground beside it
    and neighbouring tiles agree.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """Build the stem."""
        super().__init__()
        fine, coarse = settings.stem_channels
        norm = ChannelNorm if settings.stem_norm == "channel" else nn.BatchNorm2d
        self.entry = nn.Sequential(
            halving(3, fine // 2, norm), nn.GELU(), halving(fine // 2, fine, norm)
        )
        self.fine = nn.Sequential(*(ConvBlock(fine, norm) for _ in range(settings.stem_depth[0])))
        self.middle = halving(fine, coarse, norm)
        self.coarse = nn.Sequential(
            *(ConvBlock(coarse, norm) for _ in range(settings.stem_depth[1]))
        )
        self.exit = halving(coarse, settings.dim, norm)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tap]]:
        """Return tokens (B, C, ceil(H / 16), ceil(W / 16)) and the taps at strides 4 and 8."""
        fine = self.fine(self.entry(images))
        coarse = self.coarse(self.middle(fine))
        return self.exit(coarse), [Tap(fine, None), Tap(coarse, None)]


def halving(channels_in: int, channels_out: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Return a 3x3 convolution of stride 2 with replicated borders, normed per pixel."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, 2, 1, padding_mode="replicate")
    return nn.Sequential(convolution, norm(channels_out))


class ConvBlock(nn.Module):
    """Residual block: depthwise 7x7, norm, two pointwise layers (ConvNeXt, Liu et al. 2022)."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        """Build the block."""
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 7, padding=3, groups=channels, padding_mode="replicate"
        )
        self.norm = norm(channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.reduce = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        hidden = functional.gelu(self.expand(self.norm(self.depthwise(features))))
        residual: Tensor = self.reduce(hidden)
        return features + residual


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        """Build the norm."""
        super().__init__(channels, eps=1e-6)

    def forward(self, features: Tensor) -> Tensor:
        """Return the normed map."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP, each with a learnt layer scale (Touvron et al. 2021)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        """Build the block."""
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.ls2 = LayerScale(dim)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        sequence = sequence + self.ls1(self.attn(self.norm1(sequence)))
        updated: Tensor = sequence + self.ls2(self.mlp(self.norm2(sequence)))
        return updated


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int) -> None:
        """Build the projections."""
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        query, key, value = (
            self.qkv(sequence).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class LayerScale(nn.Module):
    """A learnt factor per channel."""

    def __init__(self, dim: int) -> None:
        """Start at one."""
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, sequence: Tensor) -> Tensor:
        """Scale the last axis."""
        return sequence * self.gamma


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        """Build the layers."""
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, sequence: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        output: Tensor = self.fc2(functional.gelu(self.fc1(sequence)))
        return output
