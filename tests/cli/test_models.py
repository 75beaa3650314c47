"""``canopy models``: what can be asked for, what a file is, and what it becomes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pystac
import pytest
import rasterio
import torch
from small_files import Runs, chmv1_state, save_colours
from small_scenes import write_scene

NAMES = {
    "canopy-tiny", "chmv1-huge", "chmv1-huge-int8", "chmv1-large-int8", "chmv1-aerial-int8",
    "chmv1-colours", "chmv2",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CANOPY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def released_file(tmp_path, golden):
    torch.save({"state_dict": chmv1_state(golden)}, tmp_path / "weights")
    return tmp_path / "weights"


def test_the_list_names_every_model_with_size_and_licence(canopy_command):
    code, out, _ = canopy_command("models", "list")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:] if not line.startswith(" ")}
    assert set(lines) == NAMES
    assert "ships" in lines["canopy-tiny"]
    assert "Apache-2.0" in lines["chmv1-huge"]
    assert "GB" in lines["chmv1-huge"]
    assert "(accept)" in lines["chmv2"]


def test_the_list_is_json_for_programs(canopy_command, cache):
    put = cache / "models" / "chmv1-large-int8"
    put.mkdir(parents=True)
    (put / "compressed_SSLlarge.pth").touch()
    code, out, _ = canopy_command("models", "list", "--json")
    assert code == 0
    found = {model["name"]: model for model in json.loads(out)["models"]}
    assert set(found) == NAMES
    assert found["chmv1-large-int8"]["path"] == str(put / "compressed_SSLlarge.pth")
    assert found["chmv1-huge"]["path"] is None
    assert found["chmv2"]["restricted"]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_model_is_shown_without_its_weights(canopy_command, name):
    code, out, err = canopy_command("models", "show", name)
    assert (code, err) == (0, "")
    assert out.split()[1] == name
    assert "licence" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_card_tells_which_red_and_how_to_take_the_other(canopy_command):
    _, out, _ = canopy_command("models", "show", "chmv1-huge")
    words = " ".join(out.split())
    assert "mean 0.420, 0.411, 0.296" in words
    assert "--mean 0.430,0.411,0.296" in words
    assert "canopy models fetch chmv1-huge" in words


@pytest.mark.parametrize("name", sorted(NAMES - {"chmv1-colours"}))
def test_a_model_is_a_valid_stac_item(canopy_command, name):
    code, out, _ = canopy_command("models", "show", name, "--stac")
    assert code == 0
    item = pystac.Item.from_dict(json.loads(out))
    item.stac_extensions, extensions = [], item.stac_extensions
    item.validate()
    assert any("mlm" in schema for schema in extensions)
    assert item.properties["mlm:name"] == name
    assert item.properties["mlm:tasks"] == ["regression"]


def test_what_predicts_no_heights_is_no_item(canopy_command):
    code, _, err = canopy_command("models", "show", "chmv1-colours", "--stac")
    assert code == 2
    assert "predicts no heights" in err


def test_a_file_is_shown_by_what_is_in_it(canopy_command, released_file):
    code, out, _ = canopy_command("models", "show", released_file, "--json")
    assert code == 0
    card = json.loads(out)
    assert card["name"] == "chmv1-tiny"
    assert card["path"] == str(released_file)
    assert card["parameters"] > 100_000


def test_an_unknown_model_is_refused(canopy_command):
    code, out, err = canopy_command("models", "show", "chmv3")
    assert (code, out) == (2, "")
    assert "no model chmv3" in err
    assert len(err.splitlines()) == 1


def test_fetching_what_is_here_prints_where(canopy_command, cache):
    code, out, _ = canopy_command("models", "fetch", "canopy-tiny")
    assert code == 0
    assert out.strip().endswith("canopy-tiny")
    code, _, err = canopy_command("models", "fetch", "chmv2")
    assert code == 2
    assert "--accept-licence" in err
    assert not list(cache.glob("hub/*"))


def test_a_whole_file_is_verified(canopy_command, tmp_path, data_folder):
    path = shutil.copy(data_folder / "compressed_SSLtiny.pth", tmp_path / "renamed.bin")
    code, out, _ = canopy_command("models", "verify", path)
    assert code == 0
    assert "int8, dequantised" in out
    code, out, _ = canopy_command("models", "verify", path, "--json")
    assert len(json.loads(out)["sha256"]) == 64
    code, out, _ = canopy_command("models", "verify", save_colours(tmp_path / "c.ckpt"))
    assert code == 0
    assert "Colour matching" in out


def test_a_changed_file_is_not_verified(canopy_command, released_file):
    released_file.with_name("weights.sha256").write_text(f"{'0' * 64}  weights\n")
    code, _, err = canopy_command("models", "verify", released_file)
    assert code == 2
    assert "has changed since it was fetched" in err


def test_weights_that_are_no_numbers_are_not_verified(canopy_command, tmp_path, golden):
    state = chmv1_state(golden)
    state["backbone.blocks.0.norm1.weight"] = torch.full((32,), np.nan)
    torch.save(state, tmp_path / "nan.pth")
    code, _, err = canopy_command("models", "verify", tmp_path / "nan.pth")
    assert code == 2
    assert "no numbers" in err


@pytest.mark.parametrize("command", ["verify", "show", "map", "convert"])
def test_a_pickle_that_wants_to_run_code_is_refused_everywhere(
    canopy_command, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Runs()}, tmp_path / "model.pth")
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    arguments = {
        "map": ("map", scene, "-o", tmp_path / "h.tif", "--model", tmp_path / "model.pth"),
        "convert": ("models", "convert", tmp_path / "model.pth", "-o", tmp_path / "folder"),
    }.get(command, ("models", command, tmp_path / "model.pth"))
    code, _, err = canopy_command(*arguments)
    assert code == 2
    assert "wants to run code when it is opened (posix.system)" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "folder").exists()


def test_a_converted_model_makes_the_map_of_the_released_file(
    canopy_command, tmp_path, released_file, golden
):
    folder = tmp_path / "converted"
    code, _, err = canopy_command("models", "convert", released_file, "--output", folder)
    assert (code, "written" in err) == (0, True)
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    scene = write_scene(tmp_path / "scene.tif", golden["image.256"])
    maps = []
    for model in (released_file, folder):
        path = tmp_path / f"{model.name}.tif"
        code, _, err = canopy_command(
            "map", scene, "-o", path, "--model", model, "--no-preview", "--quiet"
        )
        assert code == 0, err
        with rasterio.open(path) as dataset:
            maps.append(dataset.read(1))
    np.testing.assert_array_equal(*maps)
    # The scene is one tile at the model's own pixels: the map is the authors' heights.
    np.testing.assert_allclose(maps[0], golden["height_m.256"], rtol=0, atol=1 / 128 + 1e-4)


def test_a_damaged_file_is_not_verified(canopy_command, tmp_path, data_folder):
    data = bytearray((data_folder / "compressed_SSLtiny.pth").read_bytes())
    data[len(data) // 2] ^= 0x40
    (tmp_path / "damaged.pth").write_bytes(data)
    code, _, err = canopy_command("models", "verify", tmp_path / "damaged.pth")
    assert code == 2
    assert "differs from its checksum" in err


def test_a_model_whose_heights_are_no_numbers_makes_no_map(canopy_command, tmp_path, golden):
    state = chmv1_state(golden)
    state["decode_head.conv_depth.head.2.bias"] = torch.full((32,), np.nan)
    torch.save(state, tmp_path / "nan.pth")
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", tmp_path / "nan.pth", "-q"
    )
    assert code == 1
    assert "heights that are no numbers" in err
    assert not (tmp_path / "h.tif").exists()


def test_what_is_wrong_is_said_before_anything_is_fetched(canopy_command, tmp_path, cache):
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command(
        "map", tmp_path / "no.tif", "-o", tmp_path / "h.tif", "--model", "chmv1-huge"
    )
    assert (code, "no.tif" in err) == (2, True)
    for options in (("--model", "canopy-tiny"), ("--model", "chmv1-aerial-int8")):
        code, _, err = canopy_command(
            "map", scene, "-o", tmp_path / "h.tif", "--radiometry", "aerial", *options
        )
        assert code == 2
        assert "learned from aerial images" in err
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "none" / "h.tif", "--model", "chmv1-huge"
    )
    assert (code, "does not exist" in err) == (2, True)
    assert not cache.exists()


def test_nothing_is_converted_over_what_stands_there(canopy_command, tmp_path, released_file):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    code, _, err = canopy_command("models", "convert", released_file, "-o", tmp_path / "full")
    assert code == 2
    assert "new or empty" in err


def test_a_colour_network_is_no_height_model(canopy_command, tmp_path):
    path = save_colours(tmp_path / "SSLhuge_satellite.pth")
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", "--model", path)
    assert code == 2
    assert "is no height model" in err
    assert "--colours" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "chmv1-huge"),
        ("--radiometry", "aerial", "--model", "FILE"),
        ("--model", "hf:owner/model"),
    ],
)
def test_a_dry_run_fetches_nothing(canopy_command, tmp_path, cache, released_file, options):
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    options = [str(released_file) if option == "FILE" else option for option in options]
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", "--dry-run", *options)
    assert code == 2
    assert "a dry run fetches nothing: canopy models fetch " in err
    assert not cache.exists()


def test_colours_are_taken_from_the_cache(canopy_command, tmp_path, cache, released_file):
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    put = cache / "models" / "chmv1-colours"
    put.mkdir(parents=True)
    save_colours(put / "aerial_normalization_quantiles_predictor.ckpt")
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", released_file, "--radiometry", "aerial",
        "--no-preview", "--quiet",
    )  # fmt: skip
    assert code == 0, err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--mean", "0.4,0.4", "expected three numbers"),
        ("--std", "a,b,c", "expected three numbers"),
        ("--batch", "many", "expected auto, or a number"),
        ("--tile", "100", "multiples of 32"),
        ("--mean", "nan,0,0", "finite"),
        ("--mean", "inf,0,0", "finite"),
        ("--std", "inf,1,1", "finite"),
        ("--stretch", "0,inf", "first value must be below"),
        ("--model", "canopy-tinny", "did you mean canopy-tiny"),
        ("--radiometry", "sentinel", "satellite"),
        ("--precision", "int8", "float32"),
    ],
)
def test_options_that_cannot_be_read_are_refused(canopy_command, tmp_path, option, value, said):
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", option, value)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def chmv2(tmp_path):
    pytest.importorskip("transformers")
    from small_chmv2 import save_tiny  # noqa: PLC0415

    return save_tiny(tmp_path / "chmv2")


def mapped(canopy_command, tmp_path, model):
    from small_chmv2 import photograph  # noqa: PLC0415

    image = photograph(128, 96)
    scene = write_scene(tmp_path / "scene.tif", image.transpose(2, 0, 1))
    out = tmp_path / "height.tif"
    code, _, err = canopy_command("map", scene, "-o", out, "--model", model, "--overwrite")
    assert code == 0, err
    with rasterio.open(out) as dataset:
        return image, dataset.read(1), err


def test_a_folder_of_chmv2_makes_the_map_that_transformers_makes(canopy_command, tmp_path, chmv2):
    from small_chmv2 import their_heights  # noqa: PLC0415

    image, heights, said = mapped(canopy_command, tmp_path, tmp_path / "chmv2")
    np.testing.assert_allclose(heights, their_heights(chmv2, image), rtol=0, atol=1 / 128 + 1e-4)
    assert "Made with DINOv3" in said


@pytest.mark.parametrize("layout", ["authors", "transformers"])
def test_the_halves_of_chmv2_are_refused_alone_and_joined(canopy_command, tmp_path, chmv2, layout):
    from small_chmv2 import authors_files, their_heights  # noqa: PLC0415

    head, backbone = (tmp_path / name for name in ("head.pth", "backbone.pth"))
    for path, state in zip((head, backbone), authors_files(chmv2), strict=True):
        torch.save(state, path)
    if layout == "transformers":
        backbone = tmp_path / "dinov3"
        chmv2.backbone.save_pretrained(backbone)
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 64, 64), 90, np.uint8))
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", "--model", head)
    assert code == 2
    assert "canopy models convert HEAD.pth --backbone" in err
    joined = tmp_path / "joined"
    code, _, err = canopy_command("models", "convert", head, "--backbone", backbone, "-o", joined)
    assert code == 0, err
    image, heights, _ = mapped(canopy_command, tmp_path, joined)
    np.testing.assert_allclose(heights, their_heights(chmv2, image), rtol=0, atol=1 / 128 + 1e-4)
    code, out, _ = canopy_command("models", "verify", joined)
    assert code == 0
    assert "CHMv2" in out
