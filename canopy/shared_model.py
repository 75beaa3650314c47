"""A model that many processes predict with: loaded once in each, or sent to each once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from canopy.errors import ModelError
from canopy.mapping.map_heights import adapted
from canopy.weights import load_height_model

if TYPE_CHECKING:
    from canopy.height_models.height_model import HeightModel
    from canopy.mapping.settings import MapSettings

loading = RLock()


@dataclass(frozen=True, kw_only=True)
class NamedModel:
    """A model that each process loads by its name when it first predicts.

    Attributes:
        name: a name of the zoo, a folder, a file or ``hf:OWNER/REPO``, the same for all.
        device: ``auto``, ``cpu`` or ``cuda``, decided where it runs.
        settings: how it normalises and runs.
        fingerprint: sha256 of the weights that all must have.
    """

    name: str
    device: str
    settings: MapSettings
    fingerprint: str

    def load(self) -> HeightModel:
        """Return the model.

        Raises:
            ModelError: it cannot be loaded here, or has other weights here.
        """
        with loading:
            if self not in kept:
                keep(self, self._loaded())
            return kept[self]

    def _loaded(self) -> HeightModel:
        model = adapted(load_height_model(self.name, device=self.device), self.settings)
        if model.fingerprint != self.fingerprint:
            msg = (
                f"{self.name} has other weights in this process ({model.fingerprint[:12]}) than "
                f"where it was planned ({self.fingerprint[:12]}): give all workers the same"
            )
            raise ModelError(msg)
        return model


@dataclass(frozen=True, kw_only=True)
class GivenModel:
    """A model in memory, which a scheduler sends to each process once."""

    model: HeightModel

    def load(self) -> HeightModel:
        """Return the model."""
        return self.model


SharedModel = NamedModel | GivenModel

kept: dict[NamedModel, HeightModel] = {}
"""The model that was loaded last in this process."""


def share_model(
    model: HeightModel | str | Path, device: str, settings: MapSettings
) -> tuple[SharedModel, HeightModel]:
    """Return a model as processes share it, and as it is here.

    Raises:
        CanopyError: it cannot be loaded, or does not run as the settings want.
    """
    if not isinstance(model, str | Path):
        given = adapted(model, settings)
        return GivenModel(model=given), given
    named, here = name_model(model, device, settings)
    keep(named, here)
    return named, here


def name_model(
    model: str | Path, device: str, settings: MapSettings
) -> tuple[NamedModel, HeightModel]:
    """Load a model, and return as well how other processes find the same.

    Raises:
        CanopyError: it cannot be loaded, or does not run as the settings want.
    """
    # Workers may have another working directory.
    path = Path(model)
    name = str(path.absolute()) if path.exists() else str(model)
    here = adapted(load_height_model(name, device=device), settings)
    named = NamedModel(name=name, device=device, settings=settings, fingerprint=here.fingerprint)
    return named, here


def keep(named: NamedModel, model: HeightModel) -> None:
    """Remember a model, and forget the one before: a large one fills a device alone."""
    with loading:
        kept.clear()
        kept[named] = model
