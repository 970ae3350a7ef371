"""Scores of membership of documents: by hand, against loops, blind to padding; and PrivLeak."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import UserError
from unweave.attacks import auc
from unweave.language.measures import (
    mean_over,
    min_k,
    min_k_plus_plus,
    privleak,
    privleak_leave_outs,
    reference_ratio,
    token_facts,
    token_loss,
    zlib_ratio,
    zlib_sizes,
)
from unweave.stats import interval, jackknife, leave_outs


def facts_of(seed, documents=5, length=9):
    rng = np.random.default_rng(seed)
    mask = np.arange(length) < rng.integers(2, length + 1, documents)[:, None]
    mask[:, 0] = False
    logits = rng.normal(0, 2, (3, documents, length, 6))
    return token_facts(logits, rng.integers(0, 6, (documents, length)), mask)


SIZES = np.array([9, 12, 30, 11, 50])
SCORES = {
    "token_loss": lambda f: token_loss(f.log_p, f.mask),
    "zlib_ratio": lambda f: zlib_ratio(f.log_p, f.mask, SIZES),
    "reference_ratio": lambda f: reference_ratio(f.log_p, f.log_p[::-1] - 0.3, f.mask),
    "min_k": lambda f: min_k(f.log_p, f.mask, share=0.4),
    "min_k_plus_plus": lambda f: min_k_plus_plus(f.log_p, f.mean, f.variance, f.mask, share=0.4),
}


def naive_lowest(values, share):
    kept = max(1, int(share * len(values) + 1e-9))
    return sum(sorted(values)[:kept]) / kept


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.29, 0.5, 1.0]))
def test_min_k_is_that_of_the_loop(seed, share):
    f = facts_of(seed)
    plain = min_k(f.log_p, f.mask, share=share)
    standard = min_k_plus_plus(f.log_p, f.mean, f.variance, f.mask, share=share)
    for k, i in np.ndindex(plain.shape):
        own = f.log_p[k, i][f.mask[i]]
        z = (own - f.mean[k, i][f.mask[i]]) / np.sqrt(f.variance[k, i][f.mask[i]])
        assert plain[k, i] == pytest.approx(naive_lowest(own.tolist(), share))
        assert standard[k, i] == pytest.approx(naive_lowest(z.tolist(), share))


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("filler", [0.0, -1e9, np.nan, -np.inf, 5.0])
def test_padding_says_nothing(name, filler):
    """Not even as the lowest log-probability of all, nor as tokens that are not there."""
    f = facts_of(3)
    numbers = ("log_p", "mean", "variance")
    filled = f._replace(**{one: np.where(f.mask, getattr(f, one), filler) for one in numbers})
    longer = f._replace(
        **{one: np.pad(getattr(filled, one), ((0, 0), (0, 0), (0, 4)), constant_values=filler) for one in numbers},
        mask=np.pad(f.mask, ((0, 0), (0, 4))),
    )
    np.testing.assert_allclose(SCORES[name](longer), SCORES[name](f), rtol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_documents_do_not_touch_each_other(name):
    f = facts_of(4)
    whole = SCORES[name](f)
    for i in range(len(f.mask)):
        changed = f._replace(log_p=f.log_p.copy())
        changed.log_p[:, i] -= 1
        moved = SCORES[name](changed)
        others = np.arange(len(f.mask)) != i
        np.testing.assert_array_equal(moved[:, others], whole[:, others])
    order = np.array([3, 0, 4, 1, 2])
    moved = SCORES["token_loss"](f._replace(log_p=f.log_p[:, order], mask=f.mask[order]))
    np.testing.assert_array_equal(moved, SCORES["token_loss"](f)[:, order])


@pytest.mark.parametrize("name", SCORES)
def test_a_likelier_document_is_more_likely_a_member(name):
    """Whatever the score: never the other way round."""
    f = facts_of(5)
    likelier = f._replace(log_p=np.where(f.mask, f.log_p * 0.5, np.nan))
    other = f.log_p - 0.3
    if name == "reference_ratio":
        lower, higher = (reference_ratio(one.log_p, other, f.mask) for one in (f, likelier))
    else:
        lower, higher = SCORES[name](f), SCORES[name](likelier)
    assert (higher > lower).all()


def test_by_hand():
    log_p = np.array([[[-4.0, -1.0, -3.0, -2.0]]])
    mask = np.ones((1, 4), bool)
    assert token_loss(log_p, mask) == -2.5 and min_k(log_p, mask, share=0.5) == -3.5
    assert min_k(log_p, mask) == -4  # 20% of four is none: the lowest one
    assert zlib_ratio(log_p, mask, np.array([10])) == -0.25
    two = np.array([[[-4.0, -2.0, -3.0, -2.0]], [[-4.0, -4.0, -3.0, -2.0]]])
    assert reference_ratio(log_p, two, mask) == 0.5  # mean of −2.75 and −3.25 is −3
    text = "the secret of the garden"
    assert zlib_sizes([text, ""]).tolist() == [len(zlib.compress(text.encode())), len(zlib.compress(b""))]
    assert min_k(np.full((1, 1, 100), -1.0) * np.arange(100), np.ones((1, 100), bool), share=0.29) == -85


def test_laws_without_any_spread():
    """A uniform law or a certain token is as likely as the mean; one that cannot be is infinitely unlikely."""
    one = np.ones((1, 1), bool)
    flat = np.log(np.array([[[0.25]]]))
    zero = np.zeros((1, 1, 1))
    assert min_k_plus_plus(flat, flat, zero, one) == 0
    assert min_k_plus_plus(zero, zero, zero, one) == 0
    assert min_k_plus_plus(zero - 1000, zero, zero, one) == -np.inf


def test_the_mistakes_of_public_code_would_be_seen():
    """Lowest tokens taken over padding, and the number of tokens from the padded length."""
    log_p = np.array([[[-1.0, -2.0, -3.0, -4.0, 0.0, 0.0, 0.0, 0.0]]])
    mask = np.arange(8)[None] < 4
    right = min_k(log_p, mask, share=0.5)
    of_padding = np.sort(log_p, -1)[..., : int(0.5 * 8)].mean(-1)
    assert right == -3.5 and of_padding == -2.5
    assert mean_over(log_p, mask) == -2.5 != log_p.mean()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: token_loss(-f.log_p, f.mask), "losses are their negatives"),
        (lambda f: token_loss(f.log_p[0], f.mask), "Expected values"),
        (lambda f: token_loss(f.log_p, f.mask[:2]), "Expected values"),
        (lambda f: min_k(f.log_p, f.mask, share=20.0), "K% of 20 is .2"),
        (lambda f: min_k(f.log_p, f.mask, share=0.0), "in \\(0, 1\\]"),
        (lambda f: min_k_plus_plus(f.log_p, f.mean, -f.variance, f.mask), "Expected variances"),
        (lambda f: min_k_plus_plus(f.log_p, f.mean[:1], f.variance, f.mask), "means and variances"),
        (lambda f: zlib_ratio(f.log_p, f.mask, np.zeros(5, np.int64)), "size of a compressed text"),
        (lambda f: zlib_ratio(f.log_p, f.mask, SIZES[:2]), "size of a compressed text"),
        (lambda f: reference_ratio(f.log_p, f.log_p[:0], f.mask), "one or more"),
        (lambda f: reference_ratio(f.log_p, f.log_p[0], f.mask), "one or more"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(UserError, match=said):
        call(facts_of(0))


def test_what_was_not_measured_stays_so():
    log_p = np.array([[[-1.0, np.nan], [-1.0, -2.0]]])
    mask = np.array([[True, True], [False, False]])
    for found in (token_loss(log_p, mask), min_k(log_p, mask)):
        assert np.isnan(found).all()


# ---- PrivLeak ----


def test_privleak_from_scores():
    """An original that knows S, a reference at chance, one that was pushed too far."""
    rng = np.random.default_rng(0)
    member = np.arange(400) < 200
    base = rng.normal(0, 1, (3, 400))
    base[0] += 20 * member
    base[2] -= 20 * member
    aucs = auc(base, member)
    found = privleak(aucs, np.array([0.5]))
    assert found[0] == -100 and abs(found[1]) < 10 and found[2] == 100
    # As its authors write it, with AUC towards non-members.
    mirrored = 1 - aucs
    assert found == pytest.approx(100 * (mirrored - 0.5) / 0.5)


def test_privleak_is_divided_by_what_the_references_leave():
    assert privleak(np.array([0.9]), np.array([0.7, 0.9])) == pytest.approx(100 * (0.8 - 0.9) / 0.2)
    assert np.isnan(privleak(np.array([0.5]), np.array([1.0])))
    assert np.isnan(privleak(np.array([np.nan]), np.array([0.5])))


def test_privleak_with_an_interval():
    rng = np.random.default_rng(1)
    aucs, references = rng.uniform(0.6, 0.7, 8), rng.uniform(0.45, 0.55, 6)
    design = leave_outs({"models": np.arange(8), "references": 100 + np.arange(6)})
    each = privleak_leave_outs(aucs, references, design.weights["models"], design.weights["references"])
    assert each[0] == pytest.approx(privleak(aucs, references).mean())
    assert each[1] == pytest.approx(privleak(aucs[1:], references).mean())
    assert each[-1] == pytest.approx(privleak(aucs, references[:-1]).mean())
    estimate = interval(jackknife(each, design))
    assert estimate.low < estimate.value < estimate.high < 0


@pytest.mark.parametrize(
    ("aucs", "references", "said"),
    [
        (np.array([0.5]), np.array([]), "one or more references"),
        (np.array([[0.5]]), np.array([0.5]), "Expected AUCs of models"),
        (np.array([50.0]), np.array([0.5]), "from 0 to 1"),
        (np.array([0.5]), np.array([-0.1]), "from 0 to 1"),
    ],
)
def test_what_is_no_auc_is_refused(aucs, references, said):
    with pytest.raises(UserError, match=said):
        privleak(aucs, references)


@pytest.mark.parametrize(
    ("weights", "others", "said"),
    [
        (np.ones((2, 3)), np.ones((2, 1)), r"\[leave-outs, 2\] of the models"),
        (np.zeros((2, 2)), np.ones((2, 1)), "one of them in each"),
        (np.ones((2, 2)), np.ones((3, 1)), "as many leave-outs"),
    ],
)
def test_leave_outs_that_do_not_fit_are_refused(weights, others, said):
    with pytest.raises(UserError, match=said):
        privleak_leave_outs(np.array([0.5, 0.6]), np.array([0.5]), weights, others)
