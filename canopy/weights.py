"""Height models by name, folder or Hub repository."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import torch

from canopy.errors import ModelError
from canopy.height_model import HeightModel
from canopy.height_network import HeightNetwork
from canopy.model_folder import CONFIG_FILE, WEIGHTS_FILE, load_strictly, read_config

DEFAULT_MODEL = "canopy-tiny"


def load_height_model(name: str | Path = DEFAULT_MODEL, *, device: str = "auto") -> HeightModel:
    """Load a height model by name or from a folder.

    Args:
        name: a model that ships with canopy, a folder that holds ``config.json`` and
            ``model.safetensors``, or ``hf:OWNER/REPO[@REVISION]`` on the Hugging Face Hub.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        ModelError: the model is unknown, a file is missing or broken, or the weights differ in
            name or shape from what the configuration says.
    """
    folder = find_model(name)
    card, architecture = read_config(folder / CONFIG_FILE)
    network = HeightNetwork(architecture)
    load_strictly(network, folder / WEIGHTS_FILE)
    return HeightModel(
        network=network,
        card=card,
        architecture=architecture,
        fingerprint=file_digest(folder / WEIGHTS_FILE),
        device=choose_device(device),
    )


def shipped_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(entry.name for entry in shipped_folder().iterdir() if entry.is_dir())


def shipped_folder() -> Path:
    """Return the folder of the models that ship with the package."""
    return Path(str(resources.files("canopy") / "models"))


def find_model(name: str | Path) -> Path:
    """Return the folder of a model.

    Raises:
        ModelError: there is none of that name.
    """
    if str(name).startswith("hf:"):
        return download_from_hub(str(name).removeprefix("hf:"))
    for folder in (shipped_folder() / str(name), Path(name)):
        if (folder / CONFIG_FILE).is_file():
            return folder
    known = ", ".join(shipped_models())
    msg = (
        f"no model {name}: expected one of {known}, a folder with {CONFIG_FILE} and "
        f"{WEIGHTS_FILE}, or hf:OWNER/REPO"
    )
    raise ModelError(msg)


def download_from_hub(reference: str) -> Path:
    """Return the local copy of a model on the Hugging Face Hub, ``OWNER/REPO[@REVISION]``.

    Raises:
        ModelError: the Hub cannot be reached or refuses.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow import, rarely needed
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    repository, _, revision = reference.partition("@")
    try:
        folder = snapshot_download(
            repository, revision=revision or None, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = (
            f"model hf:{reference} could not be fetched ({reason}): check the name and the "
            f"network, or give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
        raise ModelError(msg) from error
    return Path(folder)


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


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
