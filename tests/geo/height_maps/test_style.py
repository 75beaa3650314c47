from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest

from geo.errors import MapFileError
from geo.height_maps.style import HEIGHT_RAMP, RAMP_NAME, display_maximum, write_qml

# Linear RGB to the response of long and medium cones alone: how bright a colour is to every eye.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def lightness(rgb: tuple[int, int, int]) -> float:
    scaled = np.array(rgb) / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ LUMINANCE) - 16


@pytest.fixture
def root(tmp_path: Path) -> ET.Element:
    text = write_qml(tmp_path / "map.qml", 40.0).read_text("utf-8")
    assert text.startswith("<!DOCTYPE qgis")
    return ET.fromstring(text)  # noqa: S314 - we wrote it


def test_qgis_finds_the_renderer_where_it_looks(root: ET.Element) -> None:
    assert root.tag == "qgis"
    renderer = root.find("pipe/rasterrenderer")
    assert renderer.get("type") == "singlebandpseudocolor"
    assert renderer.get("band") == "1"
    assert renderer.get("nodataColor") == ""
    assert renderer.get("classificationMin") == "0"
    assert renderer.get("classificationMax") == "40"
    assert root.find("pipe/rasterrenderer/minMaxOrigin/limits").text == "None"
    assert root.find("blendMode").text == "0"


def test_items_climb_from_the_ground_to_the_maximum(root: ET.Element) -> None:
    shader = root.find("pipe/rasterrenderer/rastershader/colorrampshader")
    assert shader.get("colorRampType") == "INTERPOLATED"
    assert shader.get("clip") == "0"
    assert (shader.get("minimumValue"), shader.get("maximumValue")) == ("0", "40")
    items = shader.findall("item")
    values = [float(item.get("value")) for item in items]
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (0, 40)
    assert (items[0].get("label"), items[-1].get("label")) == ("0 m", "40 m")
    for item, (_, rgb) in zip(items, HEIGHT_RAMP, strict=True):
        assert bytes.fromhex(item.get("color")[1:]) == bytes(rgb)
        assert item.get("alpha") == "255"


def test_both_spellings_of_the_gradient_agree(root: ET.Element) -> None:
    ramp = root.find(".//colorramp")
    options = {option.get("name"): option.get("value") for option in ramp.findall("Option/Option")}
    properties = {prop.get("k"): prop.get("v") for prop in ramp.findall("prop")}
    assert options == properties
    assert options["stops"].count(":") == len(HEIGHT_RAMP) - 3


def test_the_ramp_is_the_one_that_it_is_called_after() -> None:
    known = {name.lower(): name for name in mpl.colormaps}
    colours = mpl.colormaps[known[RAMP_NAME]]([fraction for fraction, _ in HEIGHT_RAMP], bytes=True)
    expected = [rgb for _, rgb in HEIGHT_RAMP]
    assert np.abs(colours[:, :3].astype(int) - expected).max() <= 2


def test_higher_is_darker_to_every_eye() -> None:
    steps = np.diff([lightness(rgb) for _, rgb in HEIGHT_RAMP])
    assert (steps < -0.5).all()
    assert lightness(HEIGHT_RAMP[0][1]) - lightness(HEIGHT_RAMP[-1][1]) > 60


@pytest.mark.parametrize(
    ("height", "maximum"),
    [(0, 5), (4.9, 5), (5.1, 10), (23, 25), (40.0000001, 40), (50.5, 60), (float("nan"), 5)],
)
def test_the_maximum_reads_well(height: float, maximum: float) -> None:
    assert display_maximum(height) == maximum


def test_a_folder_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MapFileError, match=r"^cannot write .*choose another path$"):
        write_qml(tmp_path / "none" / "map.qml", 40.0)
