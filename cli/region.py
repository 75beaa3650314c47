"""``canopy map`` over an area: catalogs in, cells of ground out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from cli.console import say
from cli.map_scene import bring_models
from cli.option_groups import given_of
from cli.region_bar import region_bar
from cli.region_options import parse_prefer

if TYPE_CHECKING:
    from canopy.region.map_region import RegionRequest, RegionRun
    from cli.map_scene import MapRequest
    from cli.region_options import RegionOptions
    from geo.catalog.search import Found
    from geo.imagery.image import Image

SHOWN = 5
"""Messages of one kind that are said before the rest is counted."""

FAILED = 1


def is_region(scene: str | None, output: str, options: RegionOptions) -> bool:
    """Whether an area is to be mapped in cells, not a scene into one file.

    Raises:
        BadParameter: the options say both, or neither.
    """
    to_file = output.lower().endswith((".tif", ".tiff"))
    if scene is None and options.api is None:
        msg = "expected a SCENE, a STAC file, or --api with --collection and --area"
        raise typer.BadParameter(msg)
    if scene is not None and (
        wrong := given_of(options, "api", "collection", "datetime", "cloud", "limit")
    ):
        msg = f"{', '.join(wrong)} with {scene}: they search an API, leave {scene} or them out"
        raise typer.BadParameter(msg)
    apart = sorted(set(given_of(options)) - {"--asset", "--allow-local"})
    if to_file and apart:
        msg = (
            f"{', '.join(apart)} with {output}: an area is mapped in cells, give a folder "
            "or s3://bucket/prefix as --output"
        )
        raise typer.BadParameter(msg)
    return not to_file


def one_scene(scene: str, options: RegionOptions, request: MapRequest) -> tuple[str, MapRequest]:
    """Return the raster that a single map is made of, and what its STAC item says of it.

    Raises:
        BadParameter: the catalog has several images, or one that lies in several files.
    """
    path = scene.partition("?")[0].lower()
    if not (given_of(options) or path.endswith((".json", ".geojson", ".parquet", ".geoparquet"))):
        return scene, request
    from geo.imagery.opened import files_of, readable  # noqa: PLC0415 - help must not wait

    images = find_images(scene, options)
    files = files_of(images[0])
    if len(images) > 1 or len(files) > 1:
        found = f"{len(images)} images" if len(images) > 1 else f"an image in {len(files)} files"
        msg = f"{scene} has {found}: one file is made of one, give a folder as --output"
        raise typer.BadParameter(msg)
    settings = request.settings
    if settings.bands is None:
        settings = replace(settings, bands=files[0].bands)
    if settings.acquired is None:
        settings = replace(settings, acquired=images[0].acquired)
    told = replace(
        request,
        settings=settings,
        sun_elevation=images[0].sun_elevation,
        off_nadir=images[0].off_nadir,
    )
    return readable(files[0], images[0]), told


def map_area(
    scene: str | None,
    output: str,
    options: RegionOptions,
    request: MapRequest,
    *,
    dry_run: bool,
) -> tuple[dict[str, Any], int]:
    """Map an area in cells, say what came of it, and return that and the exit code."""
    from canopy.region.correcting import correction_in_words  # noqa: PLC0415 - slow
    from canopy.region.map_region import map_region, plan_as_json  # noqa: PLC0415 - slow

    wanted = request_of(scene, options, request)
    bring_models(request.missing_models(), fetches=not dry_run, quiet=request.quiet)
    if dry_run:
        planned = plan_as_json(wanted, output)
        if not request.quiet:
            announce(planned)
        return planned, 0
    with region_bar(quiet=request.quiet) as progress:
        run = map_region(wanted, output, progress=progress)
    if not request.quiet:
        summarise(run, correction_in_words(wanted.settings.correction))
    for line in failures(run):
        say(line)
    return run.as_json(), FAILED if run.report.failed else 0


def announce(planned: dict[str, Any]) -> None:
    """Say what a run would do."""
    cells = planned["cells"]
    say(f"region   {planned['output']}: {cells['all']} cells of {planned['cell_px']} px")
    say(f"images   {planned['images']}, prefer {planned['prefer']}")
    say(f"model    {planned['model']}")
    if planned["correction"]:
        say(f"notice   {planned['correction']}")
    say(f"to make  {cells['missing']} cells, {cells['kept']} stand already")
    say("dry run: nothing was written")


def request_of(scene: str | None, options: RegionOptions, request: MapRequest) -> RegionRequest:
    """Find the images, and return what is to be mapped.

    Raises:
        CatalogError: the catalog or the area cannot be read.
        GeoError: no image can be used, or a setting makes no sense.
    """
    from canopy.region.map_region import RegionRequest  # noqa: PLC0415 - help must not wait for it
    from canopy.region.run_settings import RunSettings  # noqa: PLC0415
    from canopy.region.settings import RegionSettings  # noqa: PLC0415
    from geo.catalog.area import read_area  # noqa: PLC0415

    # Checked before anything is asked of a server.
    chosen = given(cell_px=options.cell, prefer=options.prefer and parse_prefer(options.prefer))
    region = RegionSettings(map=request.settings, correction=request.correction, **chosen)
    spread = given(
        workers=options.workers,
        scheduler=options.scheduler,
        retries=options.retries,
        gpus=None if options.scheduler else gpus_for(request.device, options.workers),
    )
    run = RunSettings(**spread)
    area = read_area(options.area).geometry if options.area is not None else None
    return RegionRequest(
        images=find_images(scene, options),
        area=area,
        model=request.model,
        device=request.device,
        settings=region,
        run=run,
    )


def gpus_for(device: str, workers: int | None) -> int | None:
    """Return how many GPUs workers of a local cluster take, one each; None where none is started.

    One GPU needs no cluster: this process uses it. Several are used by as many workers.
    """
    if device == "cpu":
        return None
    import torch  # noqa: PLC0415 - help must not wait for it

    count = torch.cuda.device_count()
    return count if count > 1 or (count and workers) else None


def given(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever an option holds
    """Return the options that have a value: the others keep the library's defaults."""
    return {name: value for name, value in options.items() if value is not None}


def find_images(scene: str | None, options: RegionOptions) -> list[Image]:
    """Return the images of a file or catalog, or of a search, and say which are left out."""
    from geo.imagery.from_catalog import images_of, open_images  # noqa: PLC0415

    skipped: list[str] = []
    trust: dict[str, Any] = {
        "asset": parse_asset(options.asset),
        "allow_local": options.allow_local,
        "skipped": skipped,
    }
    if scene is not None:
        images = open_images(scene, **trust)
    else:
        found = search(options)
        skipped += found.refused
        images = images_of(found.items, catalog=found.api.url, **trust)
    for line in skipped[:SHOWN]:
        say(f"warning: {line}")
    if len(skipped) > SHOWN:
        say(f"warning: {len(skipped) - SHOWN} more are left out for like reasons")
    return images


def search(options: RegionOptions) -> Found:
    """Search the API that the options name.

    Raises:
        BadParameter: they do not say where, or for what.
        CatalogError: there is nothing; the message says what to relax.
    """
    from geo.catalog.imagery_search import Wish, search_for  # noqa: PLC0415 - help must not wait
    from geo.catalog.search import SearchSettings  # noqa: PLC0415

    if options.api is None or options.collection is None or options.area is None:
        msg = "--api needs --collection and --area: what is searched for, and where"
        raise typer.BadParameter(msg)
    wish = Wish(
        api=options.api,
        collection=options.collection,
        area=options.area,
        datetime=options.datetime,
        cloud=options.cloud,
    )
    limits = given(limit=options.limit)
    found = search_for(wish, SearchSettings(allow_local=options.allow_local, **limits))
    if found.more is None or found.more:
        say(f"warning: the limit of {len(found.items)} items is reached, there are more: --limit")
    return found


def parse_asset(text: str | None) -> str | tuple[str, ...] | None:
    """Return one name of an asset, or three of red, green and blue, separated by commas."""
    if text is None or "," not in text:
        return text
    return tuple(part.strip() for part in text.split(","))


def summarise(run: RegionRun, correction: str) -> None:
    """Say what stands where, and what was done to it."""
    report = run.report
    if correction:
        say(f"notice   {correction}")
    say(f"region   {run.output}: {report.sentence}")
    say(f"joined   {', '.join(run.files)}")


def failures(run: RegionRun) -> list[str]:
    """Say which cells were given up, and why."""
    failed = run.report.failed
    lines = [f"failed   {name}: {reason}" for name, reason in list(failed.items())[:SHOWN]]
    if len(failed) > SHOWN:
        lines.append(f"failed   {len(failed) - SHOWN} more cells, see report.json")
    if failed:
        lines.append("again    the same command tries these cells again, and keeps the others")
    return lines
