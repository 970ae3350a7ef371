"""What there is to choose from, as plain lists: methods, metrics, attacks, behaviours, learners, data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unweave._errors import SpecError, UnknownNameError
from unweave._gate import AIMS, ALLOWED, WHAT, Aim, Measurement
from unweave._registry import Registry
from unweave.study.plugins import plugins_of

Listing = list[dict[str, Any]]


def catalogue(what: str, *, plugins: Sequence[Path] = ()) -> Listing:
    """One kind of thing as a list of dictionaries with `name`, `what` and what it declares.

    Args:
        what: `methods`, `scores`, `metrics`, `attacks`, `behaviours`, `corpora`, `learners` or `data`.
        plugins: Files of the user's own that register methods, which are listed as well.

    Raises:
        UnknownNameError: for another kind.
        UserError: for a file or an installed package whose methods cannot be registered.

    Example:
        >>> [entry["name"] for entry in catalogue("behaviours")][:4]
        ['trigger', 'mislabel', 'confusion', 'systematic']
    """
    if what not in _LISTINGS:
        raise UnknownNameError("kind of thing to list", what, _LISTINGS)
    if plugins and what != "methods":
        raise SpecError(f"--plugin registers methods; it has no effect on `unweave list {what}`.")
    with plugins_of(plugins):
        return _LISTINGS[what]()


def _methods() -> Listing:
    from unweave.methods import METHODS
    from unweave.methods.plugins import load_packages, origin_of

    load_packages()
    origins = {entry.name: origin_of(entry) for entry in METHODS}
    return [
        {
            "name": entry.name,
            "family": entry.declared.family,
            "what": entry.summary,
            "authors' aim": entry.declared.authors_aim or "–",
            "needs": sorted(entry.declared.needs),
            "defaults": entry.defaults(),
            "source": f"{entry.declared.cite or '–'}; {entry.declared.equation}",
            "from": "" if (own := origins[entry.name]) is None else f"{own.kind} {own.name}",
        }
        for entry in METHODS
    ]


_GOOD = {
    "higher": "higher",
    "lower": "lower",
    "reference": "that of the aim's reference",
    "none": "none: shown, never judged",
}


def _metrics() -> Listing:
    from unweave.metrics import METRICS

    return _measurements(METRICS)


def _attacks() -> Listing:
    from unweave.attacks import ATTACKS

    return _measurements(ATTACKS)


def _measurements(registry: Registry[Measurement]) -> Listing:
    return [
        {
            "name": entry.name,
            "what": entry.declared.what or entry.summary,
            **{f"for {aim}": asked_of(entry.declared, aim) for aim in AIMS},
            "needs": [need for need in WHAT if need in entry.declared.needs],
            "good": _GOOD[entry.declared.better],
            "unit": entry.declared.unit,
            "bounds": " … ".join(_bound(bound) for bound in entry.declared.bounds),
            "source": entry.declared.cite or "–",
        }
        for entry in registry
    ]


def asked_of(declared: Measurement, aim: Aim) -> str:
    """Where a measurement may be asked of an aim, and why not elsewhere, in one line.

    Example:
        >>> from unweave.metrics import METRICS
        >>> asked_of(METRICS.get("accuracy").declared, "untraining")
        'everywhere'
    """
    if declared.aims[aim] != ALLOWED:
        return f"refused: {declared.aims[aim]}"
    reasons: dict[str, list[str]] = {}
    for group, reason in declared.not_on.get(aim, {}).items():
        reasons.setdefault(reason, []).append(group)
    if not reasons:
        return "everywhere"
    refused = " ".join(f"Refused on {', '.join(groups)}: {reason}" for reason, groups in reasons.items())
    return f"{', '.join(declared.allowed_on(aim))}. {refused}"


def _bound(value: float) -> str:
    return {float("inf"): "∞", float("-inf"): "−∞"}.get(value, f"{value:.4g}".replace("-", "−"))


def _behaviours() -> Listing:
    from unweave.problem import BEHAVIOURS

    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "members": entry.declared.members,
            "planted label": entry.declared.label,
            "clean label": entry.declared.clean,
            "shown by an output that": entry.declared.shows,
            "unseen instances": entry.declared.unseen or "none",
            "regularity": entry.declared.regularity,
            "parameters": entry.defaults(),
            "source": entry.declared.cite,
        }
        for entry in BEHAVIOURS
    ]


def _corpora() -> Listing:
    from unweave.study.corpora import CORPORA

    return [{**told, "data": name} for name, corpus in CORPORA.items() for told in corpus.behaviours()]


def _learners() -> Listing:
    from unweave.language import learners as learners
    from unweave.learners import LEARNERS

    return [
        {
            "name": entry.name,
            "what": entry.summary,
            "parameters": entry.defaults(),
            "recipe": vars(entry.declared.recipe) if entry.declared.recipe else {},
            "takes": entry.declared.takes,
        }
        for entry in LEARNERS
    ]


def _data() -> Listing:
    from unweave.data import SOURCES
    from unweave.study.corpora import CORPORA

    read = [
        {
            "name": entry.name,
            "what": entry.summary,
            "shape": entry.declared.shape,
            "source": entry.declared.cite,
        }
        for entry in SOURCES
    ]
    documents = [
        {"name": name, "shape": "documents", "what": corpus.what, "source": corpus.cite}
        for name, corpus in CORPORA.items()
    ]
    return [*read, *documents]


def _scores() -> Listing:
    from unweave.methods.refinement import GIVEN_SCORES, SCORES

    return [
        {"name": name, "what": what, "of": "originals" if name in SCORES else "models trained for it"}
        for name, what in (SCORES | GIVEN_SCORES).items()
    ]


_LISTINGS: dict[str, Callable[[], Listing]] = {
    "methods": _methods,
    "scores": _scores,
    "metrics": _metrics,
    "attacks": _attacks,
    "behaviours": _behaviours,
    "corpora": _corpora,
    "learners": _learners,
    "data": _data,
}
