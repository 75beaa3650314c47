"""Released weights into an encoder of timm: from a file, or from the Hub."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from canopy.encoders import TimmEncoder
from canopy.encoders.timm_encoder import make_model
from canopy.errors import ModelError
from canopy.height_models.strict_weights import load_state_strictly

if TYPE_CHECKING:
    from torch import Tensor

    from canopy.encoders import Encoder, TimmSettings

log = logging.getLogger(__name__)

HUB = "hub"
"""Source of weights: what timm publishes on the Hugging Face Hub for the encoder's tag."""


def load_encoder_weights(encoder: Encoder, source: str | Path = HUB) -> None:
    """Load the released weights of an encoder of timm.

    Args:
        encoder: its weights are replaced.
        source: ``hub``, or a file of the same architecture: safetensors or a state dict of torch,
            under timm's names or those of DINOv2 and DINOv3, which timm translates.

    Raises:
        ModelError: the encoder is not timm's, the weights cannot be fetched or read, or a tensor
            of the encoder is missing among them or has another shape.
    """
    if not isinstance(encoder, TimmEncoder):
        msg = "released encoder weights go into timm's architectures: name one as the encoder"
        raise ModelError(msg)
    settings = encoder.settings
    if str(source) == HUB:
        found, where = fetch_state(settings), f"timm's {settings.architecture}"
    else:
        found, where = read_state(settings, Path(source)), str(source)
    needed = encoder.model.state_dict()
    # The classifier, the final norm and blocks behind the last tap are not in the encoder.
    kept = {name: tensor for name, tensor in found.items() if name in needed}
    log.info("%s: %d of %d tensors are used", where, len(kept), len(found))
    load_state_strictly(encoder.model, kept, where)


def fetch_state(settings: TimmSettings) -> dict[str, Tensor]:
    """Return the weights that timm publishes for an architecture.

    Raises:
        ModelError: there are none, or the Hub cannot be reached.
    """
    try:
        return make_model(settings, pretrained=True).state_dict()
    except (OSError, RuntimeError, ValueError) as error:
        msg = (
            f"weights of timm's {settings.architecture} could not be fetched "
            f"({first_line(error)}): check the name's tag and the network, or give a file"
        )
        raise ModelError(msg) from error


def read_state(settings: TimmSettings, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file under the names that an architecture of timm has.

    Raises:
        ModelError: the file is missing, broken or unsafe, or timm cannot translate it.
    """
    from timm.models import load_state_dict  # noqa: PLC0415 - a slow import

    if not path.is_file():
        msg = f"no file {path}: expected weights of timm's {settings.architecture}, or {HUB!r}"
        raise ModelError(msg)
    with torch.device("meta"):
        model: Any = make_model(settings)
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
        return translate(state, model) if translate else state
    except (
        OSError, RuntimeError, ValueError, KeyError, AttributeError, TypeError, EOFError,
        pickle.UnpicklingError, SafetensorError,
    ) as error:  # fmt: skip
        msg = (
            f"{path} cannot be read as weights of timm's {settings.architecture} "
            f"({first_line(error)}): expected safetensors or a state dict of torch"
        )
        raise ModelError(msg) from error


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
