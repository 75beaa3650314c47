"""Height models by name, path or Hub repository: found, fetched where need be, loaded."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from canopy.checkpoints.chmv1 import DECODER, chmv1_card
from canopy.checkpoints.chmv2 import chmv2_card, is_chmv2_folder, load_chmv2_folder
from canopy.checkpoints.released import load_released
from canopy.colour_matching import ColourMatcher
from canopy.errors import ModelError
from canopy.height_models.folder import CONFIG_FILE, WEIGHTS_FILE, load_model_folder, read_config
from canopy.height_models.height_model import HeightModel
from canopy.zoo.cache import (
    cached,
    entry_folder,
    file_sha256,
    recorded_digest,
    shipped_folder,
)
from canopy.zoo.entries import ZOO, HubRepository, Shipped, find_entry
from canopy.zoo.fetch import fetch
from canopy.zoo.hub import fetch_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.height_models.card import ModelCard
    from canopy.zoo.entries import ZooEntry

    Progress = Callable[[int, int | None], None]

log = logging.getLogger(__name__)

DEFAULT_MODEL = "canopy-tiny"
COLOURS = "chmv1-colours"
HUB = "hf:"
CHMV2_MAXIMUM_M = 96.0
"""Highest bin of the released CHMv2 model [m]."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a model stands on this machine.

    Attributes:
        path: its file or folder.
        entry: what the zoo knows of it; None for a user's own.
    """

    path: Path
    entry: ZooEntry | None = None


def load_height_model(
    name: str | Path = DEFAULT_MODEL, *, device: str = "auto", progress: Progress | None = None
) -> HeightModel:
    """Load a height model by name or from where it stands.

    What is not on this machine yet is fetched; where its licence must be accepted first, the error
    says how.

    Args:
        name: a name of the zoo (``canopy models list``); a folder with ``config.json`` and
            ``model.safetensors``, of this project or of CHMv2; a released file, whatever it is
            called; or ``hf:OWNER/REPO[@REVISION]`` on the Hugging Face Hub.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        progress: told the bytes that are fetched and of all, None where that is not known.

    Raises:
        ModelError: the model is unknown, cannot be fetched, is missing or broken, or its weights
            differ in name or shape from what they should be.
    """
    return load_place(find_model(name, progress=progress), device=device)


def load_place(place: Place, *, device: str = "auto") -> HeightModel:
    """Load a height model from where it stands.

    Raises:
        ModelError: it is broken, or no height model.
    """
    target = choose_device(device)
    path = place.path
    if path.is_dir():
        return load_folder(path, place.entry, target)
    released = load_released(path)
    if released.card is None:
        msg = f"{path} is no height model ({released.description}): give it as --colours"
        raise ModelError(msg)
    card = released.card
    if place.entry:
        card = card_in_zoo(card, place.entry, path)
    return HeightModel(
        network=released.network,
        card=card,
        architecture=released.architecture,
        fingerprint=digest_of(place),
        device=target,
    )


def card_in_zoo(card: ModelCard, entry: ZooEntry, path: Path) -> ModelCard:
    """Return the card of a file of the zoo, by its contents where the zoo says something else."""
    expected = card_of(entry)
    if expected and card.summary == chmv1_card_of(entry).summary:
        return named(card, entry)
    log.warning("%s is %s, not %s: it is taken for what it is", path, card.name, entry.name)
    return card


def digest_of(place: Place) -> str:
    """Return the sha256 of a file; one that the zoo has just checked is not read again."""
    known = recorded_digest(place.path) if place.entry else None
    return known or file_sha256(place.path)


def load_folder(folder: Path, entry: ZooEntry | None, device: torch.device) -> HeightModel:
    """Load a height model from a folder of this project's form, or of CHMv2's.

    Raises:
        ModelError: it is broken.
    """
    fingerprint = ""
    if (folder / WEIGHTS_FILE).is_file():
        fingerprint = file_sha256(folder / WEIGHTS_FILE)
    if is_chmv2_folder(folder):
        network, card = load_chmv2_folder(folder)
        if entry:
            card = replace(card, name=entry.name)
        return HeightModel(
            network=network, card=card, fingerprint=fingerprint, device=device, folder=folder
        )
    model = load_model_folder(folder)
    return replace(model, fingerprint=fingerprint, device=device, folder=folder)


def load_colour_matcher(
    path: str | Path | None = None, *, device: str = "auto", progress: Progress | None = None
) -> ColourMatcher:
    """Load the network that matches the colours of aerial images.

    Args:
        path: its file, whatever it is called; None for the one in the zoo, fetched at need.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        progress: told the bytes that are fetched and of all.

    Raises:
        ModelError: it cannot be fetched, is broken, or is another network.
    """
    file = Path(path) if path else fetch(find_entry(COLOURS), progress=progress)
    released = load_released(file)
    if released.kind != "colour matching":
        msg = f"{file} is no colour-matching network ({released.description}): give it as --model"
        raise ModelError(msg)
    return ColourMatcher(
        network=released.network, fingerprint=file_sha256(file), device=choose_device(device)
    )


def find_model(
    name: str | Path, *, accept_licence: bool = False, progress: Progress | None = None
) -> Place:
    """Return where a model stands, fetched where it was not yet.

    Args:
        name: as :func:`load_height_model` takes it.
        accept_licence: whether its licence is read and accepted, where that must be said.
        progress: told the bytes that are fetched and of all.

    Raises:
        ModelError: there is none of that name, or it cannot be fetched.
    """
    text = str(name)
    if text.startswith(HUB):
        reference = text.removeprefix(HUB)
        path = fetch_reference(reference, accept_licence=accept_licence, progress=progress)
        return Place(path=path)
    if entry := zoo_entry(text):
        path = fetch(entry, accept_licence=accept_licence, progress=progress)
        return Place(path=path, entry=entry)
    path = Path(name)
    if text and (path.is_file() or (path / CONFIG_FILE).is_file()):
        return Place(path=path)
    known = [entry.name for entry in ZOO if entry.kind == "height model"]
    near = get_close_matches(text.lower(), known, n=2)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    msg = (
        f"no model {name}{hint}: expected one of {', '.join(known)}; a folder with "
        f"{CONFIG_FILE} and {WEIGHTS_FILE}; a released file; or hf:OWNER/REPO"
    )
    raise ModelError(msg)


def zoo_entry(name: str) -> ZooEntry | None:
    """Return what the zoo knows of a name, None where it is no name of the zoo."""
    return next((entry for entry in ZOO if entry.name == name), None)


def is_here(name: str) -> bool:
    """Whether a model need not be fetched: it stands here, or is no name of the zoo."""
    if name.startswith(HUB):
        return False  # the Hub's own cache knows, once it is asked
    entry = zoo_entry(name)
    return entry is None or cached(entry) is not None


def card_of(entry: ZooEntry) -> ModelCard | None:
    """Return the card of a model of the zoo, for which its weights need not be here.

    None for what predicts no heights.
    """
    if entry.kind != "height model":
        return None
    if isinstance(entry.source, Shipped):
        return read_config(shipped_folder() / entry.name / CONFIG_FILE)[0]
    if isinstance(entry.source, HubRepository):
        card = chmv2_card({"max_depth": CHMV2_MAXIMUM_M}, cached(entry) or entry_folder(entry))
        return replace(card, name=entry.name)
    return named(chmv1_card_of(entry), entry)


def chmv1_card_of(entry: ZooEntry) -> ModelCard:
    """Return what the file of a CHMv1 entry should say of itself."""
    size = "large" if "large" in entry.name else "huge"
    return chmv1_card(size, quantised="int8" in entry.name)


def named(card: ModelCard, entry: ZooEntry) -> ModelCard:
    """Return the card of a released CHMv1 file with what the zoo knows and the file does not."""
    return replace(
        card,
        name=entry.name,
        summary=entry.summary,
        imagery=entry.imagery,
        notes=tuple(note for note in card.notes if note != DECODER),
    )


def shipped_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(entry.name for entry in shipped_folder().iterdir() if entry.is_dir())


def choose_device(name: str) -> torch.device:
    """Return the device of a name.

    Raises:
        ModelError: CUDA is asked for and there is none, or the name is unknown.
    """
    if name not in {"auto", "cpu", "cuda"}:
        msg = f"device {name}: expected auto, cpu or cuda"
        raise ModelError(msg)
    available = torch.cuda.is_available() if name != "cpu" else False
    if name == "cuda" and not available:
        msg = "device cuda: no CUDA device can be used here; take --device cpu"
        raise ModelError(msg)
    return torch.device("cuda" if available else "cpu")
