"""The exceptions of unweave.

UnweaveError
├── UserError            bad input; the message says what, where, why, what to do   (exit 2)
│   ├── SpecError        a key or value of a spec
│   ├── UnknownNameError a method, case, … that is not registered; near names offered
│   ├── ApplicabilityError  asked of something it does not apply to
│   └── DivergedError    a model that is no longer finite
└── StoreError           the store could not be read or written                      (exit 2)
    ├── CorruptObjectError  an object whose bytes do not hash to what was recorded   (exit 1)
    ├── MissingObjectError  an object that is not there, or not any more
    └── FormatError      a store of another format                               (`store verify`: exit 4)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnweaveError(Exception):
    """Anything unweave raises on purpose."""


class UserError(UnweaveError):
    """Bad input: says what is wrong, where, why it matters and what to do."""


class SpecError(UserError):
    """A key or a value of a spec is wrong."""


class ApplicabilityError(UserError):
    """Something was asked of a method, metric or case to which it does not apply."""


class DivergedError(UserError):
    """A model is no longer finite: the method or recipe diverged."""


class UnknownNameError(UserError):
    """A name that no registry knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else ""
        super().__init__(f"Unknown {kind} `{name}`.{hint} Known: {', '.join(known)}.")


class StoreError(UnweaveError):
    """The store could not be read or written."""


class MissingObjectError(StoreError):
    """An object is not there, or not any more."""


class FormatError(StoreError):
    """A store is of another format than this version of unweave reads."""


class CorruptObjectError(StoreError):
    """An object's bytes do not hash to what was recorded when it was written."""


def by_signal(error: BaseException) -> bool:
    """Whether an error ends the program as a signal does, by an exit code above 128: nobody's code is to blame.

    Example:
        >>> by_signal(SystemExit(143)), by_signal(SystemExit(1)), by_signal(SystemExit("no"))
        (True, False, False)
    """
    return isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128
