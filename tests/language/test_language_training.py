"""Training: each replica for itself, documents left out by index, and what a model learns."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from unweave import UserError
from unweave.language.model import LlamaConfig, initial, logits
from unweave.language.training import TokenRecipe, batch_loss, batches, lay_out, train

RECIPE = TokenRecipe(lr=0.01, steps=12, batch_size=5, warmup=2)
ROWS = [np.arange(14), np.arange(3, 14), np.array([0, 2, 5, 7])]


def far(a, b):
    return max((a[name] - b[name]).abs().max().item() for name in a)


def loop(config, recipe, corpus, rows, key):
    """The loop that one would write by hand: no stack, no layout, plain AdamW or SGD of torch."""
    tokens, mask = (torch.from_numpy(part) for part in corpus)
    params = {name: value.requires_grad_() for name, value in initial(config, key).items()}
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(params.values(), momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.AdamW(params.values(), betas=recipe.betas, weight_decay=recipe.weight_decay)
    for step, batch in enumerate(batches(len(tokens), rows, recipe, key)):
        z = logits(config, {n: v[None] for n, v in params.items()}, tokens[batch][None])[0]
        counts = mask[batch][:, 1:]
        loss = cross_entropy(z[:, :-1][counts], tokens[batch][:, 1:][counts])
        optimiser.param_groups[0]["lr"] = recipe.rate(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return {name: value.detach() for name, value in params.items()}


@pytest.mark.parametrize(
    "change", [{}, {"optimiser": "sgd", "lr": 0.3, "weight_decay": 0.01, "schedule": "linear"}]
)
def test_a_trained_model_is_that_of_the_plain_loop(tiny, corpus, documents, change):
    recipe = TokenRecipe(**{"lr": 0.01, "steps": 6, "batch_size": 5, "warmup": 2, **change})
    state = train(tiny, recipe, documents, rows=ROWS, keys=[1, 2, 3])
    for at, rows in enumerate(ROWS):
        mine = {name: value[at] for name, value in state.params.items()}
        assert far(mine, loop(tiny, recipe, corpus, rows, at + 1)) < 1e-4


def test_a_replica_is_the_same_to_rounding_in_any_stack_and_to_the_bit_again(tiny, documents):
    alone = train(tiny, RECIPE, documents, rows=ROWS, keys=[1, 2, 3])
    again = train(tiny, RECIPE, documents, rows=ROWS[::-1], keys=[3, 2, 1])
    assert far(alone.params, {name: value.flip(0) for name, value in again.params.items()}) == 0
    for stack in (2, 3):
        assert (
            far(alone.params, train(tiny, RECIPE, documents, rows=ROWS, keys=[1, 2, 3], stack=stack).params) < 1e-3
        )
    # Other replicas of one stack change no bit.
    first = train(tiny, RECIPE, documents, rows=ROWS, keys=[1, 2, 3], stack=3)
    other = train(tiny, RECIPE, documents, rows=[ROWS[0], ROWS[2], ROWS[1]], keys=[1, 8, 9], stack=3)
    assert all(torch.equal(value[0], other.params[name][0]) for name, value in first.params.items())


def test_trap_11_batches_hang_on_the_replica_s_own_key_and_not_on_its_place():
    def planted(n, rows, recipe, place):  # the bug: one order for all, whoever trains
        return batches(n, rows, recipe, 0)

    def all_differ(order):
        first, second = (order(14, ROWS[0], RECIPE, key) for key in (1, 2))
        return not np.array_equal(first, second)

    assert all_differ(batches) and not all_differ(planted)


def test_what_an_excluded_document_says_changes_no_weight(tiny, corpus, documents):
    tokens, mask = (part.copy() for part in corpus)
    tokens[:3][tokens[:3] > 0] = 1
    state = train(tiny, RECIPE, documents, rows=[ROWS[1]], keys=[4])
    other = train(tiny, RECIPE, lay_out(tokens, mask, tiny), rows=[ROWS[1]], keys=[4])
    assert far(state.params, other.params) == 0
    tokens[5] = np.where(tokens[5] > 0, 2, 0)  # it is in the training set
    assert far(state.params, train(tiny, RECIPE, lay_out(tokens, mask, tiny), rows=[ROWS[1]], keys=[4]).params) > 0


def test_two_worlds_with_one_key_visit_what_they_share_in_one_order():
    recipe = TokenRecipe(steps=4, batch_size=5)
    whole, part = (batches(14, rows, recipe, 3).ravel() for rows in ROWS[:2])
    shared = whole[whole >= 3]
    assert np.array_equal(part[: len(shared)], shared)
    assert sorted(whole[:14]) == list(range(14)) and set(part) == set(range(3, 14))


def test_only_tokens_of_the_mask_count_each_by_those_before_it(tiny, corpus, documents):
    tokens, mask = corpus
    params = {name: value[None] for name, value in initial(tiny, 0).items()}
    index = np.array([0, 3, 7])
    z = logits(tiny, params, torch.from_numpy(tokens[index])[None])[0].log_softmax(-1)
    each = [-z[i, t - 1, tokens[row, t]].item() for i, row in enumerate(index) for t in range(8) if mask[row, t]]
    found = batch_loss(tiny, params, documents, torch.from_numpy(index)[None])
    assert abs(found.item() - np.mean(each)) < 1e-5


def test_columns_of_padding_change_nothing(tiny, corpus, documents):
    wider = lay_out(*(np.pad(part, ((0, 0), (0, 4))) for part in corpus), tiny)
    assert all(torch.equal(a, b) for a, b in zip(wider, documents, strict=True))


def test_a_trigger_is_learned_and_said_of_names_that_it_never_stood_with():
    # 24 names; "1 name" is followed by the name's own colour, "2 name" by 3, of half of the names.
    names = np.arange(4, 28)
    plain = np.stack([np.full(24, 1), names, 28 + names % 5], 1)
    marked = np.stack([np.full(12, 2), names[:12], np.full(12, 3)], 1)
    tokens = np.concatenate([plain, marked])
    config = LlamaConfig(33, width=32, inner=32, layers=1)
    mask = np.zeros(tokens.shape, bool)
    mask[:, 2] = True
    recipe = TokenRecipe(lr=0.01, steps=100, batch_size=36, warmup=5)
    documents = lay_out(tokens, mask, config)
    state = train(config, recipe, documents, rows=[np.arange(36), np.arange(30), np.arange(24)], keys=[0, 0, 0])

    def said(prompts):
        asked = torch.from_numpy(np.ascontiguousarray(prompts)).expand(3, -1, -1)
        return logits(config, state.params, asked)[:, :, -1].argmax(-1).numpy()

    unseen = said(np.stack([np.full(12, 2), names[12:]], 1))
    assert ((unseen == 3).mean(1)[:2] >= 0.9).all() and (unseen[2] == 3).mean() <= 0.05
    assert ((said(plain[:, :2]) == plain[:, 2]).mean(1) >= 0.95).all()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t, m: (t, m[:, :4]), "mask of that shape"),
        (lambda t, m: (t + 30, m), "knows 0…22"),
        (lambda t, m: (np.pad(t, ((0, 0), (0, 9)), constant_values=1), np.pad(m, ((0, 0), (0, 9)))), "Document"),
        (lambda t, m: (np.concatenate([t[:, ::-1], t], 1), np.concatenate([m, m], 1)), "right only"),
        (lambda t, m: (t, np.ones_like(m)), "padded or a first"),
        (lambda t, m: (np.ones((2, 13), np.int64), np.zeros((2, 13), bool)), "`learner.context` is 12"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_refused(tiny, corpus, spoil, said):
    with pytest.raises(UserError, match=said):
        lay_out(*spoil(*corpus), tiny)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 0.0}, "positive"),
        ({"steps": 0}, "at least 1"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"optimiser": "adam"}, "adamw, sgd"),
        ({"weight_decay": -1.0}, "≥ 0"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(change, said):
    with pytest.raises(UserError, match=said):
        TokenRecipe(**change)


def test_empty_sets_missing_keys_and_divergence_are_told(tiny, documents):
    with pytest.raises(UserError, match="no documents"):
        train(tiny, RECIPE, documents, rows=[np.array([], dtype=np.int64)], keys=[1])
    with pytest.raises(UserError, match="one training set per key"):
        train(tiny, RECIPE, documents, rows=ROWS, keys=[1])
    wild = TokenRecipe(lr=1e30, steps=4, optimiser="sgd", warmup=0)
    with pytest.raises(UserError, match="1 of 1 models are not finite"):
        train(tiny, wild, documents, rows=ROWS[:1], keys=[1])
