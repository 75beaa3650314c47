"""How a STAC item names other files: near ones relative to itself, far ones by URL without keys."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import pystac

_VIRTUAL_PREFIXES = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://"}
_MEDIA_TYPES = {
    ".tif": pystac.MediaType.GEOTIFF,
    ".tiff": pystac.MediaType.GEOTIFF,
    ".jp2": pystac.MediaType.JPEG2000,
    ".jpg": pystac.MediaType.JPEG,
    ".jpeg": pystac.MediaType.JPEG,
    ".png": pystac.MediaType.PNG,
    ".json": pystac.MediaType.GEOJSON,
    ".geojson": pystac.MediaType.GEOJSON,
}
# Query keys of signed URLs (Amazon, Google, Azure): whoever reads them may fetch the file until
# they expire.
_SIGNATURE_KEYS = {"x-amz-signature", "x-goog-signature", "signature", "sig"}


def relative_href(path: str | Path, folder: str | Path) -> str:
    """Return a local path as seen from a folder, with forward slashes.

    Args:
        path: The file to name.
        folder: The folder of the item that names it.

    Returns:
        `./name` or `../other/name`; the absolute path where none leads there (another drive).
    """
    target = Path(path).absolute()
    try:
        relative = Path(os.path.relpath(target, Path(folder).absolute())).as_posix()
    except ValueError:
        return target.as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def source_href(source: str | Path, folder: str | Path) -> str:
    """Return the href of imagery or a model, wherever it lies.

    Args:
        source: A URL, a GDAL path (/vsicurl/, /vsis3/, /vsigs/, /vsiaz/) or a local path.
        folder: The folder of the item that names it.

    Returns:
        A URL as it is, but without user, password and a signed query; a GDAL path as the URL it
        stands for; a local path relative to `folder`.
    """
    text = str(source)
    for prefix, scheme in _VIRTUAL_PREFIXES.items():
        if text.startswith(prefix):
            text = scheme + text.removeprefix(prefix)
    if "://" in text:
        return _without_secrets(text)
    return text if text.startswith("/vsi") else relative_href(source, folder)


def source_name(source: str | Path) -> str:
    """Return how a file that travels names its source: a URL without keys, or a bare file name.

    Folders of the machine on which a map was made are nobody's business.
    """
    far = "://" in str(source) or str(source).startswith("/vsi")
    return source_href(source, ".") if far else Path(source).name


def media_type(href: str) -> str | None:
    """Return the media type that a file name suggests, or None."""
    return _MEDIA_TYPES.get(Path(urlsplit(href).path).suffix.lower())


def _without_secrets(url: str) -> str:
    """Return a URL that can be published: items travel further than the keys in it should."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    signed = any(
        key.lower() in _SIGNATURE_KEYS for key, _ in parse_qsl(parts.query, keep_blank_values=True)
    )
    return urlunsplit(parts._replace(netloc=host, query="" if signed else parts.query))
