"""The configuration of ``canopy train decoder``: what is learned, from which chips, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import yaml

from canopy.errors import SettingsError
from canopy.learning.settings import RunSettings
from canopy.model_folder import build
from canopy.supervision.augment import AugmentSettings
from canopy.supervision.published_losses import CurriculumSettings

if TYPE_CHECKING:
    from pathlib import Path

MainLoss = Literal["curriculum", "silog", "charbonnier"]


@dataclass(frozen=True, kw_only=True)
class StartSettings:
    """The network that learning starts from.

    Attributes:
        model: a model to go on from, as ``canopy map --model`` takes it; empty to build one.
        encoder: otherwise its encoder, see :func:`canopy.build_height_model`.
        decoder: its decoder.
        head: its head.
        encoder_weights: released weights of an encoder of timm: a file, or ``hub``; empty for none.
        tuned: whether the encoder learns too; frozen it keeps what it is.
    """

    model: str = ""
    encoder: str = "hybrid-tiny"
    decoder: str = "dpt"
    head: str = "bins"
    encoder_weights: str = ""
    tuned: bool = True


@dataclass(frozen=True, kw_only=True)
class LossChoice:
    """What the network is told.

    Attributes:
        main: ``curriculum`` as in CHMv2, ``silog`` as in CHMv1, or ``charbonnier``.
        bins: weight of the cross-entropy of the bins, for a head of linear bins; 0 for none.
        curriculum: constants of the three.
    """

    main: MainLoss = "curriculum"
    bins: float = 0.0
    curriculum: CurriculumSettings = field(default_factory=CurriculumSettings)


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """Which chips make a batch (CHMv2, section 2.3).

    Attributes:
        batch: chips in a batch.
        crop_px: side of what is cut out of a chip at random [px]; 0 for the whole.
        low_m: a chip whose mean height is under it is low [m].
        low: share of a batch that is drawn from low chips, where there are any.
        tall_m: a chip whose 95th percentile is above it is tall [m].
        tall: share of a batch that is drawn from tall chips.
    """

    batch: int = 8
    crop_px: int = 0
    low_m: float = 1.0
    low: float = 0.1
    tall_m: float = 25.0
    tall: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing.

        Raises:
            ValueError: a number is out of range.
        """
        if self.batch < 1 or self.crop_px < 0 or not 0 <= self.low + self.tall <= 1:
            msg = f"batch {self.batch}, low {self.low}, tall {self.tall}: expected shares up to 1"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the model's card says beyond what training knows."""

    name: str = "my-height-model"
    version: str = "1"
    summary: str = "Canopy height model trained with canopy."
    licence: str = "unknown"
    training_data: str = ""
    imagery: Literal["satellite", "aerial", "any"] = "any"
    notice: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class DecoderRun:
    """Everything that decides which weights come out.

    Attributes:
        chips: folder of the set of chips, relative to the configuration.
        start: the network at first.
        loss: what it is told.
        sampling: what it sees.
        augment: how that is changed.
        run: how long and how fast it learns.
        card: what its card says.
    """

    chips: str
    start: StartSettings = field(default_factory=StartSettings)
    loss: LossChoice = field(default_factory=LossChoice)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    run: RunSettings = field(default_factory=RunSettings)
    card: CardFacts = field(default_factory=CardFacts)


def read_decoder_run(path: Path) -> DecoderRun:
    """Read a configuration from YAML; what it does not name has its default.

    Raises:
        SettingsError: it cannot be read.
        ModelError: a name or a value is refused.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        msg = f"{path} cannot be read as YAML ({reason}): expected a configuration of training"
        raise SettingsError(msg) from error
    return build(DecoderRun, values or {}, path)
