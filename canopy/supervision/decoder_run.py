"""The configuration of ``canopy train decoder``: what is learned, from which chips, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from canopy.learning.settings import RunSettings
from canopy.supervision.augment import AugmentSettings
from canopy.supervision.categories import SamplingSettings
from canopy.supervision.configuration import read_configuration
from canopy.supervision.loss_choice import LossChoice
from canopy.supervision.start import CardFacts, Start, StartSettings
from canopy.supervision.treeless import TreelessSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DecoderRun:
    """Everything that decides which weights come out.

    Attributes:
        chips: folder of the set of chips, relative to the configuration.
        start: the network at first.
        loss: what it is told.
        sampling: which chips it sees.
        treeless: what it sees beside them, or laid over them.
        augment: how that is changed.
        run: how long and how fast it learns.
        card: what its card says.
    """

    chips: str
    start: Start = field(default_factory=StartSettings)
    loss: LossChoice = field(default_factory=LossChoice)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    treeless: TreelessSettings = field(default_factory=TreelessSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    run: RunSettings = field(default_factory=RunSettings)
    card: CardFacts = field(default_factory=CardFacts)


def read_decoder_run(path: Path) -> DecoderRun:
    """Read a configuration from YAML.

    Raises:
        SettingsError: it cannot be read.
        ModelError: a name or a value is refused.
    """
    return read_configuration(DecoderRun, path)
