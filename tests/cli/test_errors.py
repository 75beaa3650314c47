"""Every failure of the command is one line and an exit code; a traceback only where asked."""

from __future__ import annotations

import errno
import shutil
import sys
from collections import namedtuple

import pytest
import torch
from small_models import Constant, model_of
from small_scenes import UPRIGHT, noise, write_scene

import canopy.mapping.map_heights
from cli.app import main


@pytest.fixture
def fails(canopy_command):
    """A function that expects a failure: its exit code, and its one line."""

    def run(*arguments):
        code, out, err = canopy_command(*arguments)
        assert out == ""
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("error: ")
        return code, lines[0]

    return run


@pytest.fixture
def scene(tmp_path):
    return UPRIGHT.write(tmp_path / "scene.tif")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.tif"


@pytest.fixture
def constant(monkeypatch):
    """Any model that is asked for is the constant one."""
    model = model_of(Constant())
    monkeypatch.setattr(canopy.mapping.map_heights, "load_height_model", lambda *_, **__: model)
    return model


@pytest.mark.usefixtures("constant")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--colour"], "--colour"),
        (["--bands", "red"], "--bands red: expected three band numbers"),
        (["--bands", "1,2"], "2 bands asked for: give three"),
        (["--bands", "1,2,9"], "band 9 asked for"),
        (["--stretch", "strong"], "--stretch strong: expected auto, none, or two values"),
        (["--stretch", "5,1"], "stretch 5,1: the first value must be below"),
        (["--grid", "mine"], "mine"),
        (["--encoding", "int8"], "int8"),
        (["--device", "tpu"], "tpu"),
        (["--batch", "0"], "batch of 0"),
        (["--batch", "many"], "--batch"),
        (["--overlap", "999"], "overlap of 999 px: expected 0 to"),
        (["--overlap", "-3"], "overlap of -3 px"),
        (["--resolution", "0"], "resolution of 0.0 m"),
        (["--pixel-size", "-1"], "pixel size of -1.0 m"),
        (["--pixel-size", "0.6"], "is georeferenced: leave --pixel-size out"),
        (["--grid", "scene", "--resolution", "1"], "grid scene with a resolution"),
    ],
)
def test_a_wrong_option_is_two_and_named(fails, scene, out, options, said):
    code, line = fails("map", scene, "-o", out, *options)
    assert code == 2
    assert said in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["map"], "--output"),
        (["map", "--output", "map.tif"], "SCENE"),
        (["map", "scene.tif"], "--output"),
        (["sing"], "sing"),
        (["--colour"], "--colour"),
    ],
)
def test_a_wrong_command_line_is_two_and_named(fails, arguments, said):
    code, line = fails(*arguments)
    assert code == 2
    assert said in line


def test_an_unknown_model_is_two(fails, scene, out):
    code, line = fails("map", scene, "-o", out, "--model", "canopy-huge")
    assert code == 2
    assert "no model canopy-huge" in line


def test_cuda_without_cuda_is_two(fails, scene, out, model_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, line = fails("map", scene, "-o", out, "--model", model_folder, "--device", "cuda")
    assert code == 2
    assert "take --device cpu" in line


@pytest.mark.usefixtures("constant")
@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("<html>"), "is an HTML page"),
        (lambda path: path.write_bytes(b"II*\0" + bytes(100)), "cannot be read"),
        (lambda path: write_scene(path, noise(9, 9, 1)), "one grey band"),
        (lambda path: write_scene(path, noise(9, 9), pixel=2.5), "pixels of 2.50 m"),
        (lambda path: write_scene(path, noise(9, 9), crs=None), "give --pixel-size"),
        (lambda _: None, "does not exist"),
    ],
)
def test_a_scene_that_cannot_be_mapped_is_two(fails, tmp_path, out, write, said):
    path = tmp_path / "input.tif"
    write(path)
    code, line = fails("map", path, "-o", out)
    assert code == 2
    assert said in line
    assert str(path) in line


@pytest.mark.usefixtures("constant")
def test_a_scene_that_breaks_off_is_two_and_leaves_nothing(fails, tmp_path, out):
    path = write_scene(tmp_path / "input.tif", noise(300, 300), compress="deflate")
    path.write_bytes(path.read_bytes()[:-5000])
    code, line = fails("map", path, "-o", out)
    assert code == 2
    assert "truncated, corrupt" in line
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("constant")
def test_an_existing_map_is_two(fails, scene, out):
    out.touch()
    code, line = fails("map", scene, "-o", out)
    assert code == 2
    assert "--overwrite" in line


@pytest.mark.usefixtures("constant")
def test_no_space_is_one(fails, scene, out, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil gives it
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 0))
    code, line = fails("map", scene, "-o", out)
    assert code == 1
    assert "make room" in line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory: try a smaller --batch"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to"), "out of memory: try a smaller"),
        (OSError(errno.EIO, "Input/output error", "disk"), "Input/output error (disk)"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines (not foreseen: --debug shows where)"),
    ],
)
def test_a_failed_run_is_one(fails, scene, constant, error, said):
    def fail(_):
        raise error

    constant.network.forward = fail
    code, line = fails("map", scene, "-o", scene.with_name("out.tif"))
    assert code == 1
    assert said in line
    assert list(scene.parent.iterdir()) == [scene]


def stop(*_, **__):
    """End a run as Ctrl-C does."""
    raise KeyboardInterrupt


def test_an_interrupted_map_says_how_to_go_on(canopy_command, scene, out, constant):
    constant.network.forward = stop
    code, _, err = canopy_command("map", scene, "-o", out)
    assert code == 130
    assert err.splitlines()[-1].endswith("; the same command with --resume goes on")


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("geo.simulation.worlds.make_worlds", ["simulate", "-o", "worlds", "--seed", "1"]),
        ("canopy.registration.register", ["register", "map", "train"]),
    ],
)
def test_an_interrupted_command_that_cannot_go_on_promises_nothing(
    canopy_command, monkeypatch, step, arguments
):
    monkeypatch.setattr(step, stop)
    code, out, err = canopy_command(*arguments)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted: no half-written file was left"


def test_a_traceback_is_shown_where_asked(scene, out, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["canopy", "map", str(scene), "-o", str(out), "--debug",
                                      "--model", "none"])  # fmt: skip
    with pytest.raises(Exception, match="no model none") as error:
        main()
    assert not isinstance(error.value, SystemExit)
