"""The models that can be asked for by name, each with its licence and where it is published."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from canopy.errors import ModelError

OBJECT_STORE = "https://dataforgood-fb-data.s3.amazonaws.com/forests/v1/models/saved_checkpoints/"
"""The released CHMv1 files, as the README of facebookresearch/HighResCanopyHeight names them."""

CHMV1_LICENCE = "https://github.com/facebookresearch/HighResCanopyHeight/blob/main/LICENSE"
DINOV3_LICENCE = "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A model that comes with the package."""


@dataclass(frozen=True, kw_only=True)
class HttpFile:
    """One file on a web server.

    Attributes:
        url: https, or http on this machine.
        file_name: name of the file in the cache.
        sha256: hexadecimal; None where its publisher does not tell, which makes the first file
            that is fetched the one that later files are compared with.
    """

    url: str
    file_name: str
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository on the Hugging Face Hub.

    Attributes:
        repo: ``OWNER/NAME``.
        revision: branch, tag or commit; None for the default branch, of which the first commit
            that is fetched stays the one in use.
        files: what is taken, by name or pattern.
        endpoint: address of another Hub; None for the public one.
    """

    repo: str
    revision: str | None = None
    files: tuple[str, ...]
    endpoint: str | None = None

    @property
    def page(self) -> str:
        """Address of the page where its licence is read and accepted."""
        return f"{self.endpoint or 'https://huggingface.co'}/{self.repo}"


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """A released model.

    Attributes:
        name: what it is asked for by.
        summary: one sentence.
        kind: what it does.
        licence: SPDX expression of the licence of the weights.
        licence_url: where the licence is read.
        restricted: whether the licence must be accepted before the weights are fetched.
        imagery: what its decoder learned from.
        parameters: numbers in the network.
        approximate_bytes: size of what is fetched, as far as its publisher tells [bytes].
        source: where it comes from.
    """

    name: str
    summary: str
    kind: Literal["height model", "colour matching"] = "height model"
    licence: str
    licence_url: str
    restricted: bool = False
    imagery: Literal["satellite", "aerial", "any"]
    parameters: int
    approximate_bytes: int
    source: Shipped | HttpFile | HubRepository


HUGE, LARGE, COLOURS = 677_735_648, 337_550_240, 780_318
"""Numbers in the three networks of CHMv1."""


def _chmv1(name: str, file_name: str, parameters: int, size: int, **facts: Any) -> ZooEntry:  # noqa: ANN401 - fields of the entry
    """Return a file of CHMv1: all lie in one folder, under one licence."""
    return ZooEntry(
        name=name,
        licence="Apache-2.0",
        licence_url=CHMV1_LICENCE,
        parameters=parameters,
        approximate_bytes=size,
        source=HttpFile(url=OBJECT_STORE + file_name, file_name=file_name),
        **facts,
    )


ZOO: tuple[ZooEntry, ...] = (
    ZooEntry(
        name="canopy-tiny",
        summary="Small model for trying the tool, not for decisions; ships with canopy.",
        licence="Apache-2.0",
        licence_url="https://www.apache.org/licenses/LICENSE-2.0",
        imagery="aerial",
        parameters=3_003_632,
        approximate_bytes=12_054_824,
        source=Shipped(),
    ),
    _chmv1(
        "chmv1-huge",
        "SSLhuge_satellite.pth",
        HUGE,
        int(2.9 * 1024) * MIB,
        summary="CHMv1, huge; encoder and decoder trained on satellite images.",
        imagery="satellite",
    ),
    _chmv1(
        "chmv1-huge-int8",
        "compressed_SSLhuge.pth",
        HUGE,
        749 * MIB,
        summary="CHMv1, huge, quantised; the model used in the evaluations of the paper.",
        imagery="satellite",
    ),
    _chmv1(
        "chmv1-large-int8",
        "compressed_SSLlarge.pth",
        LARGE,
        400 * MIB,
        summary="CHMv1, large, quantised; the smaller model of the paper's ablation.",
        imagery="satellite",
    ),
    _chmv1(
        "chmv1-aerial-int8",
        "compressed_SSLhuge_aerial.pth",
        HUGE,
        749 * MIB,
        summary="CHMv1, huge, quantised; decoder trained on aerial images.",
        imagery="aerial",
    ),
    _chmv1(
        "chmv1-colours",
        "aerial_normalization_quantiles_predictor.ckpt",
        COLOURS,
        4 * COLOURS,
        summary="Colour matching of aerial images to the satellite images CHMv1 learned from.",
        kind="colour matching",
        imagery="aerial",
    ),
    ZooEntry(
        name="chmv2",
        summary="CHMv2, DINOv3 large; its repository is gated, its licence restricts the use.",
        licence="LicenseRef-DINOv3",
        licence_url=DINOV3_LICENCE,
        restricted=True,
        imagery="any",
        parameters=336_876_800,
        approximate_bytes=4 * 336_876_800,
        source=HubRepository(
            repo="facebook/dinov3-vitl16-chmv2-dpt-head",
            files=("config.json", "model.safetensors", "preprocessor_config.json"),
        ),
    ),
)
"""All released models, the one that ships first."""


def find_entry(name: str) -> ZooEntry:
    """Return the released model of a name.

    Raises:
        ModelError: there is none; the line names the near ones and all.
    """
    names = [entry.name for entry in ZOO]
    if name in names:
        return ZOO[names.index(name)]
    near = get_close_matches(name.lower(), names, n=2)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    msg = f"no model {name!r} in the zoo{hint}: expected one of {', '.join(names)}"
    raise ModelError(msg)
