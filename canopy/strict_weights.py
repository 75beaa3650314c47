"""Weights into a network: every name and shape must be the network's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    network: nn.Module, tensors: Mapping[str, Tensor], where: str | Path
) -> None:
    """Give a network tensors whose names and shapes must be exactly its own.

    The tensors become the network's: they are not copied where type and device are right, so a
    network laid out on the meta device never takes memory for weights that are thrown away.

    Args:
        network: with any weights, or with none, on the meta device.
        tensors: by name.
        where: what holds them, for what is said of it.

    Raises:
        ModelError: a name is missing or too many, or a shape differs; the network is as it was.
    """
    expected = network.state_dict()
    if difference := key_differences(list(tensors), list(expected)):
        msg = f"{where} holds other weights than its configuration says: {difference}"
        raise ModelError(msg)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            msg = (
                f"{where}: {name} has shape {tuple(tensor.shape)}, "
                f"the configuration says {tuple(expected[name].shape)}"
            )
            raise ModelError(msg)
    placed = {name: placed_as(tensor, expected[name]) for name, tensor in tensors.items()}
    network.load_state_dict(placed, strict=True, assign=True)


def placed_as(tensor: Tensor, expected: Tensor) -> Tensor:
    """Return a tensor in the type of another and on its device, itself where that is so already."""
    device = tensor.device if expected.is_meta else expected.device
    return tensor.to(device=device, dtype=expected.dtype)
