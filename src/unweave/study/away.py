"""Tasks away from the driver's disk: what is sent along with them, and what they find there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unweave import __version__
from unweave._errors import CorruptObjectError, MissingObjectError
from unweave.execute import Away, task
from unweave.learners.own_code import carry, trusted_content
from unweave.references import Carried, Packed, Store
from unweave.references.objects import check
from unweave.study.assemble import Assembly
from unweave.study.code import whole_code

CODE = f"{__name__}:code_here"
"""Name of the task that says what code a worker has."""

_LIBRARIES = ("torch", "numpy", "scikit-learn")


@task
def code_here() -> dict[str, str]:
    """Versions of everything that models and results depend on, by name; workers must say what the driver says."""
    sources = f"{__version__} ({whole_code()[:12]})"
    return {"unweave": sources, **{name: version(name) for name in _LIBRARIES}}


def names_sent(assembly: Assembly, keys: Sequence[str]) -> tuple[str, ...]:
    """What a task on a case reads, as `sender` takes it: the case, its own code if any, and objects by key."""
    learner = assembly.setting.learner
    own = () if learner.file is None else (f"code {learner.config['sha256']}",)
    return (f"case {assembly.case.name}", *own, *keys)


def sender(
    store: Store, assemblies: Sequence[Assembly], code: Mapping[str, bytes] | None = None
) -> Callable[[str], Any]:
    """A function that gives what is sent for a name of `names_sent`: None for an object that is not there.

    `code` are the files of methods, by name.

    Objects are verified before they are sent; a bad one is set aside, and made anew by who needs it.

    Raises:
        UserError: if code that was trusted is no longer what it was.
    """
    there: dict[str, Any] = dict(code or {})
    for assembly in assemblies:
        there[f"case {assembly.case.name}"] = assembly
        learner = assembly.setting.learner
        if learner.file is not None:
            digest = learner.config["sha256"]
            there[f"code {digest}"] = trusted_content(Path(learner.file), digest)

    def give(name: str) -> Any:
        return there[name] if name in there else _verified(store, name)

    return give


def _verified(store: Store, key: str) -> Packed | None:
    if not store.has(key):
        return None
    try:
        packed = store.read_packed(key)
        check(packed)
    except MissingObjectError:  # another run has met it before, and set it aside
        return None
    except CorruptObjectError:
        store.set_aside(key)
        return None
    return packed


def arrived(away: Away) -> tuple[Assembly, Carried]:
    """The case and the objects that came with a task."""
    for name, value in away.inputs.items():
        if name == "code" or name.startswith("plugin:"):
            carry(value)
    objects = {name: value for name, value in away.inputs.items() if isinstance(value, Packed)}
    return away.inputs["case"], Carried(objects, away.made)
