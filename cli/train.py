"""``canopy train``: models that learn from imagery and lidar, of aircraft or of satellites."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, progress_bar, say, show_notes
from cli.option_groups import grouped
from cli.options import Speech  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from canopy.supervision.validation import ValidationSettings

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run.")]
Resume = Annotated[bool, typer.Option(help="Go on from where a run in DIR was stopped.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; all by default. They change weights by rounding."),
]
Recipe = Annotated[
    Path, typer.Argument(metavar="RECIPE.yaml", help="Plots, network, examples, losses, steps.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Holds pairs/SITE/PLOT/rgb.tif beside chm.tif; else what CANOPY_FIELD_DATA names.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every training run."""

    output: Output
    resume: Resume = False
    threads: Threads = None


train = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train models on imagery and lidar."
)


@train.callback()
def group() -> None:
    """Train models on imagery and lidar."""


@train.command(name="decoder")
@grouped
def fit_decoder(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Chips, network, losses, steps.")
    ],
    run: RunOptions,
    speech: Speech,
) -> None:
    """Fit a decoder on a frozen or tuned encoder, from a set of chips.

    DIR then holds a model as `canopy map --model DIR` takes it, and the log, the curves, example
    panels and the resolved settings beside it.
    """
    show_notes(quiet=speech.quiet)
    with training_installed(run.threads):
        from canopy.supervision.train_decoder import train_decoder  # noqa: PLC0415
    with progress_bar("training", quiet=speech.quiet, unit="steps") as progress:
        trained = train_decoder(config, run.output, resume=run.resume, progress=progress)
    words = ", ".join(f"{name} {value}" for name, value in trained.validation.items())
    if not speech.quiet:
        say(f"model    {trained.folder}: {words} on chips kept aside")
    if speech.as_json:
        print_json({"path": str(trained.folder), "validation": trained.validation})


@train.command(name="correction")
@grouped
def fit_correction(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Images, footprints, network, steps.")
    ],
    run: RunOptions,
    speech: Speech,
) -> None:
    """Teach a correction network the footprints of space lidar over images.

    DIR then holds a network as `canopy correct --model DIR` and `canopy map --correction DIR` take
    it, and the log, the curves and the resolved settings beside it.
    """
    show_notes(quiet=speech.quiet)
    with training_installed(run.threads):
        from canopy.correction_network.train import train_correction  # noqa: PLC0415
    with progress_bar("training", quiet=speech.quiet, unit="steps") as progress:
        trained = train_correction(config, run.output, resume=run.resume, progress=progress)
    learned, aside = trained.footprints
    words = ", ".join(f"{name} {value}" for name, value in trained.validation.items())
    if not speech.quiet:
        say(f"model    {trained.folder}: {words}; {learned} footprints learned, {aside} kept aside")
    if speech.as_json:
        print_json(
            {
                "path": str(trained.folder),
                "footprints": {"learned": learned, "kept_aside": aside},
                "validation": trained.validation,
            }
        )


@train.command(name="plots")
@grouped
def fit_plots(
    recipe: Recipe,
    *,
    data: Data = None,
    run: RunOptions,
    speech: Speech,
) -> None:
    """Train on small plots, mirrored into tiles, with treeless ground among them.

    DIR then holds a model as `canopy map --model DIR` takes it, and the log, the curves and the
    resolved recipe beside it. It learns from all plots: `canopy train validate` says how good a
    recipe is on plots that it does not see.
    """
    show_notes(quiet=speech.quiet)
    with training_installed(run.threads):
        from canopy.supervision.train_plots import train_plots  # noqa: PLC0415
    with progress_bar("training", quiet=speech.quiet, unit="steps") as progress:
        model = train_plots(recipe, run.output, data=data, resume=run.resume, progress=progress)
    if not speech.quiet:
        say(f"model    {run.output}: {model.card.title}, trained on all plots")
    if speech.as_json:
        print_json({"path": str(run.output), "name": model.card.name})


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Options about the splits of a validation, as they were given."""

    only: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Splits to run now: blocks-0,sites-NEON_TEAK."),
    ] = None
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="Run every split with each: 0,1. Else the recipe's."),
    ] = None
    final: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A finished model, to judge on the sites elsewhere."),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="An earlier validation: each split goes on from its model there, for recipes "
            "with a start.model.",
        ),
    ] = None
    data: Data = None
    resume: Annotated[bool, typer.Option(help="Go on with splits that were stopped.")] = False

    def settings(self) -> ValidationSettings:
        """Return what is chosen.

        Raises:
            BadParameter: an option is not written as expected.
        """
        from canopy.supervision.validation import ValidationSettings  # noqa: PLC0415

        return ValidationSettings(
            data=self.data,
            only=() if self.only is None else tuple(self.only.split(",")),
            seeds=parse_seeds(self.seeds),
            final=self.final or "",
            start=self.start,
            resume=self.resume,
        )


@train.command(name="validate")
@grouped
def validate(
    recipe: Recipe,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of all splits.")
    ],
    *,
    options: SplitOptions,
    threads: Threads = None,
    speech: Speech,
) -> None:
    """Judge a recipe: five folds over blocks of ground, then each site left out in turn.

    Every split is trained anew beside three baselines; finished ones are kept. After the last, DIR
    holds errors.json and errors.md.
    """
    show_notes(quiet=speech.quiet)
    with training_installed(threads):
        from canopy.supervision.validation import validate_recipe  # noqa: PLC0415

        settings = options.settings()
    with progress_bar("training", quiet=speech.quiet, unit="steps") as progress:
        found = validate_recipe(recipe, output, settings, progress=progress)
    if not speech.quiet and found.missing:
        names = ", ".join(found.missing)
        say(f"splits   {len(found.missing)} still to run before there is a report: {names}")
    elif not speech.quiet:
        say(f"report   {output / 'errors.md'}")
    if speech.as_json:
        print_json({"path": str(output), "missing": list(found.missing), "errors": found.report})


@contextmanager
def training_installed(threads: int | None) -> Iterator[None]:
    """Say what to install where an import of training fails, and set the number of threads.

    Raises:
        SettingsError: a package is missing.
    """
    from canopy.errors import SettingsError  # noqa: PLC0415 - help must not wait for torch

    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"training needs {error.name}: pip install 'canopy-height[train]'"
        raise SettingsError(msg) from error
    if threads is not None:
        import torch  # noqa: PLC0415

        torch.set_num_threads(threads)


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """Return the seeds of a text such as ``0,1``; none of None.

    Raises:
        BadParameter: it has others, or one twice.
    """
    try:
        seeds = tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        seeds = (-1,)
    if len(set(seeds)) != len(seeds) or min(seeds, default=0) < 0:
        msg = f"--seeds {text}: expected different whole numbers from 0 on, such as 0,1"
        raise typer.BadParameter(msg)
    return seeds
