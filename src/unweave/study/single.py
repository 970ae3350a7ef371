"""What single examples do: who of S is known by heart, which pairs stand out, the plane of both influences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unweave.influence import HIGH_SELF, Influences, cross_influence, self_influence
from unweave.records.diagnosis import Dot, Influential
from unweave.study.assemble import Assembly
from unweave.study.examples import of_data, of_probe

_SHOWN = 12
_DOTS = 1000
_SURE = 4.0  # standard errors
_LOOKED_AT = 1000  # pairs, the largest first
_LEVEL = 0.05  # that any pair of all that are looked at is listed by chance

Floats = NDArray[np.float64]
Inside = NDArray[np.bool_]


def share_above(value: Floats, threshold: float) -> float | None:
    """Share of the numbers that are known, not NaN, which reach a threshold; None where none is.

    Example:
        >>> share_above(np.array([np.nan, 0.9, 0.1]), 0.25)
        0.5
    """
    known = value[np.isfinite(value)]
    return float((known >= threshold).mean()) if len(known) else None


def surely_by_heart(found: Influences) -> NDArray[np.bool_]:
    """Which of S are surely known by heart: by four standard errors, since S may be large."""
    value, error = np.nan_to_num(found.value, nan=-2.0), np.nan_to_num(found.standard_error)
    return (value >= HIGH_SELF) & (value >= _SURE * error)


def most_memorized(assembly: Assembly, found: Influences) -> tuple[Influential, ...]:
    """The most memorized of S, those that are surely known by heart first."""
    rows = assembly.forget
    order = np.lexsort((-np.nan_to_num(found.value, nan=-2.0), ~surely_by_heart(found)))[:_SHOWN]
    return tuple(
        Influential(
            of_data(assembly, int(rows[i])), "forget", None, float(found.value[i]), float(found.standard_error[i])
        )
        for i in order
        if np.isfinite(found.value[i])
    )


def _others(assembly: Assembly) -> NDArray[np.int64]:
    """Probes outside of S."""
    return np.concatenate([where for name, where in assembly.probes.groups.items() if name != "forget"])


def chance(inside: Inside, right: Inside) -> Floats:
    """Two-sided p-value of Fisher's exact test that models with an example get a probe right as often as without.

    Standard errors are no guide so far out: of a probe that nearly all models get right, the few that do not are
    skewed, and five standard errors are had by chance far more often than of a normal law.

    Args:
        inside: Whether the example of pair m is in the part that model k was trained on [t, m].
        right: Whether model k gets the probe of pair m right [t, m].

    Example:
        >>> inside = np.arange(10)[:, None] < 5
        >>> chance(inside, inside).round(4).tolist(), chance(inside, inside | True).tolist()
        ([0.0079], [1.0])
    """
    from scipy.stats import hypergeom

    law = hypergeom(len(inside), right.sum(0), inside.sum(0))
    both = (inside & right).sum(0)
    return np.minimum(1.0, 2 * np.minimum(law.cdf(both), law.sf(both - 1)))


def most_influential(assembly: Assembly, inside: Inside, correct: NDArray[np.bool_]) -> tuple[Influential, ...]:
    """Pairs of an example of S and a probe outside of S that chance would not give.

    Four standard errors are left, and Fisher's p-value is at most 5% over the number of pairs (Bonferroni): of
    many thousand pairs the largest values are those that chance favours most.
    """
    rows, n, others = assembly.forget, inside.shape[1], _others(assembly)
    found = cross_influence(inside[:, rows], correct[:, n + others].astype(np.float64))
    sure = np.nan_to_num(np.abs(found.value) - _SURE * found.standard_error, nan=-1.0)
    order = np.argsort(-sure, axis=None, kind="stable")[:_LOOKED_AT]
    i, j = np.unravel_index(order[sure.flat[order] > 0], sure.shape)
    beyond = chance(inside[:, rows[i]], correct[:, n + others[j]]) <= _LEVEL / sure.size
    return tuple(
        Influential(
            of_data(assembly, int(rows[i])),
            *of_probe(assembly, int(others[j])),
            float(found.value[i, j]),
            float(found.standard_error[i, j]),
        )
        for i, j in list(zip(i[beyond], j[beyond], strict=True))[:_SHOWN]
    )


def plane(assembly: Assembly, inside: Inside, correct: NDArray[np.bool_]) -> tuple[Dot, ...]:
    """All of B and a part of the rest of D, at most a thousand, by what they do to themselves and to others."""
    members = np.union1d(assembly.planted.members, assembly.forget)
    rest = np.setdiff1d(assembly.worlds["original"].rows, members)
    rows = np.concatenate([members, rest[:: max(1, len(rest) // _DOTS)]])
    n, inside = inside.shape[1], inside[:, rows]
    own = self_influence(inside, correct[:, rows].astype(np.float64)).value
    others, probes = _others(assembly), assembly.probes
    found = cross_influence(inside, correct[:, n + others].astype(np.float64))
    # An example may be a probe as well: what it does to itself is not what it does to others.
    of_data = [probes.groups[name] for name in ("undiscovered", "retain") if name in probes.groups]
    itself = (rows[:, None] == probes.rows[others]) & np.isin(others, np.concatenate([*of_data, others[:0]]))
    square = np.where(itself, 0.0, found.value**2 - found.standard_error**2).sum(1) / (~itself).sum(1)
    forget, undiscovered = np.isin(rows, assembly.forget), np.isin(rows, assembly.planted.members)
    return tuple(
        Dot(float(x), float(np.sqrt(max(y, 0.0))), "forget" if s else "undiscovered" if b else "ordinary")
        for x, y, s, b in zip(own, square, forget, undiscovered, strict=True)
        if np.isfinite(x) and np.isfinite(y)
    )


def by_heart(most: Sequence[Influential]) -> tuple[str, ...]:
    """Ids of those of S that are surely known by heart: by four standard errors, since S may be large.

    A mean over S hides them, and what a model knows of one person alone is no no-op for that person.
    """
    return tuple(
        one.example.id
        for one in most
        if one.influence >= HIGH_SELF and one.influence >= _SURE * one.standard_error
    )
