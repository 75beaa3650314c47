"""Tensors become a network's own where they fit it exactly, and nothing changes where not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from canopy.errors import ModelError
from canopy.height_models.strict_weights import key_differences, load_state_strictly


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def tensors():
    torch.manual_seed(3)
    return {
        name: torch.rand(tensor.shape).to(tensor.dtype)
        for name, tensor in network().state_dict().items()
    }


def test_a_network_without_values_gets_its_weights_without_a_copy():
    with torch.device("meta"):
        empty = network()
    given = tensors()
    load_state_strictly(empty, given, "a file")
    for name, tensor in empty.state_dict().items():
        assert tensor.data_ptr() == given[name].data_ptr()
    assert empty[0].weight.requires_grad


def test_tensors_take_the_type_of_the_network():
    loaded, given = network(), tensors()
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in given.items()
    }
    load_state_strictly(loaded, halves, "a file")
    assert loaded[0].weight.dtype == torch.float32
    assert loaded[1].num_batches_tracked.dtype == torch.int64
    torch.testing.assert_close(loaded[0].weight.data, given["0.weight"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda given: given.pop("0.bias"), r"a file holds other weights .*: missing 0\.bias"),
        (lambda given: given.update(ghost=torch.zeros(1)), "extra ghost"),
        (
            lambda given: given.update({"0.bias": torch.zeros(5)}),
            r"a file: 0\.bias has shape \(5,\), expected \(4,\)",
        ),
        (
            lambda given: given.update({"0.bias": torch.zeros(4, dtype=torch.int32)}),
            r"a file: 0\.bias is of torch\.int32, expected dense torch\.float32",
        ),
        (
            lambda given: given.update({"0.bias": torch.zeros(4, dtype=torch.complex64)}),
            r"a file: 0\.bias is of torch\.complex64",
        ),
        (
            lambda given: given.update({"0.bias": torch.zeros(4).to_sparse()}),
            r"a file: 0\.bias is of torch\.float32, expected dense",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, said):
    loaded, given = network(), tensors()
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    change(given)
    with pytest.raises(ModelError, match=said):
        load_state_strictly(loaded, given, "a file")
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.state_dict().items())


def test_a_few_differences_stand_for_many():
    many = [f"x{index}" for index in range(9)]
    assert key_differences(many, ["y"]) == "missing y; extra x0, x1, x2"
    assert key_differences(["a"], ["a"]) == ""
