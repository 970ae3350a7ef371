"""Newton's step and influence functions against optima found by training, and which way they go."""

from __future__ import annotations

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy

from unweave._errors import ApplicabilityError, SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Examples, Method, per_example
from unweave.methods.curvature import conjugate_gradients, gauss_newton, probed_diagonal, softmax_solve
from unweave.methods.fisher import noise_variance
from unweave.methods.per_example import flatten, in_double, total_gradient, unflatten
from unweave.methods.second_order import solve

_spec = spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = module_from_spec(_spec)
_spec.loader.exec_module(naive)
net_of, naive_gradients, naive_matrix = naive.net_of, naive.naive_gradients, naive.naive_matrix

ONE_SHOT = {"newton": "scale", "influence": "scale", "woodfisher": "alpha", "ntk_forgetting": "scale"}


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**given)


# ---- Newton's step and influence ----


def optimum(x, y, classes: int, decay: float):
    """Softmax regression with weight decay on all parameters, by L-BFGS in double precision [classes, d + 1]."""
    full = np.hstack([x, np.ones((len(x), 1))])

    def loss(flat):
        w = flat.reshape(classes, -1)
        z = full @ w.T
        z -= z.max(1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        error = np.exp(log_p)
        error[np.arange(len(y)), y] -= 1
        value = -log_p[np.arange(len(y)), y].mean() + decay / 2 * flat @ flat
        return value, (error.T @ full / len(y) + decay * w).ravel()

    best = minimize(loss, np.zeros(classes * full.shape[1]), jac=True, method="L-BFGS-B", options=OPTIONS)
    return best.x.reshape(classes, -1)


OPTIONS = {"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-10, "maxcor": 30}
DECAY = 0.02


@cache
def problem(n: int):
    """Softmax regression at its optimum on n examples, 5 of them S; that optimum, and the one without S."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    y = (x[:, :3] + 0.5 * rng.normal(size=(n, 3))).argmax(1)
    y[:5] = (y[:5] + 1) % 3
    return x, y, optimum(x, y, 3, DECAY), optimum(x[5:], y[5:], 3, DECAY)


def softmax_toy(contract, n: int):
    x, y, before, after = problem(n)
    learner = build(specify("softmax", (4,), 3, recipe={"weight_decay": DECAY, "epochs": 2, "batch_size": 8}))
    given = torch.tensor(before, dtype=torch.float32)
    originals = State({"0.weight": given[None, :, :-1], "0.bias": given[None, :, -1]}, {})
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    return contract.Toy(learner, originals, Examples(x[:5], y[:5]), Examples(x[5:], y[5:]), [0]), after


def weights(state):
    return torch.cat([state.params["0.weight"][0], state.params["0.bias"][0][:, None]], 1)


def error_of(contract, build_method, n: int) -> tuple[float, float]:
    """Distances to the model trained without S, of the edited model and of the original."""
    toy, after = softmax_toy(contract, n)
    wanted = torch.tensor(after, dtype=torch.float32)
    return tuple(float((weights(s) - wanted).norm()) for s in (toy.edit(build_method).state, toy.originals))


def check_removal(contract, build_method, *, few: float = 0.15, many: float = 0.04) -> None:
    """The share of the way to the model trained without S that is left, where S is 5 of 100 and of 400."""
    near, far = ([error_of(contract, build_method, n)[i] for n in (100, 400)] for i in (0, 1))
    assert near[0] < few * far[0] and near[1] < many * far[1]
    # Four times as many examples: the original errs by O(1/n), a Newton step by O(1/n²).
    assert near[0] / near[1] > 9 and 2.5 < far[0] / far[1] < 6


def test_a_step_goes_to_the_model_trained_without_s(contract):
    check_removal(contract, of("newton", damping=0.0))
    check_removal(contract, of("influence", damping=0.0), few=0.25, many=0.06)


def test_newton_is_nearer_than_influence_where_s_is_large(contract):
    near, further = (error_of(contract, of(name, damping=0.0), 40)[0] for name in ("newton", "influence"))
    assert near < further


def test_the_wrong_sign_the_wrong_weight_and_no_matrix_are_caught(contract):
    def reversed_() -> Method:
        return mirrored(of("newton", damping=0.0)())

    for wrong in (reversed_, of("newton", damping=0.0, scale=1.3), of("newton", damping=1e3, scale=1e3)):
        with pytest.raises(AssertionError):
            check_removal(contract, wrong)


def mirrored(method: Method) -> Method:
    """The planted bug: a step that descends on S."""

    def prepare(net, given, key):
        state, aux = method.prepare(net, given, key)
        return State({n: 2 * net.params[n] - v for n, v in state.params.items()}, state.buffers), aux

    return method._replace(prepare=prepare)


def test_newton_counts_weight_decay_of_s(contract, monkeypatch):
    """With ∇CE alone in place of ∇CE + λθ the step misses by O(1/n)."""

    def without(net, forget):
        return flatten(total_gradient(net, forget))

    monkeypatch.setattr("unweave.methods.second_order._pull", without)
    with pytest.raises(AssertionError):
        check_removal(contract, of("newton", damping=0.0))


def test_a_written_matrix_and_conjugate_gradients_give_the_same(contract):
    toy, _ = softmax_toy(contract, 100)
    net, shown = in_double(net_of(toy), toy.retain)
    b = torch.linspace(-1, 1, 15, dtype=torch.float64)
    matrix = naive_matrix(net_of(toy), toy.retain.x).double() + 0.1 * torch.eye(15)
    wanted = torch.linalg.solve(matrix, b)
    exact = softmax_solve(net, shown.x, b, damping=0.1)
    torch.testing.assert_close(exact, wanted, atol=1e-4, rtol=1e-4)
    product = gauss_newton(net, shown.x)
    found = conjugate_gradients(lambda v: product(v) + 0.1 * v, b, steps=15)
    torch.testing.assert_close(found, exact, atol=1e-8, rtol=1e-8)
    # A softmax regression is solved exactly, however few the steps.
    torch.testing.assert_close(solve(net, shown.x, b, damping=0.1, steps=1), exact)


def test_the_gauss_newton_matrix_of_a_linear_model_is_its_hessian(contract):
    toy, _ = softmax_toy(contract, 40)
    net = net_of(toy)

    def loss(flat):
        params = unflatten(flat, net.params)
        return cross_entropy(
            toy.learner.apply(State(params, {}), toy.retain.x, train=False, key=None)[0], toy.retain.y
        )

    hessian = torch.autograd.functional.hessian(loss, flatten(net.params))
    torch.testing.assert_close(naive_matrix(net, toy.retain.x), hessian, atol=1e-5, rtol=1e-4)


# ---- which way the loss of S goes ----


def slope_on_forget(toy, method_of, key_of: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Change of the loss on S per unit of strength: as measured, and ∇(loss on S)·(step) as predicted."""
    small = 1e-3
    found, predicted = [], []
    step = toy.edit(method_of(**{key_of: small})).state
    for k in range(len(toy.keys)):
        exact, forget = in_double(net_of(toy, k), toy.forget)
        before = cross_entropy(exact(forget.x), forget.y)
        gradient = flatten(total_gradient(exact, forget)) / len(forget.y)
        after = {n: v[k].double() for n, v in step.params.items()}
        z = toy.learner.apply(State(after, {}), forget.x, train=False, key=None)[0]
        found.append((cross_entropy(z, forget.y) - before) / small)
        predicted.append(gradient @ (flatten(after) - flatten(exact.params)) / small)
    return torch.stack(found), torch.stack(predicted)


@pytest.mark.parametrize("name", ONE_SHOT)
def test_the_loss_of_s_goes_up_by_the_amount_predicted(name, memorised):
    extra = {"alpha": 0.0} if name == "ntk_forgetting" else {}
    found, predicted = slope_on_forget(memorised, lambda **g: of(name, **extra, **g), ONE_SHOT[name])
    assert (predicted > 1e-4).all()
    torch.testing.assert_close(found, predicted, rtol=0.1, atol=1e-4)
    backward, _ = slope_on_forget(
        memorised, lambda **g: lambda: mirrored(METHODS.get(name).build(**extra, **g)), ONE_SHOT[name]
    )
    assert (backward < 0).all()  # the planted bug descends on S


def test_newton_predicts_the_slope_of_its_own_quadratic_form(memorised):
    """d(loss on S) = ∇_Sᵀ·H⁻¹·∇_S·m/(n − m), with the matrix written down."""
    found, _ = slope_on_forget(memorised, lambda **g: of("newton", damping=0.1, iterations=60.0, **g), "scale")
    net = net_of(memorised)
    gradient = flatten(total_gradient(net, memorised.forget)) / 10
    matrix = naive_matrix(net, memorised.retain.x) + 0.1 * torch.eye(len(gradient))
    wanted = gradient @ torch.linalg.solve(matrix, gradient) * 10 / 30
    assert found[0].item() == pytest.approx(wanted.item(), rel=0.1)


@pytest.mark.parametrize(("name", "given"), [("newton", {}), ("influence", {}), ("woodfisher", {"alpha": 0.05})])
def test_s_is_unlearned_and_descent_is_caught(name, given, contract, memorised):
    build_method, loss = of(name, **given), contract.loss_on("forget")
    contract.check_moves(build_method, memorised, loss, by=0.02)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(lambda: mirrored(build_method()), memorised, loss, by=0.02)


# ---- Fisher noise ----


def moves(toy, build_method):
    edited = toy.edit(build_method).state
    return {n: v - toy.originals.params[n] for n, v in edited.params.items()}


def test_noise_has_the_variance_it_should(contract):
    """400 copies of one model with other keys: mean 0 and variance α/F of each parameter, drawn independently."""
    learner = build(specify("softmax", (4,), 3))
    x, y, before, _ = problem(40)
    given = torch.tensor(before, dtype=torch.float32)
    originals = State(
        {"0.weight": given[:, :-1].expand(400, -1, -1).clone(), "0.bias": given[:, -1].expand(400, -1).clone()}, {}
    )
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    many = contract.Toy(learner, originals, Examples(x[:5], y[:5]), Examples(x[5:], y[5:]), list(range(400)))
    moved = moves(many, of("fisher_forgetting", alpha=1e-4))
    net = net_of(many)
    found = {n: v.square().mean(0) for n, v in moved.items()}
    fisher = unflatten(naive_matrix(net, many.retain.x).diagonal(), net.params)
    wanted = noise_variance(fisher, alpha=1e-4, most=1000.0)
    for name, value in found.items():
        # The probes of F differ from key to key: by convexity their variance is a little larger.
        ratio = value / wanted[name]
        assert 0.8 < ratio.mean() < 1.4 and ratio.min() > 0.6 and ratio.max() < 1.8, (name, ratio)
        assert (moved[name].mean(0).abs() < 4 * (value / 400).sqrt()).all()
    flat = torch.cat([moved["0.weight"].flatten(1), moved["0.bias"]], 1)
    assert (torch.corrcoef(flat.mT) - torch.eye(15)).abs().max() < 0.25


def test_parameters_that_the_retained_do_not_use_get_more_noise(toy):
    x = toy.retain.x.clone()
    x[:, 5] = 0
    blind = toy._replace(retain=Examples(x, toy.retain.y))
    fisher = probed_diagonal(net_of(blind), x, key_tensor([1])[0])
    assert fisher["0.weight"][:, 5].max() == 0 and fisher["0.weight"][:, :5].max() > 0
    flat = {n: torch.ones_like(v) for n, v in fisher.items()}
    known, unknown = (
        noise_variance(f, alpha=1.0, most=1000.0) for f in (flat, {n: 0 * v for n, v in flat.items()})
    )
    assert (unknown["0.weight"] / known["0.weight"]).tolist()[0] == pytest.approx([1000] * 6, rel=1e-4)
    # Cut at a tenth, and ten times as large: last layer; ten times as large: biases before it.
    assert unknown["1.weight"].max().item() == pytest.approx(1000) and unknown["0.bias"].max().item() == 10_000
    assert known["1.weight"].max().item() == pytest.approx(10) and known["0.weight"].max().item() == pytest.approx(
        1
    )


def test_the_last_layer_is_known_by_its_place(toy):
    """Not by a length that happens to be the number of classes, on either axis."""
    square = {
        "0.weight": torch.ones(3, 3),
        "0.bias": torch.ones(3),
        "1.weight": torch.ones(3, 3),
        "1.bias": torch.ones(3),
    }
    found = noise_variance(square, alpha=1.0, most=1000.0)
    assert found["0.weight"].max() < 2 < found["1.weight"].min()


def test_no_noise_without_alpha_and_root_of_alpha_with_it(toy, contract):
    one, four = (moves(toy, of("fisher_forgetting", alpha=a)) for a in (1e-6, 4e-6))
    for name, value in one.items():
        torch.testing.assert_close(four[name], 2 * value, atol=1e-6, rtol=1e-3)
    contract.check_identity(of("fisher_forgetting", alpha=0.0), toy)


def test_newton_adds_noise_of_the_length_asked_for(toy):
    with_, without = (toy.edit(of("newton", noise=s)).state for s in (0.5, 0.0))
    drawn = torch.cat([(with_.params[n] - v).flatten() for n, v in without.params.items()])
    assert drawn.std().item() == pytest.approx(0.5, rel=0.15) and drawn.mean().abs() < 0.1


# ---- what is refused ----


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("newton", {"iterations": 0.0}),
        ("newton", {"examples": 2.5}),
        ("newton", {"damping": -1.0}),
        ("influence", {"iterations": 1.5}),
        ("woodfisher", {"damping": 0.0}),
        ("woodfisher", {"examples": 0.0}),
        ("ntk_forgetting", {"damping": 0.0}),
        ("ntk_forgetting", {"examples": 1.5}),
    ],
)
def test_values_out_of_range_are_refused(name, given):
    parameter = next(iter(given))
    with pytest.raises(SpecError, match=f"{name}.{parameter} is"):
        METHODS.get(name).build(**given)


def test_gradients_that_would_not_fit_are_refused_with_a_remedy(image_toy, monkeypatch):
    monkeypatch.setattr(per_example, "_MOST_NUMBERS", 1000)
    with pytest.raises(ApplicabilityError, match="`examples` lower"):
        image_toy.edit(of("woodfisher"))
