"""A recipe judged whole: every split, with one seed or several, and one table in the end."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from canopy.errors import SettingsError
from canopy.learning.run_folder import refuse_file, refuse_others, write_json
from canopy.supervision.cross_validation import (
    elsewhere_errors,
    judge,
    make_splits,
    missing_splits,
    run_split,
)
from canopy.supervision.going_on import going_on, refuse_seen
from canopy.supervision.pairs import field_data_root, read_pairs
from canopy.supervision.recipe import read_recipe
from canopy.weights import load_height_model
from geo.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from canopy.supervision.cross_validation import Split
    from canopy.supervision.pairs import HeightPair
    from canopy.supervision.recipe import Recipe

    Progress = Callable[[int, int], None]

log = logging.getLogger(__name__)

ERRORS_FILE, TABLE_FILE, RECIPE_FILE = "errors.json", "errors.md", "recipe.json"
SCHEMES = ("blocks", "sites")
FILES_OF_A_VALIDATION = (
    ERRORS_FILE, TABLE_FILE, RECIPE_FILE, "seed-*", *(f"{scheme}-*" for scheme in SCHEMES),
)  # fmt: skip
HEADING = ("MAE", "RMSE", "bias", "R2")


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """What of a validation is run, and on what.

    Attributes:
        data: folder of field data; what ``CANOPY_FIELD_DATA`` names where it is None.
        only: names of the splits to run now, such as ``blocks-0``; all where there are none.
        seeds: seeds to run every split with, each in a folder ``seed-N`` of its own; none for the
            recipe's seed, without such a folder. The splits are the same for all.
        final: a finished model, as ``canopy map --model`` takes it, to judge on the sites that the
            recipe calls elsewhere; empty for none.
        start: folder of the validation of the recipe whose model this one goes on from: each split
            goes on from that split's model. None where the recipe begins anew.
        resume: whether to go on with splits that were stopped half-way.
    """

    data: Path | None = None
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    final: str = ""
    start: Path | None = None
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What came of a validation.

    Attributes:
        missing: splits still to run before there is a report.
        report: errors, as they stand in ``errors.json``; empty while a split is missing.
    """

    missing: tuple[str, ...]
    report: dict[str, Any]


def validate_recipe(
    config: Path,
    output: Path,
    choices: ValidationSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Validated:
    """Run the splits of a recipe; when none is missing any more, write the report.

    Args:
        config: the recipe, YAML.
        output: folder of the splits' models and predictions, and of ``errors.json``, ``errors.md``
            and ``recipe.json``.
        choices: what is run.
        progress: told the number of steps that are done and of all.

    Raises:
        CanopyError: recipe, plots or choices do not fit, or training fails.
    """
    choices = choices or ValidationSettings()
    recipe = read_recipe(config)
    refuse_file(output)
    refuse_others(output, FILES_OF_A_VALIDATION)
    root = field_data_root(choices.data)
    pairs = read_pairs(root, recipe.pairs)
    splits = make_splits(pairs, seed=recipe.run.seed)
    elsewhere = final_errors(choices.final, root, recipe) if choices.final else {}
    chosen = chosen_splits(splits, choices.only)
    runs = runs_by_seed(recipe, output, choices.seeds)
    planned = [
        (split, going_on(seeded, split.folder, choices.start), folder)
        for seeded, folder in runs.values()
        for split in chosen
    ]
    for split, own, _ in planned:
        refuse_seen(own.start, [pairs[index] for index in split.held_out])
    count = Count(len(planned), progress)
    for split, own, folder in planned:
        told = count.next()
        run_split(pairs, split, own, folder, resume=choices.resume, progress=told)
    missing = [
        name if folder == output else f"{folder.name}/{name}"
        for _, folder in runs.values()
        for name in missing_splits(splits, folder)
    ]
    if missing:
        return Validated(missing=tuple(missing), report={})
    seed = recipe.run.seed
    report = write_report(pairs, splits, runs, output, seed=seed, elsewhere=elsewhere)
    return Validated(missing=(), report=report)


def chosen_splits(splits: Sequence[Split], only: Sequence[str]) -> list[Split]:
    """Return the splits of some names, all where there are none.

    Raises:
        SettingsError: a name is none of a split.
    """
    known = [split.folder for split in splits]
    if unknown := [name for name in only if name not in known]:
        msg = f"no split {', '.join(unknown)}: expected some of {', '.join(known)}"
        raise SettingsError(msg)
    return [split for split in splits if not only or split.folder in only]


def runs_by_seed(
    recipe: Recipe, output: Path, seeds: Sequence[int]
) -> dict[str, tuple[Recipe, Path]]:
    """Return the recipe and the folder of each seed, by the folder's name."""
    if not seeds:
        return {"": (recipe, output)}
    return {
        f"seed-{seed}": (
            replace(recipe, run=replace(recipe.run, seed=seed)),
            output / f"seed-{seed}",
        )
        for seed in seeds
    }


class Count:
    """Progress over several runs of as many steps each."""

    def __init__(self, runs: int, progress: Progress | None) -> None:
        """Begin before the first."""
        self.runs, self.begun, self.progress = runs, 0, progress

    def next(self) -> Progress | None:
        """Return what the next run is to tell."""
        before, progress = self.begun, self.progress
        self.begun += 1
        if progress is None:
            return None
        return lambda done, steps: progress(before * steps + done, self.runs * steps)


def final_errors(final: str, root: Path, recipe: Recipe) -> dict[str, Any]:
    """Return the errors of a finished model on the sites that the recipe calls elsewhere.

    Raises:
        CanopyError: there is no such model or site, or the model expects another pixel.
    """
    if not recipe.pairs.elsewhere:
        msg = "the recipe names no sites under pairs.elsewhere to judge a finished model on"
        raise SettingsError(msg)
    model = load_height_model(final, device="cpu")
    if abs(model.card.gsd_m - recipe.pairs.gsd_m) > 1e-3 * model.card.gsd_m:
        msg = (
            f"model {final} expects pixels of {model.card.gsd_m:g} m, the recipe's plots have "
            f"{recipe.pairs.gsd_m:g} m: name a model of that pixel"
        )
        raise SettingsError(msg)
    settings = replace(recipe.pairs, sites=recipe.pairs.elsewhere, elsewhere=())
    return elsewhere_errors(model, read_pairs(root, settings), recipe.evaluation_tile_px)


def write_report(
    pairs: Sequence[HeightPair],
    splits: Sequence[Split],
    runs: dict[str, tuple[Recipe, Path]],
    output: Path,
    *,
    seed: int,
    elsewhere: dict[str, Any],
) -> dict[str, Any]:
    """Judge every run, write its report, and one over all seeds; return the last.

    The recipe beside a report says under ``seed`` which seed the splits are of: theirs is the same
    for all runs.
    """
    reports: dict[str, dict[str, Any]] = {}
    for name, (recipe, folder) in runs.items():
        reports[name] = judge(pairs, splits, folder)
        if elsewhere and folder == output:
            reports[name]["elsewhere"] = elsewhere
        write_tables(folder, reports[name], as_markdown(reports[name]))
        write_json(folder / RECIPE_FILE, {"seed": seed, **asdict(recipe)})
    if "" in reports:
        return reports[""]
    report: dict[str, Any] = {"seeds": list(reports), **over_seeds(list(reports.values()))}
    if elsewhere:
        report["elsewhere"] = elsewhere
    write_tables(output, report, seeds_as_markdown(report, reports))
    return report


def write_tables(folder: Path, report: dict[str, Any], table: str) -> None:
    """Write a report as JSON and as Markdown."""
    write_json(folder / ERRORS_FILE, report)
    with whole_file(folder / TABLE_FILE) as part:
        part.write_text(table, encoding="utf-8")


def over_seeds(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return, for each scheme, method and block, the mean over seeds of the pooled errors."""
    return {
        scheme: {
            "pooled": {
                method: {
                    block: {
                        name: float(
                            np.mean([r[scheme]["pooled"][method][block][name] for r in reports])
                        )
                        for name in errors
                    }
                    for block, errors in blocks.items()
                }
                for method, blocks in reports[0][scheme]["pooled"].items()
            }
        }
        for scheme in SCHEMES
        if scheme in reports[0]
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Return the errors as Markdown tables, one for each scheme, pooled first."""
    lines: list[str] = []
    for scheme in SCHEMES:
        if scheme in report:
            rows = [
                (group, method, errors["1 m"], errors["3 m"])
                for group, methods in report[scheme].items()
                for method, errors in methods.items()
            ]
            lines += table(scheme, "held out", rows)
    return "\n".join(lines + elsewhere_as_lines(report))


def seeds_as_markdown(report: dict[str, Any], reports: dict[str, dict[str, Any]]) -> str:
    """Return pooled errors as Markdown tables: each seed's, and the mean over seeds."""
    lines: list[str] = []
    for scheme in SCHEMES:
        if scheme in report:
            rows = [
                (name, method, errors["1 m"], errors["3 m"])
                for name, one in [*reports.items(), ("mean over seeds", report)]
                for method, errors in one[scheme]["pooled"].items()
            ]
            lines += table(f"{scheme}, pooled", "seed", rows)
    return "\n".join(lines + elsewhere_as_lines(report))


def table(
    title: str, first: str, rows: Sequence[tuple[str, str, dict[str, float], dict[str, float]]]
) -> list[str]:
    """Return a table of errors [m] at 1 m and at 3 m as lines of Markdown."""
    names = [*HEADING, *(f"{name} 3 m" for name in HEADING)]
    return [
        f"### {title}",
        "",
        f"| {first} | method | {' | '.join(names)} |",
        "|---" * (2 + len(names)) + "|",
        *(f"| {group} | {method} | {cells(a)} | {cells(b)} |" for group, method, a, b in rows),
        "",
    ]


def elsewhere_as_lines(report: dict[str, Any]) -> list[str]:
    """Return the errors of a finished model elsewhere as lines of Markdown, where there are any."""
    if "elsewhere" not in report:
        return []
    return [
        "### elsewhere, the finished model",
        "",
        f"| site | blocks | {' | '.join(HEADING)} |",
        "|---" * (2 + len(HEADING)) + "|",
        *(
            f"| {site} | {block} | {cells(errors)} |"
            for site, blocks in report["elsewhere"].items()
            for block, errors in blocks.items()
        ),
        "",
    ]


def cells(errors: dict[str, float]) -> str:
    """Return four cells of a table."""
    return (
        f"{errors['mae']:.2f} | {errors['rmse']:.2f} | {errors['bias']:+.2f} | {errors['r2']:.2f}"
    )
