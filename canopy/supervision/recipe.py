"""A recipe: everything that decides which weights are made of plots, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from canopy.learning.settings import RunSettings
from canopy.supervision.augment import AugmentSettings
from canopy.supervision.categories import CategoryShares
from canopy.supervision.configuration import read_configuration
from canopy.supervision.examples import ExampleSettings
from canopy.supervision.loss_choice import PlotLoss
from canopy.supervision.pairs import PairSettings
from canopy.supervision.simulated_plots import SimulatedSettings
from canopy.supervision.start import CardFacts, NetworkSettings, Start
from geo.errors import GeoError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides which weights a training run makes.

    Attributes:
        evaluation_tile_px: side to which plots are mirrored when they are evaluated [px].
        start: the network at first.
        pairs: the plots.
        simulated: simulated plots to learn from beside them, in every run.
        sampling: how much is drawn from low and from tall plots.
        examples: what is made of them.
        augment: how that is changed.
        loss: what the network is told.
        run: how long and how fast it learns.
        card: what its card says.
    """

    evaluation_tile_px: int = 96
    start: Start = field(default_factory=NetworkSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    simulated: SimulatedSettings = field(default_factory=SimulatedSettings)
    sampling: CategoryShares = field(default_factory=CategoryShares)
    examples: ExampleSettings = field(default_factory=ExampleSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: PlotLoss = field(default_factory=PlotLoss)
    run: RunSettings = field(default_factory=RunSettings)
    card: CardFacts = field(default_factory=CardFacts)

    def __post_init__(self) -> None:
        """Refuse simulated plots of a pixel that cannot be simulated.

        Raises:
            ValueError: as said.
        """
        try:
            self.simulated.worlds(gsd_m=self.pairs.gsd_m)
        except GeoError as error:
            message = f"simulated plots, pairs.gsd_m {self.pairs.gsd_m:g}: {error}; simulate none"
            raise ValueError(message) from error


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML.

    Raises:
        SettingsError: it cannot be read.
        ModelError: a name or a value is refused.
    """
    return read_configuration(Recipe, path)
