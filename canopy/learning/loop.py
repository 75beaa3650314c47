"""The loop: batch, losses, step, average; logged, checked, and gone on with exactly after a kill.

Lightning's Fabric brings mixed precision and several GPUs. What a step does follows from the seed
and the step's number, never from what was drawn before: a resumed run equals an undisturbed one.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from canopy.errors import RunError
from canopy.learning.optimiser import average_of, blend, make_optimiser, set_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from canopy.learning.run_folder import RunFolder
    from canopy.learning.settings import RunSettings

    Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)


class Task(Protocol):
    """What is learned."""

    network: nn.Module

    def batch(self, step: int, rank: int) -> Mapping[str, Tensor]:
        """Return the batch of a step, counted from 0, for one of several devices."""
        ...

    def losses(
        self, network: nn.Module, batch: Mapping[str, Tensor], done: float
    ) -> dict[str, Tensor]:
        """Return the weighted terms of the loss after a share of all steps."""
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return how good a network is on what was kept aside; nothing where nothing was."""
        ...


def learn(
    task: Task,
    settings: RunSettings,
    folder: RunFolder,
    *,
    state: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Run all steps and return the network with the moving average of its weights.

    Args:
        task: what is learned.
        settings: how.
        folder: where log and checkpoints go.
        state: a checkpoint to go on from.
        progress: told the number of steps that are done and of all.

    Raises:
        RunError: a term of the loss is no number.
    """
    fabric = make_fabric(settings)
    torch.manual_seed(settings.seed)
    task.network.to(memory_format=torch.channels_last)  # faster: docs/benchmarks.md
    average = average_of(task.network)
    optimiser = make_optimiser(task.network, settings)
    first = restore(state, task.network, average, optimiser) if state else 0
    network, optimiser = fabric.setup(task.network, optimiser)
    network.train()  # a model that could predict came in evaluation mode
    average.to(fabric.device)
    sums, began = Means.of(state), time.perf_counter() - seconds_of(state)
    for step in range(first, settings.steps):
        torch.manual_seed(settings.seed + 1_000_003 * (step + 1) + fabric.global_rank)
        set_rate(optimiser, step, settings)
        batch = task.batch(step, fabric.global_rank)
        moved = {name: fabric.to_device(tensor) for name, tensor in batch.items()}
        terms = task.losses(network, moved, step / settings.steps)
        sums.add(check_finite(terms, step + 1))
        optimiser.zero_grad()
        fabric.backward(torch.stack(list(terms.values())).sum())
        fabric.clip_gradients(network, optimiser, max_norm=settings.clip, error_if_nonfinite=False)
        optimiser.step()
        blend(average, task.network, step, settings)
        if fabric.global_rank == 0:
            seconds = time.perf_counter() - began
            keep(task, settings, folder, average, optimiser, step + 1, sums, seconds)
        if progress:
            progress(step + 1, settings.steps)
    return average


def make_fabric(settings: RunSettings) -> Any:  # noqa: ANN401 - Fabric's type is slow to import
    """Return Fabric on the GPUs there are, else on the CPU.

    Raises:
        RunError: it is not installed.
    """
    try:
        from lightning_fabric import Fabric  # noqa: PLC0415 - an extra, and slow
    except ImportError as error:
        msg = "training needs Lightning's Fabric: pip install 'canopy-height[train]'"
        raise RunError(msg) from error
    cuda = torch.cuda.is_available()
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=settings.devices if cuda else 1,
        precision=settings.arithmetic,
    )
    fabric.launch()
    return fabric


def restore(
    state: dict[str, Any], network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Put a checkpoint's weights and averages in place and return the step to go on with."""
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def seconds_of(state: dict[str, Any] | None) -> float:
    """Return how long a run had learned when a checkpoint was saved [s]."""
    return float(state.get("seconds", 0.0)) if state else 0.0


def keep(  # noqa: PLR0913, PLR0917 - all that a step leaves
    task: Task,
    settings: RunSettings,
    folder: RunFolder,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    sums: Means,
    seconds: float,
) -> None:
    """Log, validate and save after a step, counted from 1, where it is time to."""
    last = step == settings.steps
    if step % settings.log_every == 0 or last:
        folder.log({"step": step, "seconds": round(seconds, 2), "loss": sums.take()})
    if step % settings.validate_every == 0 or last:
        average.eval()
        if found := task.validate(average):
            folder.log({"step": step, "seconds": round(seconds, 2), "validation": rounded(found)})
            words = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
            log.info("step %d: %s", step, words)
    if step % settings.checkpoint_every == 0 or last:
        folder.save(
            {
                "step": step,
                "seconds": seconds,
                "network": task.network.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "sums": vars(sums),
            }
        )


def rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values as JSON can hold them."""
    return {
        name: round(value, 5) if math.isfinite(value) else None for name, value in values.items()
    }


def check_finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """Return the terms of a loss as numbers.

    Raises:
        RunError: one is none, by name and step.
    """
    numbers = {name: float(term.detach()) for name, term in terms.items()}
    for name, number in numbers.items():
        if not math.isfinite(number):
            msg = (
                f"the {name} loss is {number} at step {step}: lower the learning rate, or look for "
                "broken heights among what it learns from"
            )
            raise RunError(msg)
    return numbers


class Means:
    """Means of the terms of the loss since they were last taken."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sums: dict[str, float] = {}
        self.count = 0

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> Means:
        """Return those of a checkpoint, so that the log of a resumed run is that of a whole one."""
        means = cls()
        vars(means).update(state.get("sums", {}) if state else {})
        return means

    def add(self, terms: Mapping[str, float]) -> None:
        """Add the terms of a step; one that is not there counts as 0."""
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        means = {name: round(value / self.count, 5) for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means
