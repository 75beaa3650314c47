"""Encoders of timm: any vision transformer or feature pyramid that takes images of any size.

What an architecture gives is measured, not believed: it is laid out once without memory, on
torch's meta device, and asked for the maps of an image of an unusual size.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy.encoders.tap import Levels, Tap

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST = 4
"""Levels that every decoder can be given."""

PROBE_PX = 96
"""Least side of the image by which an architecture is measured [px]."""

ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False})
"""Arguments by which families of timm are made to take images of any size."""


@dataclass(frozen=True, kw_only=True)
class TimmSettings:
    """An architecture of timm, and where it is tapped.

    Attributes:
        architecture: its name in timm, with or without the tag of released weights.
        taps: what is tapped, ascending and counted from 0: blocks of a plain vision transformer,
            stages of a pyramid. None for four blocks evenly spread, or all stages.
        final_norm: whether the taps of a plain vision transformer go through its final norm, as
            DINOv2 and DINOv3 give their features away; a pyramid has no such norm.
    """

    kind: Literal["timm"] = "timm"
    architecture: str
    taps: tuple[int, ...] | None = None
    final_norm: bool = True

    def __post_init__(self) -> None:
        """Refuse a name that timm does not have, and taps in no order."""
        check_architecture(self.architecture)
        if self.taps is not None and list(self.taps) != sorted(set(self.taps)):
            msg = f"taps {self.taps}: expected ascending numbers, each once"
            raise ValueError(msg)

    @property
    def levels(self) -> Levels:
        """What the encoder advertises of its taps.

        Raises:
            ValueError: the architecture takes images of one size only, or has no four such taps.
        """
        return measure(self)

    def build(self) -> TimmEncoder:
        """Return the encoder with random weights.

        Raises:
            ValueError: the architecture takes images of one size only, or has no four such taps.
        """
        return TimmEncoder(self)


@dataclass(frozen=True, kw_only=True)
class Tapping:
    """How an architecture is tapped.

    Attributes:
        taps: blocks or stages.
        options: what its ``forward_intermediates`` is told beyond them.
        class_token: whether a class token leads its other tokens.
    """

    taps: tuple[int, ...]
    options: dict[str, bool]
    class_token: bool


class TimmEncoder(nn.Module):
    """An architecture of timm without what lies behind the last tap."""

    def __init__(self, settings: TimmSettings) -> None:
        """Build the encoder with random weights.

        Raises:
            ValueError: the architecture takes images of one size only, or has no four such taps.
        """
        super().__init__()
        self.settings = settings
        self.multiple_px = max(settings.levels.strides)
        self.model = make_model(settings)
        self.tapping = tapping_of(settings, self.model)
        prune(self.model, self.tapping)

    def forward(self, images: Tensor) -> list[Tap]:
        """Return the taps of normalised images.

        Args:
            images: (batch, 3, height, width), normalised. A side that is no multiple of the
                coarsest stride is padded with zeros at its right or lower end.

        Returns:
            Taps from fine to coarse, as advertised.
        """
        height, width = images.shape[-2:]
        down, right = (-side % self.multiple_px for side in (height, width))
        if down or right:
            images = functional.pad(images, (0, right, 0, down))
        return tapped(self.model, images, self.tapping)


def check_architecture(name: str) -> None:
    """Refuse a name that timm does not have.

    Raises:
        ValueError: naming those that come close.
    """
    import timm  # noqa: PLC0415 - a slow import, for these encoders only

    bare, _, tag = name.partition(".")
    if not timm.is_model(bare):
        near = get_close_matches(bare, timm.list_models(), n=3, cutoff=0.5)
        choices = ", ".join(near) or "a name that timm.list_models() gives"
        msg = f"no encoder {name} in timm: expected {choices}"
        raise ValueError(msg)
    tags = timm.list_pretrained(f"{bare}.*") if tag else []
    if tag and name not in tags:
        choices = ", ".join(tags) or f"{bare} alone, which has no released weights in timm"
        msg = f"no weights {name} in timm: expected {choices}"
        raise ValueError(msg)


@cache
def measure(settings: TimmSettings) -> Levels:
    """Return channels and strides of the maps of an architecture, and who has a class token.

    Raises:
        ValueError: the architecture takes images of one size only, or has no four such taps.
    """
    with torch.device("meta"), torch.no_grad():
        model: Any = make_model(settings).eval()
        tapping = tapping_of(settings, model)
        coarsest = max(info["reduction"] for info in model.feature_info)
        count = -(-PROBE_PX // coarsest)
        rows, columns = count * coarsest, (count + 1) * coarsest
        try:
            found = tapped(model, torch.empty(1, 3, rows, columns), tapping)
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
            msg = (
                f"timm's {settings.architecture} cannot take images of any size ({reason}): take "
                "one that can, such as vit_small_patch14_dinov2 or convnext_tiny"
            )
            raise ValueError(msg) from error
    return advertised(settings, found, (rows, columns))


def advertised(settings: TimmSettings, found: Sequence[Tap], size: tuple[int, int]) -> Levels:
    """Return what the taps of an image of a size (rows, columns) [px] tell of an architecture.

    Raises:
        ValueError: a map is no whole part of the image.
    """
    maps = [tap.features for tap in found]
    strides = tuple(size[0] // features.shape[2] for features in maps)
    whole = all(
        (features.shape[2] * stride, features.shape[3] * stride) == size
        for features, stride in zip(maps, strides, strict=True)
    )
    if not whole or list(strides) != sorted(strides):
        msg = (
            f"timm's {settings.architecture} gives maps of strides {strides} that are no whole "
            "parts of the image, from fine to coarse: take another architecture"
        )
        raise ValueError(msg)
    return Levels(
        channels=tuple(features.shape[1] for features in maps),
        strides=strides,
        class_tokens=tuple(tap.class_token is not None for tap in found),
    )


def make_model(settings: TimmSettings, *, pretrained: bool = False) -> nn.Module:
    """Return an architecture of timm as a whole, for images of any size where it can.

    Args:
        settings: which one.
        pretrained: whether it has the released weights of its tag, fetched from the Hub at need.
    """
    import timm  # noqa: PLC0415 - a slow import, for these encoders only

    for options in ANY_SIZE:
        try:
            return timm.create_model(settings.architecture, pretrained, **options)
        except TypeError:
            continue
    return timm.create_model(settings.architecture, pretrained)


def tapping_of(settings: TimmSettings, model: Any) -> Tapping:  # noqa: ANN401 - timm's
    """Return how an architecture is tapped.

    Raises:
        ValueError: there are fewer than four blocks or stages, or none of a number.
    """
    options = {"norm": settings.final_norm and is_plain(model)}
    if "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters:
        options["return_prefix_tokens"] = True
    names = [name.rpartition(".")[2] for name, _ in model.named_parameters()]
    return Tapping(
        taps=chosen_taps(settings, model), options=options, class_token="cls_token" in names
    )


def chosen_taps(settings: TimmSettings, model: Any) -> tuple[int, ...]:  # noqa: ANN401 - timm's
    """Return what is tapped.

    Raises:
        ValueError: there are fewer than four blocks or stages, or none of a number.
    """
    count = len(model.feature_info)
    taps = settings.taps
    if taps is None:
        spread = tuple(count * part // LEAST - 1 for part in range(1, LEAST + 1))
        taps = spread if is_plain(model) else tuple(range(count))
    if len(taps) < LEAST or taps[0] < 0 or taps[-1] >= count:
        msg = (
            f"taps {taps} of timm's {settings.architecture}: expected {LEAST} or more "
            f"from 0 to {count - 1}, take others or another architecture"
        )
        raise ValueError(msg)
    return taps


def is_plain(model: Any) -> bool:  # noqa: ANN401 - timm's
    """Whether an architecture is a plain vision transformer: one stride from the first block on."""
    return len({info["reduction"] for info in model.feature_info}) == 1


def prune(model: Any, tapping: Tapping) -> None:  # noqa: ANN401 - timm's
    """Take away what lies behind the last tap: weights that would never be used."""
    model.prune_intermediate_layers(
        list(tapping.taps), prune_norm=not tapping.options["norm"], prune_head=True
    )


def tapped(model: Any, images: Tensor, tapping: Tapping) -> list[Tap]:  # noqa: ANN401 - timm's
    """Return the taps of images by an architecture of timm."""
    found = model.forward_intermediates(
        images, indices=list(tapping.taps), intermediates_only=True, **tapping.options
    )
    return [as_tap(item, tapping) for item in found]


def as_tap(found: Any, tapping: Tapping) -> Tap:  # noqa: ANN401 - timm's
    """Return a tap of a map, or of a map and its prefix: a class token, if any, then registers."""
    if isinstance(found, Tensor):
        return Tap(found, None)
    features, prefix = found
    return Tap(features, prefix[:, 0] if tapping.class_token else None)
