"""What a region costs beside the network: per cell, in memory, and with more workers.

Run `python bench/scale.py` on a machine with nothing else to do. Imagery is made in a temporary
folder. Each ratio compares runs of this one process and machine. `bench/scheduler.py` measures the
scheduler alone; docs/scale.md works a continent from both.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
import torch
from affine import Affine

from canopy.height_models.height_model import HeightModel
from canopy.mapping.settings import MapSettings
from canopy.region import cell_work, cluster
from canopy.region.map_region import RegionRequest, job_of, map_region, planned
from canopy.region.run_settings import RunSettings
from canopy.region.settings import RegionSettings
from geo.imagery.from_catalog import image_of_raster
from geo.imagery.mosaic import MosaicReader
from geo.stores.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.region.progress import Progress

PIXEL_M, EPSG = 0.6, 32633
COLUMN, ROW = 104 * 8192, -564 * 8192
"""Upper left pixel of the imagery, at a corner of cells of every size."""


def write_imagery(path: Path, side: int) -> Path:
    """Write a square image of something like a forest, in blocks of 512 px."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(30, 200, (3, 1024, 1024)).astype(np.uint8)
    transform = Affine(PIXEL_M, 0, COLUMN * PIXEL_M, 0, -PIXEL_M, -ROW * PIXEL_M)
    profile = {
        "driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint8",
        "crs": f"EPSG:{EPSG}", "transform": transform, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "DEFLATE", "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        for row in range(0, side, 1024):
            target.write(
                np.tile(pattern, (1, 1, side // 1024)),
                window=rasterio.windows.Window(0, row, side, 1024),
            )
        target.update_tags(ACQUISITIONDATETIME=dt.date(2022, 6, 1).isoformat())
    return path


def request(image: Path, cell_px: int, run: RunSettings | None = None) -> RegionRequest:
    """Return a region of one image."""
    return RegionRequest(
        images=[image_of_raster(str(image))],
        settings=RegionSettings(cell_px=cell_px, map=MapSettings()),
        run=run or RunSettings(),
        device="cpu",
    )


@contextmanager
def timed(owner: object, name: str, spent: Counter[str]) -> Iterator[None]:
    """Add up the seconds that calls of a method take while the block runs."""
    method = getattr(owner, name)

    def measured(*arguments: object, **options: object) -> object:
        began = time.perf_counter()
        try:
            return method(*arguments, **options)
        finally:
            spent[name] += time.perf_counter() - began

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, method)


def cell_parts(folder: Path, cell_px: int) -> dict[str, float]:
    """Return where the seconds of one cell in the middle of an image go."""
    wanted = request(write_imagery(folder / "parts.tif", 3 * cell_px), cell_px)
    store = store_of(folder / f"parts-{cell_px}")
    store.prepare()
    plan, model = planned(wanted, predicts=True)
    job = job_of(wanted, store, model)
    middle = sorted(plan.cells)[4]
    (task,) = plan.tasks([middle])
    cell_work.loaded(job)
    spent: Counter[str] = Counter()
    with (
        timed(HeightModel, "predict", spent),
        timed(MosaicReader, "read", spent),
        timed(cell_work, "put_cell", spent),
    ):
        outcome = cell_work.make_cell(job, task)
    return {
        "seconds": outcome.seconds,
        "network": spent["predict"],
        "reading, beside the network": spent["read"],
        "COGs, item, putting": spent["put_cell"],
        "beside the network / network": outcome.seconds / spent["predict"] - 1,
        "Mpx/s": cell_px**2 / 1e6 / outcome.seconds,
    }


def peak_memory_mib(folder: Path, cells_across: int, cell_px: int) -> float:
    """Return the peak memory of a process of its own that makes so many cells squared [MiB]."""
    image = write_imagery(folder / f"memory-{cells_across}.tif", cells_across * cell_px)
    command = [sys.executable, __file__, "--worker", str(image), str(folder), str(cell_px)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(told.splitlines()[-1])["peak_mib"])


def as_worker(image: str, folder: str, cell_px: int) -> None:
    """Make a region in this process, and print its peak memory."""
    output = Path(folder) / f"out-{Path(image).stem}"
    torch.set_num_threads(1)
    ends: list[float] = []
    map_region(
        request(Path(image), cell_px), output, progress=lambda _: ends.append(time.perf_counter())
    )
    seconds = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"peak_mib": int(peak_kib) / 1024, "seconds_a_cell": seconds}))


def seconds_apart(folder: Path, image: Path, processes: int, cell_px: int) -> float:
    """Return the seconds a cell of processes that know nothing of each other, without Dask.

    Each makes the whole region with one thread of torch: what this machine gives to one and to two.
    """
    running = []
    for number in range(processes):
        output = folder / f"apart-{processes}-{number}"
        output.mkdir()
        command = [sys.executable, __file__, "--worker", str(image), str(output), str(cell_px)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    told = [process.communicate()[0].splitlines()[-1] for process in running]
    return float(np.mean([json.loads(line)["seconds_a_cell"] for line in told])) / processes


def seconds_with(folder: Path, image: Path, workers: int, cell_px: int) -> float:
    """Return the seconds in which workers of one thread of torch make all cells."""
    run = RunSettings(workers=workers)
    cluster.CPU_COUNT = workers  # one thread of torch for each worker
    output = folder / f"workers-{workers}"
    began: list[float] = []

    def note(_: Progress) -> None:
        began.append(time.perf_counter())

    map_region(request(image, cell_px, run), output, progress=note)
    # From the first cell that ends to the last: starting processes and loading torch come before.
    return (began[-1] - began[0]) / (len(began) - 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=3)
    parser.add_argument("--cell", type=int, default=4096, help="side of the larger cell")
    parser.add_argument("--quick", action="store_true", help="the parts of a cell only")
    parser.add_argument("--workers-only", action="store_true", help="one and two workers only")
    options = parser.parse_args()
    if options.worker:
        as_worker(*options.worker[:2], int(options.worker[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cell_px in () if options.workers_only else (1024, options.cell):
            print(f"a cell of {cell_px} px:")
            for what, value in cell_parts(folder, cell_px).items():
                print(f"  {what:32} {value:8.2f}")
        if options.quick:
            return
        if not options.workers_only:
            print("peak memory of a process [MiB]:")
        for across in () if options.workers_only else (1, 3, 6):
            print(f"  {across**2:4} cells of 1024 px {peak_memory_mib(folder, across, 1024):8.0f}")
        image = write_imagery(folder / "workers.tif", 5 * options.cell)
        for what, measured in (
            ("workers", seconds_with),
            ("processes without Dask", seconds_apart),
        ):
            one, two = (measured(folder, image, count, options.cell) for count in (1, 2))
            print(f"seconds a cell of {options.cell} px: 1 and 2 {what}: {one:.2f}, {two:.2f}")
            print(f"  efficiency of 2: {one / two / 2:.3f}", flush=True)


if __name__ == "__main__":
    main()
