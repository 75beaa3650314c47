"""The same numbers from any number of threads, all of them busy, and none left with work."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pytest
import torch
from small_corrections import network, save
from small_files import colours_state
from small_models import LocalMean, model_of
from small_scenes import noise, write_scene

from canopy.colour_matching import ColourMatcher, ColourMatchingNetwork
from canopy.correction_network.metadata import unknown
from canopy.correction_network.model import load_correction_model
from canopy.inference_threads import submitting, threads_on
from canopy.mapping.plan import plan_map
from canopy.mapping.prediction import finished_rows
from canopy.mapping.settings import MapSettings
from canopy.weights import load_height_model
from geo.errors import SceneError
from geo.scene import open_scene

CPU = torch.device("cpu")


@contextmanager
def torch_threads(count):
    """Let torch use some threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def heights_of(scene, model, **choices):
    """Heights before they are rounded to what a file keeps."""
    plan = plan_map(open_scene(scene), model, MapSettings(**choices), None, None)
    with closing(finished_rows(plan, model)) as rows:
        return np.concatenate([each.heights for each in rows])


def watched(plan, look):
    """A plan whose reader first has something look at the row from which it reads."""

    class Reader(NamedTuple):
        reader: object

        def read(self, first, count):
            look(first)
            return self.reader.read(first, count)

    class Watched(type(plan)):
        @contextmanager
        def read(self):
            with super().read() as reader:
                yield Reader(reader)

    return Watched(**{field.name: getattr(plan, field.name) for field in fields(plan)})


def test_no_bit_of_a_height_depends_on_the_number_of_threads(tmp_path):
    """Two threads that share a pass move four heights in five, by up to 1e-5 m."""
    model = load_height_model("canopy-tiny", device="cpu")
    scene = write_scene(tmp_path / "scene.tif", noise(420, 900))
    found = []
    for threads, batch in ((1, None), (2, None), (3, 5)):
        with torch_threads(threads):
            found.append(heights_of(scene, model, batch=batch))
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_colours_and_corrections_do_not_depend_on_it_either(tmp_path):
    colours = ColourMatchingNetwork()
    colours.load_state_dict(colours_state(), strict=True)
    matcher = ColourMatcher(network=colours)
    images = np.random.default_rng(0).random((20, 3, 256, 256), np.float32)
    corrects = load_correction_model(save(network(), tmp_path / "n"))
    side = corrects.window_px
    windows = (images[..., :side, :side] * 255).astype(np.uint8)
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append((matcher.predict(images), corrects.predict(windows, unknown(20))))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def in_a_new_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def test_each_thread_has_one_of_torch_and_others_have_afterwards_what_they_had():
    together = threading.Barrier(3)

    def count():
        together.wait(timeout=10)
        return torch.get_num_threads(), threading.get_ident()

    with torch_threads(3):
        with submitting(CPU) as submit:
            each = [future.result() for future in [submit(count) for _ in range(3)]]
            assert in_a_new_thread(torch.get_num_threads) == 3
            assert in_a_new_thread(lambda: threads_on(CPU)) == 3
        assert torch.get_num_threads() == 3
        assert in_a_new_thread(torch.get_num_threads) == 3
    assert {threads for threads, _ in each} == {1}
    assert len({ident for _, ident in each}) == 3


def test_work_that_is_left_does_not_wait_for_that_of_others():
    """Of one thread: what somebody else has it do for long, and a failure meanwhile."""
    go = threading.Event()

    def broken():
        with submitting(CPU) as submit:
            submit(int)
            raise KeyError

    with torch_threads(1), submitting(CPU) as other:
        running = other(go.wait, 10)
        with pytest.raises(KeyError):
            broken()
        assert not running.done()
        go.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_has_threads_of_its_own():
    with submitting(CPU) as submit:
        submit(int).result(timeout=10)
    child = os.fork()
    if not child:
        try:
            with submitting(CPU) as submit:
                os._exit(submit(int, "7").result(timeout=10))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_rows_before_one_that_cannot_be_read_come_first(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", noise(600, 60))
    model = model_of(LocalMean(0))
    plan = plan_map(open_scene(scene), model, MapSettings(), None, None)
    last = plan.tiles.rows[-2].start

    def break_off(first):
        if first >= last:
            msg = "breaks off"
            raise SceneError(msg)

    broken = watched(plan, break_off)
    come = []
    with (
        torch_threads(8),
        pytest.raises(SceneError),
        closing(finished_rows(broken, model)) as rows,
    ):
        come.extend(rows)
    assert len(come) == len(plan.tiles.rows) - 2


def test_a_turn_is_held_to_the_last_tile(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", noise(300, 60))
    turn, held = threading.Lock(), []

    class Looking(LocalMean):
        def forward(self, images):
            time.sleep(0.01)
            held.append(turn.locked())
            return super().forward(images)

    model = model_of(Looking(0))
    plan = plan_map(open_scene(scene), model, MapSettings(), None, None)
    with torch_threads(2), closing(finished_rows(plan, model, turn=turn)) as rows:
        list(rows)
    assert held[-1]
    assert not turn.locked()


def test_another_device_runs_one_batch_at_a_time():
    assert threads_on(torch.device("cuda")) == 1


def test_work_that_is_no_longer_wanted_does_not_begin():
    began, go = [], threading.Event()

    def slow(number):
        began.append(number)
        go.wait(timeout=10)

    def broken():
        with submitting(CPU) as submit:
            futures.extend(submit(slow, number) for number in range(5))
            while not began:
                time.sleep(0.001)
            threading.Timer(0.1, go.set).start()
            raise KeyError

    futures = []
    with torch_threads(1), pytest.raises(KeyError):
        broken()
    assert began == [0]
    assert futures[0].done()
    assert [future.cancelled() for future in futures] == [False] + [True] * 4


class Together(torch.nn.Module):
    """Counts how many passes run at once."""

    receptive_radius_px = 0

    def __init__(self):
        super().__init__()
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def forward(self, images):
        """(B, 3, H, W) -> (B, H, W) [m]."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return torch.zeros_like(images[:, 0])


def test_rows_of_one_tile_keep_all_threads_busy(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", noise(600, 60))
    model = model_of(Together())
    with torch_threads(4):
        heights_of(scene, model)
    assert model.network.most == 4


def test_few_strips_are_held_where_rows_have_no_data(tmp_path):
    """An empty half of a scene must not be read into memory before its first tile."""
    pixels = noise(1200, 200)
    pixels[:, :1150] = 0
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    model = model_of(LocalMean(0))
    plan = plan_map(open_scene(scene), model, MapSettings(), None, None)
    reads = []
    counted = watched(plan, reads.append)
    with torch_threads(2), closing(finished_rows(counted, model)) as rows:
        next(rows)
        time.sleep(0.3)
        assert len(reads) <= 6
