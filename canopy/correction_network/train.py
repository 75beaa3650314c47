"""``canopy train correction``: from a configuration, images and footprints to a network."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from canopy.correction.factor_field import spread
from canopy.correction.footprint_pairs import log_ratio, usable
from canopy.correction_network.model import (
    CorrectionCard,
    CorrectionModel,
    load_correction_model,
    save_correction_model,
)
from canopy.correction_network.network import CorrectionNetwork
from canopy.correction_network.samples import constants, gather
from canopy.correction_network.task import CorrectionTask
from canopy.correction_network.training_run import read_correction_run
from canopy.errors import SettingsError
from canopy.learning.curves import CURVES_FILE, draw_curves
from canopy.learning.loop import learn
from canopy.learning.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from canopy.correction_network.samples import Samples
    from canopy.correction_network.training_run import CardText, CorrectionRun

    Progress = Callable[[int, int], None]
    Array = NDArray[np.float64]

log = logging.getLogger(__name__)

WINDOWS_FILE = "windows.npy"
"""Windows of all footprints; it is gone when the run has ended."""

LEAST_HEIGHT_M = 3.0
"""Offset and noise of predictions are taken where they and the footprints are as high [m]."""

FEWEST_FORESTS, FEWEST_IN_FOREST = 8, 5
"""Blocks of ground, and footprints in each, that tell how far off a network is in a forest."""


@dataclass(frozen=True, kw_only=True)
class TrainedCorrection:
    """What came of a run.

    Attributes:
        model: with the moving average of its weights.
        folder: where it stands, with log, curves and resolved settings beside it.
        footprints: how many were learned from, and kept aside.
        validation: errors on those kept aside.
    """

    model: CorrectionModel
    folder: Path
    footprints: tuple[int, int]
    validation: dict[str, float | None]


def train_correction(
    config: Path, output: Path, *, resume: bool = False, progress: Progress | None = None
) -> TrainedCorrection:
    """Train a correction network on footprints of space lidar.

    Args:
        config: the configuration, YAML.
        output: folder of the run: ``config.json`` and ``model.safetensors``, ``training.json``,
            ``log.jsonl``, ``curves.png``, and the checkpoint.
        resume: whether to go on from where a run in that folder was stopped; its end is the same.
        progress: told the number of steps that are done and of all.

    Raises:
        CanopyError: the configuration, the footprints or the output do not fit, or the loss
            stopped being a number.
        GeoError: an image or a table cannot be read.
    """
    run = read_correction_run(config)
    start = starting_model(run, config.parent)
    if start is not None:
        run = replace(run, network=start.architecture)
    folder = RunFolder(path=output, scratch=(WINDOWS_FILE,))
    state = folder.open(resolved(run, start), resume=resume)
    kept = output / WINDOWS_FILE
    try:
        samples = gather(run, config.parent, kept)
        task = task_of(run, samples, start)
        average = learn(task, run.run, folder, state=state, progress=progress)
        model = finished(run, samples, task, average, start)
    finally:
        kept.unlink(missing_ok=True)
    save_correction_model(model, output)
    records = folder.read_log()
    draw_curves(records, output / CURVES_FILE)
    last = next(record["validation"] for record in records[::-1] if "validation" in record)
    counts = len(samples.train), len(samples.aside)
    return TrainedCorrection(model=model, folder=output, footprints=counts, validation=last)


def starting_model(run: CorrectionRun, home: Path) -> CorrectionModel | None:
    """Return the network that a run begins from; None for one with weights at random.

    Raises:
        ModelError: it cannot be loaded.
        SettingsError: it has other sizes, or sees or predicts something else than the run.
    """
    if not run.start:
        return None
    here = home / run.start
    model = load_correction_model(here if here.is_dir() else run.start)
    if run.network not in {None, model.architecture}:
        msg = f"network with a start of {run.start}: it has sizes of its own, leave network out"
        raise SettingsError(msg)
    theirs, ours = ((each.gsd_m, each.percentile) for each in (model.card, run.samples))
    if theirs != ours:
        sees, asks = (f"pixels of {gsd:g} m and RH{rank:g}" for gsd, rank in (theirs, ours))
        msg = f"start {run.start} knows {sees}, samples ask for {asks}: give them the same"
        raise SettingsError(msg)
    return model


def resolved(run: CorrectionRun, start: CorrectionModel | None) -> dict[str, Any]:
    """Return all that decides the weights of a run, as its folder keeps it."""
    return {
        **asdict(run),
        "start_weights": start.fingerprint if start else "",
        "threads": torch.get_num_threads(),  # they change weights by rounding
    }


def task_of(run: CorrectionRun, samples: Samples, start: CorrectionModel | None) -> CorrectionTask:
    """Return what is learned: by the network to begin from, or one at random as the seed has it.

    A network that has learned goes on with the colours that it knows.
    """
    torch.manual_seed(run.run.seed)
    network = CorrectionNetwork(run.architecture)
    if start is None:
        return CorrectionTask(network, samples, run, constants(samples.windows, samples.train))
    network.load_state_dict(start.network.state_dict())
    return CorrectionTask(network, samples, run, (start.card.mean, start.card.std))


def finished(
    run: CorrectionRun,
    samples: Samples,
    task: CorrectionTask,
    average: nn.Module,
    start: CorrectionModel | None,
) -> CorrectionModel:
    """Return the model of a run, with what its predictions are worth on ground kept aside."""
    network = CorrectionNetwork(run.architecture)
    network.load_state_dict(average.state_dict())
    network.eval()
    worth = worth_of(
        task.predict(network, samples.aside), samples.rh[samples.aside], samples.aside_block
    )
    card = CorrectionCard(
        **asdict(run.card) | (inherited(run.card, start.card) if start else {}),
        gsd_m=run.samples.gsd_m,
        percentile=run.samples.percentile,
        mean=three(task.mean),
        std=three(task.std),
        offset=worth.offset,
        noise=worth.noise,
        forest_noise=worth.forest_noise,
        geolocation_m=run.samples.geolocation_m,
    )
    return CorrectionModel(network=network, card=card, architecture=run.architecture)


def inherited(own: CardText, start: CorrectionCard) -> dict[str, Any]:
    """Return what a card must tell of the network that a run began from."""
    origin = f"began from {start.title}"
    return {
        "simulated": own.simulated or start.simulated,
        "notice": own.notice or (f"It {origin}. {start.notice}" if start.notice else ""),
        "notes": (*own.notes, f"It {origin}: {start.training_data}", *start.notes),
    }


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What predictions are worth on ground kept aside; see :class:`CorrectionCard`."""

    offset: float = 0.0
    noise: float = 1.0
    forest_noise: float = 1.0


def worth_of(predicted: Array, rh: Array, blocks: NDArray[np.int64]) -> Worth:
    """Return the median of ln(RH / prediction), its spread, and how far whole blocks are off.

    Args:
        predicted: relative heights (n,) [m].
        rh: what footprints say (n,) [m].
        blocks: number of the block of ground of each (n,).

    Returns:
        Little worth where no canopy was kept aside; with few blocks of it a whole forest is taken
        to be off as far as a single footprint.
    """
    tall = usable(rh, predicted, LEAST_HEIGHT_M)
    if not tall.any():
        return Worth()
    ratios = log_ratio(rh[tall], predicted[tall])
    offset = float(np.median(ratios))
    noise = spread(ratios - offset)
    forests = [ratios[blocks[tall] == block] - offset for block in np.unique(blocks[tall])]
    forests = [forest for forest in forests if len(forest) >= FEWEST_IN_FOREST]
    enough = len(forests) >= FEWEST_FORESTS
    if not enough:
        log.warning(
            "%d blocks of ground kept aside have %d tall footprints or more, %d would tell how far "
            "off it is in a whole forest: taken to be as far as in one place (%.0f%%), so that it "
            "will change maps little; give more footprints, or a smaller samples.block_m",
            len(forests), FEWEST_IN_FOREST, FEWEST_FORESTS, 100 * np.expm1(noise),
        )  # fmt: skip
    forest_noise = forest_noise_of(forests) if enough else noise
    return Worth(
        offset=round(offset, 4), noise=round(noise, 4), forest_noise=round(forest_noise, 4)
    )


def forest_noise_of(forests: Sequence[Array]) -> float:
    """Return how far medians of forests are off, without what chance adds to a median.

    The median of n normal errors of variance s^2 has a variance of pi s^2 / 2 n.

    Args:
        forests: ln(RH / prediction) less the offset, of the footprints of each.
    """
    medians = np.array([np.median(forest) for forest in forests])
    within = spread(np.concatenate(forests) - np.repeat(medians, [len(each) for each in forests]))
    chance = np.pi / 2 * within**2 * float(np.mean([1 / len(forest) for forest in forests]))
    return math.sqrt(max(0.0, spread(medians) ** 2 - chance))


def three(values: Sequence[float]) -> tuple[float, float, float]:
    """Return three numbers as a tuple."""
    red, green, blue = map(float, values)
    return red, green, blue
