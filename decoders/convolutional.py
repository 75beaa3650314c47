"""Decoders of segmentation-models-pytorch behind one adapter: taps in, features at pixels out.

The library names them by their papers: U-Net (Ronneberger et al. 2015), FPN (Kirillov et al. 2019),
UPerNet (Xiao et al. 2018) and DPT (Ranftl et al. 2021, with batch norm). Their 3x3 convolutions
see zeros beyond a border, so that tiles want more overlap than under this project's own DPT.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from torch import Tensor, nn
from torch.nn import functional

from decoders.levels import FOUR, Levels
from decoders.linear import enlarged
from decoders.pyramid import LEVELS, Pyramid, level_factors, pixel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    Taps = Sequence[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, kw_only=True)
class ConvolutionalSettings(ABC):
    """Size of a decoder of segmentation-models-pytorch.

    Attributes:
        in_channels: channels of the taps that it reads, the last ones of the encoder.
        in_strides: strides of these taps [px].
        class_tokens: whether each of them comes with a class token; only ``smp-dpt`` reads it.
        level_channels: channels of the four levels that are made of a vision transformer's taps.
        width: channels inside the decoder.
        head_channels: channels of the map that the adapter returns.
    """

    in_channels: tuple[int, ...]
    in_strides: tuple[int, ...]
    class_tokens: tuple[bool, ...]
    level_channels: tuple[int, ...]
    width: int = 256
    head_channels: int = 32

    @classmethod
    def for_levels(cls, levels: Levels) -> Self:
        """Return a decoder in proportion to what an encoder advertises."""
        read = cls.read_of(levels)
        return cls(
            in_channels=read.channels,
            in_strides=read.strides,
            class_tokens=read.class_tokens,
            level_channels=levels.level_channels(),
            width=levels.width(),
        )

    @classmethod
    def read_of(cls, levels: Levels) -> Levels:
        """Return the taps that the decoder reads."""
        return levels.last(FOUR)

    @property
    def levels(self) -> Levels:
        """The taps that will come."""
        return Levels(self.in_channels, self.in_strides, self.class_tokens)

    @abstractmethod
    def adapt(self) -> Adapter:
        """Return the library's decoder with what it is fed."""

    def build(self) -> ConvolutionalDecoder:
        """Return a decoder of this size with random weights."""
        return ConvolutionalDecoder(self)


@dataclass(frozen=True, kw_only=True)
class UnetSettings(ConvolutionalSettings):
    """U-Net: all levels, down to stride 2 where the encoder has it."""

    kind: Literal["unet"] = "unet"

    @classmethod
    def read_of(cls, levels: Levels) -> Levels:
        """Return all taps of a pyramid but those at pixel resolution, else the last four."""
        coarser = levels.last(sum(stride > 1 for stride in levels.strides))
        return coarser if coarser.doubling else levels.last(FOUR)

    def adapt(self) -> Adapter:
        """Return the library's U-Net on a pyramid."""
        return UnetAdapter(self)


@dataclass(frozen=True, kw_only=True)
class FPNSettings(ConvolutionalSettings):
    """FPN: four levels, summed at the finest; ``width`` is a multiple of 64."""

    kind: Literal["fpn"] = "fpn"

    def __post_init__(self) -> None:
        """Refuse a width that its norms, over groups of 32 channels of a half, cannot divide."""
        if self.width % 64:
            msg = f"width {self.width}: an FPN needs a multiple of 64"
            raise ValueError(msg)

    def adapt(self) -> Adapter:
        """Return the library's FPN on a pyramid."""
        return FPNAdapter(self)


@dataclass(frozen=True, kw_only=True)
class UPerNetSettings(ConvolutionalSettings):
    """UPerNet: four levels; pools over the whole image, so a height depends on the whole tile."""

    kind: Literal["upernet"] = "upernet"

    def adapt(self) -> Adapter:
        """Return the library's UPerNet on a pyramid."""
        return UPerNetAdapter(self)


@dataclass(frozen=True, kw_only=True)
class SmpDPTSettings(ConvolutionalSettings):
    """DPT of the library, normed over the batch; it resizes taps itself."""

    kind: Literal["smp-dpt"] = "smp-dpt"

    def adapt(self) -> Adapter:
        """Return the library's DPT on the taps as they come."""
        return SmpDPTAdapter(self)


class ConvolutionalDecoder(nn.Module):
    """A decoder of the library, then few channels, then pixels."""

    def __init__(self, settings: ConvolutionalSettings) -> None:
        """Build the decoder with random weights."""
        super().__init__()
        self.settings = settings
        self.out_channels = settings.head_channels
        self.adapter = settings.adapt()
        self.multiple_px = self.adapter.multiple_px
        self.reduction = nn.Conv2d(self.adapter.out_channels, self.out_channels, 3, padding=1)

    def forward(self, taps: Taps) -> Tensor:
        """Return features at pixel resolution.

        Args:
            taps: pairs of a map (B, C, h, w) and its class token (B, C) or None, from fine to
                coarse.

        Returns:
            (B, head_channels, H, W), not negative; H and W are multiples of ``multiple_px``.

        Raises:
            ValueError: the image's sides were no multiples of ``multiple_px``.
        """
        strides = self.settings.in_strides
        read = taps[-len(strides) :]
        size = pixel_size([features for features, _ in read], strides, self.multiple_px)
        return functional.relu(enlarged(self.reduction(self.adapter(read)), size))


class Adapter(nn.Module):
    """A decoder of the library, fed as it wants to be.

    Attributes:
        decoder: the library's own.
        out_channels: channels of the map that it returns, at whatever stride.
        multiple_px: sides of images must be multiples of it [px].
    """

    decoder: nn.Module
    out_channels: int
    multiple_px: int


class PyramidAdapter(Adapter):
    """What the library's pyramid decoders share: taps become a pyramid first."""

    def __init__(self, settings: ConvolutionalSettings) -> None:
        """Build the pyramid."""
        super().__init__()
        self.pyramid = Pyramid(settings.levels, settings.level_channels)
        self.multiple_px = self.pyramid.multiple_px

    def forward(self, taps: Taps) -> Tensor:
        """Return the decoder's map (B, out_channels, rows, columns) of taps."""
        maps = self.pyramid([features for features, _ in taps])
        decoded: Tensor = self.decoder(self.fed(maps))
        return decoded

    def fed(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the list of maps that the library's decoder takes."""
        return maps


class UnetAdapter(PyramidAdapter):
    """U-Net: it goes on upwards past the finest level, with nothing to join there."""

    def __init__(self, settings: UnetSettings) -> None:
        """Build pyramid and decoder."""
        from segmentation_models_pytorch.decoders.unet.decoder import (  # noqa: PLC0415 - slow
            UnetDecoder,
        )

        super().__init__(settings)
        self.beyond = max(1, int(math.log2(self.pyramid.strides[0])))
        blocks = len(self.pyramid.channels) - 1 + self.beyond
        widths = [max(16, settings.width // 2**block) for block in range(blocks)]
        self.decoder = UnetDecoder(
            encoder_channels=[0] * self.beyond + list(self.pyramid.channels),
            decoder_channels=widths,
            n_blocks=blocks,
        )
        self.out_channels = widths[-1]

    def fed(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps, preceded by maps of no channels that tell the sizes beyond."""
        batch, _, rows, columns = maps[0].shape
        empty = [
            maps[0].new_empty((batch, 0, rows * 2**step, columns * 2**step))
            for step in range(self.beyond, 0, -1)
        ]
        return empty + maps


class FPNAdapter(PyramidAdapter):
    """FPN: it takes the last four maps."""

    def __init__(self, settings: FPNSettings) -> None:
        """Build pyramid and decoder."""
        from segmentation_models_pytorch.decoders.fpn.decoder import (  # noqa: PLC0415 - slow
            FPNDecoder,
        )

        super().__init__(settings)
        self.decoder = FPNDecoder(
            encoder_channels=list(self.pyramid.channels),
            encoder_depth=FOUR,
            pyramid_channels=settings.width,
            segmentation_channels=settings.width // 2,
        )
        self.out_channels = settings.width // 2


class UPerNetAdapter(PyramidAdapter):
    """UPerNet: it passes over two finer maps, which need not exist."""

    def __init__(self, settings: UPerNetSettings) -> None:
        """Build pyramid and decoder."""
        from segmentation_models_pytorch.decoders.upernet.decoder import (  # noqa: PLC0415 - slow
            UPerNetDecoder,
        )

        super().__init__(settings)
        self.decoder = norm_pooled(
            UPerNetDecoder(
                encoder_channels=[0, 0, *self.pyramid.channels],
                encoder_depth=FOUR + 1,
                decoder_channels=settings.width,
            )
        )
        self.out_channels = settings.width

    def fed(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps behind two that are passed over."""
        return [maps[0], maps[0], *maps]


class SmpDPTAdapter(Adapter):
    """DPT: taps and class tokens as they come; its strides are those of a patch of 16."""

    def __init__(self, settings: SmpDPTSettings) -> None:
        """Build the decoder.

        Raises:
            ValueError: a tap cannot be brought to the stride of its level.
        """
        from segmentation_models_pytorch.decoders.dpt.decoder import (  # noqa: PLC0415 - slow
            DPTDecoder,
        )

        super().__init__()
        levels = settings.levels
        self.reads_tokens = all(levels.class_tokens)
        self.multiple_px = 2 * levels.patch
        factors = level_factors(levels)
        self.decoder = DPTDecoder(
            encoder_out_channels=levels.channels,
            encoder_output_strides=[
                round(factor * 16 * level) for factor, level in zip(factors, LEVELS, strict=True)
            ],
            encoder_has_prefix_tokens=self.reads_tokens,
            readout="cat" if self.reads_tokens else "ignore",
            intermediate_channels=settings.level_channels,
            fusion_channels=settings.width,
        )
        self.out_channels = settings.width

    def forward(self, taps: Taps) -> Tensor:
        """Return the decoder's map (B, out_channels, rows, columns) of taps."""
        maps = [features for features, _ in taps]
        tokens = [token.unsqueeze(1) if token is not None else None for _, token in taps]
        decoded: Tensor = self.decoder(maps, tokens)
        return decoded


def norm_pooled(decoder: Any) -> nn.Module:  # noqa: ANN401 - the library has no types
    """Norm the one value that UPerNet pools of a whole image over its channels, not the batch.

    A batch of one image has no spread to norm by: training would stop there.
    """
    convolved = decoder.psp.blocks[0][1]
    convolved[1] = nn.GroupNorm(1, convolved[0].out_channels)
    module: nn.Module = decoder
    return module
