"""What a run leaves in its folder: settings, a log of JSON lines, a checkpoint to go on from."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import torch

from canopy.errors import OutputError
from geo.outputs import others_in
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

SETTINGS_FILE, LOG_FILE, CHECKPOINT_FILE = "training.json", "log.jsonl", "checkpoint.pt"
MOST_NAMES = 5
"""Settings that an error names."""
BESIDE_RUNS = {".yaml", ".yml", ".log"}
"""Configurations and logs may stand there before a run begins; so may hidden files."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        path: where it is.
        scratch: files that stand there only while it goes on, and after a kill.
    """

    path: Path
    scratch: tuple[str, ...] = ()

    def check(self, *, resume: bool) -> None:
        """Refuse a place where no run can begin, before anything is read for it.

        Raises:
            OutputError: a file stands there, a run that is not to be gone on with, or what no run
                has begun.
        """
        refuse_file(self.path)
        if resume and self.has_begun:
            return
        if not resume and self.has_learned:
            msg = f"{self.path} holds a run: go on from it with --resume, or name another folder"
            raise OutputError(msg)
        begun = (SETTINGS_FILE, *self.scratch) if self.has_begun else ()
        refuse_others(self.path, begun)

    @property
    def has_begun(self) -> bool:
        """Whether a run wrote its settings there, or more."""
        return self.has_learned or (self.path / SETTINGS_FILE).exists()

    @property
    def has_learned(self) -> bool:
        """Whether a run there got beyond its settings: else nothing is lost by beginning anew."""
        return any((self.path / name).exists() for name in (LOG_FILE, CHECKPOINT_FILE))

    def open(self, settings: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """Begin a run, or return the checkpoint to go on from, None where there is none yet.

        Raises:
            OutputError: a run stands there and is not to be gone on with, or cannot be.
        """
        if resume and self.has_begun:
            return self.resume(settings)
        if resume:
            log.info("%s holds no run to go on from: it is begun anew", self.path)
        self.begin(settings)
        return None

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folder and write the resolved settings.

        Raises:
            OutputError: a file, a run, or something else stands there already.
        """
        self.check(resume=False)
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / SETTINGS_FILE, settings)

    def resume(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Return the last checkpoint, None where the run was stopped before the first.

        Raises:
            OutputError: its settings are others or broken, or its checkpoint is broken.
        """
        try:
            begun = json.loads((self.path / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{self.path / SETTINGS_FILE} of the run cannot be read: name another folder"
            raise OutputError(msg) from error
        settings = json.loads(json.dumps(settings))  # lists for tuples, as on disk
        if begun != settings:
            names = differing(begun, settings)
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            way_out = "name another folder" if self.has_learned else "begin anew without --resume"
            msg = (
                f"{self.path} was begun with another {', '.join(names[:MOST_NAMES])}{more}: give "
                f"what it was begun with, or {way_out}"
            )
            raise OutputError(msg)
        path = self.path / CHECKPOINT_FILE
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            msg = f"{path} cannot be read ({type(error).__name__}): delete it to begin anew"
            raise OutputError(msg) from error
        self.forget_after(int(state["step"]))
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint in one step."""
        with whole_file(self.path / CHECKPOINT_FILE) as part:
            torch.save(state, part)

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to the log."""
        with (self.path / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """Return all whole lines of the log."""
        path = self.path / LOG_FILE
        if not path.exists():
            return []
        records = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:  # a kill can tear the last line
                break
        return records

    def forget_after(self, step: int) -> None:
        """Drop lines of steps that will be made again."""
        kept = [record for record in self.read_log() if record["step"] <= step]
        with whole_file(self.path / LOG_FILE) as part:
            part.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def refuse_file(path: Path) -> None:
    """Refuse a file where the folder of a run shall stand.

    Raises:
        OutputError: as said.
    """
    if path.exists() and not path.is_dir():
        msg = f"output {path} is a file: expected a folder for the run, name another"
        raise OutputError(msg)


def refuse_others(path: Path, own: Sequence[str]) -> None:
    """Refuse a folder that holds other things, which a run would replace or mingle with.

    Args:
        path: the folder; it may be missing.
        own: names of what may stand there, as patterns of a shell.

    Raises:
        OutputError: as said.
    """

    def is_own(name: str) -> bool:
        beside = name.startswith(".") or PurePath(name).suffix.lower() in BESIDE_RUNS
        return beside or any(fnmatchcase(name, pattern) for pattern in own)

    if path.is_dir() and (others := others_in(path, is_own)):
        msg = (
            f"output {path} holds {others}, which no run wrote there: name a folder for the run "
            "alone"
        )
        raise OutputError(msg)


def differing(before: Any, now: Any, name: str = "") -> list[str]:  # noqa: ANN401 - values of JSON
    """Return the names of settings that differ, as a configuration has them: ``run.steps``."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [name or "configuration"]
    names = sorted(before.keys() | now.keys())
    inner = [(each, f"{name}.{each}" if name else each) for each in names]
    return [
        found for each, full in inner for found in differing(before.get(each), now.get(each), full)
    ]


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
