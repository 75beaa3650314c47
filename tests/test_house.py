"""The house rules: who may import whom, and the habits that a linter does not know."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("canopy", "geo", "decoders", "cli")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
BESIDE = sorted(
    path for folder in ("tests", "bench", "scripts") for path in ROOT.glob(f"{folder}/**/*.py")
)

LINES = 450
"""A longer file holds more than one thing."""

NAMELESS = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
"""Module names that say nothing about what is inside."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_source = pytest.mark.parametrize("path", SOURCES, ids=relative)


# --- who may import whom ------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a folder that holds pyproject.toml and the four packages."""
    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; "
    program += "sys.exit(lint_imports(no_cache=True, no_logo=True))"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_import_contracts_hold() -> None:
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_imports_for_type_checkers_count_too() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert not settings.get("exclude_type_checking_imports", False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house of empty rooms under the same contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in SOURCES:
        room = tmp_path / path.relative_to(ROOT)
        room.parent.mkdir(parents=True, exist_ok=True)
        room.write_text("")
    return tmp_path


def test_empty_rooms_break_no_contract(house: Path) -> None:
    run = lint_imports(house)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("room", "text", "contract"),
    [
        ("geo/grid.py", "import torch", "geo knows the Earth"),
        ("geo/grid.py", "import decoders.dpt", "never meet"),
        ("geo/grid.py", "import canopy.weights", "never meet"),
        ("geo/grid.py", "import cli", "never meet"),
        ("decoders/dpt.py", "import geo.grid", "never meet"),
        ("decoders/dpt.py", "def late():\n    import rasterio", "no Earth"),
        ("canopy/mapping/map_heights.py", "import typer", "only cli"),
        ("canopy/radiometry.py", "import canopy.height_models.height_model", "downward"),
        ("canopy/radiometry.py", "import canopy.encoders", "downward"),
        (
            "canopy/radiometry.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import canopy.mapping.plan",
            "downward",
        ),
        ("canopy/novelty.py", "", "downward"),
    ],
)
def test_a_breach_is_caught(house: Path, room: str, text: str, contract: str) -> None:
    for needed in ("geo/grid.py", "decoders/dpt.py", "canopy/mapping/map_heights.py", room):
        (house / needed).touch()
    (house / room).write_text(text)
    run = lint_imports(house)
    assert run.returncode == 1, run.stdout + run.stderr
    broken = [line for line in run.stdout.splitlines() if line.strip().endswith("BROKEN")]
    assert any(contract in line for line in broken), run.stdout


# --- habits -------------------------------------------------------------------


def undocumented(tree: ast.Module) -> list[str]:
    """Return what is public and has no docstring: the file, its functions, classes and methods."""
    missing = [] if ast.get_docstring(tree) else ["the file"]
    return missing + [
        f"{definition.name} (line {definition.lineno})"
        for definition in public_definitions(tree)
        if not ast.get_docstring(definition)
    ]


def public_definitions(parent: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """Yield public functions and classes, and those inside public classes."""
    for node in parent.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)


def prints(tree: ast.Module) -> list[int]:
    """Return the lines that call ``print``."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


@each_source
def test_what_is_public_is_documented(path: Path) -> None:
    assert undocumented(ast.parse(path.read_text())) == []


@each_source
def test_the_library_is_quiet(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] != "cli":
        assert prints(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", [*SOURCES, *BESIDE], ids=relative)
def test_a_file_holds_one_thing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


@each_source
def test_a_name_says_what_is_inside(path: Path) -> None:
    assert not NAMELESS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


def test_the_habits_can_fail() -> None:
    tree = ast.parse("class Room:\n    def enter(self):\n        print('in')\n")
    assert undocumented(tree) == ["the file", "Room (line 1)", "enter (line 2)"]
    assert prints(tree) == [3]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_typed_and_has_a_face(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / package / "__init__.py").is_file()


# --- the README ---------------------------------------------------------------


def fenced(text: str) -> str:
    """Return what stands in the code blocks of a Markdown text, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(blocks).replace("\\\n", " ")


def unknown_targets(text: str, makefile: str) -> set[str]:
    """Return the make targets that a Markdown text names and the Makefile lacks."""
    named = {
        word
        for line in re.findall(r"^(?:\$ )?make ([^#\n]+)", fenced(text), flags=re.MULTILINE)
        for word in line.split()
        if "=" not in word
    }
    return named - set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))


def unknown_commands(text: str) -> set[str]:
    """Return the ``canopy`` commands and options that a Markdown text makes up."""
    import typer.main  # noqa: PLC0415 - the other tests here need no project

    from cli.app import app  # noqa: PLC0415

    group = typer.main.get_command(app)
    unknown = set()
    for line in re.findall(r"^(?:\$ )?canopy ([^#\n]+)", fenced(text), flags=re.MULTILINE):
        words = line.split()
        command = getattr(group, "commands", {}).get(words[0])
        if hasattr(command, "commands"):  # a group of its own: canopy models list
            words = words[1:] or ["--help"]
            command = command.commands.get(words[0])
        known = {option for part in (group, command) if part for option in part.params}
        spelled = {word for option in known for word in (*option.opts, *option.secondary_opts)}
        if command is None and not words[0].startswith("-"):
            unknown.add(words[0])
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        unknown |= options - spelled - {"--help"}
    return unknown


readme_exists = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no README.md yet")


@readme_exists
def test_the_readme_names_only_what_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    assert unknown_targets(readme, (ROOT / "Makefile").read_text()) == set()
    assert unknown_commands(readme) == set()


def test_an_invented_command_in_a_readme_is_caught() -> None:
    commands = (
        "make check bake JOBS=4\ncanopy map a.tif \\\n  --output b.tif --wish\ncanopy sing\n"
        "canopy models list --json\ncanopy models dance\ncanopy models fetch chmv2 --later\n"
    )
    text = f"```sh\n{commands}```\n"
    assert unknown_targets(text, "check: lint\n") == {"bake"}
    assert unknown_commands(text) == {"--wish", "sing", "dance", "--later"}
