"""Second derivatives and gradients of single examples, against plain loops of torch; the tangent kernel."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import fold_in, key_tensor
from unweave.methods import METHODS, Examples, Net
from unweave.methods.curvature import conjugate_gradients, gauss_newton, probed_diagonal
from unweave.methods.ntk import linear_difference
from unweave.methods.per_example import flatten, in_double, residual, rows, some, total_gradient, unflatten
from unweave.methods.second_order import woodbury

_spec = spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = module_from_spec(_spec)
_spec.loader.exec_module(naive)
net_of, naive_gradients, naive_matrix = naive.net_of, naive.naive_gradients, naive.naive_matrix


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**given)


# ---- what the methods are made of ----


@pytest.mark.parametrize("plain", [True, False], ids=["by hand", "autograd"])
def test_rows_are_the_gradients_of_single_examples(plain, toy):
    net = net_of(toy, plain=plain)
    x, y = toy.retain
    u = residual(net(x), y)
    naive = naive_gradients(net, x, u)
    kept = rows(net, x, u)
    v, c = torch.linspace(-1, 1, naive.shape[1]), torch.linspace(-1, 2, len(x))
    torch.testing.assert_close(kept.gram(), naive @ naive.mT, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(kept.dot(unflatten(v, net.params)), naive @ v, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(flatten(kept.combine(c)), c @ naive, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(flatten(total_gradient(net, toy.retain)), naive.sum(0), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(kept.combine(c)["0.weight"], kept.combine(c.flip(0))["0.weight"])


@pytest.mark.parametrize("plain", [True, False], ids=["by hand", "autograd"])
def test_products_with_the_gauss_newton_matrix(plain, toy):
    net = net_of(toy, plain=plain)
    matrix, product = naive_matrix(net, toy.retain.x), gauss_newton(net, toy.retain.x)
    for v in torch.randn(3, len(matrix), generator=torch.Generator().manual_seed(0)):
        torch.testing.assert_close(product(v), matrix @ v, atol=1e-5, rtol=1e-4)


def test_products_for_images_and_batch_norm(image_toy):
    net = net_of(image_toy)
    v = torch.randn(len(flatten(net.params)), generator=torch.Generator().manual_seed(0))
    x = image_toy.retain.x[:4]
    # Jᵀ·Λ·J·v with J·v by differences, in double precision.
    exact, part = in_double(net, Examples(x, image_toy.retain.y[:4]))
    ahead, behind = (
        exact.learner.apply(
            State({n: p + s * unflatten(v, net.params)[n] for n, p in exact.params.items()}, exact.buffers),
            part.x,
            train=False,
            key=None,
        )[0]
        for s in (1e-6, -1e-6)
    )
    p, slope = exact(part.x).softmax(1), (ahead - behind) / 2e-6
    u = p * slope - p * (p * slope).sum(1, keepdim=True)
    expected = naive_gradients(exact, part.x, u.detach()).mean(0)
    torch.testing.assert_close(gauss_newton(exact, part.x)(v.double()), expected, atol=1e-7, rtol=1e-4)


def test_the_probed_diagonal_is_unbiased_and_the_sum_over_labels(toy):
    """Its mean over many keys is Σ_y p_y·(∂log p_y/∂θ)², label by label."""
    net, x = net_of(toy), toy.retain.x
    p = net(x).softmax(1).detach()
    exact = sum(
        (p[:, y, None] * naive_gradients(net, x, residual(net(x), torch.full((len(x),), y))).square()).mean(0)
        for y in range(3)
    )
    keys = fold_in(key_tensor([3])[0], torch.arange(3000))
    found = torch.func.vmap(lambda key: flatten(probed_diagonal(net, x, key)))(keys)
    torch.testing.assert_close(found.mean(0), exact, atol=5e-4, rtol=0.1)
    torch.testing.assert_close(exact, naive_matrix(net, x).diagonal(), atol=1e-6, rtol=1e-4)
    square_of_a_mean = sum(
        naive_gradients(net, x, p[:, y, None].sqrt() * residual(net(x), torch.full((len(x),), y))).mean(0).square()
        for y in range(3)
    )
    assert not torch.allclose(square_of_a_mean, exact, atol=5e-4, rtol=0.1)


def test_probes_by_autograd_are_those_by_hand(toy):
    key = key_tensor([5])[0]
    one, other = (probed_diagonal(net_of(toy, plain=plain), toy.retain.x, key) for plain in (True, False))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=1e-6, rtol=1e-4)


def test_conjugate_gradients_reach_the_solution_and_stay_there():
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=rng, dtype=torch.float64)
    matrix, b = root @ root.mT + 1e-3 * torch.eye(12), torch.randn(12, generator=rng, dtype=torch.float64)
    wanted = torch.linalg.solve(matrix, b)
    for steps in (12, 40):
        found = conjugate_gradients(lambda v: matrix @ v, b, steps=steps)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(conjugate_gradients(lambda v: matrix @ v, b, steps=6), wanted, rtol=0.1)
    assert not conjugate_gradients(lambda v: matrix @ v, 0 * b, steps=3).any()


def test_examples_are_drawn_without_replacement_and_only_where_there_are_more():
    whole = Examples(torch.arange(50.0)[:, None], torch.arange(50))
    drawn = [some(whole, 20.0, key).y for key in key_tensor([1, 2])]
    assert all(len(one.unique()) == 20 for one in drawn) and not torch.equal(*drawn)
    assert some(whole, 50.0, key_tensor([1])[0]) is whole


# ---- WoodFisher ----


def recursion(gradients, v, damping):
    """F_k⁻¹ = F_{k−1}⁻¹ − F_{k−1}⁻¹·g·gᵀ·F_{k−1}⁻¹/(N + gᵀ·F_{k−1}⁻¹·g), matrices and all."""
    inverse = torch.eye(gradients.shape[1], dtype=gradients.dtype) / damping
    for g in gradients:
        o = inverse @ g
        inverse = inverse - torch.outer(o, o) / (len(gradients) + g @ o)
    return inverse @ v


def recursion_of_public_code(gradients, v, damping):
    """One vector o in place of F_{k−1}⁻¹·g_k, made from the first gradient and only ever scaled."""
    k, o, n = v / damping, gradients[0] / damping, len(gradients)
    for g in gradients[1:]:
        k = k - (k @ g) / (n + o @ g) * o
        o = o - (o @ g) / (n + o @ g) * o
    return k


def check_inverse_fisher(function, toy):
    net, shown = in_double(net_of(toy), toy.retain)
    u = residual(net(shown.x), shown.y)
    g = naive_gradients(net, shown.x, u)
    v = torch.linspace(-1, 1, g.shape[1], dtype=torch.float64)
    fisher = g.mT @ g / len(g) + 0.05 * torch.eye(g.shape[1])
    found = function(net, shown.x, u, v, 0.05)
    torch.testing.assert_close(found, torch.linalg.solve(fisher, v), atol=1e-7, rtol=1e-6)


def test_woodbury_recursion_and_inverse_are_the_same(toy):
    def ours(net, x, u, v, damping):
        return woodbury(rows(net, x, u), unflatten(v, net.params), damping=damping)

    check_inverse_fisher(ours, toy)
    check_inverse_fisher(lambda net, x, u, v, d: recursion(naive_gradients(net, x, u), v, d), toy)


def test_the_recursion_of_public_code_is_no_inverse_and_is_caught(toy):
    with pytest.raises(AssertionError):
        check_inverse_fisher(
            lambda net, x, u, v, d: recursion_of_public_code(naive_gradients(net, x, u), v, d), toy
        )
    g = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    v = torch.linspace(-1, 1, 9)
    change = recursion_of_public_code(g, v, 1.0) - v
    cosine = torch.nn.functional.cosine_similarity(change, g[0], dim=0)
    assert cosine.abs() > 1 - 1e-5  # it knows one example


def test_a_square_of_the_batch_is_no_fisher_and_is_caught(toy):
    def of_the_batch(net, x, u, v, damping):
        g = naive_gradients(net, x, u).mean(0, keepdim=True)
        return torch.linalg.solve(g.mT @ g + damping * torch.eye(len(v)), v)

    with pytest.raises(AssertionError):
        check_inverse_fisher(of_the_batch, toy)


def test_woodfisher_takes_the_difference_of_mean_gradients(toy):
    """By definitions alone: ∇(mean CE of D) − ∇(mean CE of D∖S), and F of D∖S."""
    edited = toy.edit(of("woodfisher", alpha=2.0, damping=0.1)).state
    net = net_of(toy)
    retained, left = (
        naive_gradients(net, part.x, residual(net(part.x), part.y)) for part in (toy.retain, toy.forget)
    )
    v = torch.cat([retained, left]).mean(0) - retained.mean(0)
    fisher = retained.mT @ retained / 30 + 0.1 * torch.eye(len(v))
    wanted = flatten(net.params) + 2 * torch.linalg.solve(fisher, v)
    found = flatten({n: p[0] for n, p in edited.params.items()})
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


# ---- the net made linear ----


def ridge(x, target, decay):
    """argmin (1/n)·½‖W·(x, 1) − target‖² + ½λ‖W‖², its closed form [classes, d + 1]."""
    full = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    gram = full.mT @ full / len(x) + decay * torch.eye(full.shape[1], dtype=x.dtype)
    return torch.linalg.solve(gram, full.mT @ target / len(x)).mT


def as_vector(w):
    return flatten({"0.weight": w[:, :-1], "0.bias": w[:, -1]})


def check_linear(difference, *, repeat: int = 1) -> None:
    """On a linear model with a squared loss: from ridge regression on D to that on D∖S, exactly."""
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.nn.functional.one_hot(torch.arange(30) % 3, 3).double()
    x[:5] += 2
    # Examples of D∖S may be repeated: each then stands for many.
    everything = torch.cat([x[:5], x[5:].repeat(repeat, 1)]), torch.cat([target[:5], target[5:].repeat(repeat, 1)])
    before, after = ridge(*everything, 0.1), ridge(x[5:], target[5:], 0.1)
    learner = build(specify("softmax", (4,), 3, recipe={"weight_decay": 0.1}))
    net = Net(learner, State({"0.weight": before[:, :-1], "0.bias": before[:, -1]}, {}), train=False)
    shown = torch.cat([x[5:], x[:5]])
    error = net(shown) - torch.cat([target[5:], target[:5]])
    found = difference(net, x[5:], x[:5], error, of=(25 * repeat, 5), decay=0.1, damping=0.0)
    torch.testing.assert_close(as_vector(before) + found, as_vector(after), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("repeat", [1, 4])
def test_the_linear_difference_is_exact_on_a_linear_model(repeat):
    check_linear(linear_difference, repeat=repeat)


def test_decay_about_the_original_the_wrong_weights_and_the_wrong_sign_are_caught():
    def about_the_original(net, kept, left, error, *, of, decay, damping):
        return linear_difference(net, kept, left, error, of=of, decay=0.0, damping=decay)

    def unweighted(net, kept, left, error, *, of, decay, damping):
        shown = len(kept), len(left)
        return linear_difference(net, kept, left, error, of=shown, decay=decay, damping=damping)

    def turned(*given, **named):
        return -linear_difference(*given, **named)

    def thrice(*given, **named):  # the authors' factor on a linear model
        return 3 * linear_difference(*given, **named)

    check_linear(unweighted)
    for wrong in (about_the_original, turned, thrice):
        with pytest.raises(AssertionError):
            check_linear(wrong)
    with pytest.raises(AssertionError):
        check_linear(unweighted, repeat=4)


def test_the_kernel_is_bounded_by_its_examples(toy, monkeypatch):
    sizes = []

    def spy(net, x, u):
        sizes.append(len(x))
        return rows(net, x, u)

    monkeypatch.setattr("unweave.methods.ntk.rows", spy)
    toy.edit(of("ntk_forgetting", examples=4.0))
    assert sizes == [(4 + 4) * 3]
