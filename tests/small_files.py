"""Files of weights as others release them, made small."""

from __future__ import annotations

import numpy as np
import torch

from canopy.colour_matching import ColourMatchingNetwork


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        import os  # noqa: PLC0415

        return os.system, ("echo harm > harmed",)


def chmv1_state(golden) -> dict[str, torch.Tensor]:
    """Released weights at a tiny size, under their released names."""
    return {name[2:]: torch.from_numpy(golden[name]) for name in golden if name.startswith("w.")}


def colours_state() -> dict[str, torch.Tensor]:
    """Weights of the colour-matching network by the rule of its golden vectors."""
    rng = np.random.default_rng(0)
    state = ColourMatchingNetwork().state_dict()
    return {name: drawn(name, state[name], rng) for name in sorted(state)}


def drawn(name: str, tensor: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    values, shape = rng.standard_normal(tuple(tensor.shape)), tensor.shape
    values = values * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.05)
    if len(shape) == 1 and name.endswith(".weight"):
        values = values + 1
    if name.endswith("running_var"):
        values = np.abs(values) + 0.5
    return torch.from_numpy(values.astype(np.float32))


def save_colours(path, wrap="backbone."):
    """Write the colour-matching network as it was released: a training checkpoint."""
    state = {f"{wrap}{name}": tensor for name, tensor in colours_state().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)
    return path
