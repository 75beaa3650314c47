"""Clouds of points whose ground and crowns are known, as LAS, LAZ and COPC."""

from __future__ import annotations

import io
import struct

import laspy
import lazrs
import numpy as np
import pyproj

UTM = 32611
WEST, SOUTH = 321000.0, 4096000.0
GROUND, PLANT = 2, 5


def lattice(width, height, step=0.5, shift=0.23):
    """x and y on a lattice [m from the corner], off the edges of pixels."""
    along = np.arange(0, width, step) + shift
    up = np.arange(0, height, step) + shift
    x, y = np.meshgrid(along, up)
    return np.column_stack([x.ravel(), y.ravel()])


def cloud(places, z, classes):
    """A structured cloud: x and y in UTM, z, class."""
    points = np.zeros(len(places), [("x", float), ("y", float), ("z", float), ("class", np.uint8)])
    points["x"], points["y"] = places[:, 0] + WEST, places[:, 1] + SOUTH
    points["z"], points["class"] = z, classes
    return points


def slope(x, y):
    """A plane, z [m] at metres from the corner."""
    return 1000.0 + 0.25 * x - 0.125 * y


def cone(x, y, centre, height, radius):
    """Height of a crown [m], 0 beside it."""
    away = np.hypot(x - centre[0], y - centre[1])
    return np.clip(height * (1 - away / radius), 0, None)


CROWNS = (((12, 14), 18, 5), ((27, 11), 9, 4))
"""Centre, height and radius of crowns [m]."""


def forest(width=40.0, height=30.0, terrain=slope, crowns=CROWNS, step=0.5):
    """Ground everywhere on a terrain, and crowns over it."""
    places = lattice(width, height, step)
    x, y = places.T
    ground = cloud(places, terrain(x, y), GROUND)
    above = np.max([cone(x, y, *crown) for crown in crowns], axis=0)
    tops = cloud(places, terrain(x, y) + above, PLANT)[above > 0]
    return np.concatenate([ground, tops])


def header_of(points, *, crs=UTM, scale=0.001, point_format=6, dated=None):
    """A header for points; ``crs`` is an EPSG code, a pyproj CRS or None."""
    header = laspy.LasHeader(point_format=point_format, version="1.4")
    header.scales = [scale] * 3
    header.offsets = [np.floor(points[axis].min()) if len(points) else 0 for axis in "xyz"]
    if dated is not None:
        header.global_encoding.gps_time_type = laspy.header.GpsTimeType.STANDARD
    if crs is not None:
        header.add_crs(pyproj.CRS.from_user_input(crs))
    return header


def las_of(points, **choices):
    """The points as laspy has them."""
    times = choices.get("dated")
    las = laspy.LasData(header_of(points, **choices))
    las.x, las.y, las.z = points["x"], points["y"], points["z"]
    las.classification = points["class"]
    las.return_number = np.ones(len(points), np.uint8)
    las.number_of_returns = np.ones(len(points), np.uint8)
    if times is not None:
        las.gps_time = np.linspace(*times, len(points))
    return las


def write_points(path, points, **choices):
    """Write points as LAS or LAZ, by the name of the file, or as COPC."""
    las = las_of(points, **choices)
    if path.name.endswith(".copc.laz"):
        path.write_bytes(copc_bytes(las))
    else:
        las.write(path)
    return path


def copc_bytes(las):
    """A COPC file of a root and four children, made by hand: laspy reads them, but writes none."""
    x, y, z = (np.asarray(axis) for axis in (las.x, las.y, las.z))
    half = max(np.ptp(x), np.ptp(y), np.ptp(z)) / 2 + 1
    centre = [(axis.max() + axis.min()) / 2 for axis in (x, y, z)]
    column, row = (x >= centre[0]).astype(int), (y >= centre[1]).astype(int)
    level = (z >= centre[2]).astype(int)
    keys = [(0, 0, 0, 0)] + [(1, i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    root = np.arange(len(x)) % 5 == 0
    members = [root] + [
        ~root & (column == i) & (row == j) & (level == k) for _, i, j, k in keys[1:]
    ]
    nodes = [(key, las.points[chosen]) for key, chosen in zip(keys, members, strict=True)]
    nodes = [(key, node) for key, node in nodes if len(node)]
    vlr = lazrs.LazVlr.new_for_compression(las.point_format.id, 0, use_variable_size_chunks=True)
    las.update_header()
    header = las.header
    header.are_points_compressed = True
    info = bytearray(160)
    header.vlrs.insert(0, laspy.VLR("copc", 1, "info", bytes(info)))
    header.vlrs.append(laspy.VLR("laszip encoded", 22204, "", vlr.record_data()))
    header.number_of_evlrs = 1
    out = io.BytesIO()
    header.write_to(out, ensure_same_size=False)
    start = out.tell()
    chunks = lazrs.LasZipCompressor(out, vlr)
    marks = [start + 8]
    for _, node in nodes:
        chunks.compress_many(np.frombuffer(node.memoryview(), np.uint8))
        chunks.finish_current_chunk()
        marks.append(out.tell())
    chunks.done()
    page = b"".join(
        struct.pack("<iiiiQii", *key, first, last - first, len(node))
        for (key, node), first, last in zip(nodes, marks, marks[1:], strict=False)
    )
    evlr = out.seek(0, io.SEEK_END)
    out.write(struct.pack("<H16sHQ32s", 0, b"copc", 1000, len(page), b"hierarchy") + page)
    info = struct.pack("<5dQQ2d", *centre, half, half / 64, evlr + 60, len(page), 0.0, 0.0)
    data = bytearray(out.getvalue())
    data[375 + 54 : 375 + 54 + len(info)] = info
    data[235:247] = struct.pack("<QI", evlr, 1)
    return bytes(data)
