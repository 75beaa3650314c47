"""A correction network as a folder: ``config.json`` and ``model.safetensors``, read strictly."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file

from canopy.correction_network.network import CorrectionArchitecture, CorrectionNetwork
from canopy.errors import ModelError
from canopy.height_models.folder import CONFIG_FILE, UNBUILDABLE, WEIGHTS_FILE, build
from canopy.height_models.strict_weights import (
    load_state_strictly,
    read_safetensors,
    refuse_no_numbers,
)
from canopy.inference_threads import submitting
from canopy.radiometry import normalise
from canopy.weights import choose_device
from canopy.zoo.cache import file_sha256, shipped_folder
from geo.errors import MapFileError
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from canopy.correction_network.metadata import Metadata
    from geo.raster import Pixels

Array = NDArray[np.float64]

KIND = "correction"
BATCH = 32
"""Windows predicted at once, filled up where there are fewer: a height must not depend on how many
others are asked for with it."""


@dataclass(frozen=True, kw_only=True)
class CorrectionCard:
    """What a user of a correction network must know; the content of ``config.json``.

    Attributes:
        kind: tells it from a height model.
        name: short name.
        version: version of the weights.
        summary: one sentence.
        licence: SPDX identifier or name of the licence of the weights.
        training_data: what the weights learned from.
        gsd_m: side of the pixels it sees [m].
        percentile: rank of the relative height it predicts.
        mean: mean of red, green and blue, of pixels in [0, 1].
        std: their standard deviation.
        offset: median of ln(RH / prediction) on ground kept aside; added to predictions.
        noise: spread of the same about it, 1.4826 times the median magnitude.
        forest_noise: spread of its medians about it, of blocks of ground kept aside, without what
            chance adds to a median: how far the network may be off in a whole forest, however many
            windows of it are seen.
        geolocation_m: how far the footprints that it learned from lay from where they were
            reported, root mean square [m].
        simulated: whether it learned from simulated forests, or began from a network that did.
        notice: what every user must be told, in one sentence.
        url: where it is described.
        notes: what a careful user wants to know.
    """

    kind: Literal["correction"] = "correction"
    name: str
    version: str
    summary: str
    licence: str
    training_data: str
    gsd_m: float
    percentile: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    offset: float = 0.0
    noise: float = 0.2
    forest_noise: float = 0.0
    geolocation_m: float = 0.0
    simulated: bool = False
    notice: str = ""
    url: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def __post_init__(self) -> None:
        """Refuse numbers that no model has.

        Raises:
            ValueError: one of them is out of range.
        """
        numbers = (*self.mean, *self.std, self.gsd_m, self.percentile, self.offset, self.noise)
        if not all(map(math.isfinite, numbers)) or min(*self.std, self.gsd_m, self.noise) <= 0:
            msg = (
                f"gsd_m {self.gsd_m}, std {self.std}, noise {self.noise}: expected numbers above 0"
            )
            raise ValueError(msg)
        errors = (self.forest_noise, self.geolocation_m)
        if not all(map(math.isfinite, errors)) or min(errors) < 0:
            msg = (
                f"forest_noise {self.forest_noise}, geolocation_m {self.geolocation_m}: expected "
                "numbers of 0 or more"
            )
            raise ValueError(msg)
        if not 0 < self.percentile <= 100:  # noqa: PLR2004
            msg = f"percentile {self.percentile}: expected above 0 up to 100"
            raise ValueError(msg)


@dataclass(frozen=True, kw_only=True)
class CorrectionModel:
    """A network with its card.

    Attributes:
        network: the network, in evaluation mode.
        card: what it expects and is.
        architecture: its sizes.
        fingerprint: SHA-256 of its weights' file; empty for what was never saved.
        device: where it runs.
    """

    network: CorrectionNetwork
    card: CorrectionCard
    architecture: CorrectionArchitecture
    fingerprint: str = ""
    device: str = "cpu"

    @property
    def window_px(self) -> int:
        """Side of a window [px]."""
        return self.architecture.window_px

    @property
    def identity(self) -> dict[str, str]:
        """What decides about its predictions."""
        card = self.card
        numbers = json.dumps([card.gsd_m, card.percentile, card.mean, card.std,
                              card.offset, card.noise, card.forest_noise,
                              card.geolocation_m])  # fmt: skip
        return {"name": card.name, "version": card.version, "weights": self.fingerprint,
                "numbers": numbers}  # fmt: skip

    def predict(self, windows: Pixels, metadata: Metadata) -> Array:
        """Return relative heights at the middles of windows (n,) [m], the card's offset included.

        Args:
            windows: (n, 3, window_px, window_px), uint8 or float32 in [0, 1].
            metadata: what is known of them.
        """
        facts = metadata.encoded()
        with submitting(torch.device(self.device)) as submit:
            batches = [
                submit(self._batch, windows[first : first + BATCH], facts[first : first + BATCH])
                for first in range(0, len(windows), BATCH)
            ]
            found = [batch.result() for batch in batches]
        heights: Array = np.exp(self.card.offset) * np.concatenate([np.zeros(0), *found])
        return heights

    @torch.inference_mode()
    def _batch(self, windows: Pixels, facts: NDArray[np.float32]) -> Array:
        """Return the heights of a batch, filled up to its full size with nothing."""
        count = len(windows)
        whole = np.zeros((BATCH, *windows.shape[1:]), windows.dtype)
        known = np.zeros((BATCH, facts.shape[1]), np.float32)
        whole[:count], known[:count] = windows, facts
        images = torch.from_numpy(whole).to(self.device)
        pixels = normalise(images, self.card.mean, self.card.std)
        heights = self.network(pixels, torch.from_numpy(known).to(self.device))
        found: Array = heights[:count].cpu().numpy().astype(np.float64)
        return found


def load_correction_model(name: str | Path, *, device: str = "cpu") -> CorrectionModel:
    """Load a correction network.

    Args:
        name: of one that ships with the package, or a folder with ``config.json`` and
            ``model.safetensors``.
        device: where it shall run: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.

    Raises:
        ModelError: the device cannot be used, there is no such network, a file is missing or
            broken, it is no correction network, or its weights differ in name or shape from what
            the configuration says, or are no numbers.
    """
    target = str(choose_device(device))
    folder = find_correction_model(name)
    card, architecture = read_correction_config(folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    try:
        with torch.device("meta"):
            network = CorrectionNetwork(architecture)
        load_state_strictly(network, read_safetensors(path), path)
    except UNBUILDABLE as error:
        msg = f"{folder / CONFIG_FILE}: no network can be built ({' '.join(str(error).split())})"
        raise ModelError(msg) from error
    refuse_no_numbers(network, path)
    return CorrectionModel(
        network=network.eval().to(target).add_exactly(),
        card=card,
        architecture=architecture,
        fingerprint=file_sha256(path),
        device=target,
    )


def find_correction_model(name: str | Path) -> Path:
    """Return the folder of a correction network.

    Raises:
        ModelError: there is none.
    """
    for folder in (Path(name), shipped_folder() / str(name)):
        if str(name) and (folder / CONFIG_FILE).is_file():
            return folder
    msg = (
        f"no correction network {name}: expected one of {', '.join(shipped_corrections())}, or a "
        f"folder with {CONFIG_FILE} and {WEIGHTS_FILE} of canopy train correction"
    )
    raise ModelError(msg)


def shipped_corrections() -> list[str]:
    """Return the names of the correction networks that ship with the package."""
    return [
        path.parent.name
        for path in sorted(shipped_folder().glob(f"*/{CONFIG_FILE}"))
        if json.loads(path.read_text(encoding="utf-8")).get("kind") == KIND
    ]


def read_correction_config(path: Path) -> tuple[CorrectionCard, CorrectionArchitecture]:
    """Read ``config.json``.

    Raises:
        ModelError: it is not that of a correction network, or a field is wrong.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as JSON ({error}): expected a model's configuration"
        raise ModelError(msg) from error
    if not isinstance(values, dict) or values.get("kind") != KIND:
        msg = (
            f"{path} is of no correction network: expected kind {KIND!r}, give one that canopy "
            "train correction made"
        )
        raise ModelError(msg)
    architecture = values.pop("architecture", None)
    return build(CorrectionCard, values, path), build(CorrectionArchitecture, architecture, path)


def save_correction_model(model: CorrectionModel, folder: Path) -> None:
    """Write a model as ``config.json`` and ``model.safetensors`` into a folder, both or neither.

    Raises:
        ModelError: the folder cannot be written.
    """
    config = {**asdict(model.card), "architecture": asdict(model.architecture)}
    tensors = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    final = folder / CONFIG_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Weights are moved first, and in between there is no configuration of another model.
        with whole_file(final) as written, whole_file(folder / WEIGHTS_FILE) as weights:
            save_file(tensors, weights)
            weights.chmod(0o644)  # safetensors makes it readable by its owner alone
            written.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            final.unlink(missing_ok=True)
    except (OSError, MapFileError, SafetensorError) as error:
        msg = f"model {model.card.name} cannot be saved ({error}): name another folder"
        raise ModelError(msg) from error
