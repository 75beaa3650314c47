"""The zoo names its models once, with a licence each, and finds them by name."""

from __future__ import annotations

import pytest

from canopy.errors import ModelError
from canopy.zoo import ZOO, HttpFile, HubRepository, Shipped, fetch, find_entry


def test_names_are_unique_and_found():
    assert len({entry.name for entry in ZOO}) == len(ZOO) == 7
    assert all(find_entry(entry.name) is entry for entry in ZOO)


def test_what_is_released_over_the_web_comes_over_https():
    files = [entry.source for entry in ZOO if isinstance(entry.source, HttpFile)]
    assert len(files) == 5
    assert all(file.url.startswith("https://") for file in files)
    assert all(file.url.endswith("/saved_checkpoints/" + file.file_name) for file in files)
    assert all(entry.licence_url.startswith("https://") for entry in ZOO)


def test_only_the_gated_model_is_restricted():
    assert [entry.name for entry in ZOO if entry.restricted] == ["chmv2"]
    source = find_entry("chmv2").source
    assert isinstance(source, HubRepository)
    assert source.page == "https://huggingface.co/facebook/dinov3-vitl16-chmv2-dpt-head"


@pytest.mark.parametrize(
    ("name", "near"),
    [("chmv1-hug", "did you mean chmv1-huge"), ("CHMv2", "did you mean chmv2"), ("", "expected")],
)
def test_an_unknown_name_is_refused_with_the_near_ones_and_all(name, near):
    with pytest.raises(ModelError, match=near) as error:
        find_entry(name)
    assert all(entry.name in str(error.value) for entry in ZOO)
    assert "\n" not in str(error.value)


def test_what_ships_needs_no_fetching():
    entry = find_entry("canopy-tiny")
    assert isinstance(entry.source, Shipped)
    folder = fetch(entry)
    assert (folder / "config.json").is_file()
    assert (folder / "model.safetensors").stat().st_size == entry.approximate_bytes
