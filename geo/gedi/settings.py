"""What a person may choose about a table of footprints."""

from __future__ import annotations

import os
from dataclasses import dataclass

from geo.gedi.columns import RANKS
from geo.gedi.errors import GediError
from geo.gedi.filters import preset

USUAL_RANKS = (50, 75, 95, 98, 100)
"""RH95 (Tolan et al. 2024, Potapov et al. 2021), RH98 (Lang et al. 2023, the validation of CHMv2),
RH100 (Pauls et al. 2024), and two of the middle."""

MOST_WORKERS = 32


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """Choices.

    Attributes:
        area: `west,south,east,north` in degrees, or a vector file; None for all.
        preset: name of the filters.
        ranks: percentiles of relative height, 0 to 100.
        workers: granules that are read at once; None for as many as there are processors.
        overwrite: whether an older table may be replaced.
    """

    area: str | None = None
    preset: str = "default"
    ranks: tuple[int, ...] = USUAL_RANKS
    workers: int | None = None
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            GediError: as said.
        """
        preset(self.preset)
        if not self.ranks or any(not 0 <= rank < RANKS for rank in self.ranks):
            msg = f"--rh {','.join(map(str, self.ranks))}: expected percentiles from 0 to 100"
            raise GediError(msg)
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            msg = f"--workers {self.workers}: expected 1 to {MOST_WORKERS}"
            raise GediError(msg)

    def workers_for(self, granules: int) -> int:
        """Return how many granules are read at once."""
        return min(self.workers or os.cpu_count() or 1, granules, MOST_WORKERS)
