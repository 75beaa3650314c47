"""A network runs in the batches that fit and at a precision that agrees with float32."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import LocalMean, model_of, tiny_model
from torch import nn

from canopy.errors import RunError, SettingsError
from canopy.height_models.forward import (
    CPU_BATCH,
    LARGEST_BATCH,
    Forward,
    ForwardSettings,
    dtypes_for,
    fitting_batch,
    is_out_of_memory,
)

CPU = torch.device("cpu")


class Hungry(nn.Module):
    """Runs out of memory with more than some images at once."""

    def __init__(self, most, error=None):
        super().__init__()
        error = error or torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.most, self.error, self.sizes = most, error, []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error
        return images[:, 0]


def run(network, images, **choices):
    return Forward(network, CPU, ForwardSettings(**choices))(images)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(error, caplog):
    network, images = Hungry(2, error), torch.rand(11, 3, 4, 4)
    forward = Forward(network, CPU, ForwardSettings())
    with caplog.at_level(logging.WARNING):
        assert torch.equal(forward(images), images[:, 0])
    assert network.sizes == [11, 5, 2, 2, 2, 2, 2, 1]
    assert "going on with 2 tiles at once" in caplog.text
    network.sizes.clear()
    forward(images)
    assert network.sizes == [2, 2, 2, 2, 2, 1], "the smaller batch is remembered"


def test_one_image_that_does_not_fit_is_an_error():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(Hungry(0), torch.rand(4, 3, 4, 4))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    network = Hungry(1, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(network, torch.rand(4, 3, 4, 4))
    assert network.sizes == [4]
    assert not is_out_of_memory(ValueError("x"))


def test_a_model_predicts_what_fits():
    images = np.random.default_rng(0).integers(0, 255, (5, 3, 32, 32)).astype(np.uint8)
    heights = model_of(Hungry(2)).predict(images)
    np.testing.assert_allclose(heights, images[:, 0] / 255, atol=1e-6)


def test_float32_is_the_default_on_a_cpu():
    assert Forward(LocalMean(), CPU, ForwardSettings()).dtype == torch.float32


def test_lower_precision_stays_near():
    model, images = tiny_model(), torch.rand(2, 3, 64, 64)
    exact, near = (run(model.network, images, precision=kind) for kind in ("float32", "bfloat16"))
    assert near.dtype == torch.float32
    difference = (near - exact).abs().mean().item()
    assert 0 < difference < 0.05


class Touchy(nn.Module):
    """Heights that differ, or are no numbers, wherever autocast is on; in each type by its own."""

    def __init__(self, half, brain=None):
        super().__init__()
        self.off = {torch.float16: half, torch.bfloat16: half if brain is None else brain}

    def forward(self, images):
        lower = torch.is_autocast_enabled("cpu")
        return images[:, 0] + (self.off[torch.get_autocast_dtype("cpu")] if lower else 0)


@pytest.mark.parametrize(
    ("half", "brain", "added", "said"),
    [
        (0.04, 0.02, 0.04, ""),
        (0.06, 0.02, 0.02, "float16 is 0.06 m off: going on in bfloat16"),
        (np.nan, 0.02, 0.02, "float16 is out of its range: going on in bfloat16"),
        (0.06, 0.07, 0, "bfloat16 is 0.07 m off: going on in float32"),
        (np.nan, np.nan, 0, "bfloat16 is out of its range: going on in float32"),
    ],
)
def test_a_precision_that_does_not_agree_gives_way_to_the_next(half, brain, added, said, caplog):
    forward = Forward(Touchy(half, brain), CPU, ForwardSettings())
    forward.dtype, *forward.next_dtypes = dtypes_for("auto", torch.device("cuda"))
    forward.compared = False
    images = torch.rand(2, 3, 8, 8)
    with caplog.at_level(logging.WARNING):
        found = forward(images)
    torch.testing.assert_close(found, images[:, 0] + added)
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


class Overflowing(nn.Module):
    """Heights beyond the range of float16 wherever an image is bright."""

    def forward(self, images):
        heights = images[:, 0]
        if torch.is_autocast_enabled("cpu"):
            return torch.where(heights > 0.9, torch.inf, heights + 0.125)
        return heights


def test_tiles_of_no_numbers_are_made_again_in_float32(caplog):
    forward = Forward(Overflowing(), CPU, ForwardSettings(precision="float16"))
    dark, bright = torch.full((2, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.95)
    images = torch.cat([dark, bright])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # and those to come are not: what ran before decides about no tile
            assert torch.equal(forward(images), torch.cat([dark[:, 0] + 0.125, bright[:, 0]]))
    assert caplog.text.count("such tiles run in float32") == 1


def test_a_precision_that_was_asked_for_stays_and_its_error_is_said(caplog):
    images = torch.rand(1, 3, 8, 8)
    with caplog.at_level(logging.WARNING):
        found = run(Touchy(0.5), images, precision="bfloat16")
    torch.testing.assert_close(found, images[:, 0] + 0.5)
    assert "bfloat16 is 0.50 m off" in caplog.text


def test_an_unknown_precision_is_refused():
    with pytest.raises(SettingsError, match="precision int4: expected auto, float32"):
        ForwardSettings(precision="int4")


def test_a_network_is_compiled_where_that_is_asked_for(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda network: compiled.append(network) or network)
    run(LocalMean(), torch.rand(1, 3, 8, 8))
    assert not compiled
    run(LocalMean(), torch.rand(1, 3, 8, 8), compiled=True)
    assert len(compiled) == 1


def test_a_compiler_that_fails_is_told_in_one_line(monkeypatch):
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415

    def fail(_):
        raise TorchDynamoException

    monkeypatch.setattr(torch, "compile", lambda _: fail)
    with pytest.raises(RunError, match=r"torch\.compile failed"):
        run(LocalMean(), torch.rand(1, 3, 8, 8), compiled=True)


@given(
    each=st.integers(1, 10**10), fixed=st.integers(0, 10**9), free=st.integers(0, 10**12)
)  # fmt: skip
def test_a_batch_fits_into_what_is_free(each, fixed, free):
    batch = fitting_batch(fixed + each, fixed + 2 * each, free=free)
    assert 1 <= batch <= LARGEST_BATCH
    if batch > 1:
        assert fixed + batch * each <= free
    if batch < LARGEST_BATCH:
        assert fixed + (batch + 1) * each > 0.79 * free


def test_a_cpu_takes_a_small_batch():
    assert Forward(LocalMean(), CPU, ForwardSettings()).batch_for(256) == CPU_BATCH


@pytest.mark.gpu
def test_on_a_gpu_heights_agree_and_the_batch_is_chosen():
    network, images = tiny_model().network, torch.rand(2, 3, 64, 64)
    exact = run(network, images)
    forward = Forward(network, torch.device("cuda"), ForwardSettings())
    assert 1 <= forward.batch_for(64) <= LARGEST_BATCH
    assert (forward(images.cuda()).cpu() - exact).abs().mean() < 0.05
