"""A height model told to a catalogue: what it takes, what it returns, and where its weights are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import (
    PRETRAINED_SOURCE_PROP,
    AcceleratorType,
    AssetGeneralMLMExtension,
    Hyperparameters,
    InputStructure,
    MLMExtension,
    ModelInput,
    ModelOutput,
    ProcessingExpression,
    ResizeType,
    ResultStructure,
    TaskType,
    ValueScaling,
    ValueScalingType,
)
from pystac.extensions.raster import DataType
from pystac.extensions.scientific import ScientificExtension
from pystac.utils import datetime_to_str

from canopy.errors import ModelError
from geo.height_maps.stac_item import multihash_sha256
from geo.hrefs import relative_href

if TYPE_CHECKING:
    from canopy.height_models.card import ModelCard

MLM_SCHEMA = "https://stac-extensions.github.io/mlm/v1.5.1/schema.json"
WEIGHTS_ASSET = "weights"
FLOAT_BYTES = 4
"""Of one number of the network; what it computes in between comes on top."""

CHMV1_DOI = "10.1016/j.rse.2023.113888"
"""The paper of CHMv1 (Tolan et al. 2024)."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Interval of a model that no date limits, as the MLM extension advises; see `_times`."""

_WORLD = [-180.0, -90.0, 180.0, 90.0]
_ARTIFACT_TYPES = {".safetensors": "safetensors.torch.save_file"}
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a card does not tell of a model.

    Attributes:
        architecture: generic name of the architecture.
        parameters: numbers in the network; None where not known.
        weights: the file of the weights on this machine, None where it is elsewhere.
        weights_url: where the weights are published; None where only `weights` holds them.
        licence_url: where the licence of the weights is read.
        doi: of the paper that describes the model.
        pretrained: whether the network learned something else before; None where not known.
        pretrained_source: what it learned from before; None where not known.
        imagery_dates: first and last moment of the imagery the model learned from; None where
            not known.
    """

    architecture: str = "Vision Transformer"
    parameters: int | None = None
    weights: Path | None = None
    weights_url: str | None = None
    licence_url: str | None = None
    doi: str | None = None
    pretrained: bool | None = None
    pretrained_source: str | None = None
    imagery_dates: tuple[datetime, datetime] | None = None


def describe_model(
    card: ModelCard, facts: ModelFacts, item_path: str | Path | None = None
) -> pystac.Item:
    """Describe a height model as a STAC 1.1 item with the MLM extension 1.5.

    Args:
        card: what the model expects and what it is.
        facts: what the card does not tell.
        item_path: where the item will stand; it need not exist. Local weights are named relative
            to it, and by their absolute path without it.

    Returns:
        The item; valid without a network but for the schemas of its extensions.

    Raises:
        ModelError: the weights are nowhere, or their file cannot be read.
    """
    west, south, east, north = _WORLD
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        id=card.name,
        geometry={"type": "Polygon", "coordinates": [corners]},
        bbox=_WORLD,
        datetime=None,
        properties=_properties(card, facts),
        stac_extensions=[MLM_SCHEMA],
    )
    if item_path is not None:
        item.set_self_href(Path(item_path).absolute().as_posix())
    _add_model(item, card, facts)
    _add_weights(item, card, facts)
    _add_links(item, card, facts)
    return item


def _properties(card: ModelCard, facts: ModelFacts) -> dict[str, Any]:
    """Return the item's properties but for those that the extensions add."""
    properties = {
        "title": card.title,
        "description": " ".join(text for text in (card.summary, card.notice) if text),
        **_times(facts),
        "license": _licence(card.licence),
        "canopy:model_version": card.version,
        "canopy:licence": card.licence,
        "canopy:training_data": card.training_data,
        "canopy:extent": (
            "Where the model may be tried, not where it was tested: the whole globe, at any date "
            "unless the dates of its training imagery are known."
        ),
    }
    return {name: value for name, value in properties.items() if value != ""}


def _times(facts: ModelFacts) -> dict[str, str]:
    """Return the interval of the imagery that the model is for.

    A model has no moment: the extension has `datetime` null and the interval tell which imagery
    it knows. Where the dates of the training imagery are known they are that interval. Where they
    are not, no interval would be better than a guess, but STAC demands one: the widest, which
    limits nothing and pretends nothing; the year 9999 is the extension's own way of saying that
    there is no end.
    """
    first, last = facts.imagery_dates or (EARLIEST, LATEST)
    return {
        "start_datetime": datetime_to_str(first.astimezone(UTC)),
        "end_datetime": datetime_to_str(last.astimezone(UTC)),
    }


def _licence(name: str) -> str:
    """Return a licence as STAC names it: an SPDX identifier, or ``other``."""
    return name if _SPDX.fullmatch(name) else "other"


def _add_model(item: pystac.Item, card: ModelCard, facts: ModelFacts) -> None:
    """Add what the MLM extension tells of the network."""
    # pystac does not know of version 1.5, whose additions the item does not use.
    MLMExtension.ext(item).apply(
        name=card.name,
        architecture=facts.architecture,
        tasks=[TaskType.REGRESSION],
        framework="PyTorch",
        memory_size=None if facts.parameters is None else FLOAT_BYTES * facts.parameters,
        total_parameters=facts.parameters,
        pretrained=facts.pretrained,
        pretrained_source=facts.pretrained_source,
        accelerator=AcceleratorType.CUDA,
        accelerator_constrained=False,
        accelerator_summary="A CUDA GPU where there is one; a CPU works too, slower.",
        input=[_input(card)],
        output=[_output(card)],
        hyperparameters=Hyperparameters.create(
            gsd_m=card.gsd_m,
            tile_px=card.tile_px,
            overlap_px=card.overlap_px,
            multiple_px=card.multiple_px,
            maximum_height_m=card.maximum_height_m,
        ),
    )
    if facts.pretrained_source is None and facts.pretrained is not False:
        # A null, which pystac writes, would say that the network learned from scratch.
        item.properties.pop(PRETRAINED_SOURCE_PROP)


def _input(card: ModelCard) -> ModelInput:
    """Return what the network takes: a batch of normalised tiles."""
    described = ModelInput.create(
        name="RGB image",
        bands=list(card.bands),
        input=InputStructure.create(
            shape=[-1, len(card.bands), card.tile_px, card.tile_px],
            dim_order=["batch", "channel", "height", "width"],
            data_type=DataType.FLOAT32,
        ),
        description=(
            f"Tiles of {card.tile_px} px at {card.gsd_m:g} m per pixel. Other sizes work where "
            f"both sides are multiples of {card.multiple_px} px."
        ),
        resize_type=ResizeType.PAD,
        pre_processing_function=ProcessingExpression.create(
            format="text",
            expression=(
                f"Resample to {card.gsd_m:g} m per pixel; divide 8-bit values by 255, to [0, 1]; "
                f"extend sides by their last row or column to a multiple of {card.multiple_px} "
                "px; then apply value_scaling."
            ),
        ),
    )
    # The extension has one scaling for each band; pystac's property would write a single one.
    described.properties["value_scaling"] = [
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=mean, stddev=std).to_dict()
        for mean, std in zip(card.mean, card.std, strict=True)
    ]
    return described


def _output(card: ModelCard) -> ModelOutput:
    """Return what the network gives: a batch of height maps."""
    return ModelOutput.create(
        name="canopy height",
        tasks=[TaskType.REGRESSION],
        result=ResultStructure.create(
            shape=[-1, card.tile_px, card.tile_px],
            dim_order=["batch", "height", "width"],
            data_type=DataType.FLOAT32,
        ),
        description=(
            f"Canopy height above ground in metres, from 0 to {card.maximum_height_m:g} m, one "
            "for each pixel of the image."
        ),
    )


def _add_weights(item: pystac.Item, card: ModelCard, facts: ModelFacts) -> None:
    """Add the weights with the bands they take, and size and checksum of a local file.

    Raises:
        ModelError: there are no weights.
    """
    asset = pystac.Asset(
        _weights_href(item, card, facts),
        title=f"Weights of {card.name}",
        media_type="application/octet-stream",
        roles=["mlm:model", "mlm:weights", "data"],
        extra_fields={"bands": [{"name": band} for band in card.bands]},
    )
    item.add_asset(WEIGHTS_ASSET, asset)
    suffix = Path(asset.href).suffix.lower()
    AssetGeneralMLMExtension.ext(asset).apply(_ARTIFACT_TYPES.get(suffix, "torch.save"))
    if facts.weights is not None:
        try:
            size, checksum = facts.weights.stat().st_size, multihash_sha256(facts.weights)
        except OSError as error:
            msg = f"cannot read {facts.weights} ({error.strerror}): expected the model's weights"
            raise ModelError(msg) from error
        FileExtension.ext(asset, add_if_missing=True).apply(size=size, checksum=checksum)


def _weights_href(item: pystac.Item, card: ModelCard, facts: ModelFacts) -> str:
    """Return where the weights are, for everyone if possible.

    Raises:
        ModelError: they are nowhere.
    """
    if facts.weights_url is not None:
        return facts.weights_url
    if facts.weights is None:
        msg = f"model {card.name} has neither a file nor a URL of its weights: give one of them"
        raise ModelError(msg)
    home = item.get_self_href()
    if home is None:
        return facts.weights.absolute().as_posix()
    return relative_href(facts.weights, Path(home).parent)


def _add_links(item: pystac.Item, card: ModelCard, facts: ModelFacts) -> None:
    """Link the licence, the page that describes the model, and the paper to cite."""
    if facts.licence_url is not None:
        title = f"Licence: {card.licence}"
        item.add_link(pystac.Link(pystac.RelType.LICENSE, facts.licence_url, title=title))
    if card.url:
        item.add_link(pystac.Link("about", card.url, title=f"About {card.name}"))
    if facts.doi is not None:
        # Adds the link `cite-as` to the paper too.
        ScientificExtension.ext(item, add_if_missing=True).apply(doi=facts.doi)
