"""The main path: a model and pairs set aside in, calibrated intervals and their coverage out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from canopy.calibration.conformal import ModelFacts, calibrate
from canopy.calibration.coverage import coverage_of, leave_groups_out
from canopy.calibration.groups import groups_of
from canopy.calibration.predicting import Predicting, sample_pairs
from canopy.calibration.report import CalibrationReport, write_report
from canopy.calibration.settings import CalibrationSettings
from canopy.chips.pairing import find_pairs
from canopy.chips.registering import register_pairs
from canopy.errors import SettingsError
from canopy.intervals import INTERVALS_FILE
from canopy.mapping.map_heights import refuse_matched_colours
from canopy.mapping.settings import MapSettings
from canopy.weights import DEFAULT_MODEL, load_colour_matcher, load_height_model
from geo.outputs import refuse_collisions, refuse_missing_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from canopy.calibration.conformal import PlotSample
    from canopy.chips.pairing import PairFiles
    from canopy.chips.registering import RegisteredPairs
    from canopy.height_models.height_model import HeightModel
    from canopy.intervals import Predictions

    Progress = Callable[[int, int], None]


def calibrate_intervals(
    pairs: Sequence[str],
    output: str | Path,
    *,
    model: HeightModel | str | Path = DEFAULT_MODEL,
    settings: CalibrationSettings | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> CalibrationReport:
    """Calibrate the intervals of a model on lidar that it has not learned from.

    Beside the calibration stand a report of its coverage, ``.report.md`` and ``.report.json``.

    Args:
        pairs: imagery and lidar, as :func:`canopy.chips.pairing.find_pairs` takes them.
        output: where the calibration will stand, ending in ``.json``.
        model: a height model, or the name or folder of one.
        settings: choices.
        device: where a model given by name runs: ``auto``, ``cpu`` or ``cuda``.
        progress: told how many pairs are finished, and of how many; twice as many where they are
            registered first.

    Returns:
        The calibration, and its coverage on plots left out.

    Raises:
        CanopyError: the settings, the model or the pairs do not fit.
        GeoError: a file cannot be read or written.
    """
    settings = settings or CalibrationSettings()
    found = find_pairs(pairs)
    sources = [path for pair in found for path in (pair.image, pair.heights)]
    files = plan_files(Path(output), sources, overwrite=settings.overwrite)
    if isinstance(model, str | Path):
        model = load_height_model(model, device=device)
    how = predicting(model, settings)
    data = settings.data or f"imagery and lidar of {', '.join(sorted({p.site for p in found}))}"
    if settings.register != "off":
        registered, progress = set_right(found, settings, progress)
        found = registered.pairs
        data += (
            f"; heights of {len(registered.shifts_m)} of {len(found)} pairs moved onto the image"
        )
    samples = sample_pairs(found, how, progress)
    report = judged(samples, facts_of(model, settings, data), settings)
    write_report(report, files)
    return report


def set_right(
    pairs: list[PairFiles], settings: CalibrationSettings, progress: Progress | None
) -> tuple[RegisteredPairs, Progress | None]:
    """Find the shifts of pairs; return them too, and what is to be told of the second half.

    Raises:
        SettingsError: no pair is left, or a file has no CRS.
        SceneError: a file cannot be read.
    """
    count = len(pairs)
    tell = progress or (lambda _done, _all: None)
    drop = settings.register == "drop-unclear"
    registered = register_pairs(
        pairs, drop_unclear=drop, done=lambda done: tell(done, count + len(pairs))
    )
    return registered, lambda done, kept: tell(count + done, count + kept)


def predicting(model: HeightModel, settings: CalibrationSettings) -> Predicting:
    """Return how pairs are predicted.

    Raises:
        CanopyError: the radiometry does not fit the model, or its network cannot be loaded.
    """
    maps = MapSettings(radiometry=settings.radiometry, colours=settings.colours)
    refuse_matched_colours(model.card, maps)
    colours = None
    if settings.radiometry == "aerial":
        colours = load_colour_matcher(settings.colours, device=model.device.type)
    return Predicting(
        model=model, settings=maps, colours=colours, block_m=settings.block_m, seed=settings.seed
    )


def facts_of(
    model: HeightModel,
    settings: CalibrationSettings,
    data: str,
    predictions: Predictions = "own",
) -> ModelFacts:
    """Return what a calibration says of a model and of the data."""
    return ModelFacts(
        model=model.card.title,
        weights_sha256=model.fingerprint,
        gsd_m=model.card.gsd_m,
        radiometry=settings.radiometry,
        scale=model.scale,
        data=data,
        predictions=predictions,
    )


def judged(
    samples: Sequence[PlotSample], facts: ModelFacts, settings: CalibrationSettings
) -> CalibrationReport:
    """Calibrate on all plots, and tell the coverage on each group by the others.

    Raises:
        SettingsError: there are too few plots.
    """
    calibration = calibrate(samples, facts)
    kind, groups = groups_of(samples, settings.over, settings.seed)
    tests = leave_groups_out(samples, groups, facts)
    return CalibrationReport(
        calibration=calibration, left_out=kind, groups=len(tests), coverage=coverage_of(tests)
    )


def plan_files(
    output: Path, sources: Sequence[str | Path], *, overwrite: bool
) -> tuple[Path, Path, Path]:
    """Decide where calibration and report will stand, and that they may.

    Raises:
        OutputError: one may not be written.
        SettingsError: the name is that of no JSON.
    """
    if output.suffix.lower() != ".json":
        msg = f"output {output}: a calibration is JSON, name it {INTERVALS_FILE}, say"
        raise SettingsError(msg)
    refuse_missing_folder(output)
    files = output, output.with_suffix(".report.md"), output.with_suffix(".report.json")
    refuse_collisions(files, sources, overwrite=overwrite)
    return files


def file_in_model(model: str | Path) -> Path:
    """Return where the calibration of a model stands that is a folder.

    Raises:
        SettingsError: it is none, or a folder stands where the file belongs.
    """
    folder = Path(model)
    if not (folder / "config.json").is_file():
        msg = f"{model} is no folder of a model on this machine: name a file with --output"
        raise SettingsError(msg)
    file = folder / INTERVALS_FILE
    if file.is_dir():
        msg = (
            f"{file} is a folder: expected the file of a calibration, move it away or use --output"
        )
        raise SettingsError(msg)
    return file
