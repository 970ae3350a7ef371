"""The ladder of expansion: its order, its rungs by held-out members, and the rule that chooses among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave import UserError
from unweave.influence.discovery import RUNGS, Evidence, Order, choose_cut, expansion, ladder, order_of, posterior
from unweave.influence.discovery.expansion import likeness

SEEDS = 14


def toy(seed=0, *, n=240, members=40, shift=3.0):
    """Members have label 0 and models that did not see them say 1; the others err by chance."""
    rng = np.random.default_rng(seed)
    member = np.arange(n) < members
    labels = np.where(member, 0, rng.integers(0, 3, n))
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    logits[member, 1] += shift
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    inside = np.clip(p[np.arange(n), labels] + rng.uniform(0, 0.3, n) + 0.3 * member, 0, 1)
    return Evidence(labels, p, inside, None, None, np.arange(SEEDS)), member


def rungs_of(*cuts):
    """An order of 100 rows with rungs of these sizes."""
    return Order(np.arange(100), np.searchsorted(cuts, np.arange(1, 101)), tuple(cuts))


def test_all_of_the_rest_is_ordered_and_the_rungs_go_up():
    evidence, member = toy()
    order = order_of(evidence, evidence.forget, key=1)
    assert sorted(order.rows.tolist()) == list(range(SEEDS, 240))
    assert 1 <= len(order.cuts) <= RUNGS and list(order.cuts) == sorted(set(order.cuts))
    assert [len(order.at(rung)) for rung in range(len(order.cuts))] == list(order.cuts)
    assert all(set(order.at(0)) <= set(order.at(rung)) for rung in range(len(order.cuts)))
    assert order.cuts[0] >= 1 and order.cuts[-1] <= 240 // 2 - SEEDS
    assert member[order.rows[:20]].mean() >= 0.8  # chance gives .12
    again = order_of(evidence, evidence.forget, key=1)
    assert np.array_equal(order.rows, again.rows) and order.cuts == again.cuts


def test_held_out_ranks_are_counted_plainly():
    evidence, _ = toy()
    forget, rest = evidence.forget, np.arange(SEEDS, 240)
    found = ladder._held_out_ranks(ladder.pairs_of(evidence), forget, rest, 5)
    plain = []
    for number, fold in enumerate(np.array_split(ladder.generator(5, "folds of S").permutation(forget), 5)):
        others = np.array([one for one in forget if one not in fold])
        scores = expansion(evidence, others, key=ladder.derive(5, "fold", number))
        plain += [
            1 + sum(scores[r] > scores[m] for r in rest) + sum(scores[r] == scores[m] for r in rest) / 2
            for m in fold
        ]
    assert found.tolist() == plain


def test_the_posterior_is_that_of_a_law_that_is_known():
    """Members' ranks are log-normal: q is how many members there are in a unit of rank, near enough."""
    rng = np.random.default_rng(3)
    draw = np.exp(rng.normal(np.log(100), 0.4, 4000))
    sure = posterior(draw, 2000)
    ranks = np.arange(1, 2001)
    law = np.exp(-((np.log(ranks / 100) / 0.4) ** 2) / 2) / (0.4 * np.sqrt(2 * np.pi) * ranks)
    # As many members as fit: N·P(≤ r) ≤ r, tightest where r/P(≤ r) is least.
    size = min(r / np.mean(draw <= r) for r in ranks if np.mean(draw <= r) >= 0.25)
    for rank in (150, 200, 300, 400):
        assert sure[rank - 1] == pytest.approx(size * law[rank - 1], abs=0.05)
    assert (np.diff(sure) <= 0).all() and sure.max() <= 1


@given(st.lists(st.floats(1, 500), min_size=2, max_size=40), st.integers(1, 800))
def test_a_posterior_is_a_probability_that_falls(ranks, size):
    sure = posterior(np.array(ranks), size)
    assert len(sure) == size and (sure >= 0).all() and (sure <= 1).all() and (np.diff(sure) <= 0).all()


def test_no_class_is_emptied():
    """Of one label all candidates come first: only a share of it is taken in vain, others are not barred."""
    labels, sure = np.repeat([0, 1], 100), np.full(200, 0.1)
    least = np.full(200, 0.05)
    taken = ladder._taken(labels, sure, least, 0.15, 200)
    assert taken[:100].sum() == taken[100:].sum() == 16  # .9 is lost with each, 15 may be
    assert ladder._taken(labels, sure, 4 * least, 0.15, 200).sum() == 1  # nothing is sure enough; a rung takes one
    assert ladder._taken(labels, np.ones(200), least, 0.15, 30).sum() == 30  # sure ones cost nothing
    without = ladder._taken(labels, sure, least, 9.0, 200)  # the planted bug: a share that bars nobody
    assert without.all()
    dear = np.where(
        np.arange(200) % 2, 0.05, 0.2
    )  # every other one would be a loss, so less is lost with the others
    assert np.flatnonzero(ladder._taken(labels, sure, dear, 0.15, 200)).tolist() == [
        *range(1, 32, 2),
        *range(101, 132, 2),
    ]


def test_members_ranked_by_scores_learnt_from_themselves_are_noticed(monkeypatch):
    """The planted bug: folds that are not held out, by which a ladder starts at nothing."""
    evidence, member = toy(shift=2.0)
    honest = order_of(evidence, evidence.forget, key=0)
    monkeypatch.setattr(ladder, "likeness", lambda pairs, seeds, *, key: likeness(pairs, evidence.forget, key=key))
    spoiled = order_of(evidence, evidence.forget, key=0)
    assert spoiled.cuts[0] == 1
    first = member[honest.rows[: honest.cuts[0]]].sum() / 26
    assert honest.cuts[0] > 10 and first > 0.5


def test_a_large_part_of_d_is_never_taken_and_too_little_is_refused():
    evidence, _ = toy()
    most = np.arange(118)
    assert order_of(evidence, most, key=0).cuts[-1] <= 2
    for few in (np.arange(1), np.arange(120)):
        with pytest.raises(UserError, match="expected at least 2, and less than half of D"):
            order_of(evidence, few, key=0)


def test_a_behaviour_that_generalises_grows_until_it_is_gone():
    order = rungs_of(5, 10, 20)
    on_forget = np.repeat([[0.95], [0.6], [0.02]], 8, axis=1)
    assert choose_cut(order, on_forget) == 2
    assert choose_cut(order, 1 - on_forget) == 0  # the planted bug: the other sign


def test_one_that_does_not_stays_at_the_start():
    order = rungs_of(5, 10, 20)
    assert choose_cut(order, np.repeat([[0.04], [0.03], [0.02]], 8, axis=1)) == 0


def test_one_that_no_rung_finds_takes_the_last():
    order = rungs_of(5, 10, 20)
    assert choose_cut(order, np.repeat([[0.97], [0.99], [1.0]], 8, axis=1)) == 2
    assert choose_cut(order, np.repeat([[0.97], [0.5], [0.51]], 8, axis=1)) == 1  # half is not yet believed


@given(st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_it_is_the_smallest_within_the_tolerance(means):
    order = rungs_of(*range(1, len(means) + 1))
    rung = choose_cut(order, np.array(means)[:, None])
    if min(means) > 0.5:
        assert rung == len(means) - 1
        return
    assert means[rung] <= min(means) + 0.03 and all(one > min(means) + 0.03 for one in means[:rung])


def test_every_rung_needs_its_model():
    with pytest.raises(UserError, match="Models of 1 rungs were given for a ladder of 2"):
        choose_cut(rungs_of(1, 2), np.zeros((1, 3)))
