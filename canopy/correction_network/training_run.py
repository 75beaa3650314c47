"""The configuration of ``canopy train correction``: which footprints over which images, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from canopy.correction_network.network import CorrectionArchitecture
from canopy.errors import SettingsError
from canopy.learning.settings import RunSettings
from canopy.supervision.configuration import read_configuration

if TYPE_CHECKING:
    from pathlib import Path

FARTHEST_M = 50.0
"""No footprint lies farther from where it is reported [m]."""


@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """An image and footprints over it; paths are relative to the configuration.

    Attributes:
        image: anything that ``canopy map`` takes.
        footprints: a table, as ``canopy gedi ingest`` writes it.
        item: STAC item that tells sun and view of the image; empty for none.
        sun_elevation: said here instead [degrees].
        off_nadir: said here instead [degrees].
        slope: of the ground, the same everywhere [degrees].
        terrain: raster of ground elevations [m] that tells slopes, instead; empty for none.
    """

    image: str
    footprints: str
    item: str = ""
    sun_elevation: float | None = None
    off_nadir: float | None = None
    slope: float | None = None
    terrain: str = ""


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """Which footprints are learned from.

    Attributes:
        percentile: rank of the relative height that is learned.
        gsd_m: side of the pixels that the network sees: that of the maps it will correct [m].
        rh_column: column of relative heights [m]; empty for that of the rank, such as rh95.
        filters: whether quality_flag, degrade_flag and sensitivity leave shots out.
        least_sensitivity: shots with less are left out.
        full_power: whether shots of coverage beams are left out.
        tallest_m: shots with more are left out: clouds and wires [m].
        geolocation_m: how far shots lie from where they are reported, root mean square [m]; some
            10 m for GEDI version 2.
        block_m: side of the blocks of ground that are kept aside or learned from [m].
        aside: share of the blocks kept aside, 0.05 to 0.5.
        seed: of the dealing of blocks.
    """

    percentile: float = 95.0
    gsd_m: float = 0.6
    rh_column: str = ""
    filters: bool = True
    least_sensitivity: float = 0.9
    full_power: bool = False
    tallest_m: float = 120.0
    geolocation_m: float = 10.0
    block_m: float = 500.0
    aside: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: as said.
        """
        if not (0 < self.percentile <= 100 and self.gsd_m > 0 and self.tallest_m > 0):  # noqa: PLR2004
            numbers = (
                f"percentile {self.percentile}, gsd_m {self.gsd_m}, tallest_m {self.tallest_m}"
            )
            msg = f"{numbers}: expected above 0, the percentile up to 100"
            raise SettingsError(msg)
        if not 0 <= self.geolocation_m <= FARTHEST_M:
            msg = f"geolocation_m {self.geolocation_m}: expected 0 to {FARTHEST_M:g} m"
            raise SettingsError(msg)
        if not (0.05 <= self.aside <= 0.5 and self.block_m >= 1):  # noqa: PLR2004
            msg = (
                f"aside {self.aside}, block_m {self.block_m}: expected 0.05 to 0.5, and 1 m or more"
            )
            raise SettingsError(msg)


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """How windows and facts are changed while they are learned from.

    Attributes:
        turn: whether windows are turned and mirrored.
        brightness: standard deviation of the logarithm of a factor on all colours.
        colour: the same on each colour.
        hide: chance that each fact is taken away, so that the network learns to do without.
    """

    turn: bool = True
    brightness: float = 0.1
    colour: float = 0.04
    hide: float = 0.2

    def __post_init__(self) -> None:
        """Refuse chances that are none.

        Raises:
            SettingsError: as said.
        """
        if not 0 <= self.hide <= 1 or min(self.brightness, self.colour) < 0:
            numbers = f"hide {self.hide}, brightness {self.brightness}, colour {self.colour}"
            msg = f"{numbers}: expected 0 to 1, and 0 or more"
            raise SettingsError(msg)


@dataclass(frozen=True, kw_only=True)
class CardText:
    """What the card says beyond what training knows."""

    name: str = "my-correction-network"
    version: str = "1"
    summary: str = "Correction network trained with canopy."
    licence: str = "unknown"
    training_data: str = ""
    simulated: bool = False
    notice: str = ""
    url: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CorrectionRun:
    """Everything that decides which weights come out.

    Attributes:
        pairs: images and the footprints over them.
        samples: which footprints are learned from.
        start: network to begin from, the name of one or a folder relative to the configuration;
            empty for weights at random.
        network: its sizes; None for those of the network to begin from, or of the default.
        views: how windows are changed.
        batch: windows of a step.
        run: how long and how fast it learns.
        card: what its card says.
    """

    pairs: tuple[ImagePair, ...]
    samples: SampleSettings = field(default_factory=SampleSettings)
    start: str = ""
    network: CorrectionArchitecture | None = None
    views: ViewSettings = field(default_factory=ViewSettings)
    batch: int = 32
    run: RunSettings = field(default_factory=RunSettings)
    card: CardText = field(default_factory=CardText)

    @property
    def architecture(self) -> CorrectionArchitecture:
        """Sizes of the network."""
        return self.network or CorrectionArchitecture()

    def __post_init__(self) -> None:
        """Refuse a run without anything to learn from.

        Raises:
            SettingsError: as said.
        """
        if not self.pairs or self.batch < 1:
            msg = f"{len(self.pairs)} pairs, batch {self.batch}: expected one of each or more"
            raise SettingsError(msg)


def read_correction_run(path: Path) -> CorrectionRun:
    """Read a configuration from YAML.

    Raises:
        SettingsError: it cannot be read, or a value makes no sense.
        ModelError: a name or a value is refused.
    """
    return read_configuration(CorrectionRun, path)
