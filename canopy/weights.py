"""Models on disk: a folder with ``config.json`` and ``model.safetensors``, loaded strictly."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from canopy.errors import ModelError
from canopy.height_model import (
    Architecture,
    HeightModel,
    HeightNetwork,
    ModelCard,
    key_differences,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
DEFAULT_MODEL = "canopy-tiny"

Settings = TypeVar("Settings")


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


def save_height_model(model: HeightModel, folder: Path) -> None:
    """Write a model as ``config.json`` and ``model.safetensors`` into a folder.

    Raises:
        ModelError: the model's architecture is not known.
    """
    if model.architecture is None:
        msg = f"model {model.card.name} has no architecture: only networks built here can be saved"
        raise ModelError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    config = {**asdict(model.card), "architecture": asdict(model.architecture)}
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it readable by its owner alone
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


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


def read_config(path: Path) -> tuple[ModelCard, Architecture]:
    """Read ``config.json``.

    Raises:
        ModelError: it is no JSON object, or has a field too many, too few or of a wrong type.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as JSON ({error}): expected a model's configuration"
        raise ModelError(msg) from error
    if not isinstance(values, dict) or "architecture" not in values:
        msg = f"{path} has no architecture: expected the configuration of a canopy height model"
        raise ModelError(msg)
    architecture = build(Architecture, values.pop("architecture"), path)
    return build(ModelCard, values, path), architecture


def build(kind: type[Settings], values: object, path: Path) -> Settings:
    """Make a settings dataclass, and those inside it, from parsed JSON; nothing unknown passes.

    Raises:
        ModelError: a field is unknown or missing, or its value is refused.
    """
    if not isinstance(values, dict):
        msg = f"{path}: {kind.__name__} is {type(values).__name__}, expected an object"
        raise ModelError(msg)
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if difference := key_differences(list(values), list(values.keys() & set(known))):
        msg = f"{path}: {kind.__name__} has unknown fields ({difference}): remove them"
        raise ModelError(msg)
    hints = get_type_hints(kind)
    converted: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            converted[name] = build(hint, value, path)
            continue
        converted[name] = tuple(value) if isinstance(value, list) else value
        if not fits(converted[name], hint):
            wanted = getattr(hint, "__name__", None) if isinstance(hint, type) else None
            msg = f"{path}: {name} is {value!r}, expected {wanted or hint}"
            raise ModelError(msg)
    try:
        return kind(**converted)
    except (TypeError, ValueError) as error:
        msg = f"{path}: {kind.__name__} cannot be made ({error})"
        raise ModelError(msg) from error


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type, as annotations have it
    """Whether a value read from JSON is of a type: a class, a literal, or a tuple of such."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in inside
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        hints = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return len(value) == len(hints) and all(map(fits, value, hints))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


def load_strictly(network: torch.nn.Module, path: Path) -> None:
    """Load weights whose names and shapes must be exactly the network's.

    Raises:
        ModelError: the file is missing or broken, or a name or shape differs.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        msg = f"{path} cannot be read as safetensors ({error}): fetch the model again"
        raise ModelError(msg) from error
    expected = network.state_dict()
    if difference := key_differences(list(tensors), list(expected)):
        msg = f"{path} holds other weights than its configuration says: {difference}"
        raise ModelError(msg)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            msg = (
                f"{path}: {name} has shape {tuple(tensor.shape)}, "
                f"the configuration says {tuple(expected[name].shape)}"
            )
            raise ModelError(msg)
    network.load_state_dict(tensors, strict=True)


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


CHMV1_NAMES = (
    (r"^backbone\.", "encoder."),
    (
        r"^decode_head\.reassemble_blocks\.projects\.(\d)\.conv\.",
        r"decoder.reassemblies.\1.projection.",
    ),
    (r"^decode_head\.reassemble_blocks\.resize_layers\.(\d)\.", r"decoder.reassemblies.\1.resize."),
    (
        r"^decode_head\.reassemble_blocks\.readout_projects\.(\d)\.0\.",
        r"decoder.reassemblies.\1.readout.",
    ),
    (r"^decode_head\.convs\.(\d)\.conv\.", r"decoder.convs.\1."),
    (r"^decode_head\.fusion_blocks\.(\d)\.project\.conv\.", r"decoder.fusions.\1.projection."),
    (
        r"^decode_head\.fusion_blocks\.(\d)\.res_conv_unit(\d)\.conv(\d)\.conv\.",
        r"decoder.fusions.\1.residual\2.conv\3.",
    ),
    (r"^decode_head\.project\.conv\.", "decoder.projection."),
    (r"^decode_head\.conv_depth\.head\.0\.", "decoder.reduction."),
    (r"^decode_head\.conv_depth\.head\.2\.", "decoder.refinement."),
    (r"^decode_head\.conv_depth\.head\.4\.", "bins.logits."),
)
"""Names of tensors in the released CHMv1 files, and here."""

CHMV1_UNUSED = {"backbone.mask_token", "backbone.norm.weight", "backbone.norm.bias"}
"""Stored in the released files, not used by their forward pass."""


def from_chmv1_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released CHMv1 state dict under the names used here, unused tensors left out."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in CHMV1_UNUSED:
            continue
        for pattern, replacement in CHMV1_NAMES:
            renamed_once, count = re.subn(pattern, replacement, name)
            if count:
                renamed[renamed_once] = tensor
                break
        else:
            renamed[name] = tensor
    return renamed
