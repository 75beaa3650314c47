"""Help answers for every command, at once: nothing heavy is loaded for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from canopy.version import __version__
from cli.app import app, main

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(typer.main.get_command(app).commands)

HEAVY = {
    "torch", "torchvision", "rasterio", "numpy", "pyproj", "scipy", "pystac", "matplotlib",
    "geopandas", "xarray", "dask", "safetensors", "huggingface_hub",
}  # fmt: skip


def said(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["canopy", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=str)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_a_command_does(monkeypatch, capsys, command, option):
    code, text = said(monkeypatch, capsys, *command, option)
    assert code == 0
    assert text.err == ""
    assert "Usage:" in text.out
    assert len(text.out.splitlines()) > 5


def test_help_names_every_option_of_map(monkeypatch, capsys):
    _, text = said(monkeypatch, capsys, "map", "--help")
    for option in (
        "--output", "--model", "--bands", "--pixel-size", "--stretch", "--grid", "--resolution",
        "--overlap", "--batch", "--device", "--encoding", "--preview", "--no-preview", "--stac",
        "--no-stac", "--overwrite", "--resume", "--dry-run", "--json", "--quiet", "--debug",
    ):  # fmt: skip
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text.out), option


def test_no_argument_at_all_gives_the_help(monkeypatch, capsys):
    code, text = said(monkeypatch, capsys)
    assert code == 2
    assert "Usage:" in text.out + text.err
    assert "map" in text.out + text.err
    assert "Traceback" not in text.err


def test_the_version_is_printed(monkeypatch, capsys):
    code, text = said(monkeypatch, capsys, "--version")
    assert (code, text.out.strip(), text.err) == (0, f"canopy {__version__}", "")


@pytest.mark.parametrize("arguments", [("--help",), ("map", "--help"), ("--version",)], ids=str)
def test_nothing_heavy_is_loaded_for_it(arguments):
    program = (
        "import sys\n"
        f"sys.argv = ['canopy', *{arguments!r}]\n"
        "from cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines()[-1] == "LOADED []", run.stderr
