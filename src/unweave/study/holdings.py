"""What a run has in the store: the objects that it needs, and what a reader should know of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from unweave.references import (
    Fields,
    Store,
    WorldPlan,
    data_fields,
    key_of,
    outputs_fields,
    register,
    same_but_other,
    set_fields,
    stored_fields,
)
from unweave.study.ahead import ahead_sizes
from unweave.study.assemble import Assembly
from unweave.study.own_worlds import MethodsOf
from unweave.study.tasks import method_fields


def needed(assemblies: Sequence[Assembly], methods: MethodsOf) -> set[str]:
    """Keys of all objects that a run reads or writes, but for its analyses, which it can do again in seconds."""
    keys: set[str] = set()
    for assembly in assemblies:
        setting = assembly.setting
        keys.update(key_of(method_fields(assembly, choice)) for choice in methods[assembly.case.name])
        keys.update(ahead_sizes(assembly, methods[assembly.case.name]))
        for world in assembly.worlds.values():
            keys.update(key_of(fields) for fields in stored_fields(setting, world))
            keys |= {key_of(outputs_fields(setting, world)), *ids_of(assembly, world)}
    return keys


def keep_ids(store: Store, assemblies: Sequence[Assembly]) -> None:
    """Have the ids of all data and training sets in the store, whether or not anything is trained on them now."""
    for assembly in assemblies:
        for world in assembly.worlds.values():
            register(store, assembly.setting, world)


def ids_of(assembly: Assembly, world: WorldPlan) -> list[str]:
    """Keys of the objects that hold the ids of a case's data and of a training set."""
    return [key_of(data_fields(assembly.setting)), key_of(set_fields(assembly.setting, world))]


def of_other_versions(store: Store, assemblies: Sequence[Assembly]) -> list[str]:
    """Models that are there, but of other versions of code, and so are trained anew: a sentence per case."""
    said: list[str] = []
    for assembly in assemblies:
        setting = assembly.setting
        wanted: list[Fields] = []
        for world in assembly.worlds.values():
            if not store.has(key_of(outputs_fields(setting, world))):
                wanted += [fields for fields in stored_fields(setting, world) if not store.has(key_of(fields))]
        found = same_but_other(store, wanted) if wanted else {}
        said += [
            f"{count} models of {assembly.case.name} are in the store, but of {versions}: models of two versions "
            "are not mixed, and those are trained anew."
            for versions, count in sorted(found.items())
        ]
    return said


def made_anew(store: Store, before: Collection[str]) -> list[str]:
    """Objects that were found damaged since, and where they can be looked at: one sentence, or none."""
    bad = sorted(store.quarantined() - set(before))
    if not bad:
        return []
    names = ", ".join(name.partition("-")[0] for name in bad)
    what = "1 object was" if len(bad) == 1 else f"{len(bad)} objects were"
    return [
        f"{what} found damaged, set aside in {store.root / 'quarantine'} and made anew; no number here is of "
        f"them: {names}."
    ]


def models_missing(store: Store, assembly: Assembly) -> float:
    """How many models of whole worlds are to be trained."""
    work = 0.0
    for world in assembly.worlds.values():
        if not store.has(key_of(outputs_fields(assembly.setting, world))):
            work += sum(not store.has(key_of(one)) for one in stored_fields(assembly.setting, world))
    return work
