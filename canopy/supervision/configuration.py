"""Configurations of training: YAML in, frozen settings out, nothing unknown passes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeVar

import yaml

from canopy.errors import SettingsError
from canopy.height_models.folder import build

if TYPE_CHECKING:
    from pathlib import Path

Settings = TypeVar("Settings")

FLOAT = "tag:yaml.org,2002:float"
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")
"""Numbers with an exponent as YAML 1.2 has them: 1.1, as PyYAML reads it, takes 1e-3 for text."""


class NumberLoader(yaml.SafeLoader):  # type: ignore[misc] # published without types
    """Reads plain YAML; every number with an exponent is a number, and all are finite."""

    def finite(self, node: yaml.ScalarNode) -> float:
        """Return a number.

        Raises:
            ConstructorError: it is infinite, or none.
        """
        number = self.construct_yaml_float(node)
        if not math.isfinite(number):
            problem = f"{node.value} is no finite number"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return float(number)


NumberLoader.add_implicit_resolver(FLOAT, EXPONENT, list("-+.0123456789"))
NumberLoader.add_constructor(FLOAT, NumberLoader.finite)


def read_configuration(kind: type[Settings], path: Path) -> Settings:
    """Read settings from YAML; what it does not name has its default, unknown names are refused.

    Raises:
        SettingsError: it cannot be read.
        ModelError: a name or a value is refused.
    """
    if path.is_dir():
        msg = f"{path} is a folder: expected a configuration of training, a file in YAML"
        raise SettingsError(msg)
    if not path.is_file():
        msg = f"{path} does not exist: expected a configuration of training in YAML"
        raise SettingsError(msg)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = yaml.load(text, NumberLoader)  # noqa: S506 - it makes plain values, as its parent
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        msg = f"{path} cannot be read as YAML ({reason}): expected a configuration of training"
        raise SettingsError(msg) from error
    return build(kind, {} if values is None else values, path)
