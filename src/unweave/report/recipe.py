"""The recipe by which models of a case are trained, in one sentence of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {"lr": "learning rate", "epochs": "epochs", "batch_size": "batch size"}
_OFF = {"clip": None, "noise": 0.0, "warmup": 0, "dtype": "float32"}


def recipe_texts(provenance: Mapping[str, Any]) -> list[str]:
    """The recipe of a record and what of it nobody gave; nothing where it is not known.

    Args:
        provenance: Of the record: `recipe` holds values by name, `recipe_not_given` names.

    Example:
        >>> recipe_texts({"recipe": {"lr": 0.1, "warmup": 5}, "recipe_not_given": ["warmup"]})
        ['Recipe: learning rate 0.1, warmup 5. Not given, so taken as usual: warmup (`learner.warmup`).']
        >>> recipe_texts({})
        []
    """
    recipe = provenance.get("recipe")
    if not recipe:
        return []
    used = [name for name, value in recipe.items() if name not in _OFF or value != _OFF[name]]
    said = ", ".join(f"{_name(name)} {_value(recipe[name])}" for name in used)
    usual = [name for name in used if name in provenance.get("recipe_not_given", ())]
    if not usual:
        return [f"Recipe: {said}."]
    names = ", ".join(map(_name, usual))
    keys = f"`learner.{usual[0]}`" + (", …" if len(usual) > 1 else "")
    return [f"Recipe: {said}. Not given, so taken as usual: {names} ({keys})."]


def _name(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
