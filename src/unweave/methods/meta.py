"""Meta-methods: one method after another, and another method for each part of S."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from unweave._errors import SpecError, UnknownNameError
from unweave._random import Key, derive, generator
from unweave._registry import Entry
from unweave.learners.contract import Learner, State
from unweave.methods.budgets import Within
from unweave.methods.contract import METHODS, Declared, Examples, Method
from unweave.methods.loop import Edited, run
from unweave.training.replay import Training

_THEN = re.compile(r"\s+then\s+")


def chain(*methods: Method) -> Method:
    """One method after the other, each starting from what the one before left, with its own momentum and noise.

    What the one before left is the original of the next: `task_vector` goes the other way from there, `baeraser`
    and `rem` hold on to it. Units that a method added for its own use are taken away before the next begins.

    Raises:
        SpecError: if a method takes back what the history of training tells (`amnesiac`, `unrolling_sgd`) after
            one that read that history or trained anew.

    Example:
        >>> both = chain(METHODS.get("ssd").build(), METHODS.get("finetune").build())
        >>> len(both.stages())
        2
    """
    check_history(methods)
    return staged(methods[0], *(one._replace(begins=True) for one in methods[1:]))


def staged(*stages: Method) -> Method:
    """One method in stages, each with those that follow it: of one original, with units in common if any.

    Example:
        >>> flush, repair = Method(None, 0.0, 0.0), Method(None, 0.0, 0.1)
        >>> [one.lr for one in staged(flush, repair, flush).stages()]
        [0.0, 0.1, 0.0]
    """
    first, *rest = stages
    then = first.then if not rest else (staged(*rest) if first.then is None else staged(first.then, *rest))
    return first._replace(then=then)


def check_history(methods: Sequence[Method]) -> None:
    """Refuse to take steps of training back from a model whose past is another one by then.

    Args:
        methods: That edit the same models, one after the other.

    Raises:
        SpecError: if a method takes back what the history tells after one that read it or trained anew.
    """
    changed = False
    for method in methods:
        stages = method.stages()
        if changed and any(stage.history is not None and stage.history.once for stage in stages):
            raise SpecError(
                "`methods`: one that takes back what the history of training tells (amnesiac, unrolling_sgd) "
                "comes after one that read that history or trained anew: it would take back what is not in the "
                "model any more. Name such a method once, on all of S, and before others that read the history."
            )
        changed = changed or any(stage.history is not None or stage.anew for stage in stages)


@dataclass(frozen=True)
class Several(Entry[Declared]):
    """Several registered methods under one name; a parameter is that of a part: `ssd.alpha`."""

    parts: tuple[tuple[str, Entry[Declared]], ...] = ()

    def defaults(self) -> dict[str, Any]:
        """The parameters of all parts with their defaults."""
        return {f"{part}.{name}": v for part, entry in self.parts for name, v in entry.defaults().items()}

    def built_parts(self, given: Mapping[str, Any]) -> list[Method]:
        """The parts, each with its parameters.

        Raises:
            UnknownNameError: for a parameter that no part has; near names are offered.
        """
        own: dict[str, dict[str, Any]] = {part: {} for part, _ in self.parts}
        for name, value in given.items():
            part, _, parameter = name.partition(".")
            if part not in own or not parameter:
                raise UnknownNameError(f"parameter of `{self.name}`", name, self.defaults())
            own[part][parameter] = value
        return [entry.build(**own[part]) for part, entry in self.parts]


@dataclass(frozen=True)
class Chain(Several):
    """Several registered methods in a row: `ssd then finetune`; a second `finetune` has `finetune#2.lr`."""

    @property
    def summary(self) -> str:
        """What the parts are."""
        return f"First {', then '.join(entry.name for _, entry in self.parts)}."

    def build(self, **given: Any) -> Method:
        """The parts, each with its parameters, in a row.

        Raises:
            UnknownNameError: for a parameter that no part has; near names are offered.
        """
        return chain(*self.built_parts(given))


def declared_of(parts: Sequence[tuple[str, Entry[Declared]]], *, cite: str = "", equation: str) -> Declared:
    """What several methods under one name declare: all that one of them needs, sources in a row."""
    each = [(part, entry.declared) for part, entry in parts]
    return Declared(
        family="meta",
        needs=frozenset[str]().union(*(one.needs for _, one in each)),
        authors_aim=None,
        cite=", ".join(dict.fromkeys(key for key in (cite, *(one.cite for _, one in each)) if key)),
        equation=equation,
        space={f"{part}.{key}": ends for part, one in each for key, ends in one.space.items()},
        identity={f"{part}.{key}": value for part, one in each for key, value in one.identity.items()},
        trains=next((one.trains for _, one in each if one.trains), None),
        widens=any(one.widens for _, one in each),
        several=all(one.several for _, one in each),
        alters=any(one.alters for _, one in each),
        sgd=any(one.sgd for _, one in each),
    )


def in_a_row(name: str) -> Entry[Declared] | None:
    """The entry of `a then b`; None for a name that is not of several."""
    names = _THEN.split(name.strip())
    if len(names) < 2:
        return None
    entries = [METHODS.get(one) for one in names]
    parts: list[tuple[str, Entry[Declared]]] = []
    for entry in entries:
        times = sum(other is entry for _, other in parts)
        parts.append((entry.name if times == 0 else f"{entry.name}#{times + 1}", entry))
    declared = declared_of(parts, equation=", then ".join(entry.declared.equation for entry in entries))
    return Chain(" then ".join(names), entries[0].factory, declared, tuple(parts))


def parts_of(entry: Entry[Declared]) -> list[Entry[Declared]]:
    """The registered methods that a name stands for: several where it is `a then b`, or one for each part of S."""
    if not isinstance(entry, Several):
        return [entry]
    return [inner for _, part in entry.parts for inner in parts_of(part)]


def thirds(scores: ArrayLike, *, parts: int = 3) -> list[NDArray[np.int64]]:
    """Positions of S in parts of equal size by a score, lowest first; equal scores stay in their order.

    Args:
        scores: One finite number per example of S [n], such as how far it was memorised.
        parts: How many parts; the first ones are larger by one where n is no multiple.

    Raises:
        SpecError: for scores that are not finite, or fewer than parts.

    Example:
        >>> [part.tolist() for part in thirds([0.9, 0.1, 0.5, 0.2])]
        [[1, 3], [2], [0]]
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise SpecError("The scores of S hold what is no finite number, or are not one per example.")
    if not 1 <= parts <= len(values):
        raise SpecError(f"{len(values)} examples of S cannot be divided into {parts} parts.")
    return [part.astype(np.int64) for part in np.array_split(np.argsort(values, kind="stable"), parts)]


def random_scores(n: int, key: Key) -> NDArray[np.float64]:
    """Scores without meaning: thirds by them are the control of thirds by a score that is to mean something."""
    return generator(key, "random scores").random(n)


def run_assigned(
    methods: Sequence[Method | Within],
    learner: Learner,
    original: State,
    *,
    scores: ArrayLike,
    forget: Examples,
    retain: Examples,
    keys: Sequence[Key],
    validation: Examples | None = None,
    training: Training | None = None,
    chunk: int | None = None,
) -> Edited:
    """Divide S by a score and give each part to a method of its own, lowest scores first (RUM).

    Step k runs its method with part k as the forget set, on the model that step k−1 left, which is its original;
    what it must retain is D without the parts handled so far, its own included: parts still to come are retained.
    With one method for all parts this is refinement alone; with `random_scores` it is the control by random parts;
    with one part it is the method on S. Each part costs as many epochs as its method takes on all of S.

    Args:
        methods: One per part, lowest scores first, as `run` takes them; all with the same keys of models.
        learner: The learner that made the originals.
        original: K models, stacked; left untouched.
        scores: One number per example of S [n].
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        keys: One key per model.
        validation: Examples that no model was trained on; only for methods that need them.
        training: How the originals were trained; only for methods that need their history.
        chunk: Models per stack; None = what is found fastest here.

    Returns:
        The edited stack; its cost is that of all steps, over one retraining on D∖S. Its note names the sizes of
        the parts.

    Raises:
        SpecError: for no method, scores that do not fit S, or a method that takes steps of training back
            (`amnesiac`) after another part's that did so: one step of training had members of several parts.
        UserError: as `run` does.

    Source: Zhao et al. (2024), arXiv 2406.01257, section 6; what is retained is that of the released
    main_forget.py for parts by memorisation (`--sequential`). Deviations: S is given and divided into parts of
    equal size, where the code takes the highest, middle and lowest of all of D for S. Where parts are by
    embedding the code leaves those still to come out of what is retained; by confidence, in the order of its
    main_rum_proxy.py, parts that were handled are retained by the next step. Here one rule holds for all scores.
    """
    if not methods:
        raise SpecError("No method was assigned to any part of S; expected one per part.")
    check_history([one.build(1.0) if isinstance(one, Within) else one for one in methods])
    if np.shape(scores) != (len(forget.y),):
        raise SpecError(f"There are scores of shape {np.shape(scores)} for {len(forget.y)} examples of S.")
    # Each part in the order of S: what a step sees is a set, and one part is S itself.
    parts = [np.sort(part) for part in thirds(scores, parts=len(methods))]
    state, steps, ratio, size, notes = original, 0, 0.0, 0, list[str]()
    for number, (method, own) in enumerate(zip(methods, parts, strict=True)):
        later = np.sort(np.concatenate([own[:0], *parts[number + 1 :]]))
        place, to_come = (torch.from_numpy(one).to(forget.y.device) for one in (own, later))
        kept = Examples(torch.cat([forget.x[to_come], retain.x]), torch.cat([forget.y[to_come], retain.y]))
        edited = run(
            method,
            learner,
            state,
            forget=Examples(forget.x[place], forget.y[place]),
            retain=kept,
            keys=keys if number == 0 else [derive(key, "part", number) for key in keys],
            validation=validation,
            training=None if training is None else training._replace(forget=training.forget[own]),
            chunk=chunk,
        )
        state, steps, size = edited.state, steps + edited.steps, max(size, edited.chunk)
        ratio += edited.gradient_ratio * len(kept.y) / len(retain.y)
        notes.append(f"{len(own)}" + (f" ({edited.note})" if edited.note else ""))
    return Edited(state, ratio, steps, size, note=f"parts of S, lowest scores first: {', '.join(notes)}")
