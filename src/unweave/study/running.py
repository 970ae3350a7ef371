"""What runs have in common before they differ: their case, their store, whom they tell, and tasks on a case."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unweave import __version__
from unweave._errors import SpecError
from unweave.execute import Task
from unweave.problem import Case
from unweave.references import Store
from unweave.study.assemble import Assembly
from unweave.study.away import names_sent
from unweave.study.chosen_learner import about_recipe
from unweave.study.spec import Spec, case_to_tree, read_spec

Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total)."""

Message = Callable[[str], None]
"""Called with a sentence."""

DEFAULT_STORE = Path(".unweave/store")


class Told(NamedTuple):
    """Whom a run tells what, and what it will have noted in its record."""

    tell: Progress
    show: Message
    notes: list[str]

    def note(self, said: Sequence[str]) -> None:
        """Show sentences, and have them in the record."""
        self.notes.extend(said)
        for one in said:
            self.show(one)


def told_to(on_progress: Progress | None, on_message: Message | None) -> Told:
    """Whom a run tells: nobody where nothing is given."""
    return Told(on_progress or (lambda stage, done, total: None), on_message or (lambda said: None), [])


def store_of(spec: Spec) -> Store:
    """The store of a run."""
    return Store((spec.store or DEFAULT_STORE).absolute())


def case_named(case: Case | str) -> Case:
    """A case as a script gives it: itself, or the name of a registered one."""
    return read_spec(cases=[case]).cases[0] if isinstance(case, str) else case


def spec_of(
    case: Case | str,
    *,
    store: str | os.PathLike[str] | None,
    workers: int | None,
    trust_code: Sequence[str | os.PathLike[str]],
) -> Spec:
    """The spec of a script that looks at one case."""
    return Spec(
        (case_named(case),),
        store=None if store is None else Path(store),
        workers=workers,
        trust_code=tuple(Path(one) for one in trust_code),
    )


def only_case(spec: Spec, command: str) -> Case:
    """The case of a command that looks at one.

    Raises:
        SpecError: if there are others, or none.
    """
    if len(spec.cases) != 1:
        raise SpecError(f"`{command}` takes one case, got {len(spec.cases)}; name one with --case.")
    return spec.cases[0]


def counter(stage: str, total: int, tell: Progress, *, first: int = 0) -> Callable[[int, Any], None]:
    """Tell that a stage begins with `first` of `total` tasks done; returns what is to be called as each is."""
    tell(stage, first, total)
    done = count(first + 1)
    return lambda number, value: tell(stage, next(done), total)


def case_task(
    function: str, store: Store, assembly: Assembly, label: str, reads: Sequence[str], **arguments: Any
) -> Task:
    """A task on a case, in words, and what it reads of the store."""
    setting = assembly.setting
    where = {
        "store": str(store.root),
        "data": setting.fingerprint,
        "trusted": dict(assembly.trusted),
        "device": setting.device,
        "shared": None,
        "read": setting.documents is not None,
    }
    given = {"case": case_to_tree(assembly.case), "where": where, **arguments}
    return Task(f"unweave.study.tasks:{function}", given, label, names_sent(assembly, reads))


def about_run(assembly: Assembly, notes: Sequence[str]) -> dict[str, Any]:
    """The provenance of what is said of one case."""
    return {
        "unweave": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fingerprint": assembly.setting.fingerprint,
        "notes": list(notes),
        **about_recipe(assembly.case.learner, assembly.setting.learner),
    }
