"""Expansion: a method that is run on more of the behaviour than S; who runs it finds the rest of it first."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from unweave._errors import SpecError
from unweave._registry import Entry
from unweave.methods.contract import METHODS, Declared, Method
from unweave.methods.meta import Several
from unweave.methods.refinement import Assigned, compose_parts

_WHOLE = re.compile(r"expand\s*\(\s*(?P<inner>[^()\s][^()]*)\)")
_SOMEWHERE = re.compile(r"\bexpand\s*\(|^\s*expand\s*$")


@dataclass(frozen=True)
class Expanded(Several):
    """Another method under the name `expand(NAME)`, its one part: its forget set is Ŝ ⊇ S, which it is given."""

    @property
    def method(self) -> Entry[Declared]:
        """What is run on Ŝ."""
        return self.parts[0][1]

    @property
    def summary(self) -> str:
        """What is run on what."""
        return f"Finds more of the behaviour of S in D∖S, and runs {self.method.name} on all of it."

    def defaults(self) -> dict[str, Any]:
        """The parameters of the method, by its own names."""
        return self.method.defaults()

    def build(self, **given: Any) -> Method:
        """The method itself: what is expanded is its forget set."""
        return self.method.build(**given)


def expanded_name(method: str) -> str:
    """The name of the expansion of a method.

    Example:
        >>> expanded_name("scrub")
        'expand(scrub)'
    """
    return f"expand({method})"


def _compose(name: str) -> Entry[Declared] | None:
    """The entry of `expand(a)` or `expand(a then b)`; else what other names of several stand for."""
    found = _WHOLE.fullmatch(name.strip())
    if found is None:
        if _SOMEWHERE.search(name):
            raise SpecError(
                f"{name!r}: `expand(…)` goes around one method or several in a row, and once: expand(scrub), "
                "expand(ssd then finetune)."
            )
        return compose_parts(name)
    inner = METHODS.get(found["inner"].strip())
    if isinstance(inner, Assigned):
        raise SpecError(
            f"{name!r}: a method for each part of S cannot be expanded; name one, or several in a row."
        )
    own = inner.declared
    declared = replace(
        own,
        family="meta",
        needs=own.needs | {"forget", "retain"},
        authors_aim="unlearning",
        equation=f"Ŝ ⊇ S in place of S: {own.equation}",
    )
    return Expanded(expanded_name(inner.name), inner.factory, declared, ((inner.name, inner),))


METHODS.compose = _compose
