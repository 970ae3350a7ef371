"""Answers of several tokens: every method that knows them beside the token losses of language models."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy as torch_loss
from torch.nn.functional import log_softmax, logsigmoid, one_hot

from unweave._errors import ApplicabilityError
from unweave._random import derive
from unweave.learners import NO_TOKEN, specify
from unweave.learners.contract import Learner, State
from unweave.learners.noise import key_tensor
from unweave.methods import METHODS, Examples, Net, run, within
from unweave.methods.losses import answer_loss, answer_mean, cross_entropy, divergence
from unweave.training.replay import Training

_spec = spec_from_file_location("stepping", Path(__file__).with_name("stepping.py"))
stepping = module_from_spec(_spec)
_spec.loader.exec_module(stepping)

_spec = spec_from_file_location("token_losses", Path(__file__).with_name("token_losses.py"))
tokens = module_from_spec(_spec)
_spec.loader.exec_module(tokens)

LENGTH, VOCABULARY, WIDTH = 3, 7, 4
KNOWING = [entry.name for entry in METHODS if entry.declared.several]
OTHERS = [entry.name for entry in METHODS if not entry.declared.several]


def learner_of(*, length: int = LENGTH, stacked: bool = False, batch_size: int = 64, refusal: int | None = None):
    """Documents x [n, 5] to logits [n, V, A], by vectors half-way [n, A, width]."""
    recipe = {"epochs": 3, "batch_size": batch_size, "lr": 0.1}
    spec = specify("mlp", (5,), VOCABULARY, recipe=recipe)
    if refusal is not None:
        spec = replace(spec, config={**spec.config, "refusal": refusal})

    def init(key) -> State:
        rng = torch.Generator().manual_seed(derive(key, "init"))
        first = torch.randn(LENGTH, WIDTH, 5, generator=rng) / 2
        return State({"0.weight": first, "1.weight": torch.randn(VOCABULARY, WIDTH, generator=rng)}, {})

    def middle(state: State, x: Tensor) -> Tensor:
        h = torch.einsum("awi,bi->baw", state.params["0.weight"], x).tanh()
        # Padding beyond the answers of the model: vectors and logits of no meaning.
        return torch.cat([h, *[5 + 3 * h[:, :1]] * (length - LENGTH)], 1)

    def apply(state: State, x: Tensor, *, train: bool, key):
        return (middle(state, x) @ state.params["1.weight"].mT).transpose(1, 2), state.buffers

    return Learner(spec, init, apply, lambda state, x: middle(state, x).mean(1), stacked=stacked, middle=middle)


def documents(seed: int, n: int) -> Examples:
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(0, VOCABULARY, (n, LENGTH), generator=rng)
    long = torch.randint(1, LENGTH + 1, (n, 1), generator=rng)
    return Examples(torch.randn(n, 5, generator=rng), y.masked_fill(torch.arange(LENGTH) >= long, NO_TOKEN))


@pytest.fixture
def texts(contract):
    return toy_of(contract, learner_of())


def toy_of(contract, learner: Learner):
    forget, retain = documents(1, 6), documents(2, 14)
    states = [learner.init(key) for key in (3, 4)]
    originals = State({n: torch.stack([one.params[n] for one in states]) for n in states[0].params}, {})
    x, y = (torch.cat([one, other]) for one, other in zip(forget, retain, strict=True))
    training = Training(x, y, np.arange(20), [3, 4], np.arange(6))
    return contract.Toy(learner, originals, forget, retain, [5, 6], documents(3, 8), training)


# ---- losses ----


def pieces(n: int = 5, seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, VOCABULARY, LENGTH, generator=rng, dtype=torch.float64)
    return logits, documents(seed, n).y


def beside(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As the token losses want them: [n, A, V], labels and mask [n, A]."""
    return logits.transpose(1, 2), y.clamp(min=0), y >= 0


@given(st.integers(0, 50))
def test_losses_are_means_and_sums_over_a_documents_own_tokens(seed):
    logits, y = pieces(seed=seed)
    torch.testing.assert_close(cross_entropy(logits, y), tokens.cross_entropy(*beside(logits, y)))
    torch.testing.assert_close(answer_loss(logits, y), tokens.answer_nll(*beside(logits, y)))
    student = logits.flip(0)
    expected = tokens.divergence(logits.transpose(1, 2), student.transpose(1, 2), y >= 0)
    torch.testing.assert_close(divergence(logits, student, y), expected)
    # With answers of one length the mean of the batch is torch's.
    full = y.clamp(min=0)
    torch.testing.assert_close(cross_entropy(logits, full).mean(), torch_loss(logits, full))


def test_a_mean_of_the_batch_is_another_number():
    """The planted bug: long answers would count for more, and a document's loss hang on its batch."""
    logits, y = pieces()
    assert not torch.isclose(cross_entropy(logits, y).mean(), torch_loss(logits, y))
    torch.testing.assert_close(cross_entropy(logits[:1], y[:1]), cross_entropy(logits, y)[:1])


@pytest.mark.parametrize("loss", [cross_entropy, answer_loss, lambda z, y: divergence(z, z.detach().flip(0), y)])
def test_logits_of_no_token_may_be_anything(loss):
    logits, y = pieces()
    dirty = torch.where((y >= 0)[:, None], logits, torch.nan).requires_grad_()
    clean = logits.clone().requires_grad_()
    found, expected = loss(dirty, y), loss(clean, y)
    slope = torch.autograd.grad(found.sum(), dirty)[0]
    assert not slope.masked_select((y < 0)[:, None]).any()
    if loss in (cross_entropy, answer_loss):
        assert torch.equal(found, expected)
        torch.testing.assert_close(slope, torch.autograd.grad(expected.sum(), clean)[0])


def test_a_label_is_an_answer_of_one_token_to_the_bit():
    logits, y = torch.randn(6, VOCABULARY), torch.arange(6)
    assert torch.equal(cross_entropy(logits[:, :, None], y[:, None]), cross_entropy(logits, y))
    assert torch.equal(answer_loss(logits, y), cross_entropy(logits, y))
    teacher, student = logits, logits.flip(0)
    found = divergence(teacher[:, :, None], student[:, :, None], y[:, None])
    assert torch.equal(found, divergence(teacher, student))


def test_padding_cannot_be_forgotten():
    logits, y = pieces()
    with pytest.raises(ValueError, match=r"need y \[b, A\]"):
        divergence(logits, logits)
    assert cross_entropy(logits, torch.full_like(y, NO_TOKEN)).tolist() == [0.0] * 5  # over no token
    assert answer_mean(torch.ones(2), torch.zeros(2, 3)).tolist() == [1.0, 1.0]


# ---- one step of each method beside the token losses ----


def now_and_before(net, toy, part: str):
    original = Net(toy.learner, State(stepping.double(toy)[1], {}), train=False)
    x, y = getattr(toy, part)
    return net(x).transpose(1, 2), original(x).transpose(1, 2), y.clamp(min=0), y >= 0


def kept(net, toy):
    z, _, labels, mask = now_and_before(net, toy, "retain")
    return tokens.cross_entropy(z, labels, mask).mean()


def on_forget(loss):
    """An oracle of S alone: `loss(z, before, labels, mask)` per document, by the token losses."""
    return lambda net, toy: loss(*now_and_before(net, toy, "forget")).mean()


def and_retain(loss, *, a: float = 1.0, w: float = 1.0):
    return lambda net, toy: a * on_forget(loss)(net, toy) + w * kept(net, toy)


CE, GA = tokens.cross_entropy, tokens.gradient_ascent


def entropy(logits: Tensor, mask: Tensor) -> Tensor:
    p = logits.softmax(-1)
    return tokens.mean(-(p * log_softmax(logits, -1).clamp(min=-1e4)).sum(-1), mask)


def kl_retain(net, toy):
    z, before, _, mask = now_and_before(net, toy, "retain")
    return tokens.divergence(before, z, mask).mean() + on_forget(lambda z, b, y, m: GA(z, y, m))(net, toy)


def idk(z, before, labels, mask):
    """The refusal, class 2, where the answer begins; all that follows is left open."""
    first = mask & (mask.cumsum(1) == 1)
    refusal = torch.full_like(labels, 2)
    wins = [tokens.answer_nll(one, refusal, first) for one in (z, before)]
    loses = [tokens.answer_nll(one, labels, mask) for one in (z, before)]
    return tokens.dpo(*wins, *loses, beta=0.3)


def safe(z, before, labels, mask):
    first = mask & (mask.cumsum(1) == 1)
    rise = tokens.cross_entropy(z, labels, mask) - tokens.cross_entropy(before, labels, mask)
    refused = tokens.answer_nll(z, torch.full_like(labels, 2), first)
    return -0.4 * logsigmoid(0.7 * rise) + 0.6 * refused


def without(before, labels):
    return before.scatter(-1, labels[..., None], -1e10)


def to_target(z, target, mask):
    """Cross-entropy to a target's probabilities less its entropy."""
    return tokens.mean(-(target.softmax(-1) * log_softmax(z, -1)).sum(-1), mask) - entropy(target, mask)


def own_target(z, before, labels, mask):
    return tokens.ceu(z, labels, mask, skip_first=False) - entropy(without(z.detach(), labels), mask)


def undial(z, before, labels, mask):
    lowered = before - 2 * one_hot(labels, VOCABULARY)
    return tokens.undial(before, z, labels, mask, beta=2.0) - entropy(lowered, mask)


STEPS = {
    "gradient_ascent": ({}, on_forget(lambda z, b, y, m: GA(z, y, m))),
    "neggrad_plus": ({"alpha": 0.9}, and_retain(lambda z, b, y, m: GA(z, y, m), a=0.1, w=0.9)),
    "kl_minimization": ({}, kl_retain),
    "npo": ({"beta": 0.3}, and_retain(lambda z, b, y, m: tokens.npo(b, z, y, m, beta=0.3))),
    "simnpo": (
        {"beta": 1.7, "forget_weight": 0.4},
        and_retain(lambda z, b, y, m: tokens.simnpo(z, y, m, beta=1.7), a=0.4),
    ),
    "idk_dpo": ({"beta": 0.3}, and_retain(idk)),
    "safe_unlearning": ({"alpha": 0.4, "beta": 0.7, "gamma": 0.6}, and_retain(safe)),
    "undial": ({"beta": 2.0}, and_retain(undial)),
    "wga": ({"beta": 1.5}, and_retain(lambda z, b, y, m: tokens.weighted_ascent(z, y, m, beta=1.5))),
    "satimp": (
        {"forget_weight": 1.0, "beta1": 2.0},
        and_retain(lambda z, b, y, m: tokens.satimp(z, y, m, beta1=2.0)),
    ),
    "max_entropy": ({}, and_retain(lambda z, b, y, m: tokens.max_entropy(z, m), a=0.1)),
    "ceu": ({}, on_forget(own_target)),
    "delete": ({}, on_forget(lambda z, b, y, m: to_target(z, without(b, y), m))),
    "task_vector": ({}, on_forget(lambda z, b, y, m: CE(z, y, m))),
    "finetune": ({}, kept),
}


def refusing(contract):
    return toy_of(contract, learner_of(refusal=2))


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_those_of_the_token_losses(name, contract):
    params, oracle = STEPS[name]
    stepping.check_step(refusing(contract), METHODS.get(name).build(**params), oracle)


WRONG = {
    "gradient_ascent": lambda net, toy: -torch_loss(net(toy.forget.x), toy.forget.y),  # of the batch
    "max_entropy": and_retain(
        lambda z, b, y, m: tokens.max_entropy(z, torch.ones_like(m)), a=0.1
    ),  # of padding too
    "npo": and_retain(  # a mean where a sum belongs
        lambda z, b, y, m: -2 / 0.3 * logsigmoid(0.3 * (CE(z, y, m) - CE(b, y, m)))
    ),
    "simnpo": and_retain(  # a sum where a mean belongs
        lambda z, b, y, m: -2 / 1.7 * logsigmoid(1.7 * tokens.answer_nll(z, y, m)), a=0.4
    ),
    "wga": and_retain(  # the weight of an answer, not of each token
        lambda z, b, y, m: -CE(z, y, m) * (-1.5 * CE(z, y, m)).exp().detach()
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_steps_are_noticed(name, contract):
    with pytest.raises(AssertionError):
        stepping.check_step(refusing(contract), METHODS.get(name).build(**STEPS[name][0]), WRONG[name])


def test_scrub_compares_tokens_alone(texts):
    def scrubbed(net, toy):
        z, before, _, mask = now_and_before(net, toy, "forget")
        return -16 * tokens.divergence(before / 4, z / 4, mask).mean()

    scrub = METHODS.get("scrub").build()

    def on_s(net, aux, batches, i, key):
        return scrub.step(net, aux, {"forget": batches["forget"]}, i, key)

    stepping.check_step(texts, scrub._replace(step=on_s), scrubbed)


def test_rmu_steers_the_vectors_of_tokens(texts):
    method = METHODS.get("rmu").build(coefficient=2.0, retain_weight=0.7)
    toy, params = stepping.double(texts)
    original = Net(toy.learner, State(params, {}), train=False)
    target = method.prepare(original, toy.given(original), key_tensor([3])[0])[1][1]

    def oracle(net, toy):
        masks = [part.y >= 0 for part in (toy.forget, toy.retain)]
        lost = tokens.misdirection(net.middle(toy.forget.x), target, masks[0]).mean()
        stays = tokens.misdirection(net.middle(toy.retain.x), original.middle(toy.retain.x), masks[1]).mean()
        square = tokens.mean(original.middle(toy.forget.x).square().sum(-1), masks[0]).mean()
        torch.testing.assert_close(target.norm(), 2 * square.sqrt())
        return (lost + 0.7 * stays) / square

    stepping.check_step(texts, method, oracle)


# ---- whole methods ----


@pytest.mark.parametrize("name", KNOWING)
def test_padding_changes_nothing(name, known, contract, texts):
    """Two more places after every answer, with vectors and logits of no meaning."""

    def padded(part: Examples) -> Examples:
        return part._replace(y=torch.nn.functional.pad(part.y, (0, 2), value=NO_TOKEN))

    longer = texts._replace(
        learner=learner_of(length=LENGTH + 2),
        forget=padded(texts.forget),
        retain=padded(texts.retain),
        training=texts.training._replace(y=torch.nn.functional.pad(texts.training.y, (0, 2), value=NO_TOKEN)),
    )

    def build():
        return METHODS.get(name).build(**known[name].strong)

    assert contract.gap(texts.edit(build).state, longer.edit(build).state) <= 1e-5
    if name != "noop":
        contract.check_changed(build, texts)


@pytest.mark.parametrize("name", KNOWING)
def test_a_stack_of_language_models_gives_what_one_after_the_other_gives(name, known, contract, texts):

    def build():
        return METHODS.get(name).build(**known[name].strong)

    at_once = texts._replace(learner=learner_of(stacked=True))
    assert contract.gap(texts.edit(build).state, at_once.edit(build).state) <= 1e-5


@pytest.mark.parametrize("name", sorted({*STEPS, "rmu"} - {"wga"}))
def test_the_order_of_documents_changes_nothing_where_they_are_one_batch(name, contract, texts):
    forget, retain = (Examples(*(one.flip(0) for one in part)) for part in (texts.forget, texts.retain))
    turned = texts._replace(forget=forget, retain=retain)
    build = METHODS.get(name).build
    assert contract.gap(texts.edit(build).state, turned.edit(build).state) <= 1e-5


@pytest.mark.parametrize("name", OTHERS)
def test_all_others_are_refused_with_a_reason(name, known, texts):
    with pytest.raises(ApplicabilityError, match="for answers of one token, and here some have several"):
        texts.edit(lambda: METHODS.get(name).build(**known[name].strong))


def test_several_in_a_row_know_answers_where_each_does(texts):
    assert METHODS.get("npo then finetune").declared.several
    assert not METHODS.get("newton then finetune").declared.several
    assert METHODS.get("expand(npo)").declared.several
    texts.edit(METHODS.get("npo then finetune").build)
    with pytest.raises(ApplicabilityError, match="several"):
        texts.edit(METHODS.get("finetune then newton").build)


def test_budgets_count_documents_and_hold_the_loss_of_answers(texts):
    given_ = {"forget": texts.forget, "retain": texts.retain, "keys": [5, 6], "chunk": 2}
    edited = run(
        within("gradient_ascent", rise=0.05, params={"lr": 2.0}), texts.learner, texts.originals, **given_
    )
    assert edited.reached == 2

    def loss(state) -> list[float]:
        nets = [Net(texts.learner, State({n: v[k] for n, v in state.params.items()}, {})) for k in range(2)]
        return [cross_entropy(net(texts.retain.x), texts.retain.y).mean().item() for net in nets]

    rises = [after - before for after, before in zip(loss(edited.state), loss(texts.originals), strict=True)]
    assert rises == pytest.approx([0.05, 0.05], rel=0.01)
