"""Which fields identify what is stored: a field that came later is none of them while it is at its default."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any


def identity_of(value: Any, *, later: Collection[str]) -> dict[str, Any]:
    """The fields of a dataclass without those of `later` at their defaults: as before there were such fields.

    Example:
        >>> from unweave.problem import ReferenceChoice
        >>> identity_of(ReferenceChoice(models=8), later=("null", "models"))
        {'models': 8, 'paired': False}
    """
    left_out = {one.name for one in fields(value) if one.name in later and getattr(value, one.name) == one.default}
    return {name: inner for name, inner in asdict(value).items() if name not in left_out}
