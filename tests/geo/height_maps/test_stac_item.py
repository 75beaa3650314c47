import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.extensions.render import RenderExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rasterio.crs import CRS

from geo.acquisition import Acquisition
from geo.errors import MapFileError
from geo.height_maps.map_facts import HeightMapFacts, HeightSummary, ModelReference
from geo.height_maps.stac_item import describe_height_map, write_item

UTM = "EPSG:32617"
NORTH_UP = Affine(0.6, 0, 404000, 0, -0.6, 3285000)
SCHEMAS = json.loads((Path(__file__).parents[1] / "stac_extension_schemas.json").read_text("utf-8"))
LOCAL_GRID = 'LOCAL_CS["stand 7",UNIT["metre",1]]'
UNNAMED = "+proj=tmerc +lat_0=12.3 +lon_0=-81.7 +k=0.99987 +x_0=1234 +y_0=77 +ellps=GRS80 +units=m"


@pytest.fixture(scope="module")
def validator() -> JsonSchemaSTACValidator:
    """pystac's own validator: STAC core as it ships, extensions as in the file beside this one."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache |= SCHEMAS
    return validator


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object, source: str) -> NoReturn:
        pytest.fail(f"the network was asked for {source}")

    monkeypatch.setattr(pystac.stac_io.DefaultStacIO, "read_text_from_href", refuse)


@pytest.fixture
def heights() -> HeightSummary:
    return HeightSummary(
        mean_m=12.5,
        stddev_m=6.25,
        minimum_m=0.0,
        maximum_m=31.5,
        valid_percent=75.0,
        percentiles_m={5: 0.5, 50: 13.0, 95: 24.0},
    )


@pytest.fixture
def facts(heights: HeightSummary) -> HeightMapFacts:
    return HeightMapFacts(
        item_id="stand-7",
        title="Stand 7",
        source="https://example.org/imagery/stand7.tif",
        model=ModelReference(
            name="canopy-tiny", version="1", href="https://example.org/m.json", licence="CC-BY-4.0"
        ),
        software="canopy",
        software_version="0.1.0",
        processed=datetime(2026, 5, 4, 5, 2, 1, tzinfo=timezone(timedelta(hours=2))),
        pixel_m=0.6,
        heights=heights,
        display_maximum_m=25.0,
    )


ENCODINGS = {
    "float32": {"dtype": "float32", "nodata": np.nan},
    "int16-cm": {"dtype": "int16", "nodata": -32768},
    "uint8-m": {"dtype": "uint8", "nodata": 255},
}


def write_map(
    path: Path,
    crs: str | CRS | None = UTM,
    transform: Affine = NORTH_UP,
    encoding: str = "float32",
) -> Path:
    shape = (30, 40)
    profile = {"driver": "GTiff", "count": 1, "height": shape[0], "width": shape[1]}
    with rasterio.open(
        path, "w", **profile, **ENCODINGS[encoding], crs=crs, transform=transform
    ) as file:
        file.write(np.ones(shape, ENCODINGS[encoding]["dtype"]), 1)
        if encoding == "int16-cm":
            file.scales = (0.01,)
    return path


def read_back(item: pystac.Item, path: Path) -> pystac.Item:
    return pystac.Item.from_dict(json.loads(write_item(item, path).read_text("utf-8")))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_written_item_is_valid(
    tmp_path: Path, validator: JsonSchemaSTACValidator, facts: HeightMapFacts, encoding: str
) -> None:
    cog = write_map(tmp_path / "map.tif", encoding=encoding)
    path = tmp_path / "map.json"
    item = read_back(describe_height_map(cog, facts, path), path)
    checked = item.validate(validator)
    assert len(checked) == 1 + len(SCHEMAS)
    assert set(item.stac_extensions) == set(SCHEMAS)
    assert item.stac_extensions == list(dict.fromkeys(item.stac_extensions))


WRONG = [
    (("properties", "proj:code"), 32617),
    (("properties", "proj:epsg"), 32617),
    (("properties", "proj:shape"), [30.5, 40]),
    (("properties", "renders", "canopy_height", "rescale"), [0, 25]),
    (("properties", "renders", "canopy_height", "assets"), None),
    (("properties", "processing:software"), "canopy 0.1.0"),
    (("properties", "created"), "yesterday"),
    (("properties", "end_datetime"), None),
    (("assets", "canopy_height", "file:checksum"), "XYZ"),
    (("assets", "canopy_height", "file:size"), "12"),
    (("assets", "canopy_height", "raster:bands", 0, "nodata"), "NaN"),
    (("assets", "canopy_height", "raster:bands", 0, "statistics", "median"), 1.0),
    (("assets", "canopy_height", "bands", 0, "data_type"), "single"),
    (("assets", "canopy_height", "bands", 0, "statistics", "valid_percent"), 175),
    (("geometry", "type"), "Square"),
    (("bbox",), [1, 2, 3]),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda x: str(x)[:40])
def test_a_wrong_field_is_found(
    tmp_path: Path,
    validator: JsonSchemaSTACValidator,
    facts: HeightMapFacts,
    place: tuple[str | int, ...],
    value: object,
) -> None:
    path = tmp_path / "map.json"
    item = describe_height_map(write_map(tmp_path / "map.tif"), facts, path)
    record = item.to_dict(include_self_link=False, transform_hrefs=False)
    inner: Any = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    kind = pystac.STACObjectType.ITEM
    with pytest.raises(pystac.STACValidationError):
        validator.validate(record, kind, record["stac_version"], record["stac_extensions"])


def test_the_grid_is_that_of_the_file(tmp_path: Path, facts: HeightMapFacts) -> None:
    item = describe_height_map(write_map(tmp_path / "map.tif"), facts, tmp_path / "map.json")
    projection = ProjectionExtension.ext(item)
    assert projection.code == UTM
    assert projection.wkt2 is None
    assert projection.shape == [30, 40]
    assert projection.transform == [0.6, 0, 404000, 0, -0.6, 3285000]
    assert projection.bbox == [404000, 3285000 - 18, 404024, 3285000]


@pytest.mark.parametrize(
    ("encoding", "unit_m", "nodata"),
    [("float32", 1.0, "nan"), ("int16-cm", 0.01, -32768), ("uint8-m", 1.0, 255)],
)
def test_the_band_speaks_of_stored_values(
    tmp_path: Path, facts: HeightMapFacts, encoding: str, unit_m: float, nodata: float | str
) -> None:
    cog = write_map(tmp_path / "map.tif", encoding=encoding)
    item = describe_height_map(cog, facts, tmp_path / "map.json")
    asset = item.assets["canopy_height"]
    (band,) = RasterExtension.ext(asset).bands
    assert band.nodata == nodata
    assert band.scale == unit_m
    assert band.offset == 0
    assert band.unit == "m"
    assert band.spatial_resolution == 0.6
    assert band.data_type == ENCODINGS[encoding]["dtype"]
    assert band.statistics.mean * unit_m == pytest.approx(12.5)
    assert band.statistics.maximum * unit_m == pytest.approx(31.5)
    assert band.statistics.stddev * unit_m == pytest.approx(6.25)
    assert band.statistics.valid_percent == 75
    (common,) = asset.extra_fields["bands"]
    for name in ("data_type", "nodata", "statistics", "unit"):
        assert common[name] == band.properties[name]
    (render,) = RenderExtension.ext(item).renders.values()
    assert np.multiply(render.rescale, unit_m) == pytest.approx(np.array([[0, 25]]))
    assert render.nodata == nodata
    assert item.properties["canopy:height_m"]["p95"] == 24


def test_files_have_size_and_checksum(tmp_path: Path, facts: HeightMapFacts) -> None:
    preview, style = tmp_path / "map.preview.png", tmp_path / "map.qml"
    preview.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\0\6\x40" + b"\0\0\3\x84" + b"rest")
    style.write_text("<qgis/>")
    facts = replace(facts, preview=preview, style=style)
    item = describe_height_map(write_map(tmp_path / "map.tif"), facts, tmp_path / "map.json")
    assert set(item.assets) == {"canopy_height", "preview", "style"}
    for asset in item.assets.values():
        content = Path(asset.get_absolute_href()).read_bytes()
        told = FileExtension.ext(asset)
        assert told.size == len(content)
        assert told.checksum == "1220" + hashlib.sha256(content).hexdigest()
    assert item.assets["canopy_height"].media_type == pystac.MediaType.COG
    assert item.assets["canopy_height"].roles == ["data"]
    assert "overview" in item.assets["preview"].roles
    assert item.assets["preview"].extra_fields["proj:shape"] == [900, 1600]
    assert item.assets["preview"].extra_fields["proj:code"] is None
    assert "style" in item.assets["style"].roles


def test_a_moved_folder_still_works(tmp_path: Path, facts: HeightMapFacts) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "imagery").mkdir()
    facts = replace(facts, source=tmp_path / "imagery" / "scene.tif")
    path = tmp_path / "maps" / "map.json"
    item = describe_height_map(write_map(tmp_path / "maps" / "map.tif"), facts, path)
    write_item(item, path)
    record = json.loads(path.read_text("utf-8"))
    assert record["assets"]["canopy_height"]["href"] == "./map.tif"
    assert record["links"][0]["href"] == "../imagery/scene.tif"
    assert str(tmp_path) not in path.read_text("utf-8")


def test_files_that_wait_elsewhere_are_named_where_they_will_be(
    tmp_path: Path, facts: HeightMapFacts
) -> None:
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    facts = replace(facts, source=tmp_path / "scene.tif", staged_in=waiting)
    item = describe_height_map(write_map(waiting / "map.tif"), facts, tmp_path / "map.json")
    assert item.assets["canopy_height"].href == "./map.tif"
    assert item.get_single_link("derived_from").href == "./scene.tif"


def test_imagery_and_model_are_linked(tmp_path: Path, facts: HeightMapFacts) -> None:
    item = describe_height_map(write_map(tmp_path / "map.tif"), facts, tmp_path / "map.json")
    source, model = item.get_links("derived_from")
    assert source.href == facts.source
    assert source.media_type == pystac.MediaType.GEOTIFF
    assert model.href == facts.model.href
    assert model.extra_fields["mlm:name"] == "canopy-tiny"
    assert item.properties["canopy:model_version"] == "1"
    assert item.properties["canopy:model_licence"] == "CC-BY-4.0"
    assert item.properties["processing:software"] == {"canopy": "0.1.0"}
    assert item.assets["canopy_height"].extra_fields["mlm:name"] == "canopy-tiny"


def test_the_time_is_that_of_the_imagery(
    tmp_path: Path, validator: JsonSchemaSTACValidator, facts: HeightMapFacts
) -> None:
    flown = datetime(2019, 6, 1, 14, tzinfo=timezone(timedelta(hours=-4)))
    facts = replace(facts, acquired=Acquisition(moment=flown, evidence="TIFFTAG_DATETIME"))
    path = tmp_path / "map.json"
    item = read_back(describe_height_map(write_map(tmp_path / "map.tif"), facts, path), path)
    item.validate(validator)
    assert item.datetime == flown
    assert item.properties["datetime"] == "2019-06-01T18:00:00Z"
    assert item.properties["created"] == "2026-05-04T03:02:01Z"
    assert item.properties["canopy:acquisition"] == "TIFFTAG_DATETIME"
    assert "start_datetime" not in item.properties


def test_an_unknown_time_is_not_made_up(
    tmp_path: Path, validator: JsonSchemaSTACValidator, facts: HeightMapFacts
) -> None:
    path = tmp_path / "map.json"
    item = read_back(describe_height_map(write_map(tmp_path / "map.tif"), facts, path), path)
    item.validate(validator)
    assert item.datetime is None
    assert item.properties["canopy:acquisition"] == "unknown"
    assert item.common_metadata.end_datetime == facts.processed
    assert item.common_metadata.start_datetime < datetime(1950, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("crs", [None, LOCAL_GRID])
def test_a_map_that_lies_nowhere_has_no_geometry(
    tmp_path: Path, validator: JsonSchemaSTACValidator, facts: HeightMapFacts, crs: str | None
) -> None:
    path = tmp_path / "map.json"
    cog = write_map(tmp_path / "map.tif", crs=crs and CRS.from_wkt(crs))
    item = read_back(describe_height_map(cog, facts, path), path)
    item.validate(validator)
    record = json.loads(path.read_text("utf-8"))
    assert record["geometry"] is None
    assert "bbox" not in record
    assert record["properties"]["proj:code"] is None
    assert record["properties"]["proj:shape"] == [30, 40]


def test_a_crs_without_a_code_is_spelled_out(
    tmp_path: Path, validator: JsonSchemaSTACValidator, facts: HeightMapFacts
) -> None:
    path = tmp_path / "map.json"
    crs = CRS.from_string(UNNAMED)
    cog = write_map(tmp_path / "map.tif", crs=crs, transform=Affine(0.6, 0, 1000, 0, -0.6, 0))
    item = read_back(describe_height_map(cog, facts, path), path)
    item.validate(validator)
    assert item.properties["proj:code"] is None
    assert CRS.from_wkt(item.properties["proj:wkt2"]) == crs
    assert item.bbox[0] == pytest.approx(-81.7, abs=0.01)


def test_a_map_without_a_height_is_described_too(
    tmp_path: Path,
    validator: JsonSchemaSTACValidator,
    facts: HeightMapFacts,
    heights: HeightSummary,
) -> None:
    nan = float("nan")
    empty = replace(
        heights,
        mean_m=nan,
        stddev_m=nan,
        minimum_m=nan,
        maximum_m=nan,
        valid_percent=0.0,
        percentiles_m={50: nan},
    )
    path = tmp_path / "map.json"
    cog = write_map(tmp_path / "map.tif")
    item = read_back(describe_height_map(cog, replace(facts, heights=empty), path), path)
    item.validate(validator)
    band = item.assets["canopy_height"].extra_fields["raster:bands"][0]
    assert band["statistics"] == {"valid_percent": 0}
    assert item.properties["canopy:height_m"] == {}


def test_a_missing_map_is_one_line(tmp_path: Path, facts: HeightMapFacts) -> None:
    with pytest.raises(MapFileError, match=r"^cannot read .*expected a finished height map.*$"):
        describe_height_map(tmp_path / "none.tif", facts, tmp_path / "none.json")


def test_a_missing_companion_is_one_line(tmp_path: Path, facts: HeightMapFacts) -> None:
    facts = replace(facts, style=tmp_path / "none.qml")
    with pytest.raises(MapFileError, match=r"^cannot read .*none.qml.*write it first$"):
        describe_height_map(write_map(tmp_path / "map.tif"), facts, tmp_path / "map.json")


def test_the_json_has_no_nan(tmp_path: Path, facts: HeightMapFacts) -> None:
    path = tmp_path / "map.json"
    write_item(describe_height_map(write_map(tmp_path / "map.tif"), facts, path), path)

    def refuse(word: str) -> NoReturn:
        pytest.fail(f"{word} is no JSON")

    json.loads(path.read_text("utf-8"), parse_constant=refuse)
