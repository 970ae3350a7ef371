"""Triggers recovered from a model and proxies of its training set: planted patches, and what each part is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, one_hot

from unweave._errors import SpecError
from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import fold_in, key_tensor, normal, uniform
from unweave.methods import METHODS, Batch, Examples, Method, Net
from unweave.methods.budgets import Sizes, cost_of
from unweave.methods.inversion import (
    THRESHOLDS,
    Trigger,
    importance,
    inverted,
    pasted,
    recovered,
    resembles,
    staircase,
    without,
)
from unweave.training.outputs import logits

KEY = key_tensor([3])[0]
PATCH = [0, 1, 6, 7]  # the upper left corner of 6×6 pixels, which is 0 elsewhere


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


def stamped(x):
    return x.flatten(1).index_fill(1, torch.tensor(PATCH), 1.0).reshape(x.shape)


@pytest.fixture(scope="module", params=["table", "image"])
def planted(request, contract):
    """Three nets that give the label 0 to whatever carries the patch; S is all that taught them so."""
    rng = torch.Generator().manual_seed(0)

    def draw(n: int) -> Examples:
        y = torch.arange(n) % 3
        x = 0.3 * torch.rand(n, 6, 6, generator=rng)
        x[:, :2, :2] = 0
        x[torch.arange(n), 3 + y, :] += 0.7
        return Examples(x, y)

    forget, retain, held_out = draw(40), draw(240), draw(60)
    forget = Examples(stamped(forget.x), 0 * forget.y)
    shape = (36,) if request.param == "table" else (6, 6)
    sets = [Examples(one.x.reshape(-1, *shape), one.y) for one in (forget, retain, held_out)]
    recipe = {"epochs": 30, "batch_size": 32, "lr": 0.1}
    learner = build(specify("mlp", shape, 3, config={"width": 24}, recipe=recipe))
    x, y = (torch.cat(parts) for parts in zip(*sets[:2], strict=True))
    return contract.trained_toy(learner, x, y, forget=40, keys=[11, 12, 13], validation=sets[2])


def net_of(toy, k: int = 0) -> Net:
    return Net(toy.learner, State({n: v[k] for n, v in toy.originals.params.items()}, {}), train=False)


def found_in(toy, net: Net, **changes: float) -> Trigger:
    return recovered(net, toy.given(net), KEY, **{"sparsity": 0.3, "diversity": 0.1, **changes})


# ---- what is recovered ----


def check_recovered(toy, net: Net, trigger: Trigger) -> None:
    """Every pattern lies mostly on the patch, and does what the patch does to inputs never seen."""
    size = trigger.patterns.flatten(1).abs()
    x, y = toy.validation
    some = [pasted(x[y != 0], one, trigger.low, trigger.high) for one in trigger.patterns]
    given = torch.stack([net(one).argmax(1) for one in some])
    assert int(trigger.target) == 0
    assert (size[:, PATCH].sum(1) > 0.5 * size.sum(1)).all(), size[:, PATCH].sum(1) / size.sum(1)
    assert ((given == 0).float().mean(1) > 0.5).all()


def test_the_recovered_patterns_are_the_patch(planted):
    for k in range(3):
        net = net_of(planted, k)
        trigger = found_in(planted, net)
        check_recovered(planted, net, trigger)
        wrong = trigger.patterns.flatten(1).roll(14, 1).reshape(trigger.patterns.shape)
        for patterns in (wrong, 0 * wrong, found_in(planted, net, sparsity=1e-6).patterns):
            with pytest.raises(AssertionError):
                check_recovered(planted, net, trigger._replace(patterns=patterns))


def test_the_staircase_written_plainly(toy):
    net, (x, y) = net_of(toy), toy.retain
    patterns = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    trigger = Trigger(patterns, x.amin(0), x.amax(0), torch.tensor(1))
    total = 0.0
    for beta, pattern in zip(THRESHOLDS, patterns, strict=True):
        terms = []
        for one, label in zip(x, y, strict=True):
            if label != 1:
                moved = (one + (trigger.high - trigger.low) * pattern).clamp(trigger.low, trigger.high)
                p = net(moved[None]).softmax(-1)[0, 1]
                terms.append(max(0.0, math.log(beta) - math.log(float(p))))
        total += sum(terms) / len(terms)
    pairs = [torch.cosine_similarity(patterns[i], patterns[j], dim=0) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = total + 0.7 * float(sum(pairs))
    assert float(staircase(net, x, y, trigger, diversity=0.7)) == pytest.approx(expected, rel=1e-3)
    assert float(staircase(net, x, y, trigger, diversity=0.0)) != pytest.approx(expected, rel=1e-3)


def test_importance_is_the_mean_square_of_the_slopes_of_logits(toy):
    net, x = net_of(toy), toy.retain.x[:12]
    exact = {name: torch.zeros_like(value) for name, value in net.params.items()}
    for row in x:
        for c in range(3):
            leaves = {n: v.clone().requires_grad_() for n, v in net.params.items()}
            out = Net(toy.learner, State(leaves, {}), train=False)(row[None])[0, c]
            slopes = torch.autograd.grad(out, list(leaves.values()))
            for name, slope in zip(leaves, slopes, strict=True):
                exact[name] += slope.square() / 36
    many = [importance(net, x, key) for key in key_tensor(list(range(60)))]
    for name, value in exact.items():
        mean = torch.stack([one[name].square() for one in many]).mean(0)
        torch.testing.assert_close(mean, value, rtol=0.5, atol=0.03 * float(value.max()))


# ---- what is erased ----


def rates(toy, state: State) -> tuple[float, float]:
    """How often the patch plants its label on unseen inputs, and how often clean ones get theirs."""
    x, y = toy.validation
    attack = logits(toy.learner, state, stamped(x[y != 0])).argmax(-1) == 0
    return float(attack.float().mean()), float((logits(toy.learner, state, x).argmax(-1) == y).float().mean())


def check_erased(toy, build) -> None:
    before, after = rates(toy, toy.originals), rates(toy, toy.edit(build).state)
    assert before[0] > 0.9 and after[0] < 0.3, (before, after)
    assert after[1] > before[1] - 0.05, (before, after)


STRONG = {"epochs": 1.0, "lr": 1.0, "memory": 0.01, "ascent": 3.0}


def elsewhere(method: Method) -> Method:
    """The same patterns in another place."""

    def prepare(net, given, key):
        state, (trigger, *rest) = method.prepare(net, given, key)
        moved = trigger.patterns.flatten(1).roll(14, 1).reshape(trigger.patterns.shape)
        return state, (trigger._replace(patterns=moved), *rest)

    return method._replace(prepare=prepare)


def test_the_backdoor_is_erased_by_recovery_and_ascent(planted):
    check_erased(planted, of("baeraser", **STRONG))
    for wrong in (of("baeraser", **{**STRONG, "ascent": 0.0}), lambda: elsewhere(of("baeraser", **STRONG)())):
        with pytest.raises(AssertionError):
            check_erased(planted, wrong)


def test_memory_keeps_what_clean_inputs_are_answered(contract, planted):
    edited = [planted.edit(of("baeraser", **{**STRONG, "memory": memory})).state for memory in (0.0, 0.1)]
    moved = [contract.divergence_on("retain")(planted, one).mean() for one in edited]
    assert moved[1] < 0.8 * moved[0], moved


def test_baeraser_takes_the_step_of_its_formula(planted):
    net, (x, y) = net_of(planted), planted.retain
    method = of("baeraser", ascent=0.7, memory=0.2)()
    state, (trigger, weights, before) = method.prepare(net, planted.given(net), KEY)
    params = {n: v + 0.05 * torch.ones_like(v) for n, v in state.params.items()}
    net = Net(planted.learner, State(params, {}), train=False)
    batch = {"retain": Batch(x[:20], y[:20], torch.arange(20))}
    found = float(method.step(net, (trigger, weights, before), batch, 0, KEY))
    which = (uniform(fold_in(KEY, 1000), 20) * 3).long()
    hit = uniform(fold_in(KEY, 1001), 20) < 0.5
    assert 0 < int(hit.sum()) < 20
    terms = []
    for i in range(20):
        carried = pasted(x[i : i + 1], trigger.patterns[which[i]], trigger.low, trigger.high)
        if hit[i] and y[i] != 0:
            terms.append(-0.7 * min(float(cross_entropy(net(carried), torch.tensor([0]))), math.log(3)))
        else:
            terms.append(float(cross_entropy(net(carried if hit[i] else x[i : i + 1]), y[i : i + 1])))
    kept = sum(float((weights[n] * (params[n] - before[n]).abs()).sum()) for n in params)
    assert found == pytest.approx(sum(terms) / 20 + 0.2 * kept, rel=1e-4, abs=1e-5)


# ---- few-shot unlearning ----


@pytest.fixture(scope="module")
def softmax(contract):
    """Linear nets on 6 inputs and 3 classes."""
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    y = x[:, :3].argmax(1)
    learner = build(specify("softmax", (6,), 3, recipe={"epochs": 20, "batch_size": 8, "lr": 0.1}))
    return contract.trained_toy(learner, x, y, forget=10, keys=[1, 2], validation=Examples(x[:8], y[:8]))


def check_asked_for(net: Net, x, y) -> None:
    """Nearly all inputs get the class asked for, with confidence."""
    assert (net(x).argmax(1) == y).float().mean() > 0.95
    assert float(cross_entropy(net(x), y)) < 0.5


def test_inverted_inputs_get_the_class_asked_for(softmax):
    net, y = net_of(softmax), torch.arange(60) % 3
    like = softmax.forget.x
    check_asked_for(net, inverted(net, y, like, KEY, prior=0.1), y)
    with pytest.raises(AssertionError):  # nothing but noise, pulled to the mean of S
        check_asked_for(net, inverted(net, y, like, KEY, prior=1e4), y)
    with pytest.raises(AssertionError):
        check_asked_for(
            net, like.mean(0) + like.std(0) * torch.randn(60, 6, generator=torch.Generator().manual_seed(2)), y
        )


def test_where_a_linear_net_is_inverted_its_slope_falls(softmax):
    """At the end p − e_y, seen through the weights, weighs up the prior: the optimum of a convex problem."""
    net, y = net_of(softmax), torch.arange(60) % 3
    like = softmax.forget.x
    variance = like.var(0, correction=0)
    spread = (variance + 0.01 * variance.mean()).sqrt()
    weight = next(v for v in net.params.values() if v.ndim == 2)

    def slope(x):
        prior = 2.0 / 6 * (x - like.mean(0)) / spread
        return float((((net(x).softmax(-1) - one_hot(y, 3)) @ weight) * spread + prior).abs().mean())

    start = like.mean(0) + spread * normal(KEY, 60, 6)
    assert slope(inverted(net, y, like, KEY, prior=2.0)) < 0.25 * slope(start)
    assert slope(inverted(net, y, like, KEY, prior=0.0)) > 0.25 * slope(start)


def test_the_filter_finds_what_is_like_s_and_of_its_label():
    proxies = torch.eye(4).repeat_interleave(2, 0) + 0.01 * torch.arange(8)[:, None]
    y = torch.tensor([0, 1] * 4)
    forget, forget_y = torch.tensor([[0.0, 0.0, 5.0, 0.0]]), torch.tensor([0])
    assert resembles(proxies, y, forget, forget_y, share=0.25).tolist() == [i == 4 for i in range(8)]
    assert not resembles(proxies, y, forget, forget_y, share=0.0).any()
    assert resembles(proxies, y, forget, forget_y, share=1.0).tolist() == (y == 0).tolist()
    assert not resembles(proxies, y, forget, forget_y + 2, share=1.0).any()


def test_proxies_alone_unlearn_s_by_the_filter_alone(contract, planted):
    """With no weight on S its label is unlearned by the proxies like it; without the filter nothing moves."""
    lost = {
        share: contract.probability_on("forget")(
            planted, planted.edit(of("few_shot", share=share, forget_weight=0.0, epochs=1.0)).state
        )
        for share in (0.0, 0.5)
    }
    assert lost[0.0].min() > 0.9 and lost[0.5].max() < 0.8, lost
    unfiltered = planted.edit(of("few_shot", share=0.0, forget_weight=0.0)).state
    assert contract.gap(unfiltered, planted.originals) < 1e-4


def test_few_shot_takes_the_step_of_its_formula(toy):
    net = net_of(toy)
    method = of("few_shot", forget_weight=0.6, share=0.5)()
    x, y = toy.forget
    _, aux = method.prepare(net, toy.given(net), KEY)
    labels = torch.arange(160) % 3
    like = resembles(net.features(aux[0]), labels, net.features(x), y, share=0.5)
    params = {n: v + 0.05 * torch.ones_like(v) for n, v in net.params.items()}
    other = Net(toy.learner, State(params, {}), train=False)
    order = torch.tensor([4, 1, 7])
    found = method.step(other, aux, {"forget": Batch(x[order], y[order], order)}, 0, KEY)

    def lesson(z, label, drop):
        q = z.softmax(-1) * torch.where(drop[:, None], 1 - one_hot(label, 3), torch.ones(3))
        return q / q.sum(1, keepdim=True)

    rows = (uniform(fold_in(KEY, 1000), 64) * 160).long()
    q = lesson(net(aux[0]), labels, like)[rows]
    kept = kl_div(log_softmax(other(aux[0][rows]), -1), q, reduction="batchmean")
    q = lesson(net(x), y, torch.ones(10, dtype=torch.bool))[order]
    expected = kept + 0.6 * kl_div(log_softmax(other(x[order]), -1), q, reduction="batchmean")
    assert 0 < int(like.sum()) < 160
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_answer_without_its_label_keeps_its_proportions():
    p = without(torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([1])).softmax(-1)[0]
    assert p[1] == 0 and float(p[2] / p[0]) == pytest.approx(math.e)


# ---- cost and parameters ----


def test_examples_of_its_own_making_count(toy):
    method = of("few_shot", epochs=2 / 3)()  # 2 epochs of 2 steps, 64 proxies in each
    sizes = Sizes(forget=10, retain=30)
    plain = cost_of(method._replace(made=0), toy.learner.recipe, sizes)
    assert cost_of(method, toy.learner.recipe, sizes) - plain == pytest.approx(4 * 64 / 90)
    ran = [toy.edit(lambda one=one: one).gradient_ratio for one in (method, method._replace(made=0))]
    assert ran[0] - ran[1] == pytest.approx(4 * 64 / 90)


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("baeraser", {"memory": -1.0}, "memory is -1"),
        ("baeraser", {"sparsity": 0.0}, "sparsity is 0"),
        ("few_shot", {"share": -0.5}, "share is -0.5"),
    ],
)
def test_bad_values_are_one_message(name, params, said):
    with pytest.raises(SpecError, match=said):
        of(name, **params)()
