"""Which part of the behaviour was discovered: the forget set S."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError, UnknownNameError
from unweave._random import Key, generator
from unweave.problem.behaviours import Planted
from unweave.problem.case import ForgetChoice
from unweave.problem.clusters import different, flat, k_means, squared_distances
from unweave.problem.ids import Ids, known_ids, rows_of_ids

Ints = NDArray[np.int64]

_MOST_CLUSTERS = 20
"""More would take long, and S is the nearest of its cluster anyway."""


def discovered(
    chosen: ForgetChoice, planted: Planted, ids: Ids, *, key: Key, test: Sequence[int | str] = ()
) -> tuple[Ints, tuple[int | str, ...]]:
    """The rows of S that a case chooses, and the ids that it names but D does not have, where that is allowed.

    Args:
        chosen: What the case says of S.
        planted: The training data with the behaviour in it.
        ids: Ids of all of D [n].
        key: Determines the selection.
        test: Ids of the test part, of which a refusal says that they are there.

    Raises:
        SpecError, UnknownNameError: as `select` does.

    Example:
        >>> y = np.zeros(100, np.int64)
        >>> planted = Planted(np.zeros((100, 1), np.float32), y, y, np.arange(10), None, "none")
        >>> chosen = ForgetChoice(ids=(3, 4, 200), allow_unknown=True)
        >>> rows, dropped = discovered(chosen, planted, np.arange(100), key=0)
        >>> rows.tolist(), dropped
        ([3, 4], (200,))
    """
    named, dropped = chosen.ids, ()
    if named is not None and chosen.allow_unknown:
        named, dropped = known_ids(ids, named)
    rows = select(
        planted,
        ids,
        key=key,
        discovery=chosen.discovery,
        count=chosen.count,
        forget_ids=named,
        selection=chosen.selection,
        test=test,
    )
    return rows, dropped


def select(
    planted: Planted,
    ids: Ids,
    *,
    key: Key,
    discovery: float | None = None,
    count: int | None = None,
    forget_ids: Sequence[int | str] | None = None,
    selection: str = "random",
    test: Sequence[int | str] = (),
) -> Ints:
    """The rows of D that form the forget set S ⊆ B.

    Args:
        planted: The training data with the behaviour (B) in it.
        ids: Ids of all of D [n].
        key: Determines the selection.
        discovery: γ = |S|/|B| in (0, 1]; the default is 0.2.
        count: |S| instead of γ.
        forget_ids: Explicit ids instead of a selection.
        selection: A name of `SELECTIONS`: how S was found.
        test: Ids of the test part, of which a refusal says that they are there.

    Returns:
        Rows of D, sorted.

    Raises:
        SpecError: for an empty set, all of D, ids outside D or B, ids given twice, γ outside (0, 1], a
            selection besides explicit ids.
        UnknownNameError: for a selection that does not exist.

    Example:
        >>> y = np.zeros(100, np.int64)
        >>> planted = Planted(np.zeros((100, 1), np.float32), y, y, np.arange(10), None, "none")
        >>> select(planted, np.arange(100), key=0, discovery=0.3).shape
        (3,)
    """
    given = [n for n, v in (("discovery", discovery), ("count", count), ("ids", forget_ids)) if v is not None]
    if not planted.known and forget_ids is None:
        raise SpecError(
            "`behaviour.kind` is unknown, so nothing but S is known: name its examples in `forget.ids`, as a list "
            "or a file, or say in `behaviour.kind` what they are of."
        )
    if len(given) > 1:
        raise SpecError(f"`forget` has {' and '.join(given)}; expected one of discovery, count, ids.")
    if selection not in SELECTIONS:
        raise UnknownNameError("selection of S", selection, SELECTIONS)
    if forget_ids is None:
        size = _size(planted.members, discovery=discovery, count=count)
        rows = np.sort(SELECTIONS[selection](planted, size, generator(key, "forget")))
    elif selection != "random":
        raise SpecError(f"`forget.selection` is {selection!r}, but `forget.ids` names S already; leave one out.")
    else:
        rows = _by_ids(planted.members if planted.known else np.arange(len(ids)), ids, forget_ids, test)
    if len(rows) == 0:
        raise SpecError("The forget set has 0 examples; nothing to remove. Check `forget`.")
    if len(rows) == len(ids):
        raise SpecError(
            f"The forget set is all {len(ids)} training examples; no retain data remain. Delete the model instead."
        )
    return rows


def _size(members: Ints, *, discovery: float | None, count: int | None) -> int:
    if count is None:
        share = 0.2 if discovery is None else discovery
        if not 0 < share <= 1:
            raise SpecError(
                f"`forget.discovery` is {share}; expected γ = |S|/|B| in (0, 1], the share of the "
                "behaviour that was discovered."
            )
        count = round(share * len(members))
        if count == 0:
            raise SpecError(
                f"`forget.discovery` {share} of {len(members)} members is an empty forget set; "
                f"nothing to remove. Expected at least {1 / len(members):.3g}."
            )
    if count < 1:
        raise SpecError(f"`forget.count` is {count}: an empty forget set; nothing to remove.")
    if count > len(members):
        raise SpecError(f"`forget.count` is {count}, but the behaviour has only {len(members)} members.")
    return count


def _random(planted: Planted, count: int, rng: np.random.Generator) -> Ints:
    """Members at random, each as likely as any other."""
    return rng.choice(planted.members, count, replace=False)


def _clustered(planted: Planted, count: int, rng: np.random.Generator) -> Ints:
    """One member at random and those around it: first its k-means cluster, nearest first, then the others.

    k is |B|/|S| to the nearest whole number, at most 20, so that a cluster holds about as many as are discovered.
    """
    members = planted.members
    points = planted.x[members]
    start = rng.integers(len(members))
    clusters = len(different(points, min(round(len(members) / count), _MOST_CLUSTERS)))
    label, _ = k_means(points, clusters, rng, name="clusters")
    distance = squared_distances(points, flat(points[start : start + 1])[0])
    distance[start] = -1  # itself first, before a duplicate
    return members[np.lexsort((distance, label != label[start]))[:count]]


def _typical_first(planted: Planted) -> Ints:
    """Members by distance of the features from the mean of all of D with the same clean label.

    A proxy for how hard an example is, and no more: no model is asked.
    """
    members = planted.members
    distance = np.empty(len(members))
    for label in np.unique(planted.clean[members]):
        own = planted.clean[members] == label
        centre = planted.x[planted.clean == label].mean(axis=0, dtype=np.float64).ravel()
        distance[own] = squared_distances(planted.x[members[own]], centre)
    return members[np.argsort(distance, kind="stable")]


def _easiest(planted: Planted, count: int, rng: np.random.Generator) -> Ints:
    """The members whose features lie nearest to the mean of their clean class: a proxy, no model is asked."""
    del rng
    return _typical_first(planted)[:count]


def _hardest(planted: Planted, count: int, rng: np.random.Generator) -> Ints:
    """The members whose features lie farthest from the mean of their clean class: a proxy, no model is asked."""
    del rng
    return _typical_first(planted)[::-1][:count]


SELECTIONS: dict[str, Callable[[Planted, int, np.random.Generator], Ints]] = {
    "random": _random,
    "clustered": _clustered,
    "easiest": _easiest,
    "hardest": _hardest,
}
"""How S was found among B."""


def _by_ids(members: Ints, ids: Ids, wanted: Sequence[int | str], test: Sequence[int | str]) -> Ints:
    if len(wanted) == 0:
        return np.zeros(0, np.int64)
    rows = rows_of_ids(ids, wanted, name="forget.ids", test=test)
    outside = np.setdiff1d(rows, members)
    if len(outside) and len(rows) < len(ids):
        raise SpecError(
            f"{len(outside)} of {len(rows)} forget ids do not carry the behaviour (first: "
            f"{ids[outside[0]]}); S must lie within B. `unweave cases --members` lists the ids of B."
        )
    return rows
