"""Heights that lie beside their image are set right before chips are cut; the card says so."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from small_worlds import settings_of

from canopy.chips.chip_set import open_chip_set
from canopy.chips.making import make_chips
from canopy.chips.settings import ChipSettings
from canopy.errors import SettingsError
from geo.simulation.world import simulate
from geo.simulation.write import CHM, IMAGERY, write_world

OFF_M = (1.8, -2.4)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One place three times: heights in place, heights beside it, and heights of no forest."""
    place = tmp_path_factory.mktemp("worlds")
    (place / "world").mkdir()
    write_world(simulate(settings_of("mixed", size_m=60), 5), place / "world")
    with rasterio.open(place / "world" / CHM) as dataset:
        heights, profile = dataset.read(1), dataset.profile | {"driver": "GTiff"}
    noise = np.random.default_rng(0).gamma(2, 5, heights.shape).astype(np.float32)
    for name, shown, moved in (
        ("aligned", heights, (0, 0)), ("noise", noise, (0, 0)), ("off", heights, OFF_M),
    ):  # fmt: skip
        folder = place / "site" / name
        folder.mkdir(parents=True)
        shutil.copy(place / "world" / IMAGERY, folder / "rgb.tif")
        placed = Affine.translation(*moved) * profile["transform"]
        with rasterio.open(folder / "chm.tif", "w", **profile | {"transform": placed}) as target:
            target.write(shown, 1)
    return place / "site"


def cut(folder, output, register, **choices):
    settings = ChipSettings(
        tile_px=100, shares=(1.0, 0.0, 0.0), guard_m=0.0, register=register, collages=False,
        **choices,
    )  # fmt: skip
    told = []
    made = make_chips([str(folder)], output, settings, progress=lambda *seen: told.append(seen))
    return made, told, json.loads((output / "set.json").read_text())["registration"]


def heights_of(made, name):
    """Heights of the chip of a plot, NaN where they are not known."""
    place = int(made.index.index[[plots == [name] for plots in made.index["plots"]]][0])
    chip = made.chips("train")[place]
    return np.where(chip["known"], chip["heights"], np.nan)


def test_heights_are_set_right_before_they_are_cut(site, tmp_path):
    made, told, found = cut(site, tmp_path / "set", "keep-unclear")
    assert found["verdicts"] == {"shifted": 1, "aligned": 1, "unclear": 1}
    assert found["dropped"] == []
    east, north = found["shifts_m"].pop("off")
    assert found["shifts_m"] == {}
    assert np.hypot(east + OFF_M[0], north + OFF_M[1]) < 0.4
    true, moved = (heights_of(made, name) for name in ("aligned", "off"))
    wrong, _, nothing = cut(site, tmp_path / "wrong", "off")
    assert nothing is None
    before = heights_of(wrong, "off")
    errors = [np.nanmean(np.abs(heights - true)) for heights in (moved, before)]
    assert errors[0] < 0.35 * errors[1]
    np.testing.assert_array_equal(heights_of(made, "noise"), heights_of(wrong, "noise"))
    assert told[0] == (1, 9)
    assert told[-1] == (9, 9)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "1 pairs were moved" in card
    assert "1 are unclear and were kept as they are" in card
    assert "registered" not in (tmp_path / "wrong" / "README.md").read_text()
    assert open_chip_set(tmp_path / "set").settings.register == "keep-unclear"


def test_unclear_pairs_are_dropped_where_asked(site, tmp_path):
    made, _, found = cut(site, tmp_path / "set", "drop-unclear")
    assert found["dropped"] == ["noise"]
    assert sorted(plot for plots in made.index["plots"] for plot in plots) == ["aligned", "off"]
    assert "were dropped" in (tmp_path / "set" / "README.md").read_text()


def test_a_set_of_unclear_pairs_is_refused(site, tmp_path):
    with pytest.raises(SettingsError, match="shift of all is unclear"):
        cut(site / "noise", tmp_path / "set", "drop-unclear")
    with pytest.raises(SettingsError, match="register maybe: expected one of off"):
        ChipSettings(register="maybe")


def test_the_command_takes_the_choice(canopy_command, site, tmp_path):
    code, _, err = canopy_command(
        "chips", site, "-o", tmp_path / "set", "--register", "drop-unclear", "--shares", "1,0,0",
        "--tile", "64", "--quiet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    facts = json.loads((tmp_path / "set" / "set.json").read_text())
    assert facts["registration"]["dropped"] == ["noise"]
    assert facts["settings"]["register"] == "drop-unclear"
