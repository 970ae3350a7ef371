"""Methods that need a training algorithm of their own are compared with worlds that were trained by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from unweave._errors import SpecError
from unweave.learners.specs import P_GEN, P_MEM, without_tied_variant
from unweave.problem import Case
from unweave.study.assemble import Assembly
from unweave.study.methods import trains
from unweave.study.spec import MethodChoice, case_from_tree, case_to_tree

MethodsOf = Mapping[str, Sequence[MethodChoice]]
"""The methods that run on a case, by its name."""


class Panels(NamedTuple):
    """Cases with the methods that run on each, and what a reader should know of the cases that were added."""

    assemblies: list[Assembly]
    methods: dict[str, tuple[MethodChoice, ...]]
    notes: list[str]


def panels(
    assemblies: Sequence[Assembly], methods: Sequence[MethodChoice], *, again: Callable[[Case], Assembly]
) -> Panels:
    """Give methods with a training algorithm A′ of their own a case of their own.

    For each case it is that case, with the same data, behaviour, S and seeds, but with models that A′ trained: all
    worlds, hence another map. `noop` runs there too. A case whose learner is A′ already runs all methods; one
    whose learner has no such variant keeps them, to refuse them with the reason (`refusal`); one that no method is
    left for is not run.

    Args:
        assemblies: The cases as asked for.
        methods: The methods as asked for.
        again: Assembles a case.

    Raises:
        SpecError: if a name is taken that a case of their own needs.
    """
    special = tuple(choice for choice in methods if trains(choice.name) == "etd")
    rest = tuple(choice for choice in methods if choice not in special)
    found = Panels([], {}, [])
    for assembly in assemblies:
        case, learner = assembly.case, assembly.setting.learner
        own = bool(special) and not learner.tied and not without_tied_variant(learner)
        if not own or rest:
            found.assemblies.append(assembly)
            found.methods[case.name] = rest if own else tuple(methods)
        if own:
            derived = _with_tied_dropout(case)
            if derived.name in [one.case.name for one in assemblies]:
                names = ", ".join(choice.id for choice in special)
                raise SpecError(
                    f"A case is called {derived.name}, the name of the one that {names} needs. Rename it."
                )
            found.assemblies.append(again(derived))
            found.methods[derived.name] = (MethodChoice("noop", {}), *special)
            found.notes.append(
                f"{', '.join(choice.id for choice in special)}: on models trained with example-tied dropout, in "
                f"worlds of their own ({derived.name}); data, behaviour, S and seeds are those of {case.name}."
            )
    return found


def _with_tied_dropout(case: Case) -> Case:
    derived = replace(case, name=f"{case.name}-etd", learner=replace(case.learner, etd=P_MEM, p_gen=P_GEN))
    return case_from_tree(case_to_tree(derived))
