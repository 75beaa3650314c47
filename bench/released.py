"""Models of the released sizes on this machine: memory of loading, cost by tile size and batch.

Weights are random; speed and memory do not depend on them. Peak memory is that of a fresh process,
beyond what the same process has before it opens the file.

    python bench/released.py [--sizes large huge] [--tiles 128 256 384 512] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from released_sizes import model_of, write_float, write_int8

LOAD = """
import sys
from pathlib import Path
from canopy.checkpoints.released import load_released

def peak(field):
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(field))

before = peak("VmRSS")
released = load_released(Path(sys.argv[1]))
weights = sum(4 * parameter.numel() for parameter in released.network.parameters())
for parameter in released.network.parameters():
    parameter.sum()  # every page of it has been used
print((peak("VmHWM") - before) * 1024 / weights)
"""


def memory_of_loading(path: Path) -> float:
    """Return the peak memory of loading a file and touching all weights, over the float weights."""
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True
    )
    return float(re.findall(r"[\d.]+", run.stdout)[-1])


def seconds_a_pixel(model: Any, tile: int, batch: int, repeats: int) -> float:  # noqa: ANN401
    """Return the seconds a pixel that a batch of tiles takes, the median of a few."""
    images = np.random.default_rng(0).integers(0, 255, (batch, 3, tile, tile)).astype(np.uint8)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        model.predict(images)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) / (batch * tile**2)


def measure(size: str, tiles: list[int], batches: list[int], repeats: int) -> dict[str, Any]:
    """Return every figure of one size."""
    with tempfile.TemporaryDirectory() as folder:
        float_file = write_float(size, Path(folder) / "float.pth")
        memory = {"float32": memory_of_loading(float_file)}
        float_file.unlink()
        int8_file = write_int8(size, Path(folder) / "int8.pth")
        memory["int8"] = memory_of_loading(int8_file)
    gc.collect()
    model = model_of(size)
    costs = {tile: seconds_a_pixel(model, tile, 1, repeats) for tile in tiles}
    by_batch = {batch: seconds_a_pixel(model, 256, batch, repeats) for batch in batches}
    return {
        "peak_memory_over_weights": memory,
        "seconds_a_tile_of_256": costs[256] * 256**2,
        "cost_a_pixel_over_256": {tile: cost / costs[256] for tile, cost in costs.items()},
        "cost_a_pixel_by_batch_over_1": {
            batch: cost / by_batch[batches[0]] for batch, cost in by_batch.items()
        },
    }


def main() -> None:
    """Measure and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=["large", "huge"])
    parser.add_argument("--tiles", nargs="*", type=int, default=[128, 256, 384, 512])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = {
        size: measure(size, arguments.tiles, arguments.batches, arguments.repeats)
        for size in arguments.sizes
    }
    text = json.dumps({"threads": torch.get_num_threads(), **figures}, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
