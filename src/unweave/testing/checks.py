"""What every method must keep: each check takes a way to build one and raises AssertionError."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave._errors import ApplicabilityError, UserError
from unweave._registry import Entry
from unweave.learners import NO_TOKEN
from unweave.learners.contract import Params, State
from unweave.methods import Batch, Declared, Examples, Method, Net
from unweave.methods.contract import ONE_TOKEN
from unweave.testing.toys import Build, Toy
from unweave.training.engine import stack, unstack

ROUNDING = 1e-6
"""Largest difference that the order of a sum may make on the toys."""


def hold(holds: bool, said: str) -> None:
    """Raise AssertionError unless something holds; unlike `assert`, also under `python -O`."""
    if not holds:
        raise AssertionError(said)


def copied(state: State) -> State:
    """A state whose tensors are its own."""
    return State(*({name: value.clone() for name, value in part.items()} for part in state))


def gap(a: State, b: State) -> float:
    """The largest difference between the parameters of two stacks."""
    return max(float((a.params[name] - b.params[name]).abs().max()) for name in a.params)


def same_bits(a: State, b: State) -> bool:
    """Whether two stacks are equal to the bit, statistics included."""
    return all(torch.equal(one[n], two[n]) for one, two in zip(a, b, strict=True) for n in one)


def check_stacking(build: Build, toy: Toy) -> None:
    """A model's result does not depend on the others in its stack."""
    together = toy.edit(build).state
    alone = stack([unstack(toy.only(k).edit(build).state)[0] for k in range(len(toy.keys))])
    hold(gap(together, alone) <= ROUNDING, "the result depends on the stack")


def check_one_by_one(build: Build, toy: Toy) -> None:
    """The same net is edited alike under `vmap` and one by one."""
    alone = toy._replace(learner=replace(toy.learner, stacked=False))
    apart = gap(toy.edit(build).state, alone.edit(build).state)
    hold(apart <= 1e-5, f"one by one it gives something else than in a stack (by {apart:.2g})")


def check_order_of_tensors(build: Build, toy: Toy) -> None:
    """Models come back from the store with their tensors in any order."""
    params = dict(reversed(toy.originals.params.items()))
    turned = toy._replace(originals=State(params, toy.originals.buffers))
    same = same_bits(toy.edit(build).state, turned.edit(build).state)
    hold(same, "the result depends on the order of the tensors of a model")


def check_reproducible(build: Build, toy: Toy) -> None:
    """Same key, same result, whatever global generators have been doing."""
    first = toy.edit(build).state
    torch.manual_seed(torch.seed() % 2**31)
    hold(same_bits(first, toy.edit(build).state), "the same key gives another result")


def check_keys(build: Build, toy: Toy, *, matter: bool) -> None:
    """Another key gives another result, or the same where nothing in the method is random."""
    first = toy.edit(build).state
    other = toy._replace(keys=[key + 1000 for key in toy.keys]).edit(build).state
    hold(same_bits(first, other) != matter, f"keys {'do not ' if matter else ''}matter")


def check_input_untouched(build: Build, toy: Toy) -> State:
    """The originals and the data are bitwise what they were; returns the result, which shares no parameter."""
    mine = toy._replace(
        originals=copied(toy.originals),
        forget=Examples(*(one.clone() for one in toy.forget)),
        retain=Examples(*(one.clone() for one in toy.retain)),
        validation=None if toy.validation is None else Examples(*(one.clone() for one in toy.validation)),
    )
    edited = mine.edit(build).state
    hold(same_bits(toy.originals, mine.originals), "the originals were changed in place")
    parts = ((toy.forget, mine.forget), (toy.retain, mine.retain), (toy.validation, mine.validation))
    data = [(a, b) for one, two in parts if one is not None for a, b in zip(one, two or (), strict=True)]
    hold(all(torch.equal(a, b) for a, b in data), "the data were changed in place")
    for name, value in edited.params.items():
        own = value.data_ptr() != mine.originals.params[name].data_ptr()
        hold(own, f"{name} is the original's own tensor")
    return edited


def check_changed(build: Build, toy: Toy) -> None:
    """Every model is another one than before, by more than rounding."""
    edited = toy.edit(build).state
    for k, (before, after) in enumerate(zip(unstack(toy.originals), unstack(edited), strict=True)):
        hold(gap(before, after) > 1e-5, f"model {k} did not change")


def check_identity(build: Build, toy: Toy) -> None:
    """The model is left exactly as it is."""
    edited = toy.edit(build)
    hold(same_bits(toy.originals, edited.state), "the model is not the original")
    hold(edited.steps == 0, "steps were taken")


def check_finite(build: Build, toy: Toy) -> None:
    """All parameters and buffers are finite, of the shape and type they had."""
    hold_finite(toy, toy.edit(build).state)


def hold_finite(toy: Toy, edited: State) -> None:
    """What `check_finite` asks of edited models."""
    for before, after in zip(toy.originals, edited, strict=True):
        hold(list(before) == list(after), f"expected the tensors {list(before)}, got {list(after)}")
        for name, value in after.items():
            same = value.shape == before[name].shape and value.dtype == before[name].dtype
            hold(same, f"{name} has another shape or type than in the original")
            hold(bool(value.isfinite().all()), f"{name} is not finite")


def check_cost(build: Build, toy: Toy) -> None:
    """The recorded cost is that of the batches a spy saw, of what `prepare` declares, and of training anew."""
    seen: list[int] = []

    def spied(method: Method) -> Method:
        later = None if method.then is None else spied(method.then)
        step = method.step
        if step is None:
            return method._replace(then=later)

        def spy(net: Net, aux: Any, batches: Mapping[str, Batch], i: int, key: Tensor) -> Tensor:
            seen.append(method.made + sum(len(batch.y) for batch in batches.values()))
            return step(net, aux, batches, i, key)

        return method._replace(step=spy, then=later)

    # One model: learners that cannot be stacked run the steps of one after those of another.
    method, sizes = build(), (len(toy.forget.y), len(toy.retain.y))
    edited = toy.only(0).edit(lambda: spied(method))
    costs = [stage.prepare_cost for stage in method.stages() if stage.prepare_cost is not None]
    recipe, trained = toy.learner.recipe, sum(stage.anew for stage in method.stages())
    examples = sum(seen) + sum(cost(*sizes) for cost in costs) + trained * recipe.epochs * sizes[1]
    steps = len(seen) + trained * recipe.steps(sizes[1])
    hold(edited.steps == steps, f"{edited.steps} steps were recorded and {steps} taken")
    expected = examples / (recipe.epochs * sizes[1])
    hold(
        math.isclose(edited.gradient_ratio, expected, rel_tol=1e-6, abs_tol=1e-12),
        f"the recorded cost is {edited.gradient_ratio:.6g} retrainings, and it took gradients for {expected:.6g}",
    )


def check_needs(build: Build, toy: Toy, needs: frozenset[str]) -> None:
    """What a method does not declare to need changes nothing; what it needs does, by more than rounding."""
    first = toy.edit(build).state
    if "original" not in needs:
        other = State(*({n: 1 - v for n, v in part.items()} for part in toy.originals))
        hold(same_bits(first, toy._replace(originals=other).edit(build).state), "original: read and not declared")
    replayed = any(stage.history is not None for stage in build().stages())
    hold(replayed == ("history" in needs), f"history: not as declared in {sorted(needs)}")
    for part in ("forget", "retain", "validation"):
        if getattr(toy, part) is None:
            continue
        x, y = getattr(toy, part)
        other = toy._replace(**{part: Examples(3 - x.flip(0), (y + 1) % 3)}).edit(build).state
        kept = gap(first, other) <= ROUNDING if part in needs else same_bits(first, other)
        hold(kept == (part not in needs), f"{part}: not as declared in {sorted(needs)}")


def check_several(build: Build, toy: Toy, *, several: bool) -> None:
    """Answers of several tokens: where they have one and padding it is the label; or such data are refused."""
    padded = _as_answers(toy)
    if several:
        plain = toy._replace(learner=replace(toy.learner, dense=None))
        apart = gap(plain.edit(build).state, padded.edit(build).state)
        hold(apart <= 1e-5, f"an answer of one token is no label, or its padding counts (by {apart:.2g})")
        return
    try:
        padded.edit(build)
    except ApplicabilityError as error:
        hold(ONE_TOKEN in str(error), f"answers of several tokens were refused without saying so: {error}")
    else:
        raise AssertionError("answers of several tokens were not refused")


def _as_answers(toy: Toy) -> Toy:
    """The same data as answers of one token, y [n, 2] with −100, and logits of no meaning beside them."""

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        logits, buffers = toy.learner.apply(state, x, train=train, key=key)
        return torch.stack([logits, 3 + 7 * logits.flip(1)], 2), buffers

    def padded(y: Tensor) -> Tensor:
        return torch.stack([y, torch.full_like(y, NO_TOKEN)], 1)

    forget, retain = (part._replace(y=padded(part.y)) for part in (toy.forget, toy.retain))
    held_out = None if toy.validation is None else toy.validation._replace(y=padded(toy.validation.y))
    training = None if toy.training is None else toy.training._replace(y=padded(toy.training.y))
    learner = replace(toy.learner, apply=apply, dense=None)
    return toy._replace(learner=learner, forget=forget, retain=retain, validation=held_out, training=training)


def check_empty_sets_refused(build: Build, toy: Toy) -> None:
    """An empty S or D∖S is the user's error, never a silent identity."""
    for part in ("forget", "retain"):
        x, y = getattr(toy, part)
        try:
            toy._replace(**{part: Examples(x[:0], y[:0])}).edit(build)
        except UserError as error:
            hold("empty" in str(error), f"an empty {part} set was refused without saying so: {error}")
        else:
            raise AssertionError(f"an empty {part} set was not refused")


def check_parameters(entry: Entry[Declared]) -> None:
    """Parameters are keyword-only numbers with defaults, which a spec can name."""
    for one in inspect.signature(entry.factory).parameters.values():
        number = isinstance(one.default, int | float) and not isinstance(one.default, bool)
        kept = one.kind is one.KEYWORD_ONLY and number
        hold(kept, f"`{one.name}` is not a keyword-only parameter with a number as its default")


def check_documented(entry: Entry[Declared]) -> None:
    """A sentence, a formula, a source, an aim and a search space around its defaults."""
    text, declared = entry.factory.__doc__ or "", entry.declared
    hold(re.match(r"[A-Z].*[.:(]", text) is not None, "no summary")
    hold(bool(declared.family), "no family")
    anew = any(stage.anew for stage in entry.build().stages())
    hold(
        "original" in declared.needs or anew,
        "`needs` lacks original, which a method reads unless it trains anew",
    )
    hold(bool(declared.equation), "no equation")
    defaults = entry.defaults()
    unknown = (set(declared.space) | set(declared.identity)) - set(defaults)
    hold(not unknown, f"a parameter that does not exist: {', '.join(sorted(unknown))}")
    for name, (low, high) in declared.space.items():
        hold(low < high and low <= defaults[name] <= high, f"the default of {name} lies outside its space")
    if declared.authors_aim is None:
        return
    key = re.fullmatch(r"[a-z]+\d{4}[a-z]\w*", declared.cite)
    hold(key is not None, f"`cite` is {declared.cite!r}; expected author, year and word: kurmanji2023towards")
    hold(re.search(r"[−←=θ·]|CE\(|KL\(", text) is not None, "no formula in the docstring")
    sourced = re.search(r"\b(19|20)\d\d\b|arXiv|authors'", text) is not None
    hold(sourced, "no source in the docstring")


def check_mask_freezes(build: Build, toy: Toy, frozen: Callable[[str], bool]) -> None:
    """Masked parameters are bitwise the original's, whatever weight decay does; the others move."""
    edited = toy.edit(build).state
    for name, value in edited.params.items():
        same = torch.equal(value, toy.originals.params[name])
        hold(same == frozen(name), f"{name} {'moved' if frozen(name) else 'did not move'}")


def check_decay(build: Build, toy: Toy) -> None:
    """A tensor that a method leaves as it is stays so where the recipe has weight decay."""
    recipe = replace(toy.learner.recipe, weight_decay=0.1)
    decaying = toy._replace(learner=replace(toy.learner, spec=replace(toy.learner.spec, recipe=recipe)))
    plain, decayed = toy.edit(build).state.params, decaying.edit(build).state.params
    for name, value in toy.originals.params.items():
        if torch.equal(plain[name], value):
            hold(torch.equal(decayed[name], value), f"{name} stays without weight decay, and with it it moved")
