"""``canopy chips``: pairs in, a set out, said in a few lines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_pairs import truth, write_pair

import canopy.chips.making


def test_a_set_is_cut_and_counted(canopy_command, tmp_path):
    for number in range(6):
        write_pair(
            tmp_path / "site" / f"p{number}", truth(64, 64, number), east=400_000 + 900 * number
        )
    code, out, err = canopy_command(
        "chips", tmp_path / "site", "-o", tmp_path / "set", "--tile", "64",
        "--shares", "0.6,0.2,0.2", "--json",
    )  # fmt: skip
    assert code == 0, err
    counts = json.loads(out)["chips"]
    assert sum(sum(sites.values()) for sites in counts.values()) == 6
    assert "train" in err
    assert (tmp_path / "set" / "README.md").is_file()
    code, _, err = canopy_command("chips", tmp_path / "site", "-o", tmp_path / "set")
    assert code == 2
    assert "--overwrite" in err


def test_a_wrong_request_is_one_line(canopy_command, tmp_path):
    code, out, err = canopy_command("chips", tmp_path / "none", "-o", tmp_path / "set")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_a_choice_that_there_is_not_is_answered_with_the_choices(canopy_command, tmp_path):
    code, _, err = canopy_command("chips", tmp_path, "-o", tmp_path / "set", "--register", "maybe")
    assert code == 2
    assert "--register': 'maybe' is not one of 'off', 'keep-unclear', 'drop-unclear'" in err
    assert len(err.splitlines()) == 1


def test_pairs_as_the_manual_writes_them_are_cut(canopy_command, tmp_path):
    pairs = []
    for number, name in enumerate("AB"):
        folder = tmp_path / "north" / name
        write_pair(folder, truth(64, 64, number), east=400_000 + 900 * number)
        pairs.append(f"{folder / 'rgb.tif'}={folder / 'chm.tif'}")
    code, _, err = canopy_command(
        "chips", *pairs, "-o", tmp_path / "set", "--tile", "64", "--shares", "1,0,0"
    )
    assert code == 0, err
    assert "2 chips: 2 of north" in err


def test_simulated_worlds_are_cut_as_they_were_written(canopy_command, tmp_path):
    canopy_command(
        "simulate", "-o", tmp_path / "worlds", "--seed", 1, "--worlds", 2, "--size-m", 40,
        "--preset", "savanna",
    )  # fmt: skip
    code, _, err = canopy_command(
        "chips", tmp_path / "worlds", "-o", tmp_path / "set", "--tile", 32, "--shares", "1,0,0"
    )
    assert code == 0, err
    assert "of worlds" in err


@pytest.mark.parametrize("shares", ["1,0", "most", "1,0,0,0"])
def test_shares_that_are_no_three_numbers_are_explained(canopy_command, tmp_path, shares):
    code, _, err = canopy_command("chips", tmp_path, "-o", tmp_path / "set", "--shares", shares)
    assert code == 2
    assert f"--shares {shares}: expected three numbers, the shares of train, val and test" in err
    assert "red" not in err
    assert len(err.splitlines()) == 1


def test_elevations_are_no_heights_and_the_range_is_named(canopy_command, tmp_path, caplog):
    write_pair(tmp_path / "site" / "high", np.full((64, 64), 2011.0, np.float32))
    cut = ("chips", tmp_path / "site", "-o", tmp_path / "set", "--tile", "64", "--shares", "1,0,0")
    code, _, err = canopy_command(*cut)
    assert code == 2
    assert f"{tmp_path / 'site/high/chm.tif'} has heights such as 2011 m" in err
    assert "beyond -120 to 120 m they are taken as no data" in err
    assert "same ground" not in err
    assert len(err.splitlines()) == 1
    write_pair(tmp_path / "site" / "low", truth(64, 64), east=410_000)
    code, _, err = canopy_command(*cut)
    assert code == 0
    assert caplog.text.count("high/chm.tif has heights such as 2011 m: beyond -120 to 120") == 1
    assert "1 chips: 1 of site" in err


def test_an_interrupted_set_promises_no_resuming_and_leaves_nothing(
    canopy_command, tmp_path, monkeypatch
):
    write_pair(tmp_path / "plots" / "A", truth(64, 64))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(canopy.chips.making, "write_all", stop)
    code, _, err = canopy_command(
        "chips", tmp_path / "plots", "-o", tmp_path / "set", "--tile", "64", "--shares", "1,0,0"
    )
    assert code == 130
    assert err.splitlines()[-1] == "interrupted: no half-written file was left"
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]
