"""Scene: imagery as it is, opened lazily; any raster GDAL reads with red, green and blue in it."""

from __future__ import annotations

import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import GCPTransformer, from_gcps

from geo.bands import Bands, choose_bands
from geo.errors import SceneError
from geo.grid import Grid
from geo.ground import ground_pixel_m

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rasterio.control import GroundControlPoint
    from rasterio.io import DatasetReader

    from geo.ground import Locator

REMOTE = ("http://", "https://", "s3://", "gs://")

GDAL_PREFIXES = {"http": "/vsicurl/http", "s3://": "/vsis3/", "gs://": "/vsigs/"}
"""How GDAL itself names what lies on a server."""

REMOTE_DRIVERS = ["GTiff", "COG", "JPEG", "PNG", "JP2OpenJPEG", "WEBP", "HFA", "NITF", "GPKG"]
"""Formats read from elsewhere: none of them can point at a file of this machine, as a VRT can."""

GDAL_OPTIONS = {
    # A small cache: scenes are read once, from top to bottom.
    "GDAL_CACHEMAX": 64,
    # A truncated JPEG is an error, not a grey area.
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
}

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
        if not dataset.count:
            msg = f"{source} holds {len(dataset.subdatasets)} rasters: name one of them"
            raise SceneError(msg)
        dtype = dataset.dtypes[0]
        if "complex" in dtype:
            msg = f"{source} has {dtype} pixels: expected whole or real numbers, give an image"
            raise SceneError(msg)
        gcps = only_gcps(dataset)
        return Scene(
            source=source,
            grid=scene_grid(dataset, source, pixel_size_m),
            bands=choose_bands(dataset, bands),
            dtype=dtype,
            nodata=dataset.nodata,
            driver=dataset.driver,
            gcps=gcps,
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
        raise SceneError(reason_unreadable(source, error)) from error


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


def reason_unreadable(source: str, error: Exception) -> str:
    """Say in one line why GDAL cannot read a source."""
    cause = error.__cause__ or error
    detail = " ".join(str(cause).split()).replace(f"'{source}' ", "").removeprefix(f"{source}: ")
    if source.startswith(("http://", "https://")) and (answer := server_answer(source)):
        return f"{source} cannot be read: {answer}, check the address"
    return f"{source} cannot be read as a raster ({detail}): truncated, corrupt or no image"


def server_answer(url: str) -> str | None:
    """Say what a server answers if it is no raster, or None."""
    request = urllib.request.Request(url, headers={"Range": "bytes=0-511"})  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
            return "the server sends an HTML page" if is_html(response.read(512)) else None
    except urllib.error.HTTPError as error:
        return f"the server answers {error.code} {error.reason}"
    except OSError as error:
        return f"the server cannot be reached ({getattr(error, 'reason', error)})"


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
