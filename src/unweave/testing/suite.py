"""All checks of a method at once, with what to do about each that fails."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unweave._registry import Entry
from unweave.methods import METHODS, Declared, Method
from unweave.methods.plugins import build_method, method_entry
from unweave.testing import checks, direction
from unweave.testing.toys import Toy, image_toy, memorised_toy, small_toy


class Subject(NamedTuple):
    """A method to check: its entry, the parameters at which it acts on the toys, whether anything is random."""

    entry: Entry[Declared]
    params: Mapping[str, float]
    chance: bool

    def build(self) -> Method:
        """The method at the parameters at which it acts."""
        return build_method(self.entry, self.params)

    def still(self) -> Method:
        """The method at the parameters at which it says that it leaves the model as it is."""
        return build_method(self.entry, {**self.params, **self.entry.declared.identity})

    @property
    def idle(self) -> bool:
        """Whether it says that it leaves the model as it is at any parameters."""
        return not self.entry.declared.identity and not self.anew

    @property
    def anew(self) -> bool:
        """Whether it trains a new model: then there are no parameters at which the original is left as it is."""
        return "original" not in self.entry.declared.needs


class Contract(NamedTuple):
    """What is promised, the check of it, and how to mend a method that breaks it."""

    promise: str
    check: Callable[[Subject], None]
    mend: str


def _on(check: Callable[..., object], *toys: Callable[[], Toy]) -> Callable[[Subject], None]:
    def all_of_them(subject: Subject) -> None:
        for toy in toys:
            check(subject.build, toy())

    return all_of_them


def _changed(subject: Subject) -> None:
    if not subject.idle:
        checks.check_changed(subject.build, small_toy())
        checks.check_changed(subject.build, memorised_toy())


def _identity(subject: Subject) -> None:
    if subject.anew:
        return
    for toy in (small_toy(), image_toy()):
        checks.check_identity(subject.still, toy)


def _needs(subject: Subject) -> None:
    checks.check_needs(subject.build, small_toy(), subject.entry.declared.needs)


def _several(subject: Subject) -> None:
    checks.check_several(subject.build, small_toy(), several=subject.entry.declared.several)


def _keys(subject: Subject) -> None:
    checks.check_keys(subject.build, small_toy(), matter=subject.chance)


def _forgets(subject: Subject) -> None:
    if subject.entry.declared.authors_aim is not None:
        direction.check_forgets(subject.build, memorised_toy())


CONTRACTS = (
    Contract(
        "parameters are keyword-only numbers with defaults",
        lambda subject: checks.check_parameters(subject.entry),
        "write `def method(*, epochs: float = 0.1, lr: float = 0.1) -> Method`",
    ),
    Contract(
        "it is documented and says where it is from",
        lambda subject: checks.check_documented(subject.entry),
        "docstring: a sentence; the loss or update as a formula; the defaults with the paper and its year. In "
        '@method(...): `cite` as "authorYEARword", `equation`, `needs` with "original", and a `space` around the '
        "defaults",
    ),
    Contract(
        "its cost is what it differentiated",
        _on(checks.check_cost, small_toy, image_toy),
        "let `prepare_cost(n_forget, n_retain)` return the number of examples whose gradient `prepare` takes, the "
        "same whenever it is asked; steps are counted for you",
    ),
    Contract(
        "a model does not depend on the others in its stack",
        _on(checks.check_stacking, small_toy),
        "speak of one model: no state outside of `aux`, no statistic over models, noise from the `key` alone",
    ),
    Contract(
        "one by one it does the same as in a stack",
        _on(checks.check_one_by_one, small_toy),
        "use tensor operations that `torch.func.vmap` maps, and none that asks for a leading axis",
    ),
    Contract(
        "the order of a model's tensors does not matter",
        _on(checks.check_order_of_tensors, small_toy),
        "go through `sorted(net.params)` wherever you flatten or enumerate parameters",
    ),
    Contract(
        "the same key gives the same result",
        _on(checks.check_reproducible, small_toy),
        "draw from the `key` with `unweave.learners.noise`, never from torch, numpy or random",
    ),
    Contract(
        "another key gives another result",
        _keys,
        "take batches from `passes`, in the order they come, and draw noise from `key`; a method without chance "
        "is checked with chance=False",
    ),
    Contract(
        "originals and data are left as they are",
        _on(checks.check_input_untouched, small_toy, image_toy),
        "build new tensors: no `mul_`, `zero_` or assignment to a part of what is given",
    ),
    Contract(
        "it changes every model",
        _changed,
        "see that the loss depends on `net`'s own parameters and not on detached ones; where defaults do next to "
        "nothing on ten examples, check with strong={...}",
    ),
    Contract(
        "at the parameters declared as `identity` it does nothing",
        _identity,
        'declare in @method(...) at which parameters the model is left as it is; default {"epochs": 0.0}',
    ),
    Contract(
        "all stays finite, of its shape and type",
        _on(checks.check_finite, small_toy, image_toy),
        "return all parameters and buffers from `prepare`; take a smaller `lr`",
    ),
    Contract(
        "it reads what it declares to need, and nothing else",
        _needs,
        "write into `needs` exactly what the result depends on; if it names a set that changes nothing, the term "
        "of the loss that should read it has no gradient",
    ),
    Contract(
        "answers of several tokens are known as declared, or refused",
        _several,
        "with `several=True` in @method(...), take losses from `unweave.methods.losses` and give them y, by which "
        "they know where an answer has no token; without it, leave the refusal to the loop",
    ),
    Contract(
        "empty sets are refused",
        _on(checks.check_empty_sets_refused, small_toy),
        "leave the refusal to the loop: do nothing with the sets before `prepare`",
    ),
    Contract(
        "what it keeps, it keeps under weight decay",
        _on(checks.check_decay, small_toy),
        "mask the update, with `update_mask`, and not the gradient, which weight decay goes past",
    ),
    Contract(
        "it does not learn S again",
        _forgets,
        "look at the sign of the loss of S: `step` returns what is descended on",
    ),
)
"""Cost is asked first: what `prepare_cost` says must not depend on how often it was asked."""


def check_method(
    method: str | Callable[..., Method] | Entry[Declared],
    *,
    strong: Mapping[str, float] | None = None,
    chance: bool = True,
) -> None:
    """Hold a method against the contract that all methods of unweave keep; takes some seconds.

    Args:
        method: Its name, also of an installed package, or the function under `@method(...)`.
        strong: Parameters at which it acts on ten examples, where its defaults hardly do.
        chance: Whether anything in it is random; the order of batches is, so only one-shot edits may say no.

    Raises:
        AssertionError: which promises it breaks, how that showed, and how to mend it.
        UserError: for a name or parameter that does not exist.

    Example:
        >>> check_method("ssd", strong={"alpha": 1.5}, chance=False)
    """
    subject = Subject(_entry(method), dict(strong or {}), chance)
    told = [(one, said) for one in CONTRACTS if (said := _broken(one, subject))]
    if told:
        often = Counter(said for _, said in told if said.startswith(_RAISED))
        lines = [
            f"  {one.promise}: {said}\n    To mend it: {one.mend}."
            for one, said in told
            if often.get(said, 1) == 1
        ]
        # Of a method that does not run no promise was looked at, and how to keep each of them would not help.
        lines += [f"  {count} of the checks end so: {said}" for said, count in often.items() if count > 1]
        raise AssertionError(
            f"{subject.entry.name} breaks {len(told)} of {len(CONTRACTS)} promises.\n" + "\n".join(lines)
        )


_RAISED = "raised "


def _entry(method: str | Callable[..., Method] | Entry[Declared]) -> Entry[Declared]:
    if isinstance(method, str):
        return method_entry(method)
    if isinstance(method, Entry):
        return method
    for entry in METHODS:
        if entry.factory is method:
            return entry
    name: Any = getattr(method, "__name__", repr(method))
    raise AssertionError(
        f"{name} is not registered, so there is nothing to hold it against. Put @unweave.methods.method(...) "
        "above the function that returns the Method."
    )


def _broken(contract: Contract, subject: Subject) -> str:
    """How a method breaks a promise; "" if it keeps it."""
    try:
        contract.check(subject)
    except AssertionError as error:
        return str(error) or "it does not hold"
    except Exception as error:  # noqa: BLE001 - whatever an author's code raises is told
        own = [
            one for one in traceback.extract_tb(error.__traceback__) if "unweave" not in Path(one.filename).parts
        ]
        place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        said = (str(error).strip().splitlines() or ["no message"])[0]
        return f"{_RAISED}{type(error).__name__}: {said}{place}"
    return ""
