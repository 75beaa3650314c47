"""``canopy map`` of one scene: what is fetched first, what is said, what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.console import download_bar, progress_bar, say, say_heights

if TYPE_CHECKING:
    from pathlib import Path

    from canopy.mapping.map_heights import MapJob
    from canopy.mapping.products import HeightCorrection
    from canopy.mapping.report import MapReport
    from canopy.mapping.settings import MapSettings


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """What every map is made by, of one scene or of an area.

    Attributes:
        model: name or folder of the height model.
        device: where it runs.
        settings: choices about the map.
        quiet: whether nothing is said beside errors.
        correction: name or folder of a correction network; None for none.
        sun_elevation: of the sun over a single scene, as its STAC item tells [degrees]; or None.
        off_nadir: of the line of sight, likewise.
    """

    model: str
    device: str
    settings: MapSettings
    quiet: bool
    correction: str | None = None
    sun_elevation: float | None = None
    off_nadir: float | None = None

    def height_correction(self) -> HeightCorrection | None:
        """Return what corrects the map of a single scene, where that is asked for."""
        if self.correction is None:
            return None
        from canopy.correction_network.map_correction import (  # noqa: PLC0415 - help must not wait
            NetworkCorrection,
        )
        from canopy.correction_network.model import load_correction_model  # noqa: PLC0415
        from canopy.correction_network.place_facts import ViewFacts  # noqa: PLC0415

        view = ViewFacts(sun_elevation=self.sun_elevation, off_nadir=self.off_nadir)
        network = load_correction_model(self.correction, device=self.device)
        return NetworkCorrection(model=network, view=view)

    def missing_models(self) -> list[str]:
        """Return the models that must be fetched first, if any."""
        from canopy.weights import COLOURS, is_here  # noqa: PLC0415 - help must not wait for torch

        matches = self.settings.radiometry == "aerial" and self.settings.colours is None
        names = [self.model, COLOURS] if matches else [self.model]
        return [name for name in names if not is_here(name)]


def map_one(scene: str, output: Path, request: MapRequest, *, dry_run: bool) -> dict[str, Any]:
    """Map one scene into one file, or say what would be done; return it as JSON values."""
    from canopy.mapping.map_heights import check_request  # noqa: PLC0415 - help must not wait for torch

    if missing := request.missing_models():
        corrected = request.correction is not None
        check_request(
            scene, output, model=request.model, settings=request.settings, corrected=corrected
        )
        bring_models(missing, fetches=not dry_run, quiet=request.quiet)
    if dry_run:
        return plan_only(scene, output, request)
    return run(scene, output, request)


def bring_models(names: list[str], *, fetches: bool, quiet: bool) -> None:
    """Fetch models that are not on this machine, and show how it goes on.

    Raises:
        ModelError: one cannot be fetched, or nothing shall be fetched.
    """
    from canopy.errors import ModelError  # noqa: PLC0415 - help must not wait for torch
    from canopy.weights import find_model  # noqa: PLC0415

    for name in names:
        if not fetches:
            msg = (
                f"{name} is not on this machine, and a dry run fetches nothing: "
                f"canopy models fetch {name}"
            )
            raise ModelError(msg)
        with download_bar(name, quiet=quiet) as progress:
            find_model(name, progress=progress)


def plan_only(scene: str, output: Path, request: MapRequest) -> dict[str, Any]:
    """Say what a run would do, and return it as JSON values."""
    from canopy.mapping.map_heights import prepare_map  # noqa: PLC0415
    from canopy.mapping.report import plan_as_json  # noqa: PLC0415 - help must not wait for torch

    correction = request.height_correction()
    job = prepare_map(
        scene, output, model=request.model, settings=request.settings, device=request.device,
        correction=correction,
    )  # fmt: skip
    corrected_by = correction.title if correction else None
    if not request.quiet:
        announce(job, corrected_by)
    return plan_as_json(job.plan, job.model.card, job.outputs.files) | {"correction": corrected_by}


def announce(job: MapJob, corrected_by: str | None) -> None:
    """Say what a run would do."""
    from geo.ground import crs_words  # noqa: PLC0415 - help must not wait for it

    plan, card = job.plan, job.model.card
    rows, columns = plan.out_grid.shape
    words = crs_words(plan.out_grid.crs)
    say(f"scene    {plan.scene.source}: {plan.scene.gsd_m:.3g} m pixels, {plan.scene.dtype}")
    say(f"map      {job.outputs.map}: {columns} x {rows} px of {plan.pixel_m:.3g} m, {words}")
    say(f"model    {card.title}, {plan.tiles.count} tiles")
    if plan.interval:
        made = plan.interval.calibration
        say(f"interval {plan.interval.title}, calibrated on {made.plots} plots: {made.data}")
    if corrected_by:
        say(f"correct  by {corrected_by}")
    say("dry run: nothing was written")


def run(scene: str, output: Path, request: MapRequest) -> dict[str, Any]:
    """Make the map, say what came of it, and return it as JSON values."""
    from canopy.mapping.map_heights import map_heights  # noqa: PLC0415 - help must not wait for torch

    correction = request.height_correction()
    with progress_bar("mapping", quiet=request.quiet) as progress:
        report = map_heights(
            scene,
            output,
            model=request.model,
            settings=request.settings,
            device=request.device,
            correction=correction,
            progress=progress,
        )
    if not request.quiet:
        summarise(report)
    return report.as_json()


def summarise(report: MapReport) -> None:
    """Say what a map holds and where its companions are."""
    from geo.ground import crs_words  # noqa: PLC0415 - help must not wait for it

    heights, grid = report.heights, report.grid
    say(f"map      {report.map}: {grid.width} x {grid.height} px, {crs_words(grid.crs)}")
    say_heights(heights, none="the scene has no valid pixel")
    if (interval := report.interval) and report.heights.valid_percent:
        say(
            f"interval {100 * interval.level:g} %: {interval.lower.mean_m:.1f} to "
            f"{interval.upper.mean_m:.1f} m in the mean, calibrated on {interval.calibration}"
        )
    if found := report.correction:
        done = "corrected" if found["correction_applied"] else "unchanged"
        say(f"factors  {done} by {found['correction_model']}: {found['correction_reason']}")
        if notice := found.get("correction_notice"):
            say(f"notice   {notice}")
        if defaults := found["correction_defaults"]:
            say(f"defaults {', '.join(defaults)}: not known of the image")
    files = (report.style, report.preview, report.item, report.factors)
    beside = [path.name for path in files if path]
    say(f"beside   {', '.join(beside)}")
    say(
        f"run      {report.seconds:.1f} s, {report.tiles_run} tiles, "
        f"{report.tiles_skipped} without data skipped, {report.tiles_resumed} kept from before"
    )
    card = report.model
    say(f"model    {card.title}{f': {card.notice}' if card.notice else ''}")
