"""``canopy train decoder``: from a configuration and a set of chips to a height model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from canopy.chips.chip_set import open_chip_set
from canopy.errors import OutputError
from canopy.height_models.folder import save_height_model
from canopy.learning.curves import CURVES_FILE, draw_curves
from canopy.learning.loop import learn
from canopy.learning.run_folder import RunFolder
from canopy.supervision.decoder_run import read_decoder_run
from canopy.supervision.decoder_task import DecoderTask
from canopy.supervision.going_on import with_before
from canopy.supervision.height_outputs import trained
from canopy.supervision.panels import PANELS_FILE, draw_panels
from canopy.supervision.start import starting_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from canopy.height_models.height_model import HeightModel

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run.

    Attributes:
        model: the model, with the moving average of its weights.
        folder: where it stands, with log, curves, panels and resolved settings beside it.
        validation: errors on the chips that were kept aside.
    """

    model: HeightModel
    folder: Path
    validation: dict[str, float | None]


def train_decoder(
    config: Path, output: Path, *, resume: bool = False, progress: Progress | None = None
) -> Trained:
    """Train a decoder, and where asked its encoder, on a set of chips.

    Args:
        config: the configuration, YAML.
        output: folder of the run: ``config.json`` and ``model.safetensors`` as any model has them,
            ``training.json``, ``log.jsonl``, ``curves.png``, ``panels.png``, and the checkpoint.
        resume: whether to go on from where a run in that folder was stopped; its end is the same.
        progress: told the number of steps that are done and of all.

    Raises:
        CanopyError: the configuration, the chips, the model or the output do not fit, or the loss
            stopped being a number.
    """
    settings = read_decoder_run(config)
    folder, home = RunFolder(path=output), config.parent / settings.chips
    if output.resolve() == home.resolve() and not resume:
        msg = f"output {output} is the set of chips: name another folder for the run"
        raise OutputError(msg)
    folder.check(resume=resume)
    chips = open_chip_set(home)
    gsd_m, seed = chips.settings.gsd_m, settings.run.seed
    model = starting_model(settings.start, settings.card, gsd_m=gsd_m, seed=seed)
    network = model.network
    task = DecoderTask(network, model.card, chips, settings)  # type: ignore[arg-type]
    state = folder.open(with_before(asdict(settings), settings.start), resume=resume)
    average = learn(task, settings.run, folder, state=state, progress=progress)
    model = trained(model, average)
    save_height_model(model, output)
    records = folder.read_log()
    draw_curves(records, output / CURVES_FILE)
    draw_panels(model, chips.chips("val"), output / PANELS_FILE)
    last = next(record["validation"] for record in records[::-1] if "validation" in record)
    return Trained(model=model, folder=output, validation=last)
