from pathlib import Path

import pystac
import pytest

from geo.hrefs import media_type, relative_href, source_href


@pytest.mark.parametrize(
    ("source", "href"),
    [
        ("https://example.org/a.tif", "https://example.org/a.tif"),
        ("https://example.org/get?file=a.tif", "https://example.org/get?file=a.tif"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif"),
        ("gs://bucket/a.tif", "gs://bucket/a.tif"),
        ("/vsicurl/https://example.org/a.tif", "https://example.org/a.tif"),
        ("/vsis3/bucket/a.tif", "s3://bucket/a.tif"),
        ("/vsizip/a.zip/a.tif", "/vsizip/a.zip/a.tif"),
    ],
)
def test_far_sources_stay_what_they_are(tmp_path: Path, source: str, href: str) -> None:
    assert source_href(source, tmp_path) == href


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pass@example.org/a.tif",
        "https://example.org/a.tif?X-Amz-Expires=60&X-Amz-Signature=0123abcd",
        "https://example.org/a.tif?se=2026-01-01&sp=r&sig=0123abcd",
    ],
)
def test_keys_are_not_published(tmp_path: Path, url: str) -> None:
    assert source_href(url, tmp_path) == "https://example.org/a.tif"


def test_near_files_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert relative_href(tmp_path / "a b.tif", tmp_path) == "./a b.tif"
    assert relative_href(tmp_path / "in" / "a.tif", tmp_path / "out") == "../in/a.tif"
    monkeypatch.chdir(tmp_path)
    assert source_href("a.tif", tmp_path) == "./a.tif"
    assert source_href("a.tif", "out") == "../a.tif"


def test_media_types() -> None:
    assert media_type("https://example.org/A.TIF?x=1") == pystac.MediaType.GEOTIFF
    assert media_type("./scene.png") == pystac.MediaType.PNG
    assert media_type("./folder") is None
