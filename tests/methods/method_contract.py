"""What every method must keep, as checks that take a way to build one and raise AssertionError."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax

from unweave._errors import UserError
from unweave._random import Key
from unweave._registry import Entry
from unweave.learners.contract import Learner, State
from unweave.methods import Declared, Edited, Examples, Given, Method, Net, run
from unweave.training.engine import many, stack, unstack
from unweave.training.outputs import logits
from unweave.training.replay import Training

Build = Callable[[], Method]
Quantity = Callable[["Toy", State], Tensor]
"""One number per model of a stack [K]."""


class Toy(NamedTuple):
    """Originals with the data they were trained on: all that a method is given."""

    learner: Learner
    originals: State
    forget: Examples
    retain: Examples
    keys: Sequence[Key]
    validation: Examples | None = None
    training: Training | None = None

    def edit(self, build: Build, chunk: int | None = None) -> Edited:
        sets = {"forget": self.forget, "retain": self.retain, "validation": self.validation}
        rest = {"keys": self.keys, "training": self.training, "chunk": chunk or len(self.keys)}
        return run(build(), self.learner, self.originals, **sets, **rest)

    def given(self, net: Net) -> Given:
        """What `prepare` is given for an original, but for its history."""
        return Given(self.forget, self.retain, State(net.params, net.buffers), self.validation)

    def only(self, k: int) -> Toy:
        """The toy with original k alone."""
        training = None if self.training is None else self.training._replace(keys=[self.training.keys[k]])
        return self._replace(originals=stack([unstack(self.originals)[k]]), keys=[self.keys[k]], training=training)


def trained_toy(
    learner: Learner, x: Tensor, y: Tensor, *, forget: int, keys: Sequence[Key], validation: Examples
) -> Toy:
    """A toy whose originals are trained on x and y, of which the first `forget` are S."""
    rows = np.arange(len(y))
    originals = many(learner, x, y, rows=[rows] * len(keys), keys=keys)
    training = Training(x, y, rows, keys, rows[:forget])
    sets = Examples(x[:forget], y[:forget]), Examples(x[forget:], y[forget:])
    return Toy(learner, originals, *sets, [5 + k for k in range(len(keys))], validation, training)


def copied(state: State) -> State:
    return State(*({name: value.clone() for name, value in part.items()} for part in state))


def gap(a: State, b: State) -> float:
    """The largest difference between two stacks."""
    return max(float((a.params[name] - b.params[name]).abs().max()) for name in a.params)


def same_bits(a: State, b: State) -> bool:
    return all(torch.equal(one[n], two[n]) for one, two in zip(a, b, strict=True) for n in one)


# ---- what may be asked of any method ----


def check_stacking(build: Build, toy: Toy) -> None:
    """A model's result does not depend on the others in its stack."""
    together = toy.edit(build).state
    alone = stack([unstack(toy.only(k).edit(build).state)[0] for k in range(len(toy.keys))])
    assert gap(together, alone) <= 1e-6, "the result depends on the stack"


def check_reproducible(build: Build, toy: Toy) -> None:
    """Same key, same result, whatever global generators have been doing."""
    first = toy.edit(build).state
    torch.manual_seed(torch.seed() % 2**31)
    assert same_bits(first, toy.edit(build).state), "the same key gives another result"


def check_keys(build: Build, toy: Toy, *, matter: bool) -> None:
    """Another key gives another result, or the same where nothing in the method is random."""
    first = toy.edit(build).state
    other = toy._replace(keys=[key + 1000 for key in toy.keys]).edit(build).state
    assert same_bits(first, other) != matter, f"keys {'do not ' if matter else ''}matter"


def check_input_untouched(build: Build, toy: Toy) -> None:
    """The originals and the data are bitwise what they were, and share no parameter with the result."""
    before = copied(toy.originals)
    data = [tensor.clone() for part in (toy.forget, toy.retain) for tensor in part]
    edited = toy.edit(build).state
    assert same_bits(before, toy.originals), "the originals were changed in place"
    after = [tensor for part in (toy.forget, toy.retain) for tensor in part]
    assert all(torch.equal(a, b) for a, b in zip(data, after, strict=True)), "the data were changed in place"
    for name, value in edited.params.items():
        assert value.data_ptr() != toy.originals.params[name].data_ptr(), f"{name} is the original's own tensor"


def check_changed(build: Build, toy: Toy) -> None:
    """Every model is another one than before, by more than rounding."""
    edited = toy.edit(build).state
    for k, (before, after) in enumerate(zip(unstack(toy.originals), unstack(edited), strict=True)):
        assert gap(before, after) > 1e-5, f"model {k} did not change"


def check_identity(build: Build, toy: Toy) -> None:
    """The model is left exactly as it is."""
    edited = toy.edit(build)
    assert same_bits(toy.originals, edited.state), "the model is not the original"
    assert edited.steps == 0, "steps were taken"


def check_finite(build: Build, toy: Toy) -> None:
    """All parameters and buffers are finite, of the shape and type they had."""
    edited = toy.edit(build).state
    for before, after in zip(toy.originals, edited, strict=True):
        assert list(before) == list(after)
        for name, value in after.items():
            assert value.shape == before[name].shape and value.dtype == before[name].dtype
            assert value.isfinite().all(), f"{name} is not finite"


def check_cost(build: Build, toy: Toy) -> None:
    """The recorded cost is that of the batches a spy saw go by, and of what `prepare` declares."""
    seen: list[int] = []

    def spied(method: Method) -> Method:
        step, before = method.step, []

        def spy(net, aux, batches, i, key):
            assert i == len(before)
            before.append(i)
            seen.append(sum(len(batch.y) for batch in batches.values()))
            assert step is not None
            return step(net, aux, batches, i, key)

        then = None if method.then is None else spied(method.then)
        return method._replace(step=None if step is None else spy, then=then)

    # One model: learners that cannot be stacked run the steps of one after those of another.
    edited = toy.only(0).edit(lambda: spied(build()))
    costs = [stage.prepare_cost for stage in build().stages()]
    examples = sum(seen) + sum(cost(len(toy.forget.y), len(toy.retain.y)) for cost in costs if cost is not None)
    assert edited.steps == len(seen)
    assert edited.gradient_ratio == pytest.approx(examples / (toy.learner.recipe.epochs * len(toy.retain.y)))


def check_needs(build: Build, toy: Toy, needs: frozenset[str]) -> None:
    """What a method does not declare to need changes nothing; what it needs does."""
    first = toy.edit(build).state
    replayed = any(stage.history is not None for stage in build().stages())
    assert replayed == ("history" in needs), f"history: not as declared in {sorted(needs)}"
    for part in ("forget", "retain", "validation"):
        if getattr(toy, part) is None:
            continue
        x, y = getattr(toy, part)
        other = toy._replace(**{part: Examples(3 - x.flip(0), (y + 1) % 3)}).edit(build).state
        assert same_bits(first, other) == (part not in needs), f"{part}: not as declared in {sorted(needs)}"


def check_empty_sets_refused(build: Build, toy: Toy) -> None:
    """An empty S or D∖S is the user's error, never a silent identity."""
    for part in ("forget", "retain"):
        x, y = getattr(toy, part)
        with pytest.raises(UserError, match="empty"):
            toy._replace(**{part: Examples(x[:0], y[:0])}).edit(build)


def check_documented(entry: Entry[Declared]) -> None:
    """A sentence, a formula, a source, an aim and a search space around its defaults."""
    text, declared = entry.factory.__doc__ or "", entry.declared
    assert re.match(r"[A-Z].*[.:(]", text), "no summary"
    assert declared.family and "original" in declared.needs
    assert declared.needs <= {"original", "forget", "retain", "validation", "history"}
    assert declared.equation, "no equation"
    defaults = entry.defaults()
    assert set(declared.space) | set(declared.identity) <= set(defaults), "a parameter that does not exist"
    for name, (low, high) in declared.space.items():
        assert low < high and low <= defaults[name] <= high, f"the default of {name} lies outside its space"
    if declared.authors_aim is None:
        return
    assert re.fullmatch(r"[a-z]+\d{4}[a-z]\w*", declared.cite), "no citation"
    assert re.search(r"[−←=θ·]|CE\(|KL\(", text), "no formula in the docstring"
    assert re.search(r"\b(19|20)\d\d\b|arXiv|authors'", text), "no source in the docstring"


def check_mask_freezes(build: Build, toy: Toy, frozen: Callable[[str], bool]) -> None:
    """Masked parameters are bitwise the original's, whatever weight decay does; the others move."""
    edited = toy.edit(build).state
    for name, value in edited.params.items():
        same = torch.equal(value, toy.originals.params[name])
        assert same == frozen(name), f"{name} {'moved' if frozen(name) else 'did not move'}"


# ---- which way a method moves ----


def loss_on(part: str) -> Quantity:
    """Mean cross-entropy of each model on `forget` or `retain`."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, y = getattr(toy, part)
        found = logits(toy.learner, state, x)
        return torch.stack([cross_entropy(one, y) for one in found])

    return quantity


def probability_on(part: str) -> Quantity:
    """Mean probability each model gives the label trained on."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, y = getattr(toy, part)
        p = softmax(logits(toy.learner, state, x), -1)
        return p[:, torch.arange(len(y)), y].mean(1)

    return quantity


def divergence_on(part: str) -> Quantity:
    """Mean KL from the original to each model."""

    def quantity(toy: Toy, state: State) -> Tensor:
        x, _ = getattr(toy, part)
        log_p = log_softmax(logits(toy.learner, toy.originals, x).double(), -1)
        log_q = log_softmax(logits(toy.learner, state, x).double(), -1)
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean(1)

    return quantity


def check_moves(build: Build, toy: Toy, quantity: Quantity, by: float) -> None:
    """The quantity changes in every model by at least `by` (up if > 0, down if < 0)."""
    change = quantity(toy, toy.edit(build).state) - quantity(toy, toy.originals)
    moved = change.min() >= by if by > 0 else change.max() <= by
    assert moved, f"expected a change of {by:+.3g} or more, got {[f'{c:+.3g}' for c in change.tolist()]}"


# ---- scores per example ----


def check_divergence(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(teacher, student)` is KL(teacher‖student) of probabilities, row by row."""
    p, q = torch.tensor([[0.5, 0.5], [0.9, 0.1]]), torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    found = function(p.log(), q.log())
    assert found.shape == (2,), "not one number per example"
    # ½ln(½/.9) + ½ln(½/.1) and .9·ln(.9/½) + .1·ln(.1/½).
    torch.testing.assert_close(found, torch.tensor([0.510826, 0.368064]), atol=1e-5, rtol=0, msg="value")
    rng = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
    whole = function(teacher, student)
    assert (whole > 0).all()
    torch.testing.assert_close(function(teacher, teacher), torch.zeros(6), atol=1e-6, rtol=0)
    shifted = function(teacher + 50, student - 30)
    torch.testing.assert_close(shifted, whole, atol=1e-3, rtol=1e-3, msg="shifting the logits changes it")
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(function(teacher[order], student[order]), whole[order], msg="rows")
    torch.testing.assert_close(function(teacher[:1], student[:1]), whole[:1], msg="rows")
