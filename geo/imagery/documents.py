"""Documents of a catalog: read from disk or from a server, with items followed link by link."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo.catalog.errors import CatalogError, UntrustedHrefError
from geo.catalog.search import answering
from geo.catalog.session import CatalogSession, Patience
from geo.catalog.trust import trusted_href

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = ("http://", "https://")
PATIENCE = Patience(limit_s=1800.0)
"""A catalog of many documents takes longer than a search."""

MOST_DOCUMENTS = 20_000
MOST_BYTES = 1 << 30
HEAD_BYTES = 512

PARQUET = b"PAR1"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FoundItem:
    """An item, and the document in which it stood.

    Attributes:
        item: STAC item as JSON values, as it was written.
        document: URL or path of the document.
        alone: whether it is the whole document.
    """

    item: Json
    document: str
    alone: bool


@dataclass(kw_only=True)
class CatalogDocuments:
    """All that hangs on one document.

    Attributes:
        source: URL or path of the first document.
        allow_local: follow it wherever it points.
        patience: how long servers are waited for.
        refused: gets a message for each link that is not followed.
    """

    source: str
    allow_local: bool = False
    patience: Patience = PATIENCE
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin a session, and its time limit."""
        self._session = CatalogSession(self.source, self.patience, allow_local=self.allow_local)

    def kind(self) -> str:
        """Return what the first document is by its first bytes: json, parquet or raster.

        Raises:
            CatalogError: it cannot be read.
        """
        head = self._head().lstrip(b"\xef\xbb\xbf \t\r\n")
        if head.startswith(PARQUET):
            return "parquet"
        return "json" if head.startswith((b"{", b"[")) else "raster"

    def items(self) -> Iterator[FoundItem]:
        """Yield the items of the first document, and of all that it links to.

        Raises:
            CatalogError: a document is none of a catalog, or there are too many.
            CatalogDownError: a server does not answer.
        """
        if self.kind() == "parquet":
            yield from self._table()
            return
        waiting, seen = deque([self.source]), {self.source}
        while waiting:
            href = waiting.popleft()
            document = self._json(href)
            yield from _items_in(document, href)
            for link in self._links(document, href):
                if link not in seen:
                    seen.add(link)
                    waiting.append(link)
            if len(seen) > MOST_DOCUMENTS:
                msg = (
                    f"{self.source} links to more than {MOST_DOCUMENTS} documents: "
                    "give a smaller part of it, or a table of its items (.parquet)"
                )
                raise CatalogError(msg)

    def _links(self, document: Json, href: str) -> Iterator[str]:
        """Yield the documents that one leads on to, in full."""
        for link in _onward(document):
            target = link.get("href")
            if not isinstance(target, str):
                continue
            try:
                whole = trusted_href(
                    target, catalog=self.source, base=href, allow_local=self.allow_local
                )
            except UntrustedHrefError as error:
                self.refused.append(str(error))
            else:
                # a/b/../b/../c is c: else a circle of documents never ends.
                yield whole if "://" in whole else os.path.normpath(whole)

    def _json(self, href: str) -> Json:
        """Return a document."""
        if href.startswith(WEB):
            with answering(href):
                document = json.loads(self._session.read_text(href))
        else:
            document = _json_here(href)
        if not isinstance(document, dict):
            msg = f"{href} is no part of a STAC catalog: expected an item, items or a catalog"
            raise CatalogError(msg)
        return document

    def _head(self) -> bytes:
        """Return the first bytes of the first document."""
        if not self.source.startswith(WEB):
            with _readable(self.source).open("rb") as file:
                return file.read(HEAD_BYTES)
        asked = {"Range": f"bytes=0-{HEAD_BYTES - 1}"}
        with (
            answering(self.source),
            self._session.session.get(self.source, headers=asked, stream=True) as answer,
        ):
            answer.raise_for_status()
            return next(answer.iter_content(HEAD_BYTES), b"")

    def _table(self) -> Iterator[FoundItem]:
        """Yield the items of a stac-geoparquet table."""
        import io  # noqa: PLC0415

        import pyarrow as pa  # noqa: PLC0415 - slow; JSON needs none of it
        import pyarrow.parquet as pq  # noqa: PLC0415
        from stac_geoparquet.arrow import stac_table_to_items  # noqa: PLC0415

        if self.source.startswith(WEB):
            with answering(self.source):
                answer = self._session.session.get(self.source)
                answer.raise_for_status()
            where: io.BytesIO | str = io.BytesIO(answer.content)
        else:
            where = self.source
        try:
            items = list(stac_table_to_items(pq.read_table(where)))
        except (pa.ArrowException, KeyError, ValueError, TypeError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            msg = f"{self.source} is no table of STAC items ({reason}): expected stac-geoparquet"
            raise CatalogError(msg) from error
        for item in items:
            yield FoundItem(item=item, document=self.source, alone=False)


def _items_in(document: Json, href: str) -> Iterator[FoundItem]:
    """Yield the items of a document; none for a catalog or a collection.

    Raises:
        CatalogError: it is no part of a catalog.
    """
    kind = document.get("type")
    if kind == "Feature":
        yield FoundItem(item=document, document=href, alone=True)
    elif kind in {"FeatureCollection", "ItemCollection"} or "features" in document:
        features = document.get("features")
        for each in features if isinstance(features, list) else []:
            if isinstance(each, dict):
                yield FoundItem(item=each, document=href, alone=False)
    elif not (kind in {"Catalog", "Collection"} or "links" in document):
        msg = f"{href} is no part of a STAC catalog: expected an item, items or a catalog"
        raise CatalogError(msg)


def _onward(document: Json) -> list[Json]:
    """Return the links of a document that lead to items."""
    links = document.get("links")
    links = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    if document.get("type") == "Feature":
        return []
    if "features" in document:
        return [link for link in links if link.get("rel") == "next" and _is_plain(link)]
    down = [link for link in links if link.get("rel") in {"child", "item"}]
    # Of an API, a collection has no links to items but one to pages of them.
    return down or [link for link in links if link.get("rel") == "items"]


def _is_plain(link: Json) -> bool:
    """Whether a link is followed by GET."""
    return str(link.get("method", "GET")).upper() == "GET"


def _readable(source: str) -> Path:
    """Return a path to a file.

    Raises:
        CatalogError: there is none.
    """
    path = Path(source)
    if path.is_dir():
        msg = f"{source} is a folder: name a file in it, such as its catalog.json"
        raise CatalogError(msg)
    if not path.is_file():
        msg = f"{source} does not exist: expected an image, or STAC items or a catalog"
        raise CatalogError(msg)
    return path


def _json_here(href: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON of a file.

    Raises:
        CatalogError: it cannot be read, or holds none.
    """
    path = _readable(href)
    try:
        if path.stat().st_size > MOST_BYTES:
            msg = f"{href} is larger than {MOST_BYTES >> 20} MiB: write its items as .parquet"
            raise CatalogError(msg)
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        msg = f"{href} cannot be read as JSON ({reason}): copy or download it again"
        raise CatalogError(msg) from error
