"""Images that are open: a few at a time, each opened when its pixels are first needed."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from geo.catalog.signing import signed_href
from geo.errors import SceneError
from geo.imagery.placed import PlacedFile
from geo.scene import (
    GDAL_OPTIONS,
    expanded_palette,
    open_raster,
    opened,
    reading,
    refuse_what_is_no_raster,
    scene_of,
)
from geo.scene_reader import broken_off

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from geo.imagery.image import Image
    from geo.imagery.placed import Zone
    from geo.raster import Mask, Pixels
    from geo.scene import Scene

    Stretching = Callable[[Pixels], Pixels]
    StretchOf = Callable[[Scene], Stretching | None]

MOST_OPEN = 16
"""Images that are open at once."""


class ImageFile(NamedTuple):
    """A file of an image.

    Attributes:
        href: where it lies.
        bands: red, green and blue, or one colour alone; None where the file says.
    """

    href: str
    bands: tuple[int, ...] | None


def files_of(image: Image) -> list[ImageFile]:
    """Return the files of an image: one with all colours, or one for each."""
    hrefs = [source.href for source in image.sources]
    bands = tuple(source.band for source in image.sources if source.band is not None)
    if len(set(hrefs)) == 1:
        return [ImageFile(hrefs[0], bands or None)]
    return [ImageFile(href, (band or 1,)) for href, band in image.sources]


def readable(file: ImageFile, image: Image) -> str:
    """Return a file as it can be read now: signed where need be, and then to be kept nowhere.

    Raises:
        CatalogError: what signs is not installed.
        CatalogDownError: no key was given.
    """
    return signed_href(file.href) if image.signed else file.href


@dataclass(kw_only=True)
class OpenFile:
    """A file that is open.

    Attributes:
        href: where it lies, without keys.
        source: the same as it is read.
        placed: what reads it by blocks.
        stretch: what brings its pixels to [0, 1]; None for bytes, and for what is there already.
    """

    href: str
    source: str
    placed: PlacedFile
    stretch: Stretching | None

    def read(self, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return a block of the endless grid: pixels as float32 in [0, 1], and which are valid.

        Raises:
            SceneError: the file breaks off or is corrupt.
            ConnectionLostError: the server does.
        """
        try:
            with unsigned(self.source, self.href):
                block = self.placed.read(row, column)
        except RasterioError as error:
            with unsigned(self.source, self.href):
                raise broken_off(self.source, error) from error
        if block is None:
            return None
        return as_real(block[0], self.stretch), block[1]


@contextmanager
def unsigned(source: str, href: str) -> Iterator[None]:
    """Name a file without its keys in what is said of it."""
    try:
        yield
    except SceneError as error:
        if source == href:
            raise
        raise type(error)(str(error).replace(source, href)) from error.__cause__


def as_real(pixels: Pixels, stretch: Stretching | None) -> Pixels:
    """Return pixels (bands, rows, columns) as float32: stretched, or over the range of their type.

    A stretch knows three colours; one alone is the first of three that are alike.
    """
    if stretch is not None:
        count, *shape = pixels.shape
        return stretch(np.broadcast_to(pixels, (3, *shape)))[:count].astype(np.float32, copy=False)
    if np.issubdtype(pixels.dtype, np.integer):
        return np.multiply(pixels, np.float32(1 / np.iinfo(pixels.dtype).max), dtype=np.float32)
    return pixels.astype(np.float32, copy=False)


class OpenImages:
    """Images by number; the one that was not used for longest is closed where too many are open."""

    def __init__(self, images: Sequence[Image], zone: Zone, stretch_of: StretchOf) -> None:
        """Open none yet."""
        self.images, self.zone, self.stretch_of = images, zone, stretch_of
        self._open: OrderedDict[int, tuple[ExitStack, list[OpenFile]]] = OrderedDict()
        self._stretches: dict[ImageFile, Stretching | None] = {}

    def read(self, index: int, row: int, column: int) -> tuple[Pixels, Mask] | None:
        """Return a block of an image: pixels (3, rows, columns), valid; None where it has nothing.

        Raises:
            SceneError: it cannot be opened or read.
            ConnectionLostError: its server does not answer just now.
        """
        blocks = []
        for file in self._files(index):
            block = file.read(row, column)
            if block is None:
                return None
            blocks.append(block)
        if len(blocks) == 1:
            return blocks[0]
        pixels = np.concatenate([each for each, _ in blocks])
        return pixels, np.logical_and.reduce([valid for _, valid in blocks])

    def close(self) -> None:
        """Close all; what GDAL keeps of remote files goes with them."""
        with rasterio.Env(**GDAL_OPTIONS):
            while self._open:
                self._open.popitem()[1][0].close()

    def _files(self, index: int) -> list[OpenFile]:
        """Return the open files of an image."""
        if index not in self._open:
            if len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
            image = self.images[index]
            with ExitStack() as stack:
                files = [self._opened(file, image, stack) for file in files_of(image)]
                self._open[index] = stack.pop_all(), files
        self._open.move_to_end(index)
        return self._open[index][1]

    def _opened(self, file: ImageFile, image: Image, stack: ExitStack) -> OpenFile:
        """Open a file; it is signed now, and the key is kept nowhere else."""
        source = readable(file, image)
        with unsigned(source, file.href):
            refuse_what_is_no_raster(source)
            with reading(source):
                dataset = stack.enter_context(open_raster(source))
                wanted = file.bands and (file.bands * 3)[:3]
                scene = scene_of(dataset, source, wanted)
                if scene.bands.palette:
                    dataset = stack.enter_context(opened(expanded_palette(dataset, source)))
                colours = scene.read_bands.colours[: len(file.bands or (1, 2, 3))]
                placed = PlacedFile(dataset, scene, colours, self.zone)
            stack.callback(placed.close)
            return OpenFile(
                href=file.href, source=source, placed=placed, stretch=self._stretch(file, scene)
            )

    def _stretch(self, file: ImageFile, scene: Scene) -> Stretching | None:
        """Return what stretches a file; decided once."""
        if file not in self._stretches:
            self._stretches[file] = self.stretch_of(scene)
        return self._stretches[file]
