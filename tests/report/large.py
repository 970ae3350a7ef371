"""The largest page that is meant to be looked at: sixty methods on six cases, other numbers in each row."""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass, replace
from typing import Any

from unweave._types import Estimate
from unweave.records import CaseResult, Cost
from unweave.report.png import png_address

METHODS, CASES = 60, 6


def large_cases(trigger: CaseResult) -> list[CaseResult]:
    """Six cases of sixty methods each, made of the methods, pictures and furthest probes of one."""
    rng = random.Random(0)

    def shaken(value: Any) -> Any:
        """Other numbers in each row, for equal ones would be packed to nothing."""
        if isinstance(value, Estimate):
            up = rng.uniform(0.4, 1.4)
            low, high = (None if end is None else end * up + rng.gauss(0, 1e-3) for end in (value.low, value.high))
            return Estimate(value.value * up, low, high, value.n)
        if isinstance(value, dict):
            return {key: shaken(one) for key, one in value.items()}
        if is_dataclass(value) and not isinstance(value, Cost):
            return replace(value, **{one.name: shaken(getattr(value, one.name)) for one in fields(value)})
        return value

    picture = png_address(rng.randbytes(32 * 32 * 3), 32, 32, colours=True)
    methods = [row for row in trigger.rows if row.kind == "method" and row.status == "ok"]
    others = tuple(row for row in trigger.rows if row.kind != "method")
    assert methods[0].furthest
    cases = []
    for case in range(CASES):
        rows = [
            replace(shaken(methods[k % len(methods)]), id=f"method {k}", name=f"method {k}")
            for k in range(METHODS)
        ]
        examples = tuple(replace(trigger.examples[0], image=picture) for _ in range(3 * METHODS))
        furthest = [
            tuple(replace(methods[0].furthest[0], example=3 * k + place) for place in range(3))
            for k in range(METHODS)
        ]
        rows = [replace(row, furthest=three) for row, three in zip(rows, furthest, strict=True)]
        cases.append(replace(trigger, name=f"case {case}", rows=(*others, *rows), examples=examples))
    return cases
