"""Released files checked, and turned into folders that load without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from canopy.checkpoints.chmv2 import convert_authors_files, write_chmv2_folder
from canopy.checkpoints.chmv2_folder import read_object
from canopy.checkpoints.container import open_state_file, refuse_damaged
from canopy.checkpoints.released import load_released
from canopy.errors import ModelError, OutputError
from canopy.height_models.folder import CONFIG_FILE, WEIGHTS_FILE, save_height_model
from canopy.height_models.strict_weights import refuse_no_numbers
from canopy.weights import Place, load_place
from canopy.zoo.cache import file_sha256, recorded_digest

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from canopy.height_models.card import ModelCard

TRIAL_PX = 64
"""Side of the image by which a model is tried [px]."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A model that is whole.

    Attributes:
        path: its file or folder.
        description: what it is.
        parameters: numbers in the network.
        sha256: of the file of weights.
        recorded: whether the digest equals one recorded when the file was fetched; None where
            nothing is recorded.
        card: of a height model.
    """

    path: Path
    description: str
    parameters: int
    sha256: str
    recorded: bool | None
    card: ModelCard | None


def verify_model(path: Path) -> Verified:
    """Say what a file or folder is, having loaded it strictly and tried it on an image.

    Raises:
        ModelError: it is missing, broken, unsafe or unknown; its digest is another than was
            recorded; or its heights are not finite.
    """
    weights = path / WEIGHTS_FILE if path.is_dir() else path
    if not path.is_dir():
        refuse_damaged(path)
    network, description, card = load_and_try(path)
    refuse_no_numbers(network, weights)
    digest = file_sha256(weights)
    recorded = recorded_digest(weights)
    if recorded not in {None, digest}:
        msg = f"{weights} has changed since it was fetched: sha256 {digest}, recorded {recorded}"
        raise ModelError(msg)
    return Verified(
        path=path,
        description=description,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        sha256=digest,
        recorded=None if recorded is None else True,
        card=card,
    )


def load_and_try(path: Path) -> tuple[nn.Module, str, ModelCard | None]:
    """Return the network of a file or folder, what it is, and its card.

    Raises:
        ModelError: it does not load, or its heights are not finite.
    """
    if not path.is_dir():
        released = load_released(path)
        if released.card is None:
            return released.network, released.description, None
    model = load_place(Place(path=path), device="cpu")
    heights = model.predict(np.full((1, 3, TRIAL_PX, TRIAL_PX), 96, np.uint8))
    if not np.isfinite(heights).all():
        msg = f"{path} predicts heights that are no numbers: its weights are broken"
        raise ModelError(msg)
    description = model.card.summary if path.is_dir() else released.description
    return model.network, description, model.card


def convert_model(source: Path, output: Path, *, backbone: Path | None = None) -> Path:
    """Write a released file as a folder with ``config.json`` and ``model.safetensors``.

    Args:
        source: a CHMv1 file; or, with a backbone, the authors' CHMv2 head.
        output: the folder, which must not hold anything yet.
        backbone: the encoder of a CHMv2 head: the authors' file; or a folder in the layout of
            transformers, or its ``model.safetensors`` beside its ``config.json``.

    Returns:
        The folder.

    Raises:
        ModelError: a file is broken, unsafe or unknown, or the two do not fit each other.
        OutputError: something stands at the output.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        msg = f"{output} exists: name a folder that is new or empty"
        raise OutputError(msg)
    if backbone is not None:
        return join_halves(source, backbone, output)
    model = load_place(Place(path=source), device="cpu")
    if model.architecture is None:
        msg = f"{source} is a folder that loads as it is: nothing to convert"
        raise ModelError(msg)
    save_height_model(model, output)
    return output


def join_halves(head: Path, backbone: Path, output: Path) -> Path:
    """Write the authors' CHMv2 head and its encoder as one folder.

    Raises:
        ModelError: a file is broken, unsafe or unknown, or the two do not fit each other.
    """
    weights = backbone / WEIGHTS_FILE if backbone.is_dir() else backbone
    beside = weights.with_name(CONFIG_FILE)
    config = read_object(beside) if beside.is_file() else None
    theirs, encoder = (open_state_file(path).state for path in (head, weights))
    write_chmv2_folder(output, *convert_authors_files(theirs, encoder, config))
    return output
