"""What shall be read is not written over, and what stands is kept."""

from __future__ import annotations

import pytest

from geo.errors import OutputError
from geo.outputs import refuse_collisions, refuse_raster


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.tif"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", ["map.png", "map", "map.tif.gz"])
def test_a_name_of_no_geotiff_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"a map is a GeoTIFF, end its name in \.tif"):
        refuse_raster(tmp_path / name, "a map")


@pytest.mark.parametrize("name", ["map.tif", "MAP.TIFF"])
def test_a_geotiff_needs_its_folder(tmp_path, name):
    refuse_raster(tmp_path / name, "a map")
    with pytest.raises(OutputError, match="does not exist: make it"):
        refuse_raster(tmp_path / "none" / name, "a map")


def test_what_is_read_is_never_written_over(tmp_path, source):
    link = tmp_path / "link.tif"
    link.symlink_to(source)
    for path in (source, link, tmp_path / "a" / ".." / "source.tif"):
        (tmp_path / "a").mkdir(exist_ok=True)
        with pytest.raises(OutputError, match="is what shall be read"):
            refuse_collisions([path], [source], overwrite=True)


def test_what_stands_is_replaced_only_where_asked(tmp_path, source):
    other = tmp_path / "other.tif"
    refuse_collisions([tmp_path / "new.tif", source], [other], overwrite=True)
    with pytest.raises(OutputError, match=r"source\.tif exists: .*--overwrite"):
        refuse_collisions([tmp_path / "new.tif", source], [other], overwrite=False)
    with pytest.raises(OutputError, match="is a folder: name a file in it"):
        refuse_collisions([tmp_path], [other], overwrite=True)


def test_a_url_collides_with_nothing(tmp_path):
    signed = f"https://example.org/{'x' * 400}.tif"
    refuse_collisions([tmp_path / "map.tif"], [signed], overwrite=False)
    (tmp_path / "map.tif").touch()
    refuse_collisions([tmp_path / "map.tif"], [signed], overwrite=True)
