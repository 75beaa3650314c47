"""Configurations of training: YAML in, frozen settings out, nothing unknown passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import yaml

from canopy.errors import SettingsError
from canopy.height_models.folder import build

if TYPE_CHECKING:
    from pathlib import Path

Settings = TypeVar("Settings")


def read_configuration(kind: type[Settings], path: Path) -> Settings:
    """Read settings from YAML; what it does not name has its default, unknown names are refused.

    Raises:
        SettingsError: it cannot be read.
        ModelError: a name or a value is refused.
    """
    if not path.is_file():
        msg = f"{path} does not exist: expected a configuration of training in YAML"
        raise SettingsError(msg)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        msg = f"{path} cannot be read as YAML ({reason}): expected a configuration of training"
        raise SettingsError(msg) from error
    return build(kind, {} if values is None else values, path)
