"""What a file of weights is, told from its contents, and the height network inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from canopy.checkpoints import chmv1, chmv2
from canopy.checkpoints.container import open_state_file
from canopy.colour_matching import ColourMatchingNetwork
from canopy.errors import ModelError
from canopy.height_models.network import HeightNetwork
from canopy.height_models.strict_weights import load_state_strictly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from canopy.checkpoints.container import StateFile
    from canopy.height_models.card import ModelCard
    from canopy.height_models.network import Architecture

KNOWN = "a CHMv1 model (backbone.* and decode_head.*), or its colour-matching network"


@dataclass(frozen=True, kw_only=True)
class Released:
    """A network read from a released file.

    Attributes:
        kind: ``height model`` or ``colour matching``.
        description: what the file is, in words.
        network: the network with its weights.
        card: of a height model, as far as the file tells.
        architecture: of a height model that can be saved as a folder.
    """

    kind: str
    description: str
    network: nn.Module
    card: ModelCard | None = None
    architecture: Architecture | None = None


def load_released(path: Path) -> Released:
    """Load a released file, whatever it is called.

    Raises:
        ModelError: it is broken or unsafe, is none of the known ones, or its tensors are not all
            of those and no others.
    """
    file = open_state_file(path)
    if chmv1.is_chmv1(file.state):
        return load_chmv1(file)
    names = {name.removeprefix("backbone.") for name in file.state}
    if "input_layer.0.weight" in names and "fc4.weight" in names:
        return load_colours(file)
    raise ModelError(unknown(file))


def load_chmv1(file: StateFile) -> Released:
    """Return the height network of a CHMv1 file, float or compressed."""
    quantised = file.quantised
    architecture, tensors = chmv1.read_chmv1(file.state, file.path)
    try:
        with torch.device("meta"):
            network = HeightNetwork(architecture)
    except (RuntimeError, ValueError, OverflowError) as error:
        msg = f"{file.path} is no CHMv1 model: no network has its sizes ({error})"
        raise ModelError(" ".join(msg.split())) from error
    stored = kinds_of(tensors) if not quantised else "int8, dequantised to float32"
    load_state_strictly(network, tensors, file.path, called=chmv1.released_name)
    card = chmv1.chmv1_card(chmv1.size_name(architecture), quantised=quantised)
    return Released(
        kind="height model",
        description=f"{card.summary} ({file.container}, {stored})",
        network=network,
        card=card,
        architecture=architecture,
    )


def load_colours(file: StateFile) -> Released:
    """Return the colour-matching network of its file."""
    tensors = {name.removeprefix("backbone."): tensor for name, tensor in file.state.items()}
    network = ColourMatchingNetwork()
    load_state_strictly(network, tensors, file.path)
    return Released(
        kind="colour matching",
        description=f"Colour matching of aerial images (Tolan et al. 2024) ({file.container})",
        network=network,
    )


def kinds_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the types of tensors in words."""
    found = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}
    return ", ".join(sorted(found))


def unknown(file: StateFile) -> str:
    """Return why a file of weights is refused."""
    kind = chmv2.recognise(file.state)
    if kind is not None:
        return (
            f"{file.path} is one half of a CHMv2 model ({kind}): join both with "
            "canopy models convert HEAD.pth --backbone BACKBONE.pth --output DIR"
        )
    return f"{file.path} holds {sample(file.state)}: expected {KNOWN}"


def sample(state: Mapping[str, Any], most: int = 3) -> str:
    """Return a few names of a state dict, in words."""
    names = [re.sub(r"\s+", " ", name)[:60] for name in list(state)[:most]]
    more = f" and {len(state) - most} more" if len(state) > most else ""
    return f"tensors called {', '.join(names)}{more}"
