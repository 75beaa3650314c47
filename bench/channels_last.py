"""What channels that lie side by side in memory save on a CPU, forward and in a step of training.

Both layouts run in turn in one thread, whose own time is counted. Weights are random but for
canopy-tiny's; speed does not depend on them.

    python bench/channels_last.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import TYPE_CHECKING

import torch

from canopy import build_height_model, load_height_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

BUILT = (
    ("vit_small_patch16_dinov3", "dpt"),
    ("resnet18", "unet"),
    ("convnext_tiny", "fpn"),
)
BATCH, SIDE = 3, 256
TRAINED_BATCH, TRAINED_SIDE = 8, 64


def networks() -> dict[str, nn.Module]:
    """Return the networks that are measured, by name."""
    built = {" + ".join(names): build_height_model(*names, "bins").network for names in BUILT}
    return {"canopy-tiny": load_height_model("canopy-tiny").network} | built


def forward(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Return a pass as a map makes it."""

    @torch.inference_mode()
    def run() -> Tensor:
        heights: Tensor = network(images)
        return heights

    network.eval()
    return run


def training(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Return a pass and the gradients of the mean height."""

    def run() -> Tensor:
        network.zero_grad()
        loss: Tensor = network(images).mean()
        loss.backward()
        return loss

    network.train()
    return run


def ratio(plain: Callable[[], Tensor], last: Callable[[], Tensor], repeats: int) -> float:
    """Return the time of the second over that of the first: the median of pairs in turn."""
    plain(), last()
    return statistics.median(seconds(last) / seconds(plain) for _ in range(repeats))


def seconds(run: Callable[[], Tensor]) -> float:
    """Return the time that this thread took."""
    began = time.thread_time()
    run()
    return time.thread_time() - began


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.rand(BATCH, 3, SIDE, SIDE)
    small = torch.rand(TRAINED_BATCH, 3, TRAINED_SIDE, TRAINED_SIDE)
    print("| network | forward | training | heights differ by |\n|---|---|---|---|")
    for name, network in networks().items():
        plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        last = network.to(memory_format=torch.channels_last)
        runs = forward(plain, images), forward(last, images)
        apart = (runs[0]() - runs[1]()).abs().max().item()
        passes = ratio(*runs, repeats)
        steps = ratio(training(plain, small), training(last, small), repeats)
        print(f"| {name} | {passes:.2f} | {steps:.2f} | {apart:.0e} m |", flush=True)


if __name__ == "__main__":
    main()
