"""The forward pass of a network, at the precision and in the batches that a device can take."""

from __future__ import annotations

import gc
import logging
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from canopy.errors import RunError, SettingsError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16", "float16"]

AGREEMENT_M = 0.05
"""Heights in a lower precision differ by at most this from float32, in the mean of a tile [m]."""
CPU_BATCH = 3
"""Tiles at once in each thread of a CPU: more do not gain, and cost memory (docs/benchmarks.md).
Two would leave the last tile of an odd row alone, which is predicted twice then."""
LARGEST_BATCH = 64
SPARE = 0.8
"""Share of the free memory of a device that a batch may fill."""


@dataclass(frozen=True, kw_only=True)
class ForwardSettings:
    """How a network is run.

    Attributes:
        precision: ``float32``, or autocast to ``bfloat16`` or ``float16``; ``auto`` is float32 on
            a CPU, and on a CUDA device the first of float16, bfloat16 and float32 by which the
            heights agree: float16 has three bits more, bfloat16 a far wider range.
        compiled: whether ``torch.compile`` is applied: a minute at first, faster afterwards.
    """

    precision: Precision = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown precision.

        Raises:
            SettingsError: it is none of those named above.
        """
        if self.precision not in get_args(Precision):
            msg = f"precision {self.precision}: expected {', '.join(get_args(Precision))}"
            raise SettingsError(msg)


class Forward:
    """A network on a device.

    It remembers what it learns on the way: how many tiles fit at once, and whether a lower
    precision agrees with float32.
    """

    def __init__(self, network: nn.Module, device: torch.device, settings: ForwardSettings) -> None:
        """Put a network on a device, in evaluation mode."""
        # Convolutions are fastest on channels that lie side by side (docs/benchmarks.md).
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        self.device = device
        self.dtype, *self.next_dtypes = dtypes_for(settings.precision, device)
        self.compared = self.dtype == torch.float32
        self.most: int | None = None
        self.told = False
        self.compiled = settings.compiled
        self.run = torch.compile(self.network) if settings.compiled else self.network

    def __call__(self, images: Tensor) -> Tensor:
        """Return what the network does, float32, of normalised images (B, 3, H, W).

        That is heights [m] (B, H, W), or heights and their spread [m] (B, 2, H, W).

        A batch that does not fit into memory is halved until it does.
        """
        if not self.compared:
            self._compare(images[:1])
        heights = self._in_parts(images, self.dtype)
        if self.dtype == torch.float32:
            return heights
        # Numbers beyond the range of float16: rare, and never a height. Each tile is looked at by
        # itself, so that none depends on what else was run before.
        broken = ~heights.isfinite().flatten(1).all(dim=1)
        if broken.any():
            self._tell_once("heights are no numbers in lower precision: such tiles run in float32")
            heights[broken] = self._in_parts(images[broken], torch.float32)
        return heights

    def batch_for(self, side: int) -> int:
        """Return how many tiles of some side [px] are best run at once."""
        if self.device.type != "cuda":
            return CPU_BATCH
        peaks = [self._peak(count, side) for count in (1, 2)]
        return fitting_batch(*peaks, free=free_bytes(self.device))

    def _in_parts(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return heights of images, of fewer at once where memory runs out."""
        step = min(len(images), self.most or len(images))
        while True:
            try:
                return torch.cat([self._run(part, dtype) for part in torch.split(images, step)])
            except (RuntimeError, MemoryError) as error:
                if step == 1 or not is_out_of_memory(error):
                    raise
            # Out here the failed pass no longer holds its tensors.
            step = self.most = step // 2
            free_memory(self.device)
            log.warning("out of memory: going on with %d tiles at once", step)

    def _run(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        try:
            with torch.inference_mode(), autocast(self.device, dtype):
                heights: Tensor = self.run(images)
        except Exception as error:
            if self.compiled and type(error).__module__.startswith("torch._"):
                msg = f"torch.compile failed ({type(error).__name__}): run without compiling"
                raise RunError(msg) from error
            raise
        return heights.float()

    def _compare(self, image: Tensor) -> None:
        """Look once whether a lower precision agrees with float32; where not, take the next."""
        self.compared = True
        with torch.inference_mode():
            reference = heights_in(self.network(image).float())
        while self.dtype != torch.float32:
            lower = heights_in(self._run(image, self.dtype))
            difference = (lower - reference).abs().mean().item()
            if difference <= AGREEMENT_M:
                return
            off = f"{difference:.2f} m off" if math.isfinite(difference) else "out of its range"
            if not self.next_dtypes:
                log.warning(
                    "%s is %s in the mean of a tile, against float32", name_of(self.dtype), off
                )
                return
            before, self.dtype = self.dtype, self.next_dtypes.pop(0)
            log.warning("%s is %s: going on in %s", name_of(before), off, name_of(self.dtype))

    def _tell_once(self, what: str) -> None:
        if not self.told:
            self.told = True
            log.warning(what)

    def _peak(self, count: int, side: int) -> int:
        """Return the memory that a pass takes beyond the weights [bytes]."""
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        self._run(torch.zeros(count, 3, side, side, device=self.device), self.dtype)
        return torch.cuda.max_memory_allocated(self.device) - before


def heights_in(output: Tensor) -> Tensor:
    """Return the heights (B, H, W) of what a network returned, alone or with their spread."""
    return output if output.ndim == 3 else output[:, 0]  # noqa: PLR2004 - (B, H, W)


def dtypes_for(precision: Precision, device: torch.device) -> list[torch.dtype]:
    """Return the types that a network may compute in, in the order in which they are tried."""
    if precision == "auto":
        lower = [torch.float16, torch.bfloat16] if device.type == "cuda" else []
        return [*lower, torch.float32]
    return [getattr(torch, precision)]


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a type: ``float16``."""
    return str(dtype).removeprefix("torch.")


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which a network computes in a type."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a device or of the machine."""
    return (
        isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        or "allocate memory" in str(error)
        or "out of memory" in str(error)
    )


def fitting_batch(one: int, two: int, *, free: int) -> int:
    """Return how many tiles fit, from what one and two of them take [bytes].

    Args:
        one: memory of a pass with one tile.
        two: memory of a pass with two.
        free: memory that is free.
    """
    each = max(two - one, 1)
    fixed = max(one - each, 0)
    return int(min(max((SPARE * free - fixed) // each, 1), LARGEST_BATCH))


def free_bytes(device: torch.device) -> int:
    """Return the memory of a CUDA device that torch can still take [bytes]."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def free_memory(device: torch.device) -> None:
    """Give back what a failed pass left."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
