"""The colours of heights: one ramp for QGIS, for the preview and for tile servers."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree as ET

from geo.whole_file import whole_file

# ColorBrewer's nine-class YlGn: pale ground to dark forest, lightness falling all the way (so it
# also reads without colour vision and in grey), and a name that matplotlib and tile servers know,
# so all three draw the same map.
RAMP_NAME = "ylgn"
HEIGHT_RAMP: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.000, (255, 255, 229)),
    (0.125, (247, 252, 185)),
    (0.250, (217, 240, 163)),
    (0.375, (173, 221, 142)),
    (0.500, (120, 198, 121)),
    (0.625, (65, 171, 93)),
    (0.750, (35, 132, 67)),
    (0.875, (0, 104, 55)),
    (1.000, (0, 69, 41)),
)
LOWEST_MAXIMUM_M = 5.0
FINE_STEPS_UP_TO_M = 50.0


def display_maximum(height_m: float) -> float:
    """Return the height of the darkest colour: `height_m` rounded up to a number that reads well.

    Args:
        height_m: A high percentile of the map, such as the 98th, in metres; NaN where the map holds
            no height.

    Returns:
        5 m at least; a multiple of 5 m up to 50 m, and of 10 m above.
    """
    if not math.isfinite(height_m) or height_m <= LOWEST_MAXIMUM_M:
        return LOWEST_MAXIMUM_M
    step = 5.0 if height_m <= FINE_STEPS_UP_TO_M else 10.0
    # A hair of tolerance, so that 40.0000001 m from a float32 percentile stays 40 m.
    return math.ceil(height_m / step - 1e-6) * step


def write_qml(path: str | Path, maximum_m: float) -> Path:
    """Write a QGIS layer style, which QGIS loads by itself when it stands beside the map.

    The style needs no variant per encoding. QGIS multiplies band values by the scale that the
    GeoTIFF states before it colours them, so the int16 centimetres of a map with scale 0.01 reach
    the ramp as metres, like float32 and uint8 metres do; and it draws pixels that equal the file's
    nodata value, or are NaN, as transparent.

    Args:
        path: The style file, `NAME.qml` beside `NAME.tif`; replaced when it exists.
        maximum_m: The height in metres of the ramp's last colour; taller trees get that colour too.

    Returns:
        `path`.

    Raises:
        geo.errors.MapFileError: The file cannot be written.
    """
    root = ET.Element("qgis", version="3.22.0", styleCategories="Symbology|Rendering")
    pipe = ET.SubElement(root, "pipe")
    _add_resampling(pipe)
    pipe.append(_renderer(maximum_m))
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    with whole_file(path) as part:
        part.write_text(
            f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n",
            encoding="utf-8",
        )
    return Path(path)


def _add_resampling(pipe: ET.Element) -> None:
    """Ask for smooth pixels when zoomed out and plain ones when zoomed in, pixel by pixel."""
    provider = ET.SubElement(pipe, "provider")
    ET.SubElement(
        provider,
        "resampling",
        enabled="true",
        zoomedInResamplingMethod="nearestNeighbour",
        zoomedOutResamplingMethod="bilinear",
        maxOversampling="2",
    )


def _renderer(maximum_m: float) -> ET.Element:
    """Return the single-band pseudo-colour renderer of band 1 with its ramp in metres."""
    renderer = ET.Element(
        "rasterrenderer",
        type="singlebandpseudocolor",
        band="1",
        opacity="1",
        alphaBand="-1",
        nodataColor="",
        classificationMin="0",
        classificationMax=_number(maximum_m),
    )
    ET.SubElement(renderer, "rasterTransparency")
    # "None" keeps QGIS from stretching the ramp over whatever is on the screen: colours mean the
    # same everywhere.
    ET.SubElement(ET.SubElement(renderer, "minMaxOrigin"), "limits").text = "None"
    ET.SubElement(renderer, "rastershader").append(_ramp_shader(maximum_m))
    return renderer


def _ramp_shader(maximum_m: float) -> ET.Element:
    """Return the colour ramp: its gradient, which the legend draws, an item per stop."""
    shader = ET.Element(
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue="0",
        maximumValue=_number(maximum_m),
        labelPrecision="1",
    )
    shader.append(_gradient())
    legend = {
        "useContinuousLegend": "1",
        "orientation": "2",
        "direction": "0",
        "prefix": "",
        "suffix": " m",
    }
    ET.SubElement(shader, "rampLegendSettings", {**legend, "minimumLabel": "", "maximumLabel": ""})
    for fraction, rgb in HEIGHT_RAMP:
        value = _number(fraction * maximum_m)
        color = "#{:02x}{:02x}{:02x}".format(*rgb)
        ET.SubElement(shader, "item", value=value, label=f"{value} m", color=color, alpha="255")
    return shader


def _gradient() -> ET.Element:
    """Return the ramp as a QGIS gradient, spelled twice: Option since QGIS 3.20, prop before."""
    stops = ":".join(f"{fraction:g};{_rgba(rgb)}" for fraction, rgb in HEIGHT_RAMP[1:-1])
    settings = {
        "color1": _rgba(HEIGHT_RAMP[0][1]),
        "color2": _rgba(HEIGHT_RAMP[-1][1]),
        "discrete": "0",
        "rampType": "gradient",
        "stops": stops,
    }
    ramp = ET.Element("colorramp", name="[source]", type="gradient")
    options = ET.SubElement(ramp, "Option", type="Map")
    for name, value in settings.items():
        ET.SubElement(options, "Option", name=name, type="QString", value=value)
        ET.SubElement(ramp, "prop", k=name, v=value)
    return ramp


def _rgba(rgb: tuple[int, int, int]) -> str:
    """Return an opaque colour as QGIS writes it."""
    return ",".join(str(channel) for channel in (*rgb, 255))


def _number(value: float) -> str:
    """Return a number without a tail of zeros."""
    return f"{value:g}"
