"""Scene: imagery as it is, opened lazily; any raster GDAL reads with red, green and blue in it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import GCPTransformer, from_gcps

from geo.bands import Bands, choose_bands
from geo.errors import ConnectionLostError, SceneError
from geo.grid import Grid
from geo.ground import ground_pixel_m

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rasterio.control import GroundControlPoint
    from rasterio.io import DatasetReader

    from geo.ground import Locator

WEB = ("http://", "https://")
REMOTE = (*WEB, "s3://", "gs://")

GDAL_PREFIXES = {"http": "/vsicurl/http", "s3://": "/vsis3/", "gs://": "/vsigs/"}
"""How GDAL itself names what lies on a server."""

REMOTE_DRIVERS = ["GTiff", "COG", "JPEG", "PNG", "JP2OpenJPEG", "WEBP", "HFA", "NITF", "GPKG"]
"""Formats read from elsewhere: none of them can point at a file of this machine, as a VRT can."""

GDAL_OPTIONS = {
    # A small cache: scenes are read once, from top to bottom.
    "GDAL_CACHEMAX": 64,
    # A truncated JPEG is an error, not a grey area.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    # What of a remote file was read is forgotten when it is closed: GDAL keeps the part of a body
    # that came before a connection broke as if it were whole, and no later try would mend it.
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    # A server that sends less than this many bytes in a second for so many seconds has stalled.
    # GDAL asks three times for what it misses: a read fails after about a minute.
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,
}

# How long servers are waited for is a matter of the network: the environment has the last word.
for _name in [name for name in GDAL_OPTIONS if name.startswith("GDAL_HTTP_")]:
    if _name in os.environ:
        del GDAL_OPTIONS[_name]

ANSWER_S = 5.0
"""How long a server may take to say why a file cannot be read [s]."""

RASTER_HEADS = (
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"\0\0\0\x0cjP",
)
"""How files of the usual formats begin: TIFF, BigTIFF, JPEG, PNG, JPEG 2000."""

BUSY = (408, 425, 429)
"""Answers of servers that ask for another try, beside all from 500 on."""

REMOTE_OPTIONS = {
    # No listing of the folder that holds a remote file: it is slow and often forbidden.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}

PLANE = CRS.from_epsg(32631)
"""Stands in for the CRS of a scene that has none while GDAL resamples it; it never comes out."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Imagery on disk or on a server.

    Attributes:
        source: the path or URL it was opened from.
        grid: its own grid; of a scene with ground control points only, the affine grid that
            fits them best.
        bands: which bands are red, green, blue and alpha.
        dtype: type of its pixels.
        nodata: value of pixels that mean nothing, or None.
        driver: GDAL's name of its format.
        gcps: ground control points, where they are all the georeference there is.
        tags: metadata of the file.
    """

    source: str
    grid: Grid
    bands: Bands
    dtype: str
    nodata: float | None
    driver: str
    gcps: tuple[GroundControlPoint, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def locate(self) -> Locator | None:
        """Rows and columns to coordinates through the ground control points, or None."""
        if not self.gcps:
            return None

        def through_points(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with GCPTransformer(list(self.gcps)) as transformer:
                x, y = transformer.xy(list(rows), list(columns), offset="ul")
            return np.asarray(x), np.asarray(y)

        return through_points

    @property
    def gsd_m(self) -> float:
        """Longer side of a pixel on the ground, at the centre [m]."""
        return max(ground_pixel_m(self.grid, self.locate))

    @contextmanager
    def open(self) -> Iterator[DatasetReader]:
        """Open the file; a palette comes out as red, green, blue and alpha.

        Raises:
            SceneError: the file cannot be opened or read.
        """
        with reading(self.source), open_raster(self.source) as dataset:
            if not self.bands.palette:
                yield dataset
                return
            with opened(expanded_palette(dataset, self.source)) as expanded:
                yield expanded

    @property
    def read_bands(self) -> Bands:
        """Bands as :meth:`open` gives them."""
        return Bands(colours=(1, 2, 3), alpha=4) if self.bands.palette else self.bands


def open_scene(
    source: str | Path, *, bands: Sequence[int] | None = None, pixel_size_m: float | None = None
) -> Scene:
    """Open imagery without reading its pixels.

    Args:
        source: a path, or an http, https, s3 or gs URL.
        bands: which bands are red, green and blue (1-based); decided from the file if None.
        pixel_size_m: side of a pixel [m], for a scene that has no georeference.

    Raises:
        SceneError: it cannot be opened, has no colours, or no georeference.
    """
    source = str(source)
    refuse_what_is_no_raster(source)
    with reading(source), open_raster(source) as dataset:
        return scene_of(dataset, source, bands, pixel_size_m)


def scene_of(
    dataset: DatasetReader,
    source: str,
    bands: Sequence[int] | None = None,
    pixel_size_m: float | None = None,
) -> Scene:
    """Return what an open dataset is, without reading its pixels; see :func:`open_scene`.

    Raises:
        SceneError: it has no colours, or no georeference.
    """
    if not dataset.count:
        msg = f"{source} holds {len(dataset.subdatasets)} rasters: name one of them"
        raise SceneError(msg)
    dtype = dataset.dtypes[0]
    if "complex" in dtype:
        msg = f"{source} has {dtype} pixels: expected whole or real numbers, give an image"
        raise SceneError(msg)
    return Scene(
        source=source,
        grid=scene_grid(dataset, source, pixel_size_m),
        bands=choose_bands(dataset, bands),
        dtype=dtype,
        nodata=dataset.nodata,
        driver=dataset.driver,
        gcps=only_gcps(dataset),
        tags=dataset.tags(),
    )


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Set GDAL's options, and turn its errors into a line about the source."""
    options = GDAL_OPTIONS | (REMOTE_OPTIONS if is_remote(source) else {})
    try:
        with rasterio.Env(**options):
            yield
    except RasterioError as error:
        raise unreadable(source, error) from error


def open_raster(source: str) -> DatasetReader:
    """Open a raster; a remote one only in a format that cannot point elsewhere.

    Raises:
        SceneError: a remote one has another format.
    """
    dataset = opened(source)
    if is_remote(source) and dataset.driver not in REMOTE_DRIVERS:
        dataset.close()
        msg = (
            f"{source} cannot be read: it is a {dataset.driver}, which can point at files here; "
            f"download it, or give a {', '.join(REMOTE_DRIVERS[:4])}"
        )
        raise SceneError(msg)
    return dataset


def opened(source: str) -> DatasetReader:
    """Open a raster without a warning if it has no georeference: open_scene says what to do."""
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        return rasterio.open(source, sharing=False)


def is_remote(source: str) -> bool:
    """Whether a source lies on a server."""
    return source.startswith(REMOTE)


def gdal_name(source: str) -> str:
    """Return the name by which GDAL itself finds a source."""
    for start, prefix in GDAL_PREFIXES.items():
        if is_remote(source) and source.startswith(start):
            return prefix + source.removeprefix(start)
    return source


def refuse_what_is_no_raster(source: str) -> None:
    """Refuse a folder, a missing file, an empty file and an HTML page.

    Raises:
        SceneError: the source is one of them.
    """
    path = Path(source)
    if is_remote(source) or source.startswith("/vsi") or (":" in source and not path.exists()):
        return
    if path.is_dir():
        msg = f"{source} is a folder: expected a raster file, name one inside it"
        raise SceneError(msg)
    if not path.exists():
        msg = f"{source} does not exist: expected a raster file, check the path"
        raise SceneError(msg)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        msg = f"{source} cannot be read ({error.strerror}): change its permissions"
        raise SceneError(msg) from error
    if not head:
        msg = f"{source} is empty: expected a raster file, copy or download it again"
        raise SceneError(msg)
    if is_html(head):
        msg = f"{source} is an HTML page, not a raster: the download failed, fetch it again"
        raise SceneError(msg)


def is_html(head: bytes) -> bool:
    """Whether a file begins like an HTML page."""
    start = head.lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def unreadable(source: str, error: Exception) -> SceneError:
    """Return the error of a source that GDAL cannot read: whether another try may help is told."""
    answer = server_answer(source) if source.startswith(WEB) else None
    kind = ConnectionLostError if answer and answer.passing else SceneError
    return kind(_reason(source, error, answer))


def reason_unreadable(source: str, error: Exception) -> str:
    """Say in one line why GDAL cannot read a source."""
    return str(unreadable(source, error))


def _reason(source: str, error: Exception, answer: ServerAnswer | None) -> str:
    """Say in one line why GDAL cannot read a source, and what its server says."""
    if answer and answer.text:
        return f"{source} cannot be read: {answer.text}, check the address"
    cause = error.__cause__ or error
    detail = " ".join(str(cause).split()).replace(f"'{source}' ", "").removeprefix(f"{source}: ")
    return f"{source} cannot be read as a raster ({detail}): truncated, corrupt or no image"


class ServerAnswer(NamedTuple):
    """What a server answers that is asked for a file which could not be read.

    Attributes:
        text: what is wrong with it; None where nothing is.
        passing: whether another try may help: the server is busy or gone, or sends a raster now.
    """

    text: str | None
    passing: bool


def server_answer(url: str) -> ServerAnswer:
    """Ask a server for the first bytes of a file."""
    request = urllib.request.Request(url, headers={"Range": "bytes=0-511"})  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as response:  # noqa: S310
            head: bytes = response.read(512)
    except urllib.error.HTTPError as error:
        busy = error.code in BUSY or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        return ServerAnswer(f"the server answers {error.code} {error.reason}", busy)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return ServerAnswer(f"the server cannot be reached ({reason})", passing=True)
    if is_html(head):
        return ServerAnswer("the server sends an HTML page", passing=False)
    return ServerAnswer(None, head.startswith(RASTER_HEADS))


def only_gcps(dataset: DatasetReader) -> tuple[GroundControlPoint, ...]:
    """Return ground control points if they are all the georeference there is."""
    points, crs = dataset.gcps
    return tuple(points) if points and crs and dataset.transform.is_identity else ()


def scene_grid(dataset: DatasetReader, source: str, pixel_size_m: float | None) -> Grid:
    """Return the grid of a dataset.

    Raises:
        SceneError: it has no georeference and no pixel size is given, or both.
    """
    shape = {"height": dataset.height, "width": dataset.width}
    points, points_crs = dataset.gcps
    placed = not dataset.transform.is_identity
    if points and points_crs and not placed:
        grid = Grid(crs=points_crs, transform=fitted(points, source), **shape)
    elif dataset.crs and placed:
        grid = Grid(crs=dataset.crs, transform=dataset.transform, **shape)
    elif pixel_size_m is not None:
        return Grid(crs=None, transform=Affine.scale(pixel_size_m, -pixel_size_m), **shape)
    else:
        missing = "geotransform" if dataset.crs else "CRS" if placed else "CRS and no geotransform"
        also = "; it has RPCs, which are not read: orthorectify it first" if dataset.rpcs else ""
        msg = (
            f"{source} has no {missing}: its scale is unknown, give --pixel-size in metres "
            f"or georeference it{also}"
        )
        raise SceneError(msg)
    if pixel_size_m is not None:
        msg = f"{source} is georeferenced: leave --pixel-size out, its own grid is used"
        raise SceneError(msg)
    return grid


def fitted(points: Sequence[GroundControlPoint], source: str) -> Affine:
    """Return the transform that fits ground control points best.

    Raises:
        SceneError: they are fewer than three, or lie on a line.
    """
    spread = np.array([(point.col, point.row, 1) for point in points])
    if np.linalg.matrix_rank(spread) < spread.shape[1]:
        msg = (
            f"{source} has {len(points)} ground control points that do not span a plane: "
            "three or more off a line are needed, georeference it"
        )
        raise SceneError(msg)
    best: Affine = from_gcps(points)
    return best


def expanded_palette(dataset: DatasetReader, source: str) -> str:
    """Return a virtual raster that shows a palette as red, green, blue and alpha.

    A colour that is fully transparent, and the nodata index, are transparent; all else is opaque.
    """
    colours = np.zeros((256, 4), dtype=int)
    for index, colour in dataset.colormap(1).items():
        colours[index] = (*colour[:3], 255 if colour[3] else 0)
    if dataset.nodata is not None:
        colours[int(dataset.nodata), 3] = 0
    name = escape(gdal_name(source))
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{role}</ColorInterp>'
        f'<ComplexSource><SourceFilename relativeToVRT="0">{name}</SourceFilename>'
        f"<SourceBand>1</SourceBand><LUT>{lookup(colours[:, band - 1])}</LUT></ComplexSource>"
        "</VRTRasterBand>"
        for band, role in enumerate(("Red", "Green", "Blue", "Alpha"), start=1)
    )
    return (
        f'<VRTDataset rasterXSize="{dataset.width}" rasterYSize="{dataset.height}">'
        f"{gcp_list(dataset)}{bands}</VRTDataset>"
    )


def gcp_list(dataset: DatasetReader) -> str:
    """Return the ground control points of a dataset as a VRT has them; nothing without any."""
    points, crs = dataset.gcps
    if not points:
        return ""
    listed = "".join(
        f'<GCP Id="{index}" Pixel="{point.col!r}" Line="{point.row!r}" X="{point.x!r}" '
        f'Y="{point.y!r}"/>'
        for index, point in enumerate(points)
    )
    projection = escape(crs.to_wkt() if crs else "", {'"': "&quot;"})
    return f'<GCPList Projection="{projection}" dataAxisToSRSAxisMapping="1,2">{listed}</GCPList>'


def lookup(values: np.ndarray) -> str:
    """Return a VRT lookup table."""
    return ",".join(f"{index}:{value}" for index, value in enumerate(values))
