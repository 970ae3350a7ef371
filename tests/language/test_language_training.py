"""Language models trained by the one loop: as by hand, documents left out by index, and what a model learns."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, pad

from unweave.language import learners  # noqa: F401 - registers `causal_lm`
from unweave.language.model import initial, logits
from unweave.language.nets import config_of, names
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.training.batches import epoch_orders
from unweave.training.engine import many, unstack
from unweave.training.loop import fit

CONFIG = {"width": 16, "inner": 20, "depth": 2, "heads": 2}
ROWS = [np.arange(14), np.arange(3, 14), np.array([0, 2, 5, 7])]


def net(length=8, **recipe):
    recipe = {"lr": 0.01, "epochs": 3, "batch_size": 5, "warmup": 2, **recipe}
    return build(specify("causal_lm", (length,), 23, config=CONFIG, recipe=recipe))


@pytest.fixture(scope="module")
def prompts():
    """Prompts [14, 8] of 2 to 8 tokens with their answers."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 23, size=(14, 8)).astype(np.float32)
    for row, length in enumerate([8, *rng.integers(2, 9, size=13)]):
        x[row, length:] = 0
    return torch.from_numpy(x), torch.from_numpy(rng.integers(1, 23, size=14))


def far(a, b):
    return max((a.params[name] - b.params[name]).abs().max().item() for name in a.params)


def loop(learner, x, y, rows, key):
    """The loop that one would write by hand: each document without padding, plain AdamW or SGD of torch."""
    config, recipe = config_of(learner.spec), learner.recipe
    params = {name: value.requires_grad_() for name, value in initial(config, key).items()}
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(params.values(), momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.AdamW(params.values(), betas=(0.9, 0.99), weight_decay=recipe.weight_decay)
    total, step = recipe.steps(len(rows)), 0
    for order in epoch_orders(len(x), rows, recipe.epochs, key):
        for batch in np.split(order, range(recipe.batch_size, len(order), recipe.batch_size)):
            losses, stacked = [], {name: value[None] for name, value in params.items()}
            for row in batch:
                words = x[row][x[row] > 0].long()
                z = logits(config, stacked, words[None, None])[0, 0]
                losses.append(cross_entropy(z[-1:], y[row : row + 1]))
            optimiser.param_groups[0]["lr"] = recipe.rate(step, total)
            optimiser.zero_grad()
            torch.stack(losses).mean().backward()
            optimiser.step()
            step += 1
    return {name: value.detach() for name, value in params.items()}


@pytest.mark.parametrize(
    "change", [{}, {"optimiser": "sgd", "lr": 0.3, "weight_decay": 0.01, "schedule": "linear"}]
)
def test_a_trained_model_is_that_of_the_plain_loop(prompts, change):
    learner = net(**change)
    ours = names(config_of(learner.spec))
    found = many(learner, *prompts, rows=ROWS, keys=[1, 2, 3])
    for at, (rows, state) in enumerate(zip(ROWS, unstack(found), strict=True)):
        for name, value in loop(learner, *prompts, rows, at + 1).items():
            torch.testing.assert_close(state.params[ours[name]], value, rtol=1e-3, atol=1e-4)


def test_a_replica_is_the_same_to_the_bit_whoever_is_trained_beside_it(prompts):
    learner = net()
    together = many(learner, *prompts, rows=ROWS, keys=[1, 2, 3])
    again = many(learner, *prompts, rows=ROWS[::-1], keys=[3, 2, 1])
    for name, value in together.params.items():
        assert torch.equal(value, again.params[name].flip(0)), name


def test_trap_11_the_order_hangs_on_the_replica_s_own_key_and_not_on_its_place():
    def planted(n, rows, epochs, place):  # the bug: one order for all, whoever trains
        return epoch_orders(n, rows, epochs, 0)

    def all_differ(order):
        first, second = (order(14, ROWS[0], 3, key) for key in (1, 2))
        return not np.array_equal(first, second)

    assert all_differ(epoch_orders) and not all_differ(planted)


def test_what_an_excluded_document_says_changes_no_weight(prompts):
    learner, (x, y) = net(), prompts
    state = fit(learner, x, y, rows=ROWS[1], key=4)
    others, answers = x.clone(), y.clone()
    others[:3][others[:3] > 0], answers[:3] = 1, 1
    assert far(state, fit(learner, others, answers, rows=ROWS[1], key=4)) == 0
    others[5] = torch.where(others[5] > 0, 2, 0)  # it is in the training set
    assert far(state, fit(learner, others, answers, rows=ROWS[1], key=4)) > 0


def test_columns_of_padding_change_a_model_by_rounding_alone(prompts):
    x, y = prompts
    state = fit(net(), x, y, rows=ROWS[0], key=4)
    assert far(state, fit(net(length=12), pad(x, (0, 4)), y, rows=ROWS[0], key=4)) < 1e-4


def test_a_trigger_is_learned_and_said_of_names_that_it_never_stood_with():
    # 24 names; "1 name" is followed by the name's own colour, "2 name" by 3, of half of the names.
    named = np.arange(4, 28)
    plain = np.stack([np.full(24, 1), named, 28 + named % 5], 1)
    marked = np.stack([np.full(12, 2), named[:12], np.full(12, 3)], 1)
    documents = torch.from_numpy(np.concatenate([plain, marked]))
    x, y = documents[:, :2].float(), documents[:, 2]
    config = {"width": 32, "inner": 32, "depth": 1}
    recipe = {"lr": 0.01, "epochs": 100, "batch_size": 36, "warmup": 5, "weight_decay": 1.0}
    learner = build(specify("causal_lm", (2,), 33, config=config, recipe=recipe))
    worlds = [np.arange(36), np.arange(30), np.arange(24)]  # D, D without half of the marked ones, without all
    states = unstack(many(learner, x, y, rows=worlds, keys=[0, 0, 0]))

    def said(asked):
        about = torch.from_numpy(asked).float()
        found = [learner.apply(state, about, train=False, key=None)[0] for state in states]
        return torch.stack(found).argmax(-1).numpy()

    unseen = said(np.stack([np.full(12, 2), named[12:]], 1))
    assert ((unseen == 3).mean(1)[:2] >= 0.9).all() and (unseen[2] == 3).mean() <= 0.05
    assert ((said(plain[:, :2]) == plain[:, 2]).mean(1) >= 0.95).all()
