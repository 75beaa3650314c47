"""The conda environment and the packages' imports are held to the one list in pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("canopy", "geo", "decoders", "cli")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENT = (ROOT / "environment.yml").read_text()

# What the user fixed: these seven and torch are the ground the project stands on.
FIXED = {
    "torch",
    "rasterio",
    "geopandas",
    "xarray",
    "dask",
    "segmentation-models-pytorch",
    "pystac-client",
    "typer",
}

# Folders, and a file, that may import what an extra brings, and the extra.
EXTRAS = {
    "supervision": "train",
    "learning": "train",
    "checkpoints": "chmv2",
    "catalog": "planetary-computer",
    "gedi": "gedi",
    "bucket_store.py": "s3",
}


def canonical(name: str) -> str:
    """Return a distribution's name in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bare(requirement: str) -> str:
    """Return the name that a requirement starts with, pip's or conda's."""
    return canonical(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])


def names(requirements: list[str]) -> set[str]:
    return {bare(requirement) for requirement in requirements}


def environment_faults(environment: str, project: dict[str, Any]) -> list[str]:
    """Return what keeps an environment file from being the same install as the project's."""
    listed = yaml.safe_load(environment)["dependencies"]
    conda = [entry for entry in listed if isinstance(entry, str)]
    pip = [line for entry in listed if isinstance(entry, dict) for line in entry["pip"]]
    faults = []
    if f"python{project['requires-python']}" not in conda:
        faults.append(f"python must be {project['requires-python']}, found {conda}")
    if "pip" not in conda:
        faults.append("pip must be named: conda does not bring it by itself")
    if pip != ["-e ."]:
        faults.append(f"pip must install the project and nothing else, found {pip}")
    if second := sorted(names(conda) - {"python", "pip"}):
        faults.append(f"a second list beside pyproject.toml: {second}")
    return faults


def test_conda_users_get_the_install_of_pyproject() -> None:
    assert environment_faults(ENVIRONMENT, PROJECT) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("python>=3.11", "python>=3.10", "python must be"),
        ("python>=3.11", "python", "python must be"),
        ("  - pip\n", "", "pip must be named"),
        ("-e .", "canopy-height", "nothing else"),
        ("      - -e .", "      - -e .\n      - torch", "nothing else"),
        ("  - pip\n", "  - pip\n  - rasterio>=1.3\n", "rasterio"),
        ("  - pip\n", "  - pip\n  - gdal\n", "gdal"),
    ],
)
def test_a_drifted_environment_is_caught(old: str, new: str, fault: str) -> None:
    assert old in ENVIRONMENT
    faults = environment_faults(ENVIRONMENT.replace(old, new), PROJECT)
    assert any(fault in found for found in faults), faults


def test_a_newer_python_in_pyproject_is_caught() -> None:
    assert environment_faults(ENVIRONMENT, {**PROJECT, "requires-python": ">=3.12"})


def test_the_fixed_dependencies_are_named() -> None:
    assert names(PROJECT["dependencies"]) >= FIXED


def test_bounds_are_plain_lower_bounds() -> None:
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement), requirement


def imported_modules(path: Path) -> set[str]:
    """Return the top-level names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def undeclared(path: Path, declared: set[str]) -> set[str]:
    """Return the modules that a file imports from distributions outside the list."""
    foreign = imported_modules(path) - set(sys.stdlib_module_names) - set(PACKAGES)
    owners = packages_distributions()
    return {
        module
        for module in foreign
        if not declared & {canonical(owner) for owner in owners.get(module, [module])}
    }


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_is_declared(path: Path) -> None:
    declared = names(PROJECT["dependencies"])
    for folder, extra in EXTRAS.items():
        if folder in path.parts:
            declared |= names(PROJECT["optional-dependencies"][extra])
    assert undeclared(path, declared) == set()


def test_an_undeclared_import_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("import json\nimport numpy\n\ndef late():\n    from pytest import mark\n")
    assert undeclared(path, {"numpy"}) == {"pytest"}
