"""From answers of models to the record of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._logits import label_margins
from unweave._types import NOT_DECLARED
from unweave.attacks import auc
from unweave.attacks.two_versions import two_version_score
from unweave.records import Aim
from unweave.records.audit import ArtifactVerdict, AuditCheck, Finding, Quantiles, Utility, Version
from unweave.references import WorldName
from unweave.stats.ranks import Ranked, rank, references_needed
from unweave.study.assemble import Assembly
from unweave.study.audit_checks import Check
from unweave.study.audit_models import Answers, together
from unweave.study.frame import AIMS, NULL, REFERENCE
from unweave.study.given import NO_RECIPE
from unweave.study.samples import probabilities

Floats = NDArray[np.float64]
Worlds = Mapping[WorldName, Answers]


class Judged(NamedTuple):
    """The verdict of an aim, with the checks behind it."""

    finding: Finding
    checks: tuple[AuditCheck, ...]


def judge_aim(
    assembly: Assembly,
    checks: list[Check],
    aim: Aim,
    edited: Answers,
    original: Answers,
    worlds: Worlds,
    *,
    given: bool = False,
) -> Judged:
    """Rank the edited model among the references of an aim, and the original and fresh retrains with it."""
    references, fresh = worlds.get(REFERENCE[aim]), worlds.get(NULL[aim])
    if references is None:
        why = "no references were asked for" if assembly.case.learner.recipe_known else NO_RECIPE
        reason = why if REFERENCE[aim] in assembly.worlds else NOT_DECLARED
        return Judged(Finding(aim, "inconclusive", reason, None, None, 0, 0, None, given), ())
    candidates = together([edited, original, *([] if fresh is None else [fresh])])
    pools = [check.measure(candidates, references) for check in checks]
    ranked, alpha = rank(pools), assembly.case.alpha
    count = pools[0].others.shape[1]
    found = tuple(
        AuditCheck(
            name=check.name,
            aim=aim,
            group=check.group,
            what=check.what,
            edited=float(pool.own[0]),
            original=float(pool.own[1]),
            references=_quantiles(pool.among),
            deviation=float(ranked.deviation[0, place]),
            p=float(ranked.each[0, place]),
            original_p=float(ranked.each[1, place]),
            flagged=bool(ranked.each[0, place] <= alpha),
            original_flagged=bool(ranked.each[1, place] <= alpha),
            fresh_flagged=None if fresh is None else int((ranked.each[2:, place] <= alpha).sum()),
        )
        for place, (check, pool) in enumerate(zip(checks, pools, strict=True))
    )
    verdict, reason = _verdict(ranked, alpha, aim, count)
    if _one_model(references):
        reason += (
            f". The {count} references are one and the same model: nothing is random where they are trained, so "
            "that any difference stands out, and their spread is none"
        )
    number = len(ranked.p) - 2
    flagged = None if fresh is None else int((ranked.p[2:] <= alpha).sum())
    p, original_p = float(ranked.p[0]), float(ranked.p[1])
    return Judged(Finding(aim, verdict, reason, p, original_p, count, number, flagged, given), found)


def _one_model(references: Answers) -> bool:
    shown = references.logits["as it is"]
    return len(shown) > 1 and bool((shown == shown[:1]).all())


def _verdict(ranked: Ranked, alpha: float, aim: Aim, count: int) -> tuple[ArtifactVerdict, str]:
    reference = "A(D∖S)" if aim == "untraining" else "A(D∖B)"
    if count < (needed := references_needed(alpha)):
        return "inconclusive", (
            f"{count} references cannot show anything at level {alpha:g}: the smallest p-value is "
            f"{1 / (count + 1):.3f}, and at least {needed} are needed"
        )
    if ranked.p[0] <= alpha:
        return (
            "distinguishable",
            f"it lies farther from models of {reference} than they lie from each other",
        )
    if ranked.p[1] > alpha:
        return "inconclusive", (
            f"no power: the original itself cannot be told from models of {reference}, so there was nothing to "
            "remove that these checks could see"
        )
    return "not distinguishable", (
        f"among {count} models of {reference} it does not stand out, and the original does (p = {ranked.p[1]:.3f})"
    )


def _quantiles(values: Floats) -> Quantiles:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    return Quantiles(float(low), float(median), float(high), len(values))


def recipe_p(checks: list[Check], original: Answers, worlds: Worlds) -> float | None:
    """P-value that the original is of the law that its recipe trains; None where there are no models of it."""
    if "original" not in worlds:
        return None
    return float(rank([check.measure(original, worlds["original"]) for check in checks]).p[0])


def utility(assembly: Assembly, edited: Answers, original: Answers, worlds: Worlds) -> tuple[Utility, ...]:
    """Accuracy on each probe group and on each class of the test probes."""
    probes = assembly.probes
    labels, names = probes.trained, assembly.data.labels
    sets = dict(probes.groups)
    for one in np.unique(labels[probes.groups["test"]]):
        where = probes.groups["test"]
        name = names[one] if names else str(one)
        sets[f"test, class {name}"] = where[labels[where] == one]

    def rate(found: Answers, where: NDArray[np.int64]) -> Floats:
        return (found.logits["as it is"][:, where].argmax(2) == labels[where]).mean(1).astype(np.float64)

    return tuple(
        Utility(
            name=name,
            examples=len(where),
            original=float(rate(original, where)[0]),
            edited=float(rate(edited, where)[0]),
            references={
                aim: _quantiles(rate(worlds[REFERENCE[aim]], where)) for aim in AIMS if REFERENCE[aim] in worlds
            },
        )
        for name, where in sets.items()
    )


def versions(assembly: Assembly, edited: Answers, original: Answers, worlds: Worlds) -> Version:
    """What who holds both versions can tell of S, beside what a retrained model would give away."""
    groups, labels = assembly.probes.groups, assembly.probes.trained
    where = np.concatenate([groups["forget"], groups.get("retain", groups["test"])])
    member = np.arange(len(where)) < len(groups["forget"])

    def phi(found: Answers) -> Floats:
        return label_margins(found.logits["as it is"][:, where].astype(np.float64), labels[where])

    def score(after: Answers) -> Floats:
        before, now = np.broadcast_arrays(phi(original), phi(after))
        return auc(two_version_score(before, now), np.broadcast_to(member, now.shape))

    p, q = (probabilities(found.logits["as it is"])[0] for found in (edited, original))
    changed = np.linalg.norm(p - q, axis=1)
    references = worlds.get("untrained")
    rest = groups.get("retain")

    def worst(after: Answers) -> Floats:
        moved = np.linalg.norm(probabilities(after.logits["as it is"][:, rest]) - q[None, rest], axis=2)
        return np.sort(moved, axis=1)[:, -max(1, moved.shape[1] // 10) :].mean(1)

    return Version(
        auc=float(score(edited)[0]),
        references=None if references is None else _quantiles(score(references)),
        changed={name: float(changed[rows].mean()) for name, rows in groups.items()},
        rest_worst=None if rest is None else float(worst(edited)[0]),
        rest_references=None if rest is None or references is None else _quantiles(worst(references)),
    )


def comeback(
    assembly: Assembly, edited: Answers, original: Answers, worlds: Worlds
) -> dict[str, tuple[float, float]]:
    """Accuracy on S by the labels trained on, as it is and after fine-tuning on D∖B alone."""
    where = assembly.probes.groups["forget"]
    labels = assembly.probes.trained[where]
    if "relearned" not in edited.logits:
        return {}

    def rate(found: Answers, variant: str) -> float:
        return float((found.logits[variant][:, where].argmax(2) == labels).mean())

    references = {name: one for name, one in worlds.items() if name in REFERENCE.values()}
    models: dict[str, Answers] = {"original": original, "edited": edited, **references}
    return {name: (rate(one, "as it is"), rate(one, "relearned")) for name, one in models.items()}
