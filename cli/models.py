"""``canopy models``: the models that can be asked for, and released files on this machine."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import (
    download_bar,
    in_bytes,
    print_json,
    print_lines,
    print_table,
    say,
    show_notes,
)
from cli.options import AsJson, Debug, Quiet  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from canopy.conversion import Verified
    from canopy.height_models.card import ModelCard
    from canopy.zoo.entries import ZooEntry

models = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, fetch, check and convert height models.",
)


@models.command(name="list")
def list_models(as_json: AsJson = False, debug: Debug = False) -> None:  # noqa: ARG001 - see cli.app
    """List the models that can be asked for by name."""
    from canopy.zoo.entries import ZOO  # noqa: PLC0415 - help must not wait for torch

    if as_json:
        print_json({"models": [entry_as_json(entry) for entry in ZOO]})
        return
    print_table(
        [
            {
                "name": entry.name,
                "size": in_bytes(entry.approximate_bytes),
                "licence": licence_words(entry),
                "here": state_of(entry),
                "what it is": entry.summary,
            }
            for entry in ZOO
        ]
    )


@models.command(name="show")
def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A name, a file or a folder.")],
    stac: Annotated[
        bool, typer.Option("--stac", help="Print the model as a STAC item (MLM extension).")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Show the card of a model: what it expects, what it learned from, its licence."""
    from canopy.model_summary import summarise_model  # noqa: PLC0415 - help must not wait for torch

    if stac and as_json:
        msg = "--stac prints JSON already: drop --json"
        raise typer.BadParameter(msg)
    show_notes(quiet=True)
    facts = summarise_model(name)
    if stac:
        print_json(facts.as_stac())
    elif as_json:
        print_json(facts.as_json())
    else:
        print_lines(facts.as_words())


@models.command(name="fetch")
def fetch_model(
    name: Annotated[str, typer.Argument(metavar="NAME|hf:REPO", help="A name of the list.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Say that you read and accept its licence.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Fetch a model into the cache, and print where it stands.

    A broken transfer goes on where it stopped when the command is run again. The cache is the
    folder of the environment variable CANOPY_CACHE, or the user's cache folder.
    """
    show_notes(quiet=quiet)
    from canopy.weights import find_model  # noqa: PLC0415 - help must not wait for torch

    with download_bar(name, quiet=quiet) as progress:
        place = find_model(name, accept_licence=accept_licence, progress=progress)
    if as_json:
        print_json({"name": name, "path": str(place.path)})
    else:
        typer.echo(place.path)


@models.command(name="verify")
def verify_path(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A released file, or a folder.")],
    as_json: AsJson = False,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Say what a file or folder is, whatever it is called, and that it is whole."""
    from canopy.conversion import verify_model  # noqa: PLC0415 - help must not wait for torch

    show_notes(quiet=True)
    verified = verify_model(path)
    if as_json:
        print_json(verified_as_json(verified))
        return
    facts = {
        "file": str(verified.path),
        "is": verified.description,
        "parameters": f"{verified.parameters:,}",
        "sha256": f"{verified.sha256}{' (as recorded)' if verified.recorded else ''}",
    }
    print_lines(facts)


@models.command(name="convert")
def convert_file(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A released file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A new folder for the model.")
    ],
    backbone: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The encoder of a CHMv2 head: a file, or a transformers folder."
        ),
    ] = None,
    debug: Debug = False,  # noqa: ARG001 - read in cli.app, before parsing can fail
) -> None:
    """Write a released file as a folder with config.json and model.safetensors."""
    from canopy.conversion import convert_model  # noqa: PLC0415 - help must not wait for torch

    show_notes(quiet=True)
    say(f"written  {convert_model(path, output, backbone=backbone)}")


def entry_as_json(entry: ZooEntry) -> dict[str, Any]:
    """Return what the zoo knows of a model as JSON values."""
    from canopy.zoo.cache import cached  # noqa: PLC0415 - help must not wait for it

    path = cached(entry)
    return {
        "name": entry.name,
        "kind": entry.kind,
        "summary": entry.summary,
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "restricted": entry.restricted,
        "imagery": entry.imagery,
        "parameters": entry.parameters,
        "approximate_bytes": entry.approximate_bytes,
        "path": str(path) if path else None,
    }


def licence_words(entry: ZooEntry) -> str:
    """Return the licence of a model, and whether it must be accepted."""
    name = entry.licence.removeprefix("LicenseRef-")
    return f"{name}{' (accept)' if entry.restricted else ''}"


def state_of(entry: ZooEntry) -> str:
    """Return whether a model is on this machine."""
    from canopy.zoo.cache import cached  # noqa: PLC0415 - help must not wait for it
    from canopy.zoo.entries import Shipped  # noqa: PLC0415

    if isinstance(entry.source, Shipped):
        return "ships"
    return "fetched" if cached(entry) else "-"


def verified_as_json(verified: Verified) -> dict[str, Any]:
    """Return what came of a check as JSON values."""
    card: ModelCard | None = verified.card
    return {
        "path": str(verified.path),
        "description": verified.description,
        "name": card.name if card else None,
        "parameters": verified.parameters,
        "sha256": verified.sha256,
        "recorded": verified.recorded,
    }
