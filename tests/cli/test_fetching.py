"""Models are fetched by the command: from a mirror, from a Hub, or not at all, said in one line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from small_files import save_colours
from small_hub import small_hub
from small_models import tiny_model
from small_scenes import write_scene

from canopy.height_models.folder import save_height_model
from canopy.weights import load_height_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch, served):
    monkeypatch.setenv("CANOPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CANOPY_MIRROR", served)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 64, 64)).astype(np.uint8)
    return write_scene(tmp_path / "scene.tif", pixels)


def test_a_login_in_the_mirrors_address_is_refused_and_not_shown(
    canopy_command, monkeypatch, served
):
    monkeypatch.setenv("CANOPY_MIRROR", served.replace("://", "://bob:secret@"))
    code, out, err = canopy_command("models", "fetch", "chmv1-aerial-int8")
    assert code != 0
    assert "CANOPY_MIRROR holds a login, which is never sent" in err
    assert "secret" not in out + err


def test_a_file_of_the_zoo_is_fetched_and_found_again(
    canopy_command, tmp_path, data_folder, scene, caplog
):
    caplog.set_level(logging.INFO)
    name = "compressed_SSLlarge.pth"
    (tmp_path / name).write_bytes((data_folder / "compressed_SSLtiny.pth").read_bytes())
    code, out, _ = canopy_command("models", "fetch", "chmv1-large-int8")
    assert code == 0
    assert "Apache-2.0" in caplog.text
    kept = Path(out.strip())
    assert kept == tmp_path / "cache" / "models" / "chmv1-large-int8" / name
    assert kept.with_name(f"{name}.sha256").is_file()
    (tmp_path / name).unlink()
    out_map = tmp_path / "h.tif"
    code, out, err = canopy_command(
        "map", scene, "-o", out_map, "--model", "chmv1-large-int8", "--json", "--no-preview"
    )
    assert code == 0, err
    # What is in a file, not what it was fetched as, decides what it is.
    assert json.loads(out)["model"]["name"] == "chmv1-tiny-int8"
    assert "is chmv1-tiny-int8, not chmv1-large-int8" in caplog.text
    with rasterio.open(out_map) as dataset:
        assert dataset.tags()["MODEL"] == "chmv1-tiny-int8"


def test_a_map_fetches_what_it_needs(canopy_command, tmp_path, data_folder, scene, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "compressed_SSLhuge.pth").write_bytes(
        (data_folder / "compressed_SSLtiny.pth").read_bytes()
    )
    save_colours(tmp_path / "aerial_normalization_quantiles_predictor.ckpt")
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", "chmv1-huge-int8",
        "--radiometry", "aerial", "--no-preview",
    )  # fmt: skip
    assert code == 0, err
    assert "chmv1-huge-int8 is licensed under Apache-2.0" in caplog.text
    assert "chmv1-colours is licensed under" in caplog.text


def test_what_the_server_does_not_have_is_a_failed_run(canopy_command, tmp_path, scene):
    arguments = ("map", scene, "-o", tmp_path / "h.tif", "--model", "chmv1-huge", "--quiet")
    code, _, err = canopy_command(*arguments)
    assert code == 1
    assert "does not have it (HTTP 404)" in err
    assert str(tmp_path / "cache" / "models" / "chmv1-huge" / "SSLhuge_satellite.pth") in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "h.tif").exists()


def test_a_restricted_model_is_a_wrong_request(canopy_command, tmp_path, scene):
    code, _, err = canopy_command("map", scene, "-o", tmp_path / "h.tif", "--model", "chmv2", "-q")
    assert code == 2
    assert "canopy models fetch chmv2 --accept-licence" in err


def test_a_broken_model_from_the_zoo_is_refused(canopy_command, tmp_path, scene):
    (tmp_path / "SSLhuge_satellite.pth").write_bytes(b"PK\x03\x04" + bytes(1000))
    code, _, err = canopy_command(
        "map", scene, "-o", tmp_path / "h.tif", "--model", "chmv1-huge", "-q"
    )
    assert code == 2
    assert "is broken" in err


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("kind", ["canopy", "chmv2"])
def test_a_model_on_the_hub_makes_a_map(tmp_path, scene, kind):
    folder = tmp_path / "model"
    if kind == "canopy":
        save_height_model(tiny_model(), folder)
    else:
        pytest.importorskip("transformers")
        from small_chmv2 import save_tiny  # noqa: PLC0415

        save_tiny(folder)
    # The Hub's client reads its address when it is imported: a process of its own.
    with small_hub(files_of(folder)) as hub:
        command = [
            sys.executable, "-m", "cli.app", "map", str(scene), "-o", str(tmp_path / "h.tif"),
            "--model", f"hf:{hub.repo}", "--no-preview", "--quiet",
        ]  # fmt: skip
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    with rasterio.open(tmp_path / "h.tif") as dataset:
        found = dataset.read(1)
    model = load_height_model(folder, device="cpu")
    with rasterio.open(scene) as dataset:
        expected = model.predict(dataset.read()[None])[0]
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=0, atol=1 / 128 + 1e-4)
