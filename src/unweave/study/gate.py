"""What a run measures beside the map: asked for by name, and let through the gate before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unweave._errors import ApplicabilityError
from unweave._gate import AIMS, REFERENCE, WHAT, Aim, Applicability, Group, Need, applicable, require
from unweave.study.applicability import OF_DOCUMENTS, READ, measurement
from unweave.study.asked import Asked, MeasureChoice
from unweave.study.assemble import Assembly

DEFAULT_MEASURES = ("tow", "tow_mia", "population", "lira_offline")
"""Measured where nothing is asked for, as far as they apply."""
_NOT_STORED: frozenset[Need] = frozenset({"start"})
"""What no comparison has: outputs of nets that never learned."""


def asked_of(
    choices: Sequence[MeasureChoice] | None, assemblies: Sequence[Assembly], *, force: bool = False
) -> tuple[Asked, ...]:
    """What is measured of the rows of these cases, each once; what does not apply is refused, or forced.

    Args:
        choices: What was asked for; None = `DEFAULT_MEASURES`, as far as they apply.
        assemblies: The cases; what one of them has not is not measured there, what none of them has is refused.
        force: Whether what does not apply is measured all the same.

    Raises:
        ApplicabilityError: for what does not apply to the aim or on the group, or needs what no comparison has.
    """
    have = at_hand(assemblies)
    found: list[Asked] = []
    for choice in choices if choices is not None else [MeasureChoice(name) for name in DEFAULT_MEASURES]:
        if choice.name == "all" or choices is None:
            found += _what_applies(choice, assemblies, have)
        else:
            found += _required(choice, assemblies, have, force=force)
    return tuple(dict.fromkeys(found))


def reads_documents(asked: Sequence[Asked]) -> bool:
    """Whether models have to be read token by token for what is asked."""
    return any(one.name in READ for one in asked)


def of_documents(asked: Sequence[Asked]) -> bool:
    """Whether anything is asked that is of documents alone."""
    return any(one.name in OF_DOCUMENTS for one in asked)


def at_hand(assemblies: Sequence[Assembly]) -> frozenset[Need]:
    """What a comparison of these cases has for metrics and attacks to read."""
    worlds = {name for assembly in assemblies for name in assembly.worlds}
    lacking = {need for need in REFERENCE.values() if need not in worlds}
    return frozenset(need for need in WHAT if need not in lacking | _NOT_STORED)


def _what_applies(choice: MeasureChoice, assemblies: Sequence[Assembly], have: frozenset[Need]) -> Iterator[Asked]:
    from unweave.attacks import ATTACKS
    from unweave.metrics import METRICS

    names = [*METRICS.names(), *ATTACKS.names()] if choice.name == "all" else [choice.name]
    if _absent(choice.group, assemblies):
        return
    aims: tuple[Aim, ...] = AIMS if choice.aim is None else (choice.aim,)
    for name in names:
        for aim in aims:
            found = applicable(measurement(name), aim, on=choice.group, have=have)
            if found.status == "allowed":
                yield _asked(name, aim, choice.group, found)


def _required(
    choice: MeasureChoice, assemblies: Sequence[Assembly], have: frozenset[Need], *, force: bool
) -> list[Asked]:
    entry = measurement(choice.name)
    if choice.name in OF_DOCUMENTS and not any(assembly.data.documents for assembly in assemblies):
        raise ApplicabilityError(
            f"`{choice.name}` is a measure of language models: it reads answers of documents, and "
            f"{', '.join(assembly.case.name for assembly in assemblies)} have features. `unweave cases` lists the "
            "cases with documents, such as biographies-trigger."
        )
    if why := _absent(choice.group, assemblies):
        raise ApplicabilityError(f"`{choice.name}` cannot be asked on `{choice.group}`: it has no probes ({why}).")
    aims: tuple[Aim, ...] = AIMS if choice.aim is None else (choice.aim,)
    for forced in (False, True) if force else (False,):
        found = {aim: applicable(entry, aim, on=choice.group, have=have, force=forced) for aim in aims}
        usable: list[Aim] = [aim for aim in aims if found[aim].status != "refused"]
        if usable:
            return [_asked(choice.name, aim, choice.group, found[aim]) for aim in usable]
    try:
        require(entry, aims[0], on=choice.group, have=have, force=force)
    except ApplicabilityError as error:
        could = applicable(entry, aims[0], on=choice.group, have=have, force=True).status == "forced"
        hint = " With --force (Python: force=True) it is measured all the same, and marked." if could else ""
        raise ApplicabilityError(f"{error}{hint}") from None
    raise AssertionError("what is refused raises")


def _asked(name: str, aim: Aim, group: Group, found: Applicability) -> Asked:
    return Asked(name, aim, group, found.status, found.reason)


def _absent(group: Group, assemblies: Sequence[Assembly]) -> str:
    """Why no case has a probe group, or nothing."""
    if any(group in assembly.probes.groups for assembly in assemblies):
        return ""
    return "; ".join(dict.fromkeys(assembly.probes.absent.get(group, "no examples") for assembly in assemblies))
