"""Each method moves the way it says, on nets that have learned S by heart; without its term it does not."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Examples, Given, Method, Net
from unweave.methods.contract import forget_pass


def of(name: str, **given: float):
    return lambda: METHODS.get(name).build(**given)


def test_the_toy_knows_s_by_heart(contract, memorised):
    assert contract.probability_on("forget")(memorised, memorised.originals).min() > 0.9


# ---- ascent ----


def test_ascent_climbs_on_s_and_descent_is_caught(contract, memorised):
    ascent = of("gradient_ascent", lr=0.05)
    contract.check_moves(ascent, memorised, contract.loss_on("forget"), by=0.02)

    def descent() -> Method:
        method = ascent()
        return method._replace(step=lambda *given: -method.step(*given))

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(descent, memorised, contract.loss_on("forget"), by=0.02)


def test_neggrad_plus_climbs_on_s_by_its_second_term_alone(contract, memorised):
    loss = contract.loss_on("forget")
    tuned = memorised.edit(of("finetune", epochs=1 / 6)).state
    climbed = memorised.edit(of("neggrad_plus", alpha=0.8, epochs=1 / 6)).state
    without = memorised.edit(of("neggrad_plus", alpha=1.0, epochs=1 / 6)).state
    assert (loss(memorised, climbed) > 1.5 * loss(memorised, tuned)).all()
    assert contract.gap(without, tuned) <= 1e-6  # the same passes over D∖S in the same order
    assert contract.gap(climbed, tuned) > 1e-3
    contract.check_moves(of("neggrad_plus"), memorised, contract.loss_on("retain"), by=-1e-3)


# ---- fine-tuning ----


def test_finetuning_descends_on_the_retained(contract, memorised):
    contract.check_moves(of("finetune"), memorised, contract.loss_on("retain"), by=-1e-3)

    def on_wrong_set() -> Method:
        return Method(
            lambda net, aux, batches, i, key: cross_entropy(net(batches["forget"].x), batches["forget"].y),
            1 / 3,
            0.1,
            passes=forget_pass,
        )

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(on_wrong_set, memorised, contract.loss_on("retain"), by=-1e-3)


# ---- relabelling ----


def test_random_labels_unteach_s_and_true_labels_do_not(contract, memorised):
    right = contract.probability_on("forget")
    contract.check_moves(of("random_label"), memorised, right, by=-0.5)

    def with_true_labels() -> Method:
        return of("random_label")()._replace(
            prepare=lambda net, given, key: (State(net.params, net.buffers), given.forget.y.clone())
        )

    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(with_true_labels, memorised, right, by=-0.1)


def test_random_labels_are_never_the_true_one_and_uniform_over_the_others():
    learner = build(specify("softmax", (6,), 5))
    state, n = learner.init(0), 4000
    forget = Examples(torch.zeros(n, 6), torch.arange(n) % 5)
    prepare = METHODS.get("random_label").build().prepare
    draws = [prepare(Net(learner, state), Given(forget, forget, state), key)[1] for key in key_tensor([1, 2])]
    assert not torch.equal(*draws)
    for labels in draws:
        shift = (labels - forget.y) % 5
        assert labels.min() >= 0 and labels.max() <= 4
        counts = torch.bincount(shift, minlength=5)
        assert counts[0] == 0
        assert ((counts[1:] - n / 4) ** 2 / (n / 4)).sum() < 16.3  # chi-square, 3 degrees, p = .001


# ---- distillation ----


def test_scrub_leaves_its_teacher_on_s_by_the_max_pass(contract, memorised):
    away = contract.divergence_on("forget")
    given = {"epochs": 1 / 6, "lr": 0.1}
    contract.check_moves(of("scrub", **given), memorised, away, by=0.5)
    with pytest.raises(AssertionError, match="expected a change"):
        contract.check_moves(of("scrub", **given, max_share=0.0), memorised, away, by=0.5)


def test_scrub_stays_with_its_teacher_on_the_retained_by_alpha(contract, memorised):
    kept = contract.divergence_on("retain")
    near, free = (
        kept(memorised, memorised.edit(of("scrub", alpha=alpha, max_share=0.0, lr=0.3)).state)
        for alpha in (1.0, 0.0)
    )
    assert (near < 0.8 * free).all()


def test_scrub_without_its_teacher_is_finetuning(contract, memorised):
    given = {"epochs": 1 / 6, "lr": 0.1}
    scrub = memorised.edit(of("scrub", **given, alpha=0.0, gamma=1.0, max_share=0.0)).state
    assert contract.gap(scrub, memorised.edit(of("finetune", **given)).state) <= 1e-6


def test_delete_takes_the_true_class_away(contract, memorised):
    contract.check_moves(of("delete"), memorised, contract.probability_on("forget"), by=-0.5)


def test_delete_with_the_class_left_in_its_target_does_nothing(contract, memorised):
    def unmasked() -> Method:
        def prepare(net, given, key):
            return State(net.params, net.buffers), net(given.forget.x)

        return of("delete")()._replace(prepare=prepare)

    with pytest.raises(AssertionError, match="did not change"):
        contract.check_changed(unmasked, memorised)


def test_delete_keeps_the_ratios_of_the_other_classes(memorised):
    """Its target is the original's law given that the class is not y: reached on one example."""
    one = Examples(memorised.forget.x[:1], memorised.forget.y[:1])
    small = memorised._replace(forget=one)
    edited = small.edit(of("delete", epochs=5.0, lr=1.0)).state
    for k in range(3):
        before, after = (
            memorised.learner.apply(
                State({n: v[k] for n, v in state.params.items()}, {}), one.x, train=False, key=None
            )[0][0].softmax(-1)
            for state in (memorised.originals, edited)
        )
        target = before.clone()
        target[one.y[0]] = 0
        torch.testing.assert_close(after, target / target.sum(), atol=0.02, rtol=0)


def test_delete_reads_the_labels_of_s(contract, toy):
    labels = toy.forget.y.clone()
    labels[3] = (labels[3] + 1) % 3
    other = toy._replace(forget=Examples(toy.forget.x, labels))
    assert contract.gap(toy.edit(of("delete")).state, other.edit(of("delete")).state) > 1e-5


# ---- dampening ----


def test_ssd_hurts_s_more_than_the_rest(contract, memorised):
    edited = memorised.edit(of("ssd", alpha=1.5)).state
    drops = {
        part: contract.probability_on(part)(memorised, memorised.originals)
        - contract.probability_on(part)(memorised, edited)
        for part in ("forget", "retain")
    }
    assert (drops["forget"] > 0.25).all()
    assert (drops["forget"] > 1.3 * drops["retain"]).all()


def test_ssd_shrinks_what_only_s_uses_by_the_share_of_s(contract):
    """A feature that is 0 outside S has F_D = F_S·|S|/|D|, so its weights shrink to λ·|S|/|D| of themselves."""
    learner = build(specify("softmax", (6,), 3))
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    x[10:, 5] = 0
    x[:10, :5] *= 0.1
    y = torch.arange(40) % 3
    state = learner.init(2)
    originals = State({n: v[None] for n, v in state.params.items()}, {})
    small = contract.Toy(learner, originals, Examples(x[:10], y[:10]), Examples(x[10:], y[10:]), [0])
    for strength in (1.0, 0.4):
        weight = small.edit(of("ssd", alpha=3.0, strength=strength)).state.params["0.weight"][0]
        before = state.params["0.weight"]
        torch.testing.assert_close(weight[:, 5], before[:, 5] * strength / 4, atol=1e-6, rtol=1e-5)
        assert torch.equal(weight[:, :5], before[:, :5])
    contract.check_identity(of("ssd", alpha=3.0, strength=1e9), small)
    contract.check_identity(of("ssd", alpha=4.1), small)
