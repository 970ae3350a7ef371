"""Token losses, ours and those of the oracle, against loops; padding, order and other rows; public errors."""

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.language.measures import extraction_strength
from unweave.learners import NO_TOKEN
from unweave.methods.losses import answer_loss, cross_entropy, divergence

_spec = spec_from_file_location("token_losses", Path(__file__).with_name("token_losses.py"))
L = module_from_spec(_spec)
_spec.loader.exec_module(L)

V = 6


def draw(seed, n=4, t=7):
    rng = torch.Generator().manual_seed(seed)
    z, z0 = (torch.randn(n, t, V, generator=rng, dtype=torch.float64) * 2 for _ in range(2))
    labels = torch.randint(V, (n, t), generator=rng)
    mask = torch.rand(n, t, generator=rng) < 0.6
    mask[:, 2:4] = True
    return z, z0, labels, mask


def of_dpo(z, z0, y, m):
    """The refusal's tokens are the answer's, moved by one."""
    other = (y + 1) % V
    return L.dpo(*(L.answer_nll(a, b, m) for b in (other, y) for a in (z, z0)))


def answers(z, y, m):
    """As the losses of methods want them: logits [n, V, T], and labels [n, T] that say what counts."""
    return z.mT, y.masked_fill(~m, NO_TOKEN)


LOSSES = {
    "cross_entropy of methods": lambda z, z0, y, m: cross_entropy(*answers(z, y, m)),
    "answer_loss of methods": lambda z, z0, y, m: answer_loss(*answers(z, y, m)),
    "divergence of methods": lambda z, z0, y, m: divergence(z0.mT, *answers(z, y, m)),
    "gradient_ascent": lambda z, z0, y, m: L.gradient_ascent(z, y, m),
    "cross_entropy": lambda z, z0, y, m: L.cross_entropy(z, y, m),
    "divergence": lambda z, z0, y, m: L.divergence(z0, z, m),
    "npo": lambda z, z0, y, m: L.npo(z0, z, y, m),
    "dpo": of_dpo,
    "simnpo": lambda z, z0, y, m: L.simnpo(z, y, m, delta=0.2),
    "undial": lambda z, z0, y, m: L.undial(z0, z, y, m),
    "weighted_ascent": lambda z, z0, y, m: L.weighted_ascent(z, y, m, beta=0.7),
    "satimp": lambda z, z0, y, m: L.satimp(z, y, m),
    "max_entropy": lambda z, z0, y, m: L.max_entropy(z, m),
    "ceu": lambda z, z0, y, m: L.ceu(z, y, m),
    "misdirection": lambda z, z0, y, m: L.misdirection(z, z0, m),
    "extraction_strength": lambda z, z0, y, m: L.extraction_strength(z, y, m),
}
WITHOUT_LABELS = {"divergence", "divergence of methods", "max_entropy", "misdirection"}
WITHOUT_GRADIENT = {"extraction_strength"}


def naive(name, z, z0, y, m):
    """One document, by loops and `math` alone."""
    answer = [t for t in range(len(y)) if m[t]]
    count = len(answer)
    z, z0, y = z.tolist(), z0.tolist(), y.tolist()

    def p(row):
        total = sum(math.exp(v) for v in row)
        return [math.exp(v) / total for v in row]

    def sigma(v):
        return 1 / (1 + math.exp(-v))

    def nll(rows, labels):
        return sum(-math.log(p(rows[t])[labels[t]]) for t in answer)

    name = name.removesuffix(" of methods")
    ell, ell0 = nll(z, y), nll(z0, y)
    if name == "answer_loss":
        return ell
    if name == "gradient_ascent":
        return -ell / count
    if name == "cross_entropy":
        return ell / count
    if name == "divergence":
        return sum(a * math.log(a / b) for t in answer for a, b in zip(p(z0[t]), p(z[t]), strict=True)) / count
    if name == "npo":
        return -2 / 0.1 * math.log(sigma(0.1 * (ell - ell0)))
    if name == "dpo":
        other = [(label + 1) % V for label in y]
        gain = (nll(z0, other) - nll(z, other)) - (ell0 - ell)
        return -2 / 0.1 * math.log(sigma(0.1 * gain))
    if name == "simnpo":
        return -2 / 4.5 * math.log(sigma(4.5 * (ell / count - 0.2)))
    if name == "undial":
        value = 0.0
        for t in answer:
            lowered = p([v - 10 * (c == y[t]) for c, v in enumerate(z0[t])])
            value -= sum(a * math.log(b) for a, b in zip(lowered, p(z[t]), strict=True))
        return value / count
    own = [p(z[t])[y[t]] for t in answer]
    if name == "weighted_ascent":
        return sum(q**0.7 * math.log(q) for q in own) / count
    if name == "satimp":
        return sum(q**5 * (1 - q) * math.log(q) for q in own) / count
    if name == "max_entropy":
        return sum(a * math.log(a * V) for t in answer for a in p(z[t])) / count
    if name == "ceu":
        value = 0.0
        for t in answer[1:]:
            q = p(z[t])
            value -= sum(a / (1 - q[y[t]]) * math.log(a) for c, a in enumerate(q) if c != y[t])
        return value / (count - 1)
    if name == "misdirection":
        return sum((a - b) ** 2 for t in answer for a, b in zip(z[t], z0[t], strict=True)) / count
    assert name == "extraction_strength"
    for k in range(count):
        if all(z[t].index(max(z[t])) == y[t] for t in answer[k:]):
            return 1 - k / count
    return 0.0


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 50))
def test_each_document_has_the_value_of_the_loop(name, seed):
    z, z0, y, m = draw(seed)
    found = LOSSES[name](z, z0, y, m)
    assert found.shape == (4,)
    for row in range(4):
        assert math.isclose(
            found[row].item(), naive(name, z[row], z0[row], y[row], m[row]), rel_tol=1e-9, abs_tol=1e-9
        )


@pytest.mark.parametrize("name", LOSSES)
def test_padding_batch_size_order_and_other_rows_change_nothing(name):
    z, z0, y, m = draw(3)
    loss = LOSSES[name]
    whole = loss(z, z0, y, m)
    torch.testing.assert_close(
        torch.cat([loss(*(part[i : i + 1] for part in (z, z0, y, m))) for i in range(4)]), whole
    )
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss(z[order], z0[order], y[order], m[order]), whole[order])
    wide = [torch.nn.functional.pad(part, (0, 0, 0, 5), value=value) for part, value in ((z, 300.0), (z0, -7.0))]
    wider = [torch.nn.functional.pad(part, (0, 5)) for part in (y, m)]
    torch.testing.assert_close(loss(*wide, *wider), whole)
    other = [part.clone() for part in (z, z0, y, m)]
    other[0][1:], other[2][1:] = 9.0, 0
    assert torch.equal(loss(*other)[:1], whole[:1])


@pytest.mark.parametrize("name", sorted(set(LOSSES) - WITHOUT_LABELS))
def test_labels_of_answer_tokens_count_and_no_others(name):
    z, z0, y, m = draw(5)
    if name == "extraction_strength":
        y = torch.where(torch.arange(7) > 2, z.argmax(-1), y)
    moved = (y + 2) % V
    loss = LOSSES[name]
    assert not torch.isclose(loss(z, z0, torch.where(m, moved, y), m), loss(z, z0, y, m)).any()
    assert torch.equal(loss(z, z0, torch.where(m, y, moved), m), loss(z, z0, y, m))


@pytest.mark.parametrize("name", sorted(set(LOSSES) - WITHOUT_GRADIENT))
def test_gradients_stay_within_the_mask_and_are_finite(name):
    z, z0, y, m = draw(7)
    z.requires_grad_()
    (found,) = torch.autograd.grad(LOSSES[name](z, z0, y, m).sum(), z)
    assert found.isfinite().all() and found.abs().sum() > 0 and not found[~m].any()


def test_known_values_at_the_original_model():
    z, _, y, m = draw(11)
    at_start = torch.full((4,), 2 / 0.1 * math.log(2), dtype=z.dtype)
    torch.testing.assert_close(L.npo(z, z, y, m), at_start)
    torch.testing.assert_close(of_dpo(z, z, y, m), at_start)
    assert L.divergence(z, z, m).abs().max() == 0
    even = torch.zeros_like(z)
    assert L.max_entropy(even, m).abs().max() < 1e-12
    torch.testing.assert_close(L.cross_entropy(even, y, m), torch.full((4,), math.log(V), dtype=z.dtype))
    torch.testing.assert_close(L.ceu(even, y, m), torch.full((4,), math.log(V), dtype=z.dtype))
    torch.testing.assert_close(L.weighted_ascent(z, y, m, beta=0.0), L.gradient_ascent(z, y, m))


def test_npo_and_gradient_ascent_agree_as_beta_goes_to_0():
    z, z0, y, m = draw(13)
    z.requires_grad_()
    (slow,) = torch.autograd.grad(L.npo(z0, z, y, m, beta=1e-6).sum(), z)
    (ascent,) = torch.autograd.grad((L.gradient_ascent(z, y, m) * m.sum(-1)).sum(), z)
    torch.testing.assert_close(slow, ascent, atol=1e-4, rtol=1e-4)


def test_weights_of_satimp_wga_and_the_targets_of_ceu_and_undial_carry_no_gradient():
    z, z0, y, m = draw(17)
    for name in ("satimp", "weighted_ascent"):
        leaf = z.clone().requires_grad_()
        (found,) = torch.autograd.grad(LOSSES[name](leaf, z0, y, m).sum(), leaf)
        p = z.softmax(-1).gather(-1, y[..., None])
        weight = p**5 * (1 - p) if name == "satimp" else p**0.7
        one = torch.nn.functional.one_hot(y, V)
        expected = -(weight * (z.softmax(-1) - one)) * m[..., None] / m.sum(-1)[:, None, None]
        torch.testing.assert_close(found, expected)
    leaf = z0.clone().requires_grad_()
    assert not L.undial(leaf, z, y, m).requires_grad


def test_an_answer_of_one_token_is_left_out_by_ceu_unless_said_otherwise():
    z, _, y, _ = draw(19)
    one = torch.zeros(4, 7, dtype=torch.bool)
    one[:, 4] = True
    assert not L.ceu(z, y, one).any()
    assert (L.ceu(z, y, one, skip_first=False) > 0).all()


def test_a_document_without_answer_tokens_has_mean_and_sum_0():
    z, _, y, m = draw(23)
    none = torch.zeros_like(m)
    for value in (L.cross_entropy(z, y, none), L.answer_nll(z, y, none), L.extraction_strength(z, y, none)):
        assert not value.any()


def test_alignment_puts_each_token_beside_the_logits_before_it():
    z, _, y, m = draw(29)
    found = L.aligned(z, y, m)
    by_hand = [-z[0].log_softmax(-1)[t - 1, y[0, t]] for t in range(1, 7) if m[0, t]]
    torch.testing.assert_close(L.answer_nll(*found)[0], torch.stack(by_hand).sum())
    assert not torch.isclose(L.answer_nll(z, y, m)[0], L.answer_nll(*found)[0])


# Errors of public code: each is planted beside our function, and a property of ours catches it.


def test_trap_6_losses_take_log_probabilities_and_not_raw_logits():
    z, z0, y, m = draw(31)
    shift = torch.randn(4, 7, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30

    def planted_npo(original, now, labels, mask):  # raw logits, averaged over the vocabulary
        return -2 / 0.1 * torch.nn.functional.logsigmoid(0.1 * L.total((original - now).mean(-1), mask))

    def planted_kl(original, now, mask):  # a divergence of raw logits: large for identical distributions
        return L.mean((original.exp() * (original - now)).sum(-1), mask)

    def same_under_shift(loss, *rest):
        return torch.allclose(loss(z0, z, *rest), loss(z0, z + shift, *rest))

    assert same_under_shift(L.npo, y, m) and not same_under_shift(planted_npo, y, m)
    assert same_under_shift(L.divergence, m) and not same_under_shift(planted_kl, m)
    assert L.divergence(z, z + shift, m).abs().max() < 1e-9 and planted_kl(z, z + shift, m).abs().max() > 1
    for name in set(LOSSES) - {"misdirection"}:
        torch.testing.assert_close(LOSSES[name](z + shift, z0, y, m), LOSSES[name](z, z0, y, m))


def test_trap_8_losses_count_answer_tokens_and_not_prompts_or_padding():
    z, z0, y, m = draw(37)
    elsewhere = torch.where(m[..., None], z, torch.randn_like(z) * 5)

    def planted(original, now, mask):  # over all places, prompts and padding included
        before, after = original.log_softmax(-1), now.log_softmax(-1)
        return (before.exp() * (before - after)).sum(-1).mean(-1)

    def holds(loss):
        return torch.allclose(loss(z0, z, m), loss(z0, elsewhere, m))

    assert holds(L.divergence) and not holds(planted)
    for loss in LOSSES.values():
        torch.testing.assert_close(loss(elsewhere, z0, y, m), loss(z, z0, y, m))


def test_trap_10_extraction_strength_reaches_0():
    def planted(z, y, m):  # its last try is the last token, found or not: 1/T at the least
        found = []
        for row in range(len(z)):
            at = m[row].nonzero()[:, 0].tolist()
            k = 0
            for k in range(len(at)):
                if (z[row, at[k:]].argmax(-1) == y[row, at[k:]]).all():
                    break
            found.append(1 - k / len(at))
        return torch.tensor(found)

    z, _, _, m = draw(41)
    right = z.argmax(-1)
    wrong = (right + 1) % V
    assert (L.extraction_strength(z, right, m) == 1).all() and (L.extraction_strength(z, wrong, m) == 0).all()
    assert (planted(z, wrong, m) > 0).all()
    for labels, expected in ((right, 1), (wrong, 0)):
        hits = (z.argmax(-1) == labels).numpy()[None]
        assert (extraction_strength(hits, m.numpy()) == expected).all()


def test_trap_11_a_loss_split_over_workers_is_that_of_the_whole():
    z, z0, y, m = draw(43)
    parts = [(z[i::2], z0[i::2], y[i::2], m[i::2]) for i in range(2)]

    def planted(z, z0, y, m):  # a mean over all tokens of what one worker has
        return L.total(L.token_nll(z, y), m).sum() / m.sum()

    def same_when_split(loss):
        return math.isclose(
            np.mean([loss(*part).mean().item() for part in parts]), loss(z, z0, y, m).mean().item()
        )

    assert not same_when_split(planted)
    assert all(same_when_split(loss) for loss in LOSSES.values())
