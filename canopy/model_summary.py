"""What is known of a model, by its name or from its file: for people, programs and catalogues."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from canopy.errors import ModelError
from canopy.height_models.folder import WEIGHTS_FILE
from canopy.height_models.item import CHMV1_DOI, ModelFacts, describe_model
from canopy.weights import card_of, find_model, load_place, zoo_entry
from canopy.zoo.cache import cached
from canopy.zoo.entries import HttpFile, HubRepository

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.height_models.card import ModelCard
    from canopy.zoo.entries import ZooEntry


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """What is known of a model.

    Attributes:
        name: what it is called.
        card: of a height model.
        entry: what the zoo knows of it; None for a user's own.
        path: where it stands on this machine; None where it does not.
        parameters: numbers in the network.
    """

    name: str
    card: ModelCard | None
    entry: ZooEntry | None
    path: Path | None
    parameters: int

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; lengths in metres."""
        card = asdict(self.card) if self.card else {"name": self.name}
        return {
            **card,
            "parameters": self.parameters,
            "path": str(self.path) if self.path else None,
            **({"licence_url": self.entry.licence_url} if self.entry else {}),
        }

    def as_words(self) -> dict[str, str]:
        """Return it as names and texts."""
        entry, card = self.entry, self.card
        facts = {"name": f"{self.name} {card.version}" if card else self.name}
        if summary := entry.summary if entry else card.summary if card else "":
            facts["is"] = summary
        facts["licence"] = licence_in_words(entry, card)
        facts["numbers"] = f"{self.parameters:,}"
        if card:
            facts |= card_in_words(card)
        facts["stands"] = str(self.path) if self.path else f"not here: {self.how_to_get()}"
        return facts

    def how_to_get(self) -> str:
        """Return the command that brings the model here."""
        accept = " --accept-licence" if self.entry and self.entry.restricted else ""
        return f"canopy models fetch {self.name}{accept}"

    def as_stac(self) -> dict[str, Any]:
        """Return it as a STAC item with the MLM extension, as JSON values.

        Raises:
            ModelError: it is no height model, or its weights are nowhere.
        """
        if self.card is None:
            msg = f"{self.name} predicts no heights: only height models are described as items"
            raise ModelError(msg)
        item = describe_model(self.card, self.facts())
        described: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
        return described

    def facts(self) -> ModelFacts:
        """Return what an item says beyond the card."""
        source = self.entry.source if self.entry else None
        url = None
        if isinstance(source, HttpFile):
            url = source.url
        elif isinstance(source, HubRepository):
            url = f"{source.page}/resolve/{source.revision or 'main'}/{WEIGHTS_FILE}"
        weights = self.path / WEIGHTS_FILE if self.path and self.path.is_dir() else self.path
        return ModelFacts(
            parameters=self.parameters,
            weights=weights,
            weights_url=url,
            licence_url=self.entry.licence_url if self.entry else None,
            doi=CHMV1_DOI if self.name.startswith("chmv1") else None,
        )


def summarise_model(name: str) -> ModelSummary:
    """Return what is known of a model; one of the zoo need not be on this machine.

    Raises:
        ModelError: it is unknown, or its file is broken.
    """
    if entry := zoo_entry(name):
        return ModelSummary(
            name=entry.name,
            card=card_of(entry),
            entry=entry,
            path=cached(entry),
            parameters=entry.parameters,
        )
    place = find_model(name)
    model = load_place(place, device="cpu")
    return ModelSummary(
        name=model.card.name,
        card=model.card,
        entry=None,
        path=place.path,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
    )


def licence_in_words(entry: ZooEntry | None, card: ModelCard | None) -> str:
    """Return a licence, where it is read, and whether it must be accepted."""
    if entry is None:
        return card.licence if card else "unknown"
    accept = "; must be accepted before fetching" if entry.restricted else ""
    return f"{entry.licence}, {entry.licence_url}{accept}"


def card_in_words(card: ModelCard) -> dict[str, str]:
    """Return a card as names and texts."""
    mean, std = (", ".join(f"{value:.3f}" for value in values) for values in (card.mean, card.std))
    facts = {
        "learned from": card.training_data,
        "imagery": card.imagery,
        "pixels": f"{card.gsd_m:g} m; mean {mean}; std {std} of {', '.join(card.bands)} in [0, 1]",
        "heights": f"up to {card.maximum_height_m:g} m",
        "tiles": f"{card.tile_px} px, overlapping by {card.overlap_px} px or more; sides are "
        f"multiples of {card.multiple_px} px",
        "more": card.url,
        "notice": card.notice,
    }
    notes = {f"note {number}": note for number, note in enumerate(card.notes, start=1)}
    return {name: text for name, text in (facts | notes).items() if text}
