"""A file of weights opened without trusting it: what kind it is, and the state dict inside.

Kinds are told by the first bytes, never by the name. No code of the file is ever run.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from canopy.errors import ModelError
from canopy.height_models.strict_weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Container = Literal["safetensors", "torch archive", "torch pickle"]

HEADER_BYTES = 16
ZIP, PICKLE, MARKUP, MARK = b"PK\x03\x04", b"\x80", b"<", b"\xef\xbb\xbf"
SUFFIX = ".safetensors"
"""By this end of a name torch, too, would believe the name and not the contents."""
PACKED = "._packed_params._packed_params"
"""How the name of a quantised layer's weights ends in a state dict."""


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """A file of weights as it stands on disk.

    Attributes:
        path: the file.
        container: how it is packed.
        state: names to tensors; a quantised layer has a tuple of packed weight and bias instead.
        wrapped: whether the state dict lay under ``state_dict`` in a larger dict.
    """

    path: Path
    container: Container
    state: dict[str, Any]
    wrapped: bool

    @property
    def quantised(self) -> bool:
        """Whether some layers are packed as int8, as dynamic quantisation leaves them."""
        return any(name.endswith(PACKED) for name in self.state)


def open_state_file(path: Path) -> StateFile:
    """Open a file of weights; large tensors stay on disk until they are used.

    Raises:
        ModelError: it is missing, broken, no file of weights, or wants to run code.
    """
    container = recognise_container(path)
    if container == "safetensors":
        return StateFile(
            path=path, container=container, state=read_safetensors(path), wrapped=False
        )
    stored = read_torch(path, mapped=container == "torch archive")
    state, wrapped = unwrapped(stored, path)
    if any(name.endswith(PACKED) for name in state):
        # Packed weights are unpacked one by one: read into memory, each can go when it is done.
        state, wrapped = unwrapped(read_torch(path, mapped=False), path)
    return StateFile(path=path, container=container, state=state, wrapped=wrapped)


def recognise_container(path: Path) -> Container:
    """Return how a file of weights is packed, from its first bytes.

    Raises:
        ModelError: it cannot be read, or is none.
    """
    if path.exists() and not path.is_file():
        msg = f"{path} is no file: expected a file of weights"
        raise ModelError(msg)
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        size = path.stat().st_size
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): expected a file of weights"
        raise ModelError(msg) from error
    if head.startswith(ZIP):
        return "torch archive"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "safetensors"
    if head.startswith(PICKLE):
        return "torch pickle"
    if head.removeprefix(MARK).lstrip().startswith(MARKUP):
        msg = f"{path} is a web page, expected a file of weights: fetch it again"
        raise ModelError(msg)
    msg = (
        f"{path} is no file of weights (it begins with {head[:4]!r}): expected a .pth or .ckpt "
        "saved by torch, or safetensors"
    )
    raise ModelError(msg)


def read_torch(path: Path, *, mapped: bool) -> object:
    """Return what torch saved in a file, tensors and plain containers alone.

    Raises:
        ModelError: the file is broken, or holds more than that.
    """
    with warnings.catch_warnings():
        # Old protocols, and quantised tensors, which torch will drop one day: no matter here.
        warnings.simplefilter("ignore")
        try:
            if mapped and path.suffix != SUFFIX:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ModelError(refusal(path, str(error))) from error
        except Exception as error:  # bytes that someone else wrote can fail in any way
            reason = " ".join(str(error).split())[:120]
            msg = f"{path} is broken ({reason or type(error).__name__}): fetch it again"
            raise ModelError(msg) from error


def refuse_damaged(path: Path) -> None:
    """Refuse an archive whose contents differ from their checksums; reads all of it.

    torch itself does not look.

    Raises:
        ModelError: they do.
    """
    if recognise_container(path) != "torch archive":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"{path} is broken ({error}): fetch it again"
        raise ModelError(msg) from error
    if damaged:
        msg = f"{path} is damaged ({damaged} differs from its checksum): fetch it again"
        raise ModelError(msg)


def refusal(path: Path, said: str) -> str:
    """Return in one line why a pickle was not read: it names something to run, or is no pickle."""
    asked = re.search(r"GLOBAL (\S+)", said) or re.search(r"function (\S+)", said)
    if asked:
        return (
            f"{path} wants to run code when it is opened ({asked[1]}): expected tensors alone, "
            "take the file from its authors, or as safetensors"
        )
    return (
        f"{path} is a pickle that is broken, or that would run code when it is opened: expected "
        "tensors as torch saves them, take the file from its authors, or as safetensors"
    )


def unwrapped(stored: object, path: Path) -> tuple[dict[str, Any], bool]:
    """Return the state dict of what a file holds, and whether it lay inside another dict.

    Raises:
        ModelError: there is none.
    """
    if isinstance(stored, dict):
        inner = stored.get("state_dict")
        state: Mapping[Any, Any] = inner if isinstance(inner, dict) else stored
        if state and all(isinstance(name, str) for name in state):
            return dict(state), state is inner
    msg = f"{path} holds {type(stored).__name__}, expected names with tensors (a state dict)"
    raise ModelError(msg)
