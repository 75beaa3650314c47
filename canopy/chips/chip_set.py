"""A set of chips on disk: an index that any GIS opens, and files of many chips that stream.

``index.parquet`` (GeoParquet) has a row for each chip: split, site, block, ground, heights, and
where it stands. ``SPLIT-NNNNN.safetensors`` holds images (n, 3, side, side) as uint8 and heights
(n, side, side) in centimetres as int16, -1 where the lidar knows nothing. ``set.json`` holds the
settings. Nothing in it can run code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from canopy.chips.settings import SPLITS, ChipSettings
from canopy.errors import ModelError, SettingsError
from canopy.height_models.folder import build
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from canopy.chips.chip import Chip

INDEX_FILE, SETTINGS_FILE = "index.parquet", "set.json"
CENTIMETRES, UNKNOWN = 100, -1


@dataclass(frozen=True, kw_only=True)
class ChipSet:
    """A set of chips.

    Attributes:
        folder: where it stands.
        settings: how it was cut.
        index: a row for each chip.
    """

    folder: Path
    settings: ChipSettings
    index: gpd.GeoDataFrame

    def chips(self, split: str) -> Chips:
        """Return the chips of a split, for torch to read one by one.

        Raises:
            SettingsError: there is no such split, or nothing in it.
        """
        if split not in SPLITS:
            msg = f"split {split}: expected one of {', '.join(SPLITS)}"
            raise SettingsError(msg)
        rows = self.index[self.index["split"] == split]
        if rows.empty:
            msg = f"{self.folder} has no chip to {split}: cut it anew with a share for {split}"
            raise SettingsError(msg)
        places = list(zip(rows["file"], rows["place"], strict=True))
        return Chips(self.folder, places)


class Chips(torch.utils.data.Dataset[dict[str, "Tensor"]]):
    """Chips of one split; a file is mapped, and only what is asked for is read."""

    def __init__(self, folder: Path, places: Sequence[tuple[str, int]]) -> None:
        """Remember where the chips stand."""
        self.folder, self.places = folder, places

    def __len__(self) -> int:
        """Return the number of chips."""
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one chip.

        Returns:
            ``image`` (3, side, side) uint8, ``heights`` (side, side) float32 [m], 0 where not
            known, and ``known`` (side, side) bool, True where the height is known.

        Raises:
            SettingsError: its file is missing or broken.
        """
        name, place = self.places[index]
        path = self.folder / Path(name).name
        try:
            with safe_open(path, framework="pt") as file:
                image = file.get_slice("images")[place]
                stored = file.get_slice("heights_cm")[place]
        except (OSError, SafetensorError) as error:
            msg = f"{path} cannot be read ({error}): cut the set anew"
            raise SettingsError(msg) from error
        known = stored != UNKNOWN
        heights = torch.where(known, stored, 0).float() / CENTIMETRES
        return {"image": image, "heights": heights, "known": known}


def write_chips(chips: Sequence[Chip], path: Path) -> None:
    """Write chips as one file, whole or not at all."""
    images = np.stack([chip.image for chip in chips])
    heights = np.stack(
        [
            np.where(chip.known, np.rint(chip.heights * CENTIMETRES), UNKNOWN).astype(np.int16)
            for chip in chips
        ]
    )
    tensors = {"images": torch.from_numpy(images), "heights_cm": torch.from_numpy(heights)}
    with whole_file(path) as part:
        save_file(tensors, part)
        part.chmod(0o644)  # safetensors makes it readable by its owner alone


def write_settings(settings: ChipSettings, folder: Path, facts: dict[str, Any]) -> None:
    """Write how a set was cut, and what it holds."""
    record = {"settings": asdict(settings), **facts}
    with whole_file(folder / SETTINGS_FILE) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def open_chip_set(folder: Path) -> ChipSet:
    """Open a set of chips.

    Raises:
        SettingsError: it is none, or is broken.
    """
    try:
        record = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        settings = build(ChipSettings, record["settings"], folder / SETTINGS_FILE)
        index = gpd.read_parquet(folder / INDEX_FILE)
    except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
        msg = f"{folder} is no whole set of chips ({error}): make one with canopy chips"
        raise SettingsError(msg) from error
    return ChipSet(folder=folder, settings=settings, index=index)
