"""Tiles a second of the released sizes on a GPU: canopy against the authors' loop and the limit.

In one process and in turn, on the same random images and weights:

* ``loop``: the authors' inference: eager float32, a batch of 16, NCHW.
* ``limit``: the network alone, compiled, float16, channels last, at the batch that fits, its
  input already on the device.
* ``canopy``: `HeightModel.predict` as a map calls it: numpy in, numpy out, its own choice of
  precision and batch.
* ``canopy compiled``: the same with ``--compile``.

    python bench/gpu.py [--sizes large huge] [--device cuda] [--tile 256] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from released_sizes import model_of

from canopy.height_models.forward import ForwardSettings, autocast, dtypes_for
from canopy.radiometry import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from canopy.height_models.height_model import HeightModel

LOOP_BATCH = 16
TILES = 128


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def tiles_a_second(run: Callable[[], int], device: str) -> float:
    """Return how many tiles a second a run of some makes."""
    synchronise(device)
    began = time.perf_counter()
    tiles = run()
    synchronise(device)
    return tiles / (time.perf_counter() - began)


def loop(model: HeightModel, images: np.ndarray) -> Callable[[], int]:
    """Return a run as the authors' script makes it."""

    @torch.inference_mode()
    def run() -> int:
        for first in range(0, len(images), LOOP_BATCH):
            batch = torch.from_numpy(images[first : first + LOOP_BATCH]).to(model.device)
            model.network(normalise(batch, model.card.mean, model.card.std)).cpu()
        return len(images)

    return run


def limit(model: HeightModel, tile: int, batch: int, count: int) -> Callable[[], int]:
    """Return a run of the compiled network alone."""
    compiled = torch.compile(model.forward.network)
    images = torch.rand(batch, 3, tile, tile, device=model.device)
    images = images.to(memory_format=torch.channels_last)
    dtype = dtypes_for("auto", model.device)[0]
    rounds = max(1, count // batch)

    @torch.inference_mode()
    def run() -> int:
        for _ in range(rounds):
            with autocast(model.device, dtype):
                compiled(images)
        return rounds * batch

    return run


def canopy(model: HeightModel, images: np.ndarray, batch: int) -> Callable[[], int]:
    """Return a run as a map makes it."""

    def run() -> int:
        for first in range(0, len(images), batch):
            model.predict(images[first : first + batch])
        return len(images)

    return run


def measure(size: str, device: str, tile: int, repeats: int, count: int) -> dict[str, Any]:
    """Return tiles a second of every run, and how far canopy's heights are from float32."""
    images = np.random.default_rng(0).integers(0, 255, (count, 3, tile, tile)).astype(np.uint8)
    plain = model_of(size, device, ForwardSettings(precision="float32"))
    plain.network.to(memory_format=torch.contiguous_format)
    ours, compiled = (
        model_of(size, device, ForwardSettings(compiled=choice)) for choice in (False, True)
    )
    batch = ours.forward.batch_for(tile)
    runs = {
        "loop": loop(plain, images),
        "limit": limit(ours, tile, batch, count),
        "canopy": canopy(ours, images, batch),
        "canopy compiled": canopy(compiled, images, batch),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            rates[name].append(tiles_a_second(run, device))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    few = images[:4]
    difference = float(np.abs(ours.predict(few) - plain.predict(few)).mean())
    return {
        "batch": batch,
        "precision": str(ours.forward.dtype),
        "tiles_a_second": medians,
        "canopy_over_loop": medians["canopy"] / medians["loop"],
        "canopy_over_limit": medians["canopy"] / medians["limit"],
        "compiled_over_limit": medians["canopy compiled"] / medians["limit"],
        "mean_difference_from_float32_m": difference,
    }


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["large", "huge"])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--count", type=int, default=TILES, help="tiles a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    named = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    figures: dict[str, Any] = {"device": named, "torch": torch.__version__}
    for size in arguments.sizes:
        figures[size] = measure(
            size, arguments.device, arguments.tile, arguments.repeats, arguments.count
        )
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
