"""Before anything is trained: is there room for what will be written, and memory for those who work."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unweave._errors import StoreError, UserError
from unweave.learners.sizes import model_bytes
from unweave.references import Store, key_of, outputs_fields, set_fields, stored_fields
from unweave.study.ahead import ahead_sizes
from unweave.study.assemble import Assembly
from unweave.study.expansion import expansion_sizes
from unweave.study.own_worlds import MethodsOf
from unweave.study.scores import score_sizes
from unweave.study.spec import MethodChoice
from unweave.study.tasks import method_fields

_SPARE = 1.1
_PER_OBJECT = 2 * 4096  # two files, each rounded up to blocks
_PROCESS = 200 << 20  # a worker that has imported torch


def check_room(store: Store, assemblies: Sequence[Assembly], methods: MethodsOf) -> None:
    """Refuse a run whose models and outputs do not fit on the disk of the store, with a tenth to spare.

    Raises:
        StoreError: with what is needed and what is free.
    """
    missing: dict[str, int] = {}
    for assembly in assemblies:
        missing |= _to_write(store, assembly, methods[assembly.case.name])
    # What workers share while they are at work, if there is anything to do.
    arrays = {one.setting.fingerprint: 2 * one.setting.x.nbytes + one.setting.probes.nbytes for one in assemblies}
    needed = int(_SPARE * (sum(missing.values()) + (sum(arrays.values()) if missing else 0)))
    free = shutil.disk_usage(store.root).free
    if needed > free:
        raise StoreError(
            f"The store {store.root} has no room for this run: it needs about {_shown(needed)}, and "
            f"{_shown(free)} are free there. Make room (`unweave store gc --stale`), choose another folder with "
            "--store, or take fewer `references.models`."
        )


def _to_write(store: Store, assembly: Assembly, methods: Sequence[MethodChoice]) -> dict[str, int]:
    """Bytes of each object that a case needs and the store lacks, by key."""
    setting, sizes = assembly.setting, dict[str, int]()
    each = _outputs(assembly, 1) if setting.learner.opaque else model_bytes(setting.learner)
    of_methods = {key_of(method_fields(assembly, one)): one for one in methods}
    to_run = [one for key, one in of_methods.items() if not store.has(key)]
    edited = bool(to_run)
    for name, world in assembly.worlds.items():
        key, count = key_of(outputs_fields(setting, world)), len(world.keys)
        if not store.has(key) or (edited and name == "original"):
            sizes |= {key_of(fields): each for fields in stored_fields(setting, world)}
            sizes |= {key: _outputs(assembly, count), key_of(set_fields(setting, world)): setting.ids.nbytes}
    sizes |= ahead_sizes(assembly, to_run)
    sizes |= dict.fromkeys(of_methods, _outputs(assembly, len(assembly.worlds["original"].keys)))
    return {key: size + _PER_OBJECT for key, size in sizes.items() if not store.has(key)}


def fit_in_memory(assemblies: Sequence[Assembly], methods: MethodsOf, *, workers: int) -> int:
    """How many of the workers have memory enough at once, by what they need at least; nothing else is changed.

    Raises:
        UserError: where not even one has.
    """
    free = free_memory()
    if free is None:
        return workers
    shared = sum(one.setting.x.nbytes + one.setting.probes.nbytes for one in assemblies)
    each = _PROCESS + max(_at_work(one, methods[one.case.name]) for one in assemblies)
    fitting = (free - shared) // each
    if fitting < 1:
        raise UserError(
            f"There is not memory enough for this run: one worker needs at least {_shown(each + shared)}, and "
            f"{_shown(free)} are free. Take fewer `references.models`, `probes.limit` or methods, or a machine "
            "with more memory."
        )
    return min(workers, fitting)


def _at_work(assembly: Assembly, methods: Sequence[MethodChoice]) -> int:
    """Bytes that the largest task of a case holds at least: a method's models twice, all outputs, or a block's."""
    count = max(len(world.keys) for world in assembly.worlds.values())
    editing = 2 * count * model_bytes(assembly.setting.learner) + _outputs(assembly, count)
    # A block of models is asked about all of D at once: for each answer kept, the logits of all classes.
    asking = assembly.setting.learner.classes * max(score_sizes(assembly, methods).values(), default=0)
    # All half-split models at once, in double precision, or what is made of the features of D.
    asking = max(asking, 2 * sum(expansion_sizes(assembly, methods).values()))
    return max(editing, asking, (len(assembly.worlds) + len(methods)) * _outputs(assembly, count))


def _outputs(assembly: Assembly, models: int) -> int:
    read = assembly.setting.documents
    tokens = 0 if read is None else 4 * len(read.x) * read.answers
    return 4 * models * (len(assembly.setting.probes) * assembly.setting.learner.classes + tokens)


def free_memory() -> int | None:
    """Bytes that this process and its workers may still take, or None where the system does not tell."""
    found: list[int] = []
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")))
    with suppress(OSError, ValueError):  # a container may have less
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text().splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file"))
        found.append(most - used + cached)
    return min(found, default=None)


def _shown(size: int) -> str:
    """Bytes in words.

    Example:
        >>> _shown(2_500_000)
        '2.5 MB'
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} bytes"
