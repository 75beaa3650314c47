"""``canopy train decoder``: from a configuration and a set of chips to a height model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from canopy.chips.chip_set import open_chip_set
from canopy.errors import ModelError
from canopy.learning.curves import CURVES_FILE, draw_curves
from canopy.learning.loop import learn
from canopy.learning.run_folder import RunFolder
from canopy.model_building import build_height_model
from canopy.model_folder import save_height_model
from canopy.supervision.decoder_run import read_decoder_run
from canopy.supervision.decoder_task import DecoderTask, Heights
from canopy.supervision.panels import PANELS_FILE, draw_panels
from canopy.weights import load_height_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from canopy.chips.chip_set import ChipSet
    from canopy.height_model import HeightModel
    from canopy.supervision.decoder_run import DecoderRun

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
    chips = open_chip_set(config.parent / settings.chips)
    model = starting_model(settings, chips)
    network = model.network
    task = DecoderTask(network, model.card, chips, settings)  # type: ignore[arg-type]
    folder = RunFolder(path=output)
    resolved = asdict(settings)
    state = folder.resume(resolved) if resume else None
    if not resume:
        folder.begin(resolved)
    average = learn(task, settings.run, folder, state=state, progress=progress)
    if not isinstance(average, Heights):
        msg = f"training gave {type(average).__name__}, expected a height network"
        raise ModelError(msg)
    trained = replace(model, network=average.network.cpu())
    save_height_model(trained, output)
    records = folder.read_log()
    draw_curves(records, output / CURVES_FILE)
    draw_panels(trained, chips.chips("val"), output / PANELS_FILE)
    last = next(record["validation"] for record in records[::-1] if "validation" in record)
    return Trained(model=trained, folder=output, validation=last)


def starting_model(settings: DecoderRun, chips: ChipSet) -> HeightModel:
    """Return the model that learning starts from, its card told of, its encoder frozen or not.

    Raises:
        ModelError: a name is unknown, or the model cannot be trained.
    """
    start = settings.start
    if start.model:
        model = load_height_model(start.model, device="cpu")
    else:
        built = build_height_model(
            start.encoder,
            start.decoder,
            start.head,
            encoder_weights=start.encoder_weights or None,
        )
        model = replace(built, card=replace(built.card, gsd_m=chips.settings.gsd_m, notice=""))
    if model.architecture is None:
        msg = f"{start.model} is a network of another library: only those built here can be trained"
        raise ModelError(msg)
    encoder = model.network.get_submodule("encoder")
    encoder.requires_grad_(requires_grad=start.tuned)
    facts = asdict(settings.card)
    return replace(model, card=replace(model.card, **facts), fingerprint="")
