"""Proxies held against memorization, and attributions against what models of parts of D say of test probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unweave._types import Measured, NotMeasured
from unweave.influence import DIRECTION, linear_datamodeling_score, rank_leave_outs, self_leave_outs
from unweave.records.diagnosis import Proxy
from unweave.stats import interval, jackknife, leave_outs
from unweave.study.assemble import Assembly
from unweave.study.diagnosis import Floats, Parts
from unweave.study.proxies import ATTRIBUTIONS, FAMILIES, Computed, examples_of, probes_of

_NO_ATTRIBUTION = NotMeasured("says nothing of other examples")


def judge_proxies(
    assembly: Assembly, parts: Parts, names: Sequence[str], computed: Mapping[str, Computed | str]
) -> tuple[Proxy, ...]:
    """Each proxy with its rank correlation with memorization, and each attribution with its LDS.

    Args:
        assembly: The case.
        parts: The answers of models of parts of D.
        names: Proxies that were asked for.
        computed: What each family gave, or why it gave nothing.
    """
    if not names:
        return ()
    rows = examples_of(assembly)
    correct = (parts.predicted[:, rows] == assembly.setting.y[rows]).astype(np.float64)
    memorization = self_leave_outs(parts.inside[:, rows], correct)
    family_of = {name: family for family, own in FAMILIES.items() for name in own}
    return tuple(_proxy(assembly, parts, name, computed[family_of[name]], memorization) for name in names)


def _proxy(assembly: Assembly, parts: Parts, name: str, found: Computed | str, memorization: Floats) -> Proxy:
    attribution = name in ATTRIBUTIONS
    expected = 1 if DIRECTION["self-influence" if attribution else name] > 0 else -1
    examples = int(np.isfinite(memorization).all(0).sum())
    if isinstance(found, str):
        missing = NotMeasured(found)
        return Proxy(
            name, missing, expected, "", missing if attribution else _NO_ATTRIBUTION, "", 0, examples, None
        )
    correlation, over = _correlation(found.each[name], memorization)
    lds, lds_over = (_NO_ATTRIBUTION, "") if found.score is None else _lds(assembly, parts, found.score)
    return Proxy(name, correlation, expected, over, lds, lds_over, found.models, examples, found.cost)


def _correlation(each: Floats, memorization: Floats) -> tuple[Measured, str]:
    """Spearman's correlation, and what its interval is over."""
    subsets, models = len(memorization) - 1, len(each)
    both = models >= 3
    over = f"{models} originals and {subsets} models of parts of D" if both else f"{subsets} models of parts of D"
    samples = {"originals": np.arange(models)} if both else {}
    design = leave_outs({**samples, "subsets": np.arange(models, models + subsets)})
    if isinstance(design, NotMeasured):
        return design, over
    theta = rank_leave_outs(each if both else each.mean(0, keepdims=True), memorization)
    if not np.isfinite(theta).all():
        return NotMeasured("it is the same for all examples, or memorization is"), over
    return interval(jackknife(theta, design)), over


def _lds(assembly: Assembly, parts: Parts, score: Floats) -> tuple[Measured, str]:
    where = probes_of(assembly)
    phi = parts.phi[:, parts.inside.shape[1] + where].astype(np.float64)
    found = linear_datamodeling_score(score, parts.inside, phi)
    return found.mean, f"{len(where)} test probes, given {len(phi)} models of parts of D"
