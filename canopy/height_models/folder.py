"""A model as a folder: ``config.json`` and ``model.safetensors``, read strictly."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from itertools import chain
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from canopy.errors import ModelError
from canopy.height_models.card import ModelCard
from canopy.height_models.height_model import HeightModel
from canopy.height_models.network import Architecture, HeightNetwork
from canopy.height_models.strict_weights import (
    key_differences,
    load_state_strictly,
    read_safetensors,
)
from decoders import kinds
from geo.errors import MapFileError
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

OLD_HEAD = "bins"
"""What the head was called in the first files, both in the configuration and in names."""

UNBUILDABLE = (ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What torch, timm and others raise where sizes make no sense."""

WORDS: dict[object, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false",
    NoneType: "empty", list: "a list", dict: "an object",
}  # fmt: skip
"""What the types of parsed values are called to a person."""

Settings = TypeVar("Settings")


def load_model_folder(folder: Path) -> HeightModel:
    """Load the model of a folder, on the CPU and without a fingerprint.

    Raises:
        ModelError: a file is missing or broken, or the weights differ in name or shape from what
            the configuration says.
    """
    card, architecture = read_config(folder / CONFIG_FILE)
    network = load_network(architecture, folder / WEIGHTS_FILE)
    return HeightModel(network=network, card=card, architecture=architecture)


def save_height_model(model: HeightModel, folder: Path) -> None:
    """Write a model as ``config.json`` and ``model.safetensors`` into a folder.

    The files are written beside and then moved: a model that stood there stays whole when writing
    fails. In between there is no ``config.json``, so that no moment shows the weights of one model
    with the configuration of another.

    Raises:
        ModelError: the model's architecture is not known, or the folder cannot be written.
    """
    if model.architecture is None:
        msg = f"model {model.card.name} has no architecture: only networks built here can be saved"
        raise ModelError(msg)
    config = {**asdict(model.card), "architecture": asdict(model.architecture)}
    tensors = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    final = folder / CONFIG_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Whichever is named last is moved first: weights, then the configuration.
        with whole_file(final) as written, whole_file(folder / WEIGHTS_FILE) as weights:
            save_file(tensors, weights)
            weights.chmod(0o644)  # safetensors makes it readable by its owner alone
            written.write_text(json.dumps(config, indent=2) + "\n")
            final.unlink(missing_ok=True)
    except (OSError, MapFileError, SafetensorError) as error:
        msg = f"model {model.card.name} cannot be saved ({error}): name another folder"
        raise ModelError(msg) from error


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
    if isinstance(values, dict) and values.get("kind") == "correction":
        msg = f"{path} is of a correction network, no height model: give it as --correction"
        raise ModelError(msg)
    if not isinstance(values, dict) or "architecture" not in values:
        msg = f"{path} has no architecture: expected the configuration of a canopy height model"
        raise ModelError(msg)
    architecture = values.pop("architecture")
    if isinstance(architecture, dict) and OLD_HEAD in architecture:
        architecture.setdefault("head", architecture.pop(OLD_HEAD))
    return build(ModelCard, values, path), build(Architecture, architecture, path, "architecture")


def build(kind: type[Settings], values: object, path: Path, part: str = "") -> Settings:
    """Make a settings dataclass, and those inside it, from parsed JSON; nothing unknown passes.

    Args:
        kind: the dataclass.
        values: what was parsed.
        path: the file that it came from.
        part: which part of the file it is, such as ``architecture.encoder``; empty for all.

    Raises:
        ModelError: a field is unknown or missing, or its value is refused.
    """
    where = f"{path}: {part}" if part else str(path)
    hints = get_type_hints(kind)
    converted = {
        name: convert(hints[name], value, path, f"{part}.{name}" if part else name)
        for name, value in checked_fields(kind, values, where).items()
    }
    try:
        return kind(**converted)
    except (TypeError, ValueError) as error:
        msg = f"{where} is refused ({error})"
        raise ModelError(msg) from error


def checked_fields(kind: type[Any], values: object, where: str) -> dict[str, Any]:
    """Return the fields of parsed settings.

    Raises:
        ModelError: they are no object, one is unknown, or one without a default is missing.
    """
    known = fields(kind)
    names = [item.name for item in known]
    if not isinstance(values, dict):
        found = WORDS.get(type(values), "unknown")
        msg = f"{where} is {found}, expected an object with {', '.join(names)}"
        raise ModelError(msg)
    if difference := key_differences(list(map(str, values)), list(values.keys() & set(names))):
        msg = f"{where} has unknown fields ({difference}): remove them"
        raise ModelError(msg)
    needed = [item.name for item in known if item.default is item.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        msg = f"{where} lacks {', '.join(missing)}: add {'it' if len(missing) == 1 else 'them'}"
        raise ModelError(msg)
    return values


def convert(hint: Any, value: Any, path: Path, part: str) -> Any:  # noqa: ANN401 - any type
    """Return a parsed value as a field has it: dataclasses made, lists as tuples.

    Raises:
        ModelError: it does not fit the type of the field.
    """
    if (items := item_class(hint)) and isinstance(value, list):
        return tuple(build(items, item, path, f"{part}[{i}]") for i, item in enumerate(value))
    if settings := settings_class(hint, value, f"{path}: {part}"):
        return build(settings, value, path, part)
    converted = tuple(value) if isinstance(value, list) else value
    if not fits(converted, hint):
        found = "empty" if value is None else repr(value)
        msg = f"{path}: {part} is {found}, expected {words_of(hint)}"
        raise ModelError(msg)
    return converted


def words_of(hint: Any) -> str:  # noqa: ANN401 - a type
    """Say in plain words what fits a type: class, literal, or tuple or union of such."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if kind is UnionType:
        return " or ".join(map(words_of, inside))
    if kind is tuple and inside[-1] is Ellipsis:
        return f"a list, each {words_of(inside[0])}"
    if kind is tuple:
        return f"a list of {len(inside)}, each {' or '.join(dict.fromkeys(map(words_of, inside)))}"
    return WORDS.get(hint, "an object")


def item_class(hint: Any) -> type[Any] | None:  # noqa: ANN401 - a type
    """Return the dataclass of the items of a tuple of any length, None for any other type."""
    inside = get_args(hint) if get_origin(hint) is tuple else ()
    if inside[1:] != (Ellipsis,) or not isinstance(inside[0], type):
        return None
    return inside[0] if is_dataclass(inside[0]) else None


def settings_class(hint: Any, value: object, where: str) -> type[Any] | None:  # noqa: ANN401 - a type
    """Return the dataclass that a value is to become, None where it is to become something else.

    Of a union it is the one of the value's ``kind``, and the first where it names none: the first
    files had only those.

    Raises:
        ModelError: there is none of that kind.
    """
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    members = get_args(hint) if isinstance(hint, UnionType) else ()
    if value is not None:
        members = tuple(member for member in members if member is not NoneType)
    if not members or not all(map(is_dataclass, members)):
        return None
    first: type[Any] = members[0]
    kind = str(value["kind"]) if isinstance(value, dict) and "kind" in value else None
    if kind is None or len(members) == 1:
        return first
    known = kinds(hint)
    if kind not in known:
        msg = f"{where} is of kind {kind!r}: expected one of {', '.join(known)}"
        raise ModelError(msg)
    return known[kind]


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type, as annotations have it
    """Whether a value read from JSON is of a type: class, literal, or tuple or union of such."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind is UnionType:
        return any(fits(value, member) for member in inside)
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


def load_network(architecture: Architecture, path: Path) -> HeightNetwork:
    """Return a network with the weights of a file, which stay in the file until they are used.

    Raises:
        ModelError: the file is missing or broken, a name or shape differs, or no network has this
            architecture.
    """
    tensors = read_weights(path)
    try:
        with torch.device("meta"):
            network = HeightNetwork(architecture)
        load_state_strictly(network, tensors, path)
        if has_meta_tensors(network):
            # Values that no file holds, such as timm's positions of windows: they are computed
            # where the network is built in memory.
            network = HeightNetwork(architecture)
            load_state_strictly(network, tensors, path)
    except UNBUILDABLE as error:
        reason = " ".join(str(error).split())[:160]
        msg = f"{path.with_name(CONFIG_FILE)}: no network can be built ({reason})"
        raise ModelError(msg) from error
    return network


def has_meta_tensors(network: nn.Module) -> bool:
    """Whether a network holds tensors without values: weights, buffers or plain attributes."""
    attributes = (value for module in network.modules() for value in vars(module).values())
    held = chain(network.parameters(), network.buffers(), attributes)
    return any(isinstance(value, torch.Tensor) and value.is_meta for value in held)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by the names they have today, mapped from the file.

    Raises:
        ModelError: the file is missing or broken.
    """
    tensors = read_safetensors(path)
    return {
        f"head.{rest}" if part == OLD_HEAD else name: tensor
        for name, tensor in tensors.items()
        for part, _, rest in [name.partition(".")]
    }
