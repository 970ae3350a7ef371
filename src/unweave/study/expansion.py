"""More of the behaviour than S, for methods that are named `expand(NAME)`: an order of D∖S, a ladder, and Ŝ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import DivergedError
from unweave._random import derive
from unweave.references import Entry, Objects, about, digest, key_of, model_fields, read_verified
from unweave.references.keys import versions_of
from unweave.study.assemble import Assembly
from unweave.study.choices import MethodChoice, expands
from unweave.study.code import expansion_code
from unweave.study.evidence import HALVES, description_fields, evidence_of
from unweave.study.fair import why_not_expanded
from unweave.study.samples import probabilities

if TYPE_CHECKING:
    from unweave.influence.discovery import Order

Ints = NDArray[np.int64]

PAIRS = HALVES // 2
EMBEDDING = "embedding"
MOST_RUNGS = 3
"""As `discovery.RUNGS`, known here without loading it; a test holds one against the other."""

_WIDEST = 1024  # features that an embedding is taken to have at most, where room is asked for


class Found(NamedTuple):
    """What S was expanded to.

    Attributes:
        forget: Rows of Ŝ ⊇ S, sorted.
        cuts: How many examples join S at each rung of the ladder.
        rung: The one that was chosen.
        believed: Mean probability of the labels of S by the model of each rung.
    """

    forget: Ints
    cuts: tuple[int, ...]
    rung: int
    believed: tuple[float, ...]

    @property
    def flagged(self) -> int:
        """How many examples joined S."""
        return self.cuts[self.rung]


def pair_keys(assembly: Assembly) -> list[str]:
    """Keys of the half-split models, which are the same for every S in D."""
    from unweave.references.halves import half_fields

    return [key_of(half_fields(assembly.setting, assembly.case.seed, pair)) for pair in range(PAIRS)]


def embedding_key(assembly: Assembly) -> str:
    """Key of the features of D in one original."""
    return key_of(description_fields(assembly, EMBEDDING))


def order_fields(assembly: Assembly) -> dict[str, Any]:
    """What identifies the order of D∖S and its ladder: all that it follows from, before there is one."""
    return {
        "kind": "expansion order",
        "halves": pair_keys(assembly),
        "original": key_of(model_fields(assembly.setting, assembly.worlds["original"])[0]),
        "forget": digest(assembly.forget),
        "seed": assembly.case.seed,
        "code": expansion_code(),
    }


def rung_fields(assembly: Assembly, rung: int) -> dict[str, Any]:
    """What identifies what the model of a rung makes of S; the order says what it is trained without."""
    return {
        "kind": "expansion rung",
        "order": key_of(order_fields(assembly)),
        "rung": rung,
        **versions_of(assembly.setting),
    }


def expansion_fields(assembly: Assembly, choice: MethodChoice) -> dict[str, Any]:
    """What identifies Ŝ among what identifies the outputs of a method; nothing where it is run on S."""
    return {"expansion": key_of(order_fields(assembly))} if expands(choice.name) else {}


def ladder_keys(assembly: Assembly) -> list[str]:
    """Keys of the order and of all rungs that its ladder may have."""
    rungs = [key_of(rung_fields(assembly, rung)) for rung in range(MOST_RUNGS)]
    return [key_of(order_fields(assembly)), *rungs]


def expansion_sizes(assembly: Assembly, methods: Sequence[MethodChoice]) -> dict[str, int]:
    """Bytes of each object that Ŝ is found by, by key; nothing where no method is expanded, or none can be."""
    if not any(expands(choice.name) for choice in methods) or why_not_expanded(assembly):
        return {}
    n, classes = len(assembly.setting.y), assembly.setting.learner.classes
    order, *rungs = ladder_keys(assembly)
    return {
        **dict.fromkeys(pair_keys(assembly), 2 * 4 * n * classes),
        embedding_key(assembly): 4 * n * _WIDEST,
        order: 8 * (2 * n + MOST_RUNGS),
        **dict.fromkeys(rungs, 8 * len(assembly.forget)),
    }


def read_order(objects: Objects, assembly: Assembly) -> Order:
    """The order of D∖S and its ladder; made where it is not stored."""
    from unweave.influence.discovery import Order, order_of

    fields = order_fields(assembly)
    stored = read_verified(objects, key_of(fields))
    if stored is None:
        evidence = evidence_of(objects, assembly, halves=HALVES, described=[EMBEDDING])
        made = order_of(evidence, assembly.forget, key=derive(assembly.case.seed, "expansion"))
        arrays = {"rows": made.rows, "joins": made.joins, "cuts": np.array(made.cuts, dtype=np.int64)}
        objects.write([Entry(fields, arrays, about(assembly.setting, assembly.worlds["original"]))])
        return made
    return Order(stored[0]["rows"], stored[0]["joins"], tuple(int(cut) for cut in stored[0]["cuts"]))


def _grown(assembly: Assembly, order: Order, rung: int) -> Ints:
    """Rows of S with what joins it at a rung, sorted."""
    return np.union1d(assembly.forget, order.at(rung))


def ensure_rung(objects: Objects, assembly: Assembly, order: Order, rung: int) -> int:
    """Train a model without what a rung takes out, unless its answers are stored; returns how many were trained.

    Raises:
        DivergedError: if an output is not finite.
    """
    fields = rung_fields(assembly, rung)
    if read_verified(objects, key_of(fields)) is not None:
        return 0
    from unweave.references.subsampled import Asked, trained_logits

    setting, world = assembly.setting, assembly.worlds["original"]
    rows = np.setdiff1d(world.rows, _grown(assembly, order, rung))
    key = derive(assembly.case.seed, "expansion", "rung", rung)
    logits = trained_logits(setting, [rows], [key], Asked(setting.x[:0], setting.y[:0]))[0][assembly.forget]
    if not np.isfinite(logits).all():
        raise DivergedError("Training without a part of D diverged: outputs are not finite. Lower `learner.lr`.")
    own = probabilities(logits)[np.arange(len(logits)), setting.y[assembly.forget]]
    # Noted as made of all of D: who is left out follows from all of it.
    objects.write([Entry(fields, {"on_forget": own}, about(setting, world))])
    return 1


def found_of(objects: Objects, assembly: Assembly, choice: MethodChoice) -> Found | None:
    """What a method is run on in place of S; None for one that is run on S. What is missing is made."""
    if not expands(choice.name):
        return None
    from unweave.influence.discovery import choose_cut

    order = read_order(objects, assembly)
    on_forget = np.stack([_on_forget(objects, assembly, order, rung) for rung in range(len(order.cuts))])
    rung = choose_cut(order, on_forget)
    believed = tuple(float(one) for one in on_forget.mean(1))
    return Found(_grown(assembly, order, rung), order.cuts, rung, believed)


def _on_forget(objects: Objects, assembly: Assembly, order: Order, rung: int) -> NDArray[np.float64]:
    ensure_rung(objects, assembly, order, rung)
    stored = read_verified(objects, key_of(rung_fields(assembly, rung)))
    assert stored is not None  # it was written a moment ago
    return stored[0]["on_forget"]


class Price(NamedTuple):
    """What an expanded method costs for one model, each part as a multiple of one retraining on D∖S."""

    method: float
    ladder: float
    scoring: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.method + self.ladder + self.scoring


def price_of(assembly: Assembly, found: Found, ratio: float) -> Price:
    """The cost of an expanded method, from that of the method itself as a multiple of one retraining on D∖Ŝ.

    The original is there already, and the features that it gives cost no gradient.
    """
    n = len(assembly.worlds["original"].rows)
    rest = n - len(assembly.forget)
    left = [rest - cut for cut in found.cuts]
    return Price(ratio * left[found.rung] / rest, sum(left) / rest, HALVES * n / 2 / rest)


def note_of_expansion(found: Found, price: Price, models: int) -> str:
    """What a reader should know of an expanded row: how far it went, and what of its cost is what."""
    ladder = ", ".join(f"{cut} ({believed:.2f})" for cut, believed in zip(found.cuts, found.believed, strict=True))
    return (
        f"{found.flagged} examples of D∖S joined S, the rung {found.rung + 1} of {len(found.cuts)} (examples, "
        f"probability of the labels of S without them: {ladder}); cost: {price.method:.2f} the method, "
        f"{price.ladder:.2f} for {len(found.cuts)} models of the ladder, {price.scoring:.2f} for {HALVES} models "
        f"of halves of D; found once for all {models} models, so the intervals are given this one discovery"
    )


def note_of_truth(assembly: Assembly, forget: Ints) -> str:
    """How much of the rest of the behaviour was found, where that is known."""
    if not assembly.planted.known:
        return ""
    rest = np.setdiff1d(assembly.planted.members, assembly.forget)
    flagged = np.setdiff1d(forget, assembly.forget)
    found = len(np.intersect1d(flagged, rest))
    recall = f"recall {found / len(rest):.2f} of B∖S" if len(rest) else "B∖S is empty"
    precision = f", precision {found / len(flagged):.2f}" if len(flagged) else ""
    return f"{recall}{precision}"
