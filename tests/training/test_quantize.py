"""Weights in fewer bits."""

import torch

from unweave.learners.contract import State
from unweave.training.lift import lift
from unweave.training.quantize import quantized


def test_a_matrix_has_no_more_values_than_bits_allow():
    torch.manual_seed(0)
    weight = torch.randn(4, 200)
    for bits in (2, 4, 8):
        found = quantized(State({"0.weight": weight}, {}), bits).params["0.weight"]
        assert all(len(row.unique()) <= 2**bits - 1 for row in found)
        step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((found - weight).abs() <= step / 2 + 1e-6).all()


def test_largest_weights_stay_and_rows_have_scales_of_their_own():
    weight = torch.tensor([[100.0, 1.0], [0.01, -0.02]])
    found = quantized(State({"0.weight": weight}, {}), 4).params["0.weight"]
    assert torch.allclose(found.abs().amax(1), torch.tensor([100.0, 0.02]))
    assert found[1, 0] != 0


def test_biases_buffers_and_zeros_are_left_alone():
    params = {"0.weight": torch.zeros(2, 3), "0.bias": torch.tensor([0.123, 0.456])}
    state = State(params, {"mean": torch.rand(3, 3)})
    found = quantized(state, 4)
    assert torch.equal(found.params["0.weight"], torch.zeros(2, 3))
    assert torch.equal(found.params["0.bias"], state.params["0.bias"])
    assert found.buffers is state.buffers


def test_a_stack_is_quantized_model_by_model():
    torch.manual_seed(1)
    weights = torch.randn(3, 2, 5, 3, 3)
    whole = lift(lambda one: quantized(one, 4), stacked=True)(State({"w": weights}, {})).params["w"]
    alone = [quantized(State({"w": one}, {}), 4).params["w"] for one in weights]
    assert torch.equal(whole, torch.stack(alone))
