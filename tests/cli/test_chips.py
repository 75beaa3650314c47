"""``canopy chips``: pairs in, a set out, said in a few lines."""

from __future__ import annotations

import json

from small_pairs import truth, write_pair


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
