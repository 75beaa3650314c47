"""``canopy train``: models that learn from chips of imagery and lidar."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.options import Debug, Quiet  # noqa: TC001 - Typer reads the annotations

train = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train models on imagery and lidar."
)


@train.callback()
def group() -> None:
    """Train models on imagery and lidar."""


@train.command(name="decoder")
def fit_decoder(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Chips, network, losses, steps.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run.")
    ],
    resume: Annotated[
        bool, typer.Option(help="Go on from where a run in DIR was stopped.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Fit a decoder on a frozen or tuned encoder, from a set of chips.

    DIR then holds a model as `canopy map --model DIR` takes it, and the log, the curves, example
    panels and the resolved settings beside it.
    """
    show_notes(quiet=quiet)
    from canopy.errors import SettingsError  # noqa: PLC0415 - help must not wait for torch

    try:
        from canopy.supervision.train_decoder import train_decoder  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"training needs {error.name}: pip install 'canopy-height[train]'"
        raise SettingsError(msg) from error
    with progress_bar("training", quiet=quiet, unit="steps") as progress:
        trained = train_decoder(config, output, resume=resume, progress=progress)
    words = ", ".join(f"{name} {value}" for name, value in trained.validation.items())
    if not quiet:
        say(f"model    {trained.folder}: {words} on chips kept aside")
    if as_json:
        print_json({"path": str(trained.folder), "validation": trained.validation})
