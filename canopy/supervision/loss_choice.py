"""Which losses a network is told, and their weighted terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from canopy.errors import SettingsError
from canopy.supervision.height_losses import HuberSettings, bin_loss, height_loss
from canopy.supervision.published_losses import (
    CurriculumSettings,
    charbonnier_loss,
    curriculum_losses,
    silog_loss,
)
from decoders import HeightBins

if TYPE_CHECKING:
    from torch import Tensor, nn

    from canopy.supervision.height_outputs import Outputs

MainLoss = Literal["curriculum", "silog", "charbonnier", "huber"]


@dataclass(frozen=True, kw_only=True)
class LossChoice:
    """What the network is told.

    Attributes:
        main: ``curriculum`` as in CHMv2, ``silog`` as in CHMv1, ``charbonnier``, or ``huber``,
            which compares means over a window and so forgives a shift of about one pixel.
        bins: weight of the cross-entropy of the bins, for a head of linear bins; 0 for none.
        curriculum: constants of the first three.
        huber: constants of the last.
    """

    main: MainLoss = "curriculum"
    bins: float = 0.0
    curriculum: CurriculumSettings = field(default_factory=CurriculumSettings)
    huber: HuberSettings = field(default_factory=HuberSettings)

    def __post_init__(self) -> None:
        """Refuse a negative weight, and constants of a loss that is not the main one.

        Raises:
            ValueError: there is one.
        """
        if self.bins < 0:
            msg = f"bins {self.bins}: expected a weight of 0 or more"
            raise ValueError(msg)
        unused = "curriculum" if self.main == "huber" else "huber"
        if getattr(self, unused) != type(getattr(self, unused))():
            msg = f"loss.{unused} has no effect on main: {self.main}: remove it, or change main"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class PlotLoss(LossChoice):
    """What a network is told that learns from plots.

    Attributes:
        disagreement: weight of the mean difference [m] of two tiles over the ground they share.
    """

    main: MainLoss = "huber"
    bins: float = 0.3
    disagreement: float = 0.5


class HeightLoss:
    """The weighted terms of a loss for a network's head."""

    def __init__(self, choice: LossChoice, head: nn.Module) -> None:
        """Prepare.

        Raises:
            SettingsError: a loss on bins is asked for, and the head has no linear bins.
        """
        linear = isinstance(head, HeightBins) and head.settings.spacing == "linear"
        if choice.bins and not linear:
            msg = "a loss on bins needs a head of linear bins: set loss.bins to 0, or head to bins"
            raise SettingsError(msg)
        self.choice = choice
        self.centres = head.centres_m if isinstance(head, HeightBins) else None

    def terms(
        self, outputs: Outputs, heights: Tensor, known: Tensor, done: float
    ) -> dict[str, Tensor]:
        """Return the weighted terms by name.

        Args:
            outputs: what the network gave.
            heights: true heights [m] (B, H, W).
            known: True where they count (B, H, W).
            done: share of all steps that are done.
        """
        predicted, logits = outputs
        terms = self._main(predicted.float(), heights, known, done)
        if self.choice.bins and logits is not None and self.centres is not None:
            centres = self.centres.to(heights.device)
            terms["bins"] = self.choice.bins * bin_loss(logits.float(), heights, known, centres)
        return terms

    def _main(
        self, predicted: Tensor, heights: Tensor, known: Tensor, done: float
    ) -> dict[str, Tensor]:
        choice = self.choice
        if choice.main == "curriculum":
            return curriculum_losses(predicted, heights, known, done, choice.curriculum)
        if choice.main == "silog":
            return {"silog": silog_loss(predicted, heights, known, choice.curriculum)}
        if choice.main == "huber":
            return {"height": height_loss(predicted, heights, known, choice.huber)}
        knee = choice.curriculum.charbonnier_m
        return {"charbonnier": charbonnier_loss(predicted, heights, known, knee)}
