"""``canopy map``: a scene or an area in, canopy heights out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, show_notes
from cli.map_options import MapOptions  # noqa: TC001 - Typer reads the annotations
from cli.map_scene import map_one
from cli.option_groups import grouped
from cli.options import Speech  # noqa: TC001
from cli.region import is_region, map_area, one_scene
from cli.region_options import RegionOptions  # noqa: TC001


@grouped
def map_canopy(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.tif|DIR|s3://...",
            help="Where the map will stand: one file for a scene; a folder, or a bucket and a "
            "prefix, for an area in cells.",
        ),
    ],
    *,
    scene: Annotated[
        str | None,
        typer.Argument(
            metavar="[SCENE]",
            help="Imagery: a file, or an http(s), s3 or gs URL; or STAC: an item, a collection of "
            "items, a catalog, or a stac-geoparquet table.",
            show_default=False,
        ),
    ] = None,
    map_options: MapOptions,
    area_options: RegionOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    speech: Speech,
) -> int:
    """Map the canopy height of SCENE into a cloud-optimized GeoTIFF, or of an area in cells.

    Beside a map stand a QGIS style (.qml), a picture (.preview.png) and a STAC item (.json).

    With a folder or s3://bucket/prefix as output, cells of a fixed grid come out, each a COG with
    its dates and its STAC item, under a collection, a table of items, a mosaic and a report. The
    same command again makes what is missing or stale. Exit code 1 where cells failed.
    """
    show_notes(quiet=speech.quiet)
    request = map_options.request(quiet=speech.quiet)
    if is_region(scene, output, area_options):
        summary, code = map_area(scene, output, area_options, request, dry_run=dry_run)
    else:
        named, request = one_scene(str(scene), area_options, request)
        summary, code = map_one(named, Path(output), request, dry_run=dry_run), 0
    if speech.as_json:
        print_json(summary)
    return code
