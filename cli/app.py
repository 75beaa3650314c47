"""The ``canopy`` command: registers the commands, turns errors into one line and an exit code."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from canopy.errors import CanopyError, FetchError, RunError
from cli.calibrate import calibrate_model
from cli.chips import cut_chips
from cli.console import say
from cli.correct import correct_heights
from cli.evaluate import evaluate_height_map
from cli.gedi import gedi
from cli.lidar import lidar
from cli.map import map_canopy
from cli.models import models
from cli.register import register_heights
from cli.search import search_imagery
from cli.simulate import simulate
from cli.train import train
from geo.catalog.errors import CatalogDownError
from geo.errors import ConnectionLostError, GeoError, MapFileError
from geo.gedi.errors import DownloadError, GranuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DONE, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

FAILURES = (
    CatalogDownError, ConnectionLostError, DownloadError, FetchError, GranuleError, MapFileError,
    RunError,
)  # fmt: skip
"""Errors of a run that was asked for rightly."""

app = typer.Typer(
    name="canopy",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="map")(map_canopy)
app.command(name="search")(search_imagery)
app.command(name="simulate")(simulate)
app.command(name="evaluate")(evaluate_height_map)
app.command(name="calibrate")(calibrate_model)
app.command(name="chips")(cut_chips)
app.command(name="register")(register_heights)
app.command(name="correct")(correct_heights)
app.add_typer(models, name="models")
app.add_typer(gedi, name="gedi")
app.add_typer(lidar, name="lidar")
app.add_typer(train, name="train")


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from canopy.version import __version__  # noqa: PLC0415 - help does not need it

        typer.echo(f"canopy {__version__}")
        raise typer.Exit


@app.callback()
def canopy(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Sub-metre RGB imagery in, canopy height in metres out."""


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, which job schedulers and containers send, end a command as Ctrl-C does."""
    came: list[int] = []

    def stop(number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not stop the clearing up
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit as end:
        if came and end.code == INTERRUPTED:
            sys.exit(TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@sigterm_as_ctrl_c()
def main() -> NoReturn:
    """Run the command line and exit.

    0: done; 1: failed; 2: wrong input or option; 130: interrupted; 143: ended by SIGTERM.
    """
    try:
        code = int(app(standalone_mode=False) or DONE)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        code = explain(error)
    if code == INTERRUPTED:  # raised, or made an exit code by Typer
        goes_on = "; the same command with --resume goes on" if takes_resume(sys.argv[1:]) else ""
        say(f"interrupted: no half-written file was left{goes_on}")
    sys.stdout.flush()
    sys.exit(code)


def takes_resume(words: Sequence[str]) -> bool:
    """Whether the command that these words ask for has an option --resume."""
    command = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return any("--resume" in option.opts for option in command.params)


def explain(error: Exception) -> int:
    """Say in one line what went wrong, and return the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":  # nothing was asked: its message is the help
        say(str(error))
        return WRONG
    if hasattr(error, "format_message"):  # a usage error; Typer may bring its own click
        said = error.format_message().replace("Value error, ", "")  # what checks names leaks it
        text, code = f"{said} (--help lists what there is)", WRONG
    elif isinstance(error, GeoError | CanopyError):
        text, code = str(error), FAILED if isinstance(error, FAILURES) else WRONG
    elif isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        text, code = f"{error.strerror or error}{place}: the run cannot go on", FAILED
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text, code = "out of memory: try a smaller --batch, or --device cpu", FAILED
    else:
        text = f"{type(error).__name__}: {error} (not foreseen: --debug shows where)"
        code = FAILED
    say(f"error: {' '.join(text.split())}")
    return code


if __name__ == "__main__":
    main()
