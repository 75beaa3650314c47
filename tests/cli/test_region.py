"""``canopy map``: whether a scene or an area is meant, and options that do not fit are refused."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-o", "{0}/out.tif"), "expected a SCENE, a STAC file, or --api"),
        (("{0}/s.tif", "-o", "{0}/out", "--cloud", "0"), "--cloud with"),
        (("{0}/s.tif", "-o", "{0}/out", "--api", "naip", "--limit", "0"), "--api, --limit with"),
        (("{0}/s.tif", "-o", "{0}/out.tif", "--retries", "0"), "--retries with"),
        (
            ("{0}/s.tif", "-o", "{0}/out.TIF", "--cell", "512", "--workers", "2"),
            "--cell, --workers",
        ),
    ],
    ids=str,
)
def test_options_of_the_other_kind_of_run_are_one_line(canopy_command, tmp_path, given, said):
    code, out, err = canopy_command("map", *(word.format(tmp_path) for word in given))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
