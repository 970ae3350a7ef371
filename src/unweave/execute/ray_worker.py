"""What runs on a worker of Ray: it must be the same code as the driver's, then it is one task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unweave.execute.failures import as_answer
from unweave.execute.tasks import Away, call

OTHER = "other code"
"""Class of the answer of a worker that has other code than the driver."""


def answer(request: str, kin: str, names: Sequence[str], *values: Any) -> tuple[str, list[Any]]:
    """Do a task and return its answer, JSON as of any worker, and the objects that it made, done or not.

    Args:
        request: Function and arguments as JSON.
        kin: As JSON, the name of a task that says what code this is, and what it says on the driver.
        names: Names of what the task reads.
        values: What it reads.
    """
    made: list[Any] = []
    try:
        if differing := _differing(json.loads(kin)):
            return json.dumps({"error": differing, "class": OTHER}), made
        told = json.loads(request)
        inputs = {name.partition(" ")[0]: value for name, value in zip(names, values, strict=True)}
        given = {**told["arguments"], "away": Away(inputs, made)}
        return json.dumps({"value": call(told["function"], given)}), made
    except Exception as error:  # noqa: BLE001 - whatever it was, the driver reports it
        return json.dumps(as_answer(error)), made


def _differing(kin: Mapping[str, Any]) -> str:
    here = call(kin["function"], {})
    apart = [name for name, value in kin["says"].items() if here.get(name) != value]
    return "; ".join(f"{name} {here.get(name, 'none')} and not {kin['says'][name]}" for name in apart)
