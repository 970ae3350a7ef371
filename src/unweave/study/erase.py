"""`erase`: take examples out of a user's model: a new file beside the old one, a record, and a log of requests."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unweave._durable import flush_folder, make_folder, write_durably
from unweave._errors import ApplicabilityError, SpecError, UserError
from unweave.records import Aim
from unweave.records.erasure import Erasure, erasure_to_json
from unweave.report.toml import toml_text
from unweave.study.assemble import Assembly, assemble
from unweave.study.compare import Message, Progress
from unweave.study.edit import RETRAIN, Made, Prepared, edited, record, retained
from unweave.study.forecast import duration_text, seconds_per_model
from unweave.study.given import NO_RECIPE, given_model
from unweave.study.methods import check_methods, refusal
from unweave.study.own_code import trusted_files
from unweave.study.request import (
    LOG,
    RECORD,
    check_content,
    check_new,
    check_size,
    log_text,
    read_log,
    records_in,
)
from unweave.study.spec import SPEC_VERSION, MethodChoice, Spec


class EraseWanted(NamedTuple):
    """What `erase` is asked beside the case, whose `forget.ids` name S.

    Attributes:
        aim: Has to be stated: the two have different ideals.
        out: Folder of new models, records and the log of requests.
        method: A method with its parameters; None = retrain without S, where the recipe is known.
        content: SHA-256 that the content of some of the ids must have.
        confirm: Whether a large request is meant.
        models: Models on random parts of D for the diagnosis; 0 = none is made.
        anyway: Edit the model even where untraining is a no-op.
    """

    aim: Aim
    out: Path
    method: MethodChoice | None = None
    content: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default, never written to
    confirm: bool = False
    models: int = 100
    anyway: bool = False


def prepare_erase(spec: Spec, wanted: EraseWanted) -> Prepared:
    """Check a request: who is asked for, with what content, how much, from which model, by which method.

    Raises:
        UserError: whatever is wrong with it; nothing has been written then.
    """
    if len(spec.cases) != 1:
        raise SpecError(f"`erase` takes one case, got {len(spec.cases)}; name one with --case.")
    case, trusted = spec.cases[0], trusted_files(spec.trust_code)
    if case.forget.ids is None:
        raise SpecError("`forget.ids` is missing: the records to forget. Name them there, or with --request FILE.")
    first = assemble(replace(case, forget=replace(case.forget, ids=case.forget.ids[:1])), trusted=trusted)
    opaque = first.setting.learner.opaque
    original = None if opaque else given_model(first)
    log = read_log(wanted.out, None if original is None else original.checkpoint.sha256)
    check_new(log.without, case.forget.ids)
    earlier = (*(case.data.without or ()), *log.without)
    assembly = assemble(replace(case, data=replace(case.data, without=earlier or None)), trusted=trusted)
    check_content(assembly.data, wanted.content)
    large = check_size(assembly, confirmed=wanted.confirm)
    model, file = original, None if opaque else Path(str(case.learner.checkpoint))
    if not opaque and log.model is not None:
        model, file = given_model(assembly, log.model), log.model
        if model.checkpoint.sha256 != log.sha256:
            raise UserError(
                f"{log.model} is not the model that request {log.number} left (SHA-256 differs). Restore "
                "it, or choose another --out."
            )
    choice = _choice(assembly, wanted)
    return Prepared(assembly, model, file, log.number + 1, wanted.aim, choice, _cost(assembly, choice), large)


def _choice(assembly: Assembly, wanted: EraseWanted) -> MethodChoice:
    learner, known = assembly.setting.learner, assembly.case.learner.recipe_known
    choice = wanted.method
    if choice is None and not known:
        raise SpecError(
            "--method is missing: the recipe of the model is not known, so it cannot be retrained. Name "
            "one, such as --method scrub (`unweave list methods`; what each is for: docs/methods.md), or "
            "give `learner.epochs` and `learner.lr`."
        )
    choice = choice or MethodChoice(RETRAIN, {})
    if choice.name == RETRAIN:
        if not known:
            raise ApplicabilityError(f"`{RETRAIN}` cannot be done: {NO_RECIPE}.")
        if wanted.aim == "unlearning" and "undiscovered" in assembly.probes.groups:
            raise ApplicabilityError(
                f"`{RETRAIN}` without S does not unlearn: what S taught is still taught by B∖S. Name a method "
                "(`unweave list methods`), or put all of B into the request."
            )
        if choice.params:
            raise SpecError(f"`{RETRAIN}` takes no parameters; the recipe is that of `learner`.")
        return choice
    check_methods((choice,))
    if why := refusal(learner, choice.name, validation=len(assembly.validation)):
        raise ApplicabilityError(f"{choice.name} {why}.")
    if not learner.opaque:
        from unweave.methods import METHODS

        if "history" in METHODS.get(choice.name).declared.needs:
            raise ApplicabilityError(
                f"{choice.name} needs the history of training, and of a model from a file that is not known."
            )
    return choice


def _cost(assembly: Assembly, choice: MethodChoice) -> float:
    """What the method costs, as a multiple of one retraining."""
    if choice.name == RETRAIN or assembly.setting.learner.opaque:
        return 1.0
    from unweave.methods import Sizes, cost_of
    from unweave.study.fair import built

    method, recipe = built(choice), assembly.setting.learner.recipe
    assert recipe is not None  # it is no opaque learner
    sizes = Sizes(len(assembly.forget), len(retained(assembly)), len(assembly.validation))
    return cost_of(method, recipe, sizes)  # pyright: ignore[reportArgumentType] - no budget, no parts


def run_erase(
    spec: Spec, wanted: EraseWanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> Erasure:
    """Carry out a request and write model, record and log; see `EraseWanted`.

    Raises:
        UserError: for bad input, before anything is trained or written; for a method that diverged.
    """
    show = on_message or (lambda said: None)
    prepared = prepare_erase(spec, wanted)
    forecast = _forecast(prepared, show)
    nothing, said = _consult(spec, wanted, prepared, on_progress, show)
    if nothing and wanted.aim == "untraining" and not wanted.anyway:
        return _write(wanted, record(prepared, said, forecast, None), None)
    made = edited(prepared, on_progress)
    return _write(wanted, record(prepared, said, forecast, made), made)


def _forecast(prepared: Prepared, show: Message) -> float | None:
    """Say what will be done and about how long it takes; returns the seconds."""
    of_one = seconds_per_model(prepared.assembly)
    seconds = None if of_one is None else of_one * prepared.cost
    took = (
        "how long that takes is not known of this learner"
        if seconds is None
        else f"about {duration_text(seconds)}"
    )
    forget, n = len(prepared.assembly.forget), len(prepared.assembly.setting.y)
    large = f" This is a large request: {prepared.large}." if prepared.large else ""
    show(
        f"Request {prepared.number}: {forget} of {n} examples, by {prepared.choice.id}, "
        f"{prepared.cost:.3g} of one retraining; {took}.{large}"
    )
    return seconds


def _consult(
    spec: Spec, wanted: EraseWanted, prepared: Prepared, on_progress: Progress | None, show: Message
) -> tuple[bool, str]:
    """What `diagnose` says of the request: whether untraining changes nothing, and a sentence."""
    case = prepared.assembly.case
    if not case.learner.recipe_known:
        return False, f"No diagnosis: {NO_RECIPE}."
    if wanted.models == 0:
        return False, "No diagnosis was asked for."
    from unweave.study.diagnose import Wanted, run_diagnose
    from unweave.study.diagnosis import by_heart

    plain = replace(case, learner=replace(case.learner, checkpoint=None))
    show("What the request would change is looked at first (--models 0 leaves that out).")
    found = run_diagnose(
        replace(spec, cases=(plain,)), Wanted(wanted.models), on_progress=on_progress, on_message=show
    )
    nothing = found.regime == "no-op" and not by_heart(found.most_memorized)
    return nothing, found.headline


def _write(wanted: EraseWanted, found: Erasure, made: Made | None) -> Erasure:
    """Write model, record and spec as one folder, and the log; nothing is ever written over."""
    folder = wanted.out / f"{found.number:04d}"
    temporary = wanted.out / f".{folder.name}.{uuid.uuid4().hex}.tmp"
    spec = toml_text({"version": SPEC_VERSION, **found.case})
    try:
        make_folder(temporary)
        if made is not None:
            write_durably(temporary / made.name, made.content)
        write_durably(temporary / "request.toml", spec.encode())
        write_durably(temporary / RECORD, erasure_to_json(found).encode())
        temporary.rename(folder)
        flush_folder(wanted.out)
        write_durably(wanted.out / LOG, log_text(records_in(wanted.out)).encode())
    except OSError as error:
        raise UserError(
            f"Cannot write {folder}: {error.strerror or error}. The model as it was is untouched."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found
