"""What a method is: functions about ONE model; the loop and the stack of replicas are not its business."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from torch import Tensor

from unweave._errors import UnknownNameError, UserError
from unweave._registry import Entry, Registry
from unweave.learners.contract import Learner, Params, State
from unweave.learners.specs import Recipe
from unweave.methods.net import Net as Net

Aim = Literal["untraining", "unlearning"]
Training = Literal["etd"]
"""A training algorithm A′ that a method may need."""
Pass = Literal["forget", "retain", "both", "all"]
"""Which batches a step takes: of S, of D∖S, of both, or of both and of the validation set."""
SETS: dict[Pass, tuple[str, ...]] = {
    "forget": ("forget",),
    "retain": ("retain",),
    "both": ("forget", "retain"),
    "all": ("forget", "retain", "validation"),
}
"""Of which sets the batches of a step are."""
ONE_TOKEN = "is for answers of one token, and here some have several"
"""Why a method that does not know answers of several tokens is refused on such data."""
NO_NUMBERS = "makes or moves inputs as numbers, and those of a language model are names of tokens"
"""Why a method that declares `alters` is refused on language models."""
SGD_ALONE = "holds for training by SGD alone, and these models are trained by another optimiser"
"""Why a method that declares `sgd` is refused on models trained by AdamW."""
NO_VALIDATION = "The method needs examples that no model was trained on: give `validation`."
Aux = Any
"""What a method carries from `prepare` to its steps: any tree of tensors about one model."""


class Examples(NamedTuple):
    """A set of examples with its labels as trained on: x [n, ...], y [n].

    Answers of several tokens are y [n, A], −100 where one has fewer than A; logits are [n, classes, A] then.
    """

    x: Tensor
    y: Tensor


class Given(NamedTuple):
    """What a method is given beside the model, all about ONE model.

    Attributes:
        forget: S with the labels it was trained on.
        retain: D∖S with the labels it was trained on.
        original: The model as the method was given it: as deployed, or what the method before left of it; in a
            later stage the net is what the stage before left.
        validation: Examples like those of D that no model was trained on; None unless the method declares that it
            needs "validation".
        history: What `Method.history` made of the training of this model; None without it.
        trained_on: How many examples the model was trained on, which may be more than S and D∖S hold where S is
            handled in parts; None unless the history of training is known.
    """

    forget: Examples
    retain: Examples
    original: State
    validation: Examples | None = None
    history: Any = None
    trained_on: int | None = None

    @property
    def held_out(self) -> Examples:
        """The validation set, for methods that declare that they need it.

        Raises:
            UserError: if there is none.
        """
        if self.validation is None:
            raise UserError(NO_VALIDATION)
        return self.validation


class Batch(NamedTuple):
    """A mini-batch: x [b, ...], y [b] or [b, A], and the position of each example in its set [b]."""

    x: Tensor
    y: Tensor
    position: Tensor


class Plan(NamedTuple):
    """How long a method runs: epochs, and the number of batches in one pass over S and over D∖S."""

    epochs: int
    forget_batches: int
    retain_batches: int


def plan_for(epochs: float, recipe: Recipe, *, n_forget: int, n_retain: int) -> Plan:
    """The plan of a method that runs for a share of a recipe's epochs, at least one.

    Example:
        >>> plan_for(1 / 3, Recipe(lr=0.1, epochs=30, batch_size=64), n_forget=10, n_retain=100)
        Plan(epochs=10, forget_batches=1, retain_batches=2)
    """
    size = recipe.batch_size
    return Plan(max(1, round(epochs * recipe.epochs)), math.ceil(n_forget / size), math.ceil(n_retain / size))


class Moment(NamedTuple):
    """One step of the training of one model.

    Attributes:
        number: Of the step, from 0; a plain number.
        epoch: From 0; a plain number.
        epochs: Of the whole training.
        before: Parameters before the step.
        after: Parameters after it.
        forget: Whether each example of the batch is in S [b].
        buffers: Buffers before the step: with `before`, what a checkpoint of that moment holds.
    """

    number: int
    epoch: int
    epochs: int
    before: Params
    after: Params
    forget: Tensor
    buffers: Params


class History(NamedTuple):
    """What a method wants to know of the training, as a fold over its steps: any tree of tensors is carried.

    Training is repeated for it, to the bit: nothing has to be stored. What that takes is no cost of the method,
    whose authors keep what they need while the model is trained.

    Attributes:
        begin: `parameters before training → carried`.
        follow: `(carried, moment) → carried`; None where the start is all that is wanted: nothing is repeated.
        once: Whether what it tells is taken off the model: refused after a method that read the history or trained
            anew, in a row or for another part of S, since the model is no longer what that history made.
    """

    begin: Callable[[Params], Any]
    follow: Callable[[Any, Moment], Any] | None = None
    once: bool = False


Prepare = Callable[[Net, Given, Tensor], tuple[State, Aux]]
Step = Callable[[Net, Aux, Mapping[str, Batch], int, Tensor], Tensor]
Respond = Callable[[Net, Aux, Mapping[str, Batch], int, Tensor], Aux]
Until = Callable[[Net, Aux, Given], Tensor]
Passes = Callable[[Plan], Sequence[Pass]]


class Rewind(NamedTuple):
    """Which epoch each model goes back to when all steps are taken: that of the smallest score.

    Of equal scores the first counts; the model as it was before the first step is no candidate. Stages in a row
    that hold one and the same object choose once, after the last of them, among the epochs of all of them: each
    stage starts from what the one before left, and `score` is told what was measured after the very last epoch.

    Attributes:
        measure: `(net, aux, given) → measured`, after each epoch: any tree of tensors about the model.
        score: `(measured after an epoch, measured after the last one) → number []`.
        ends: `plan → steps taken at the end of each epoch`; None = epochs are equally long.
    """

    measure: Callable[[Net, Aux, Given], Any]
    score: Callable[[Any, Any], Tensor]
    ends: Callable[[Plan], Sequence[int]] | None = None


class Widening(NamedTuple):
    """Units that a method adds to the net for its own use, and takes away again; functions about one model.

    Stages in a row that hold one and the same object run in one wider net. What a model of it computes in use is
    what is left of it when it is cut: whoever looks at the method on its way sees that.

    Attributes:
        learner: `learner → the learner of the wider net`.
        enter: `learner → (state, key) → state` of the wider net.
        leave: `learner → state` of the wider net `→ state`.
    """

    learner: Callable[[Learner], Learner]
    enter: Callable[[Learner], Callable[[State, Tensor], State]]
    leave: Callable[[Learner], Callable[[State], State]]


class Method(NamedTuple):
    """An algorithm as functions about one model; all but one of them have defaults.

    Attributes:
        step: `(net, aux, batches, i, key) → loss`, a scalar to descend on; `batches` holds "forget",
            "retain" or both, and "validation", as `passes` asked. None for a one-shot edit.
        epochs: Share of the recipe's epochs: 1/3 of a recipe of 30 is 10 passes. 0 = no step.
        lr: Learning rate as a multiple of the recipe's.
        prepare: `(net, given, key) → (state, aux)`: masks, teachers, one-shot edits.
        update_mask: `aux → {parameter: 0/1}`, multiplied onto the update after weight decay; a buffer that it
            names with 0 is kept as well.
        passes: Which batches each step takes, in order, given the plan.
        prepare_cost: `(n_forget, n_retain) → examples` whose gradient `prepare` takes.
        respond: `(net, aux, batches, i, key) → aux`, before each step and with its batches: the move of an
            adversary or a moving average, which changes what `step` reads and never the net. Of the same shapes.
        project: `(aux, update) → update`: any linear map of the update of all parameters, after weight decay.
        until: `(net, aux, given) → bool []`, asked before the first step and after each epoch: a model for which
            it holds is left as it is.
        rewind: Which epoch each model goes back to in the end; None = it stays as the last step left it.
        history: What of the training `prepare` finds in `given.history`.
        made: How many examples of the method's own making each step differentiates beside its batches.
        then: The next stage: a method that starts from what this one left, with momentum and randomness of its
            own.
        anew: The stage is the learner's training itself, on D∖S from a start of its own: it takes no `step`, and
            nothing of the original enters.
        widening: Units that it adds for its own use; its `step` and all else that it does is about the wider net.
        carries: Whether the momentum is not its own, but goes on from what the stage before left.
        scaffold: Whether what it leaves is no result, but only what the next stage starts from: at a rise no model
            is looked at or stopped in it.
        begins: Whether it begins a method of its own in a row of several, as `chain` says of each but the first:
            its original is what was left before it, and units or momentum of the method before are gone.
        several: Whether it knows answers of several tokens; set from what its factory declares.
    """

    step: Step | None
    epochs: float
    lr: float
    prepare: Prepare | None = None
    update_mask: Callable[[Aux], Params] | None = None
    passes: Passes | None = None
    prepare_cost: Callable[[int, int], int] | None = None
    respond: Respond | None = None
    project: Callable[[Aux, Params], Params] | None = None
    until: Until | None = None
    rewind: Rewind | None = None
    history: History | None = None
    made: int = 0
    then: Method | None = None
    anew: bool = False
    widening: Widening | None = None
    carries: bool = False
    scaffold: bool = False
    begins: bool = False
    several: bool = False

    def stages(self) -> list[Method]:
        """The method and all that follow it, in order."""
        return [self, *([] if self.then is None else self.then.stages())]


@dataclass(frozen=True)
class Declared:
    """What a method declares: checked at the door and shown by `unweave list methods`.

    Attributes:
        family: Mechanism.
        needs: What it reads: forget, retain, original, validation, history. Only what trains anew reads no
            original.
        authors_aim: Which of the two aims its authors had.
        cite: Key of the source.
        equation: Where in the source the update stands.
        space: Search space per parameter as (low, high), on a log scale where low > 0.
        identity: Parameters at which the method leaves the model as it is (a contract every method keeps that
            reads the original).
        bibtex: The entry of `cite`, where unweave's own `sources.bib` does not hold it.
        trains: The training algorithm A′ that it needs: "etd" for example-tied dropout. It is compared to models
            that were trained so; None where it takes models as they are.
        widens: Whether it adds hidden units: it runs on learners that have a variant with example-tied dropout.
        several: Whether it knows answers of several tokens, y [n, A]; if not it is refused there (`ONE_TOKEN`).
        alters: Whether it makes or moves inputs x, which must be numbers then and not tokens (`NO_NUMBERS`).
        sgd: Whether its formula holds for models trained by SGD alone (`SGD_ALONE`).
    """

    family: str
    needs: frozenset[str]
    authors_aim: Aim | None
    cite: str
    equation: str
    space: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    identity: Mapping[str, float] = field(default_factory=lambda: {"epochs": 0.0})
    bibtex: str = ""
    trains: Training | None = None
    widens: bool = False
    several: bool = False
    alters: bool = False
    sgd: bool = False


@dataclass(frozen=True)
class Known(Entry[Declared]):
    """A registered method, whose stages know what it declares of answers of several tokens."""

    def build(self, **given: Any) -> Any:
        """The method with these parameters, as `Entry.build`."""
        made = super().build(**given)
        return _knowing(made) if self.declared.several and isinstance(made, Method) else made


def _knowing(made: Method) -> Method:
    return made._replace(several=True, then=None if made.then is None else _knowing(made.then))


METHODS: Registry[Declared] = Registry("method")

NEEDS = frozenset({"original", "forget", "retain", "validation", "history"})
"""What a method may read."""

Factory = TypeVar("Factory", bound=Callable[..., Method])


def method(
    *,
    name: str,
    family: str,
    needs: set[str],
    authors_aim: Aim | None,
    cite: str,
    equation: str,
    space: Mapping[str, tuple[float, float]] | None = None,
    identity: Mapping[str, float] | None = None,
    bibtex: str = "",
    trains: Training | None = None,
    widens: bool = False,
    several: bool = False,
    alters: bool = False,
    sgd: bool = False,
) -> Callable[[Factory], Factory]:
    """Register a factory `(*, parameters) → Method` under a name, with what it declares.

    Raises:
        UnknownNameError: for an aim, or something that it needs, that does not exist.
    """
    for one in needs - NEEDS:
        raise UnknownNameError("entry of `needs`", one, NEEDS)
    if authors_aim is not None and authors_aim not in get_args(Aim):
        raise UnknownNameError("aim (`authors_aim`)", authors_aim, get_args(Aim))
    still = {"epochs": 0.0} if identity is None else dict(identity)
    declared = Declared(
        family,
        frozenset(needs),
        authors_aim,
        cite,
        equation,
        dict(space or {}),
        still,
        bibtex,
        trains,
        widens,
        several,
        alters,
        sgd,
    )

    def add(factory: Factory) -> Factory:
        METHODS.put(Known(name, factory, declared))
        return factory

    return add


_FORGET: list[Pass] = ["forget"]
_RETAIN: list[Pass] = ["retain"]
_BOTH: list[Pass] = ["both"]


def retain_pass(plan: Plan) -> Sequence[Pass]:
    """Every epoch one pass over D∖S."""
    return _RETAIN * (plan.epochs * plan.retain_batches)


def forget_pass(plan: Plan) -> Sequence[Pass]:
    """Every epoch one pass over S."""
    return _FORGET * (plan.epochs * plan.forget_batches)


def joint_pass(plan: Plan) -> Sequence[Pass]:
    """Every epoch one pass over D∖S, each step together with the next batch of S (cycling)."""
    return _BOTH * (plan.epochs * plan.retain_batches)


def forget_then_retain(plan: Plan) -> Sequence[Pass]:
    """Every epoch a pass over S and then a pass over D∖S."""
    return (_FORGET * plan.forget_batches + _RETAIN * plan.retain_batches) * plan.epochs
