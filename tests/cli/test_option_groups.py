"""Groups of options: the user sees each field, the command gets the dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cli.option_groups import given_of, grouped, option_names


@dataclass(frozen=True, kw_only=True)
class Sky:
    place: Annotated[Path, typer.Argument(metavar="PLACE")]
    sun_elevation: Annotated[float | None, typer.Option(metavar="DEG", help="Of the sun.")] = None
    clouds: Annotated[bool, typer.Option(help="Draw them.")] = True
    fields: Annotated[list[int] | None, typer.Option("--field")] = None


def run(command, *words):
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    return CliRunner().invoke(app, words)


@pytest.fixture
def got():
    return []


@pytest.fixture
def command(got):
    @grouped
    def draw(
        context: typer.Context,
        sky: Sky,
        *,
        seed: Annotated[int, typer.Option(help="Same seed.")] = 3,
    ) -> None:
        """Draw a sky."""
        got.append((context.info_name, sky, seed))

    return draw


def test_fields_come_as_the_dataclass(command, got):
    done = run(command, "here.tif", "--sun-elevation", "40", "--no-clouds", "--field", "2")
    assert done.exit_code == 0, done.output
    [(_, sky, seed)] = got
    assert sky == Sky(place=Path("here.tif"), sun_elevation=40.0, clouds=False, fields=[2])
    assert seed == 3


def test_defaults_are_those_of_the_fields(command, got):
    assert run(command, "here.tif").exit_code == 0
    assert got[0][1] == Sky(place=Path("here.tif"))


def test_a_field_without_default_must_be_given(command, got):
    done = run(command)
    assert done.exit_code == 2
    assert "PLACE" in done.output
    assert got == []


def test_help_is_the_commands_own_and_lists_the_fields(command):
    text = run(command, "--help").output
    for words in (
        "Draw a sky.",
        "PLACE",
        "--sun-elevation DEG",
        "--no-clouds",
        "--seed",
        "--field",
    ):
        assert words in text


def test_two_fields_of_one_name_are_refused_when_the_command_is_defined():
    def draw(sky: Sky, *, clouds: Annotated[bool, typer.Option()] = False) -> None: ...

    with pytest.raises(ValueError, match="clouds"):
        grouped(draw)


def test_what_was_given_is_named_as_it_is_written():
    sky = Sky(place=Path("x"), sun_elevation=0.0, clouds=False)
    assert given_of(sky, "sun_elevation", "clouds", "fields") == ["--sun-elevation"]
    assert given_of(sky) == ["--place", "--sun-elevation"]
    assert option_names(sky)["sun_elevation"] == "--sun-elevation"
    assert option_names(sky)["fields"] == "--field", "as it was declared"
