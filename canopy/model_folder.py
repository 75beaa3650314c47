"""A model as a folder: ``config.json`` and ``model.safetensors``, read strictly."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from canopy.errors import ModelError
from canopy.height_network import Architecture
from canopy.model_card import ModelCard
from canopy.strict_weights import key_differences

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from canopy.height_model import HeightModel

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

Settings = TypeVar("Settings")


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
