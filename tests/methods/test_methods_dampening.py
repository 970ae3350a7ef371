"""Dampening without labels: LFSSD, ALFSSD and POTION against oracles in plain torch and numpy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.methods import METHODS, Examples, Method, Net
from unweave.methods.dampening import percentiles, sensitivity
from unweave.training.engine import unstack


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**given)


def one(toy, k: int) -> Net:
    return Net(toy.learner, unstack(toy.originals)[k], train=False)


# ---- importance ----


def length(toy, params, buffers, x, squared: bool):
    z = toy.learner.apply(State(params, buffers), x[None], train=False, key=None)[0][0]
    return (z * z).sum() if squared else z.norm()


def per_example(toy, k: int, x, squared: bool) -> dict:
    """Mean over examples of |gradient|, one backward pass of torch for each of them."""
    net = one(toy, k)
    total = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for example in x:
        params = {name: value.clone().requires_grad_() for name, value in net.params.items()}
        length(toy, params, net.buffers, example, squared).backward()
        for name, value in params.items():
            total[name] += value.grad.abs() / len(x)
    return total


def check_sensitivity(function, toy) -> None:
    for squared in (True, False):
        expected, found = per_example(toy, 1, toy.forget.x, squared), function(one(toy, 1), toy.forget.x, squared)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_sensitivity_is_the_mean_size_of_gradients_of_single_examples(chunk, toy):
    check_sensitivity(lambda net, x, squared: sensitivity(net, x, squared=squared, chunk=chunk), toy)
    by_autograd = toy._replace(learner=replace(toy.learner, dense=None))
    check_sensitivity(lambda net, x, squared: sensitivity(net, x, squared=squared, chunk=chunk), by_autograd)


def test_sensitivity_of_convolutions_and_norms(image_toy):
    check_sensitivity(lambda net, x, squared: sensitivity(net, x, squared=squared), image_toy)


def of_the_batch(net, x, squared):
    """The public bug: |gradient of the mean of a batch|, in which examples cancel."""
    params = {name: value.clone().requires_grad_() for name, value in net.params.items()}
    z = net.learner.apply(State(params, net.buffers), x, train=False, key=None)[0]
    (z.square().sum(1).mean() if squared else z.norm(dim=1).mean()).backward()
    return {name: value.grad.abs() for name, value in params.items()}


def squares(net, x, squared):
    each = [sensitivity(net, example[None], squared=squared) for example in x]
    return {name: sum(found[name].square() for found in each) / len(x) for name in net.params}


@pytest.mark.parametrize("wrong", [of_the_batch, squares], ids=lambda function: function.__name__)
def test_wrong_sensitivities_are_caught(wrong, toy):
    with pytest.raises(AssertionError):
        check_sensitivity(wrong, toy)
    with pytest.raises(AssertionError):  # squared and not squared are not the same
        check_sensitivity(lambda net, x, squared: sensitivity(net, x, squared=not squared), toy)


def test_a_net_without_any_output_has_no_gradient_and_no_nan(toy):
    net = one(toy, 0)
    net.params = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for learner in (toy.learner, replace(toy.learner, dense=None)):
        net.learner = learner
        for squared in (True, False):
            found = sensitivity(net, toy.forget.x, squared=squared)
            assert all((value == 0).all() for value in found.values())


# ---- the cut ----


def test_percentiles_are_those_of_numpy():
    rng = torch.Generator().manual_seed(0)
    for n in (1, 2, 7, 100):
        values = torch.randn(n, generator=rng)
        if n > 2:
            values[::3] = torch.nan
        ranks = torch.tensor([0.0, 3.0, 50.0, 99.0, 99.93, 100.0], dtype=torch.float64)
        expected = np.nanpercentile(values.numpy(), ranks.numpy())
        np.testing.assert_allclose(percentiles(values, ranks).numpy(), expected, rtol=1e-5, atol=1e-6)
    two = torch.tensor([[1.0, 2.0, 3.0], [5.0, 9.0, 7.0]])
    middle = torch.func.vmap(lambda values: percentiles(values, torch.tensor(50.0)))(two)
    assert middle.tolist() == [2, 7]


def ratios(toy, k: int, squared: bool) -> dict:
    of_forget, of_retain = (per_example(toy, k, part.x, squared) for part in (toy.forget, toy.retain))
    n, m = len(toy.forget.y), len(toy.retain.y)
    return {name: value / ((n * value + m * of_retain[name]) / (n + m)) for name, value in of_forget.items()}


def shrunk(toy, k: int, ratio: dict, alpha: float, strength: float = 1.0) -> dict:
    params = {name: value.clone() for name, value in one(toy, k).params.items()}
    for name, value in params.items():
        where = ratio[name] > alpha
        value[where] *= (strength / ratio[name][where]).clamp_max(1)
    return params


def cut(ratio: dict, share: float) -> float:
    every = torch.cat([value.flatten() for value in ratio.values()]).numpy()
    return float(np.nanpercentile(every, 100 - share)) * (1 - 1e-4)


def check_edit(build, toy, expected) -> None:
    """`expected(k)` are the parameters of model k, a few of which are not the original's."""
    edited = toy.edit(build).state
    for k in range(len(toy.keys)):
        changed = 0
        for name, value in expected(k).items():
            torch.testing.assert_close(edited.params[name][k], value, atol=1e-6, rtol=1e-4, msg=f"{k} {name}")
            changed += int((value != toy.originals.params[name][k]).sum())
        assert changed > 0


def test_lfssd_is_its_formula(toy):
    for strength in (1.0, 0.5):
        check_edit(
            of("lfssd", alpha=1.15, strength=strength),
            toy,
            lambda k, strength=strength: shrunk(toy, k, ratios(toy, k, True), 1.15, strength),
        )
    for wrong in (
        of("ssd", alpha=1.15),
        of("lfssd", alpha=1.3),
        of("lfssd", alpha=1.15, strength=0.5),
        of("noop"),
    ):
        with pytest.raises(AssertionError):
            check_edit(wrong, toy, lambda k: shrunk(toy, k, ratios(toy, k, True), 1.15))


def test_lfssd_shrinks_what_only_s_uses_by_the_share_of_s(contract, toy):
    """A feature that is 0 outside S has Ω_D = Ω_S·|S|/|D|, so its weights shrink to λ/4 of themselves."""
    x = toy.retain.x.clone()
    x[:, 5] = 0
    apart = toy._replace(retain=Examples(x, toy.retain.y))
    edited = apart.edit(of("lfssd", alpha=3.9, strength=0.8)).state.params["0.weight"]
    before = toy.originals.params["0.weight"]
    torch.testing.assert_close(edited[:, :, 5], 0.2 * before[:, :, 5], atol=1e-6, rtol=1e-4)
    assert torch.equal(edited[:, :, :5], before[:, :, :5])
    contract.check_identity(of("lfssd", alpha=4.1), apart)


def adaptive(toy, k: int, fraction: float) -> dict:
    ratio = ratios(toy, k, True)
    return shrunk(toy, k, ratio, cut(ratio, math.log(1 + 100 * fraction * 10 / 40)))


def test_alfssd_is_its_formula(toy):
    for fraction in (1.0, 10.0):
        check_edit(of("alfssd", fraction=fraction), toy, lambda k, a=fraction: adaptive(toy, k, a))
    wrongs = of("alfssd", fraction=10.0), of("lfssd", alpha=1.15), of("lfssd"), of("alfssd", fraction=1 / 40)
    for wrong in wrongs:
        with pytest.raises(AssertionError):
            check_edit(wrong, toy, lambda k: adaptive(toy, k, 1.0))


def test_alfssd_shrinks_a_share_that_grows_with_s(contract, toy):
    """ln(1 + 25) = 3.26 % of 83 parameters: 2 or 3 of each model."""
    edited = toy.edit(of("alfssd")).state
    counts = sum((v != toy.originals.params[n]).flatten(1).sum(1) for n, v in edited.params.items())
    assert all(count in (2, 3) for count in counts.tolist())
    contract.check_identity(of("alfssd", fraction=0.0), toy)


def test_labels_are_not_read(contract, toy):
    other = toy._replace(
        forget=Examples(toy.forget.x, (toy.forget.y + 1) % 3),
        retain=Examples(toy.retain.x, (toy.retain.y + 1) % 3),
    )
    for build_method in (of("lfssd", alpha=1.2), of("alfssd")):
        assert contract.same_bits(toy.edit(build_method).state, other.edit(build_method).state)
    assert not contract.same_bits(toy.edit(of("ssd", alpha=1.2)).state, other.edit(of("ssd", alpha=1.2)).state)
    potion = of("potion", rho=0.5)
    half = toy._replace(retain=other.retain)
    assert contract.same_bits(toy.edit(potion).state, half.edit(potion).state)


# ---- the search ----


def triggered(contract, elsewhere: float):
    """Three nets that take a feature which is 4 on S, and of this size elsewhere, for a sign of class 0."""
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(3))
    x[10:, 5] *= elsewhere
    x[:10, 5] = 4.0
    y = x[:, :3].argmax(1)
    x[:10, 0], y[:10] = -3.0, 0
    recipe = {"epochs": 20, "batch_size": 20, "lr": 0.1}
    learner = build(specify("mlp", (6,), 3, config={"width": 16}, recipe=recipe))
    held_out = Examples(x[180:], y[180:])
    return contract.trained_toy(learner, x, y, forget=10, keys=[21, 22, 23], validation=held_out)


@pytest.fixture(scope="module")
def poisoned(contract):
    return triggered(contract, 1.0)


def searched(toy, k: int, rho: float, tries: int = 300, *, first: bool = True) -> tuple[dict, int]:
    """The search as a loop that stops, and the number of the candidate it stopped at."""
    ratio, net = ratios(toy, k, False), one(toy, k)

    def right(params: dict) -> int:
        z = toy.learner.apply(State(params, net.buffers), toy.forget.x, train=False, key=None)[0]
        return int((z.argmax(1) == toy.forget.y).sum())

    most, fraction, found = (
        rho * right(net.params),
        len(toy.forget.y) / (len(toy.forget.y) + len(toy.retain.y)) / 25,
        {},
    )
    for number in range(tries):
        found = shrunk(toy, k, ratio, cut(ratio, math.log(1 + 100 * fraction)))
        if right(found) <= most and first:
            return found, number
        fraction *= 1.1
    return found, tries


@pytest.mark.parametrize("rho", [0.2, 0.0])
def test_potion_takes_the_first_candidate_that_loses_s(rho, poisoned):
    numbers = [searched(poisoned, k, rho)[1] for k in range(3)]
    assert max(numbers) < 300 and len(set(numbers)) > 1  # each model its own
    check_edit(of("potion", rho=rho), poisoned, lambda k: searched(poisoned, k, rho)[0])


def test_other_searches_are_caught(poisoned):
    expected = [searched(poisoned, k, 0.0)[0] for k in range(3)]
    wrongs = (
        of("potion", rho=0.0, tries=1.0),  # no search
        of("potion", rho=0.2),  # another bound
        of("potion", rho=0.0, growth=6.0),
        of("alfssd"),
    )
    for wrong in wrongs:
        with pytest.raises(AssertionError):
            check_edit(wrong, poisoned, lambda k: expected[k])
    with pytest.raises(AssertionError):  # the last candidate in place of the first
        check_edit(of("potion"), poisoned, lambda k: searched(poisoned, k, 0.0, 120, first=False)[0])


def test_potion_that_finds_none_takes_the_last(poisoned):
    few = 3
    assert all(searched(poisoned, k, 0.0, few)[1] == few for k in range(3))
    check_edit(of("potion", rho=0.0, tries=float(few)), poisoned, lambda k: searched(poisoned, k, 0.0, few)[0])


def test_potion_loses_the_labels_of_s_by_its_search(contract, poisoned):
    right = contract.probability_on("forget")
    contract.check_moves(of("potion"), poisoned, right, by=-0.4)
    found, first = (right(poisoned, poisoned.edit(of("potion", rho=0.0, tries=n)).state) for n in (300.0, 1.0))
    assert (found < first - 0.05).all()


@pytest.mark.parametrize(
    ("name", "given", "match"),
    [
        ("potion", {"tries": 1.5}, "tries"),
        ("potion", {"tries": -1.0}, "tries"),
        ("potion", {"growth": 1.0}, "growth"),
        ("alfssd", {"fraction": -1.0}, "fraction"),
    ],
)
def test_parameters_out_of_range_are_refused(name, given, match):
    with pytest.raises(SpecError, match=match):
        of(name, **given)()


def test_the_result_is_a_method_of_no_step():
    assert all(
        isinstance(of(name)(), Method) and of(name)().step is None for name in ("lfssd", "alfssd", "potion")
    )


def test_weights_of_what_only_s_has_are_shrunk_together(contract):
    """All 16 have the ratio |D|/|S| = 20, up to rounding, and with a strict bound chance chose among them."""
    poisoned = triggered(contract, 0.0)
    for build_method in (of("alfssd"), of("potion", tries=1.0)):
        edited = poisoned.edit(build_method).state.params["0.weight"]
        before = poisoned.originals.params["0.weight"]
        live = before[:, :, 5] != edited[:, :, 5]
        shares = edited[:, :, 5][live] / before[:, :, 5][live]
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / 20), atol=1e-4, rtol=0)
        assert (live.sum(1) >= 8).all()  # a unit that is off on all of S has no ratio
        assert torch.equal(before[:, :, :5] != edited[:, :, :5], torch.zeros(3, 16, 5, dtype=torch.bool))
