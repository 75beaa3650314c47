"""Groups by sites, by polygons and by columns: errors and gaps by hand, intervals by draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_heights import EAST, NORTH, UTM, forest, write_heights

from canopy.errors import SettingsError
from canopy.evaluation.intervals import Bootstrap, interval, intervals
from canopy.evaluation.sums import sums_of_heights

gpd = pytest.importorskip("geopandas")


@pytest.fixture
def plots(tmp_path):
    """A map that is 1, 2 and 4 m too tall on three plots, and the plots."""
    true = forest(30, 90)
    wrong = np.repeat([1.0, 2.0, 4.0], 30)
    here = write_heights(tmp_path / "map.tif", true + wrong)
    paths = [
        write_heights(tmp_path / f"{name}.tif", true[:, k : k + 30], place=(EAST + k, NORTH))
        for name, k in (("a", 0), ("b", 30), ("c", 60))
    ]
    return here, paths


def table(path, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def boxes(path, rows, crs=UTM):
    """Write polygons of columns of the map's pixels, each with a group."""
    from shapely.geometry import box  # noqa: PLC0415 - comes with geopandas

    shapes = [box(EAST + west, NORTH - 30, EAST + east, NORTH) for west, east, _ in rows]
    frame = gpd.GeoDataFrame({"forest": [row[2] for row in rows]}, geometry=shapes, crs=UTM)
    frame.to_crs(crs).to_file(path)
    return path


def test_groups_of_sites_and_their_gap_are_counted_by_hand(evaluate, plots, tmp_path):
    here, paths = plots
    sites = table(
        tmp_path / "sites.csv",
        [("plot", "forest"), ("a", "pine"), ("b", "oak"), ("c", "oak")],
    )
    found = evaluate(here, *paths, sites=sites, groups="forest")["comparisons"][0]
    groups = {entry["group"]: entry for entry in found["groups"]["groups"]}
    assert groups["pine"]["errors"]["bias_m"] == pytest.approx(1)
    assert groups["oak"]["errors"]["bias_m"] == pytest.approx(3)
    assert groups["oak"]["count"] == 1800
    assert found["groups"]["worst"] == {"name": "oak", "mae_m": pytest.approx(3)}
    assert found["groups"]["best"] == {"name": "pine", "mae_m": pytest.approx(1)}
    assert found["groups"]["gap_mae_m"] == pytest.approx(2)
    assert found["between_sites"]["worst"]["name"] == "c"
    assert found["between_sites"]["gap_mae_m"] == pytest.approx(3)
    words = next(tmp_path.glob("report*/report.md")).read_text()
    assert "Worst: **oak**, MAE 3.00 m; best: pine, 1.00 m; gap 2.00 m" in words


def test_a_site_that_no_row_names_has_no_group(evaluate, plots, tmp_path, caplog):
    here, paths = plots
    sites = table(tmp_path / "sites.csv", [("file", "forest"), ("a.tif", "pine"), ("x", "oak")])
    found = evaluate(here, *paths[:2], sites=sites, groups="forest")["comparisons"][0]
    assert [entry["group"] for entry in found["groups"]["groups"]] == ["(no group)", "pine"]
    assert found["groups"]["worst"]["name"] == "pine"
    assert found["groups"]["gap_mae_m"] is None
    assert "no row of the sites names it" in caplog.text


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_polygons_group_the_pixels_under_them(evaluate, plots, tmp_path, crs, suffix):
    if suffix == ".geojson" and crs == UTM:
        crs = "EPSG:4326"  # GeoJSON knows no other
    here, paths = plots
    polygons = boxes(
        tmp_path / f"zones{suffix}", [(0, 45, "young"), (45, 75, "old"), (200, 210, "far")], crs
    )
    found = evaluate(here, *paths, sites=polygons, groups="forest")["comparisons"][0]
    groups = {entry["group"]: entry for entry in found["groups"]["groups"]}
    assert {name: entry["count"] for name, entry in groups.items()} == {
        "(no group)": 450, "old": 900, "young": 1350,
    }  # fmt: skip
    assert groups["young"]["errors"]["bias_m"] == pytest.approx(4 / 3)
    assert groups["old"]["errors"]["bias_m"] == pytest.approx(3)
    assert found["groups"]["worst"]["name"] == "old"
    assert sum(entry["area_ha"] for entry in groups.values()) == pytest.approx(found["area_ha"])


def test_names_of_groups_and_order_of_rows_change_nothing(evaluate, plots, tmp_path):
    here, paths = plots
    results = []
    for number, rows in enumerate(([("a", 1), ("b", 1), ("c", 2)], [("c", 2), ("b", 1), ("a", 1)])):
        sites = table(tmp_path / f"sites{number}.csv", [("site", "forest"), *rows])
        order = paths if number == 0 else paths[::-1]
        results.append(evaluate(here, *order, sites=sites, groups="forest")["comparisons"][0])
    assert results[0] == results[1]


def test_a_group_that_nothing_tells_is_refused(evaluate, plots, tmp_path):
    here, paths = plots
    with pytest.raises(SettingsError, match="--sites FILE"):
        evaluate(here, *paths, groups="forest")
    sites = table(tmp_path / "sites.csv", [("plot", "kind"), ("a", "pine")])
    with pytest.raises(SettingsError, match="has no column forest: found plot, kind"):
        evaluate(here, *paths, sites=sites, groups="forest")
    with pytest.raises(SettingsError, match="--groups"):
        evaluate(here, *paths, sites=sites)


def units_of(count, spread, seed=0, size=40):
    """Sums of pieces of ground that err differently."""
    rng = np.random.default_rng(seed)
    units = []
    for _ in range(count):
        true = rng.gamma(2, 6, size)
        units.append(sums_of_heights(true + rng.normal(1, spread), true))
    return np.array(units)


def test_an_interval_of_a_mean_is_that_of_its_standard_error():
    units = units_of(200, 2.0)
    low, high = interval(Bootstrap(replicates=2000).draw(units, "all")["bias_m"])
    biases = units[:, 2] / units[:, 0]
    error = biases.std(ddof=1) / np.sqrt(len(biases))
    assert (low + high) / 2 == pytest.approx(biases.mean(), abs=0.2 * error)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_draws_follow_their_seed_and_their_name():
    units = units_of(12, 2.0)
    first = Bootstrap(seed=1).draw(units, "all")["mae_m"]
    assert (Bootstrap(seed=1).draw(units, "all")["mae_m"] == first).all()
    assert not (Bootstrap(seed=2).draw(units, "all")["mae_m"] == first).all()
    assert not (Bootstrap(seed=1).draw(units, "site a")["mae_m"] == first).all()


def test_one_piece_of_ground_has_no_interval():
    assert Bootstrap().draw(units_of(1, 1.0), "all") == {}
    assert Bootstrap(replicates=0).draw(units_of(9, 1.0), "all") == {}
    assert intervals({}) == {}
    assert interval(np.full(9, np.nan)) is None


@given(count=st.integers(2, 9), seed=st.integers(0, 99))
def test_intervals_of_equal_pieces_have_no_width(count, seed):
    units = np.repeat(units_of(1, 2.0, seed), count, axis=0)
    low, high = interval(Bootstrap(replicates=30).draw(units, "all")["mae_m"])
    assert low == pytest.approx(high)


def test_intervals_are_over_sites_where_there_are_enough(evaluate, tmp_path):
    true = forest(20, 220)
    here = write_heights(tmp_path / "map.tif", true + np.random.default_rng(0).normal(size=220))
    paths = [
        write_heights(tmp_path / f"{k}.tif", true[:, k : k + 20], place=(EAST + k, NORTH))
        for k in range(0, 220, 20)
    ]
    many = evaluate(here, *paths)["comparisons"][0]
    assert (many["intervals_over"], many["interval_units"]) == ("sites", 11)
    low, high = many["intervals"]["bias_m"]
    assert low < many["errors"]["bias_m"] < high
    few = evaluate(here, *paths[:3])["comparisons"][0]
    assert (few["intervals_over"], few["interval_units"]) == ("tiles", 3)
    asked = evaluate(here, *paths[:3], unit="sites")["comparisons"][0]
    assert asked["intervals_over"] == "sites"
