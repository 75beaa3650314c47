"""CHMv2 (Brandt et al. 2026) as a height network: a DINOv3 backbone and a DPT head.

The network itself is that of ``transformers``, built from the configuration beside the weights.
Heights differ from those of its image processor in one respect: what was padded is cropped away,
where the processor stretches the padded heights over the image and so moves trees by up to 3 px.
"""

from __future__ import annotations

import logging
import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from canopy.checkpoints.chmv2_conversion import convert_authors_files
from canopy.checkpoints.chmv2_folder import (
    CONFIG_FILE,
    MEAN,
    PREPROCESSOR_FILE,
    STD,
    WEIGHTS_FILE,
    check_chmv2_weights,
    is_chmv2_folder,
    read_chmv2_config,
    read_object,
    write_chmv2_folder,
)
from canopy.checkpoints.chmv2_names import recognise
from canopy.errors import ModelError
from canopy.height_models.card import ModelCard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import CHMv2ForDepthEstimation

__all__ = [
    "CHMv2Network",
    "chmv2_card",
    "convert_authors_files",
    "is_chmv2_folder",
    "load_chmv2_folder",
    "recognise",
    "write_chmv2_folder",
]

# The head learned from crops of 416 and 448 px. Both are multiples of 32, so that heights come out
# at the size of the tile and are not resized; the larger shows more around each tree.
TILE_PX = 448
OVERLAP_PX = 64

GSD = (
    "Ground sampling distance: the authors advise about 0.6 m, which NAIP images had in training; "
    "the backbone learned from Maxar images of 0.6 m."
)
LIMITS = (
    "The tallest crowns come out too low; shadow, haze and leafless trees are seen as they are. "
    "Mask water, buildings and bare ground with a land-cover map."
)
PADDING = (
    "A tile whose sides are no multiples of 16 px is padded as the authors do, with the mean "
    "colour on all sides, and the padding cropped from its heights."
)


class CHMv2Network(nn.Module):
    """Normalised images of any size to heights.

    Attributes:
        takes_any_size: images need not be extended to multiples of some size.
    """

    takes_any_size = True

    def __init__(self, model: CHMv2ForDepthEstimation) -> None:
        """Wrap a model of transformers."""
        super().__init__()
        self.model = model
        self.patch: int = model.config.patch_size
        # Under autocast bins would be weighted in half precision, in which small weights vanish.
        model.features_to_depth.register_forward_pre_hook(in_float32)

    def forward(self, images: Tensor) -> Tensor:
        """Return heights [m] (B, H, W) of normalised images (B, 3, H, W), of one pixel or more."""
        height, width = images.shape[-2:]
        (top, bottom), (left, right) = (padding(side, self.patch) for side in (height, width))
        padded = functional.pad(images, (left, right, top, bottom))
        heights: Tensor = self.model(pixel_values=padded).predicted_depth
        # An odd number of tokens comes out half a step too large.
        if heights.shape[-2:] != padded.shape[-2:]:
            heights = functional.interpolate(
                heights[:, None], size=padded.shape[-2:], mode="bilinear", align_corners=True
            )[:, 0]
        return heights[:, top : top + height, left : left + width]


def padding(side: int, multiple: int) -> tuple[int, int]:
    """Return how much is added before and after a side [px], as the image processor does."""
    missing = -side % multiple
    return missing // 2, missing - missing // 2


def in_float32(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the inputs of a module in float32."""
    return tuple(tensor.float() for tensor in inputs)


def load_chmv2_folder(folder: Path) -> tuple[CHMv2Network, ModelCard]:
    """Load a CHMv2 model from a folder in the layout of transformers; nothing is downloaded.

    Args:
        folder: with ``config.json``, ``model.safetensors`` and, where it is not the authors',
            the normalisation in ``preprocessor_config.json``.

    Raises:
        ModelError: transformers is not installed, a file is missing or broken, the configuration
            leaves something open, or tensors are missing, too many or of other shapes.
    """
    config = read_chmv2_config(folder / CONFIG_FILE)
    check_chmv2_weights(folder / WEIGHTS_FILE)
    card = chmv2_card(config, folder)
    return CHMv2Network(load_model(folder)), card


def load_model(folder: Path) -> CHMv2ForDepthEstimation:
    """Return the model of transformers in a folder, float32; random numbers are left alone.

    Raises:
        ModelError: it cannot be built, or tensors are missing, too many or of other shapes.
    """
    kind = model_class()
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            loaded: Any = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                # Reported below, where one line names them.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except MemoryError:
        raise
    except Exception as error:  # what a library raises of a nonsensical configuration has no end
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        msg = f"{folder} cannot be loaded by transformers ({reason}): fetch the model again"
        raise ModelError(msg) from error
    model: CHMv2ForDepthEstimation
    model, report = loaded
    refuse_differences(folder / WEIGHTS_FILE, report)
    return model


def model_class() -> type[CHMv2ForDepthEstimation]:
    """Return the class of transformers.

    Raises:
        ModelError: transformers is not installed, or too old.
    """
    try:
        from transformers import CHMv2ForDepthEstimation  # noqa: PLC0415 - optional, and slow
    except ImportError as error:
        msg = "chmv2 needs transformers: pip install 'canopy-height[chmv2]'"
        raise ModelError(msg) from error
    return CHMv2ForDepthEstimation


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing to the terminal; what it tells comes as a report."""
    from transformers.utils import logging as theirs  # noqa: PLC0415 - optional, and slow

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.set_verbosity(logging.ERROR)
        theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            theirs.set_verbosity(level)
            if bars:
                theirs.enable_progress_bar()  # type: ignore[no-untyped-call]


def refuse_differences(path: Path, report: dict[str, Any]) -> None:
    """Refuse what transformers would fill with random numbers, or leave out.

    Raises:
        ModelError: tensors are missing, too many or of other shapes.
    """
    other = {name: (tuple(found), tuple(asked)) for name, found, asked in report["mismatched_keys"]}
    parts = [
        f"{word} {', '.join(sorted(names)[:3])}"
        for word, names in (
            ("missing", set(report["missing_keys"]) - other.keys()),
            ("extra", report["unexpected_keys"]),
        )
        if names
    ]
    if parts:
        msg = f"{path} holds other weights than its configuration says: {'; '.join(parts)}"
        raise ModelError(msg)
    if other:
        name, (found, asked) = min(other.items())
        msg = f"{path}: {name} has shape {found}, the configuration says {asked}"
        raise ModelError(msg)
    if report["error_msgs"]:
        reason = " ".join(str(report["error_msgs"][0]).split())[:160]
        msg = f"{path} cannot be loaded by transformers ({reason}): fetch the model again"
        raise ModelError(msg)


def chmv2_card(config: dict[str, Any], folder: Path) -> ModelCard:
    """Return the card of a model.

    Args:
        config: of ``config.json``; only ``max_depth`` is needed.
        folder: where ``preprocessor_config.json`` may be.

    Raises:
        ModelError: the highest bin or the normalisation makes no sense.
    """
    mean, std = normalisation(folder / PREPROCESSOR_FILE)
    highest = config["max_depth"]
    if not is_number(highest) or highest <= 0:
        msg = f"{folder / CONFIG_FILE}: max_depth is {highest!r}, expected metres above 0"
        raise ModelError(msg)
    return ModelCard(
        name="chmv2",
        version="2026-03",
        summary=f"CHMv2 (Brandt et al. 2026): DINOv3 large, DPT decoder, bins up to {highest:g} m.",
        licence="DINOv3",
        training_data="Backbone: 493 million Maxar satellite images, without labels (SAT-493M). "
        "Decoder: airborne lidar worldwide with Maxar images, over the USA with NAIP images, and "
        "open water.",
        imagery="any",
        gsd_m=0.6,
        maximum_height_m=float(highest),
        mean=mean,
        std=std,
        tile_px=TILE_PX,
        overlap_px=OVERLAP_PX,
        url="https://huggingface.co/facebook/dinov3-vitl16-chmv2-dpt-head",
        notice="Made with DINOv3: its licence restricts uses and asks to be named in publications.",
        notes=(GSD, LIMITS, PADDING),
    )


def normalisation(path: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation of pixels in [0, 1]; the authors' where none are given.

    Raises:
        ModelError: the file is no JSON, or has something else for three numbers.
    """
    stated = read_object(path) if path.exists() else {}
    mean, std = stated.get("image_mean") or MEAN, stated.get("image_std") or STD
    for name, values in (("image_mean", mean), ("image_std", std)):
        if not is_three_numbers(values) or (name == "image_std" and min(values) <= 0):
            msg = f"{path}: {name} is {values!r}, expected three numbers, of pixels in [0, 1]"
            raise ModelError(msg)
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def is_three_numbers(values: object) -> bool:
    """Whether a value read from JSON is three finite numbers."""
    return (
        isinstance(values, list | tuple)
        and len(values) == len(MEAN)
        and all(map(is_number, values))
    )


def is_number(value: object) -> bool:
    """Whether a value read from JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
