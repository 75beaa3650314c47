"""Weights into a network: every name and shape must be the network's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from canopy.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn


def key_differences(found: Sequence[str], expected: Sequence[str], most: int = 3) -> str:
    """Say which names of tensors are missing or too many, a few of each."""
    missing = sorted(set(expected) - set(found))[:most]
    extra = sorted(set(found) - set(expected))[:most]
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (("missing", missing), ("extra", extra))
        if names
    ]
    return "; ".join(parts)


def load_state_strictly(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    where: str | Path,
    *,
    called: Callable[[str], str] = str,
) -> None:
    """Give a network tensors whose names, shapes and kinds must be exactly its own.

    The tensors become the network's: they are not copied where type and device are right, so a
    network laid out on the meta device never takes memory for weights that are thrown away.

    Args:
        network: with any weights, or with none, on the meta device.
        tensors: by name.
        where: what holds them, for what is said of it.
        called: what a name is in the file, for what is said of it.

    Raises:
        ModelError: a name is missing or too many, or a shape or kind differs; the network is as it
            was.
    """
    expected = network.state_dict()
    found, known = ([called(name) for name in state] for state in (tensors, expected))
    if difference := key_differences(found, known):
        msg = f"{where} holds other weights than the model that it should be: {difference}"
        raise ModelError(msg)
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            msg = (
                f"{where}: {called(name)} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(wanted.shape)}"
            )
            raise ModelError(msg)
        alike = tensor.is_floating_point() == wanted.is_floating_point()
        if not alike or tensor.layout != torch.strided:
            msg = f"{where}: {called(name)} is of {tensor.dtype}, expected dense {wanted.dtype}"
            raise ModelError(msg)
    placed = {name: placed_as(tensor, expected[name]) for name, tensor in tensors.items()}
    network.load_state_dict(placed, strict=True, assign=True)


def refuse_no_numbers(network: nn.Module, where: str | Path) -> None:
    """Refuse a network with weights that are no numbers; reads all of them.

    Raises:
        ModelError: one is NaN or infinite, by name.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            msg = f"{where}: {name} holds values that are no numbers: the weights are broken"
            raise ModelError(msg)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped from disk.

    Raises:
        ModelError: the file is missing or broken.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        msg = f"{path} cannot be read as safetensors ({error}): fetch the model again"
        raise ModelError(msg) from error


def placed_as(tensor: Tensor, expected: Tensor) -> Tensor:
    """Return a tensor in the type of another and on its device, itself where that is so already."""
    device = tensor.device if expected.is_meta else expected.device
    return tensor.to(device=device, dtype=expected.dtype)
