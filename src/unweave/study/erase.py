"""`erase`: take examples out of a user's model: a new file beside the old one, a record, and a log of requests."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unweave._durable import flush_folder, make_folder, write_durably
from unweave._errors import ApplicabilityError, SpecError, UserError
from unweave.problem import Case, known_ids
from unweave.records import Aim, to_json
from unweave.records.erasure import Erasure
from unweave.report.toml import toml_text
from unweave.stats.ranks import references_needed
from unweave.study.assemble import Assembly, assemble
from unweave.study.choices import expands
from unweave.study.documents import names_of
from unweave.study.edit import OUTPUTS, Made, case_tree, edited, record
from unweave.study.edit_prepared import RETRAIN, Prepared, retained
from unweave.study.fair import why_not_expanded
from unweave.study.forecast import duration_text, seconds_per_model
from unweave.study.found_alone import found_alone, most_to_find
from unweave.study.given import NO_RECIPE
from unweave.study.left import check_left, check_units, model_left
from unweave.study.manifest import check_pin
from unweave.study.methods import check_methods, refusal
from unweave.study.own_code import Trusted, trusted_files
from unweave.study.request import check_content, check_size
from unweave.study.request_log import LOG, RECORD, REQUEST, Logged, check_new, log_text, read_log, records_in
from unweave.study.running import Message, Progress, Told, only_case, told_to
from unweave.study.spec import SPEC_VERSION, MethodChoice, Spec

FEWEST_MODELS = 20
"""Models on random parts of D that a diagnosis needs at least."""

_UNCHANGED = "noop"


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
    case = only_case(spec, "erase")
    if case.forget.ids is None:
        raise SpecError("`forget.ids` is missing: the records to forget. Name them there, or with --request FILE.")
    _check_run(spec, wanted)
    named = case.learner.checkpoint
    # A model that earlier requests began with may be deleted by now, as it should be.
    # Folders on the way to one that is then left again are not to be made.
    out = wanted.out.resolve() if ".." in wanted.out.parts else wanted.out
    log = read_log(out, opaque=named is None, original=None if named is None else _digest(named))
    check_new(log.without, case.forget.ids)
    assembly = _assembled(case, log, trusted_files(spec.trust_code))
    check_left(assembly, log)
    check_content(assembly.data, wanted.content)
    large = check_size(assembly, confirmed=wanted.confirm)
    opaque = assembly.setting.learner.opaque
    model = None if opaque and named is None else model_left(assembly, log)
    file = None if model is None else log.model or Path(str(named))
    if model is not None and log.model is not None and model.checkpoint.sha256 != log.sha256:
        raise UserError(
            f"{log.model} is not the model that an earlier request left (SHA-256 differs). Restore it, or "
            "choose another --out."
        )
    choice = _choice(assembly, wanted)
    check_units(assembly, log, choice.name)
    number, cost = log.number + 1, _cost(assembly, choice)
    folder = out / f"{number:04d}"
    return Prepared(assembly, model, file, number, wanted.aim, choice, cost, large, folder)


def _digest(file: str) -> str | None:
    try:
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except (OSError, ValueError):  # where no request was carried out before, reading the model says what is wrong
        return None


def _check_run(spec: Spec, wanted: EraseWanted) -> None:
    """Refuse what the spec or the command say of a run and `erase` has no use for."""
    if spec.device != "cpu":
        raise SpecError(f"`device` is {spec.device}; `erase` edits one model on the CPU. Leave `device` out.")
    if spec.fair.to_tree():
        raise SpecError("`fair` compares methods at budgets, and `erase` runs one. Leave `fair` out.")
    if "\0" in str(wanted.out):
        raise SpecError(f"--out is {str(wanted.out)!r}, which is no name of a folder.")
    if wanted.models != 0 and wanted.models < FEWEST_MODELS:
        raise SpecError(f"--models is {wanted.models}; expected at least {FEWEST_MODELS}, or 0 for no diagnosis.")


def _assembled(case: Case, log: Logged, trusted: Trusted) -> Assembly:
    """The case without what earlier requests took out, of data that are pinned where the spec pins them."""
    whole = assemble(case, trusted=trusted)
    assert whole.setting.origin is not None  # `assemble` fills it in
    if case.data.fingerprint is not None:
        check_pin(case.data.fingerprint, whole.setting.origin.fingerprint)
    # Records that were deleted from the data as well, as they should be, are not there to be left out.
    gone = known_ids(names_of(whole.data), log.without)[0]
    if not gone:
        return whole
    planted, train = whole.planted, whole.data.train
    if not (np.array_equal(planted.x, train.x) and np.array_equal(planted.y, train.y)):
        raise ApplicabilityError(
            f"`behaviour.kind` is {case.behaviour.kind}, which is planted anew in what is left of the data, so a "
            "second request would be about other data. Name the behaviour as it stands in the data (`ids`, "
            "`class`, `unknown`), or choose another --out."
        )
    data = replace(case.data, without=(*(case.data.without or ()), *gone), fingerprint=None)
    return assemble(replace(case, data=data), trusted=trusted)


def _choice(assembly: Assembly, wanted: EraseWanted) -> MethodChoice:
    from unweave.methods.refinement import names_parts

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
    if choice.name == _UNCHANGED:
        raise ApplicabilityError(f"`{_UNCHANGED}` changes nothing: name a method (`unweave list methods`).")
    if names_parts(choice.name):
        raise ApplicabilityError("`erase` runs one method on all of S; name one, or several in a row.")
    check_methods((choice,))
    if expands(choice.name) and wanted.aim == "untraining":
        raise ApplicabilityError(
            f"{choice.name} takes out more than S, and untraining is of S alone. State --aim unlearning, or name "
            "the method without `expand`."
        )
    if expands(choice.name) and (why := why_not_expanded(assembly)):
        raise ApplicabilityError(f"{choice.name} {why}.")
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
    cost = cost_of(method, recipe, sizes)  # pyright: ignore[reportArgumentType] - no budget, no parts
    return cost + (most_to_find(assembly) if expands(choice.name) else 0.0)


def run_erase(
    spec: Spec, wanted: EraseWanted, *, on_progress: Progress | None = None, on_message: Message | None = None
) -> Erasure:
    """Carry out a request and write model, record and log; see `EraseWanted`.

    Raises:
        UserError: for bad input, before anything is trained or written; for a method that diverged.
    """
    told = told_to(on_progress, on_message)
    prepared = prepare_erase(spec, wanted)
    forecast = _forecast(prepared, told.show)
    nothing, said = _consult(spec, wanted, prepared, told)
    if nothing and wanted.aim == "untraining" and not wanted.anyway:
        return _write(prepared, record(prepared, said, forecast, None), None)
    if expands(prepared.choice.name):
        prepared = prepared._replace(found=found_alone(spec, prepared.assembly, prepared.choice, told))
    made = edited(prepared, told.tell)
    return _write(prepared, record(prepared, said, forecast, made), made)


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


def _consult(spec: Spec, wanted: EraseWanted, prepared: Prepared, told: Told) -> tuple[bool, str]:
    """What `diagnose` says of the request: whether untraining changes nothing, and a sentence."""
    case = prepared.assembly.case
    if not case.learner.recipe_known:
        return False, f"No diagnosis: {NO_RECIPE}."
    if wanted.models == 0:
        return False, "No diagnosis was asked for."
    from unweave.study.deployed import unlike
    from unweave.study.diagnose import Wanted, run_diagnose
    from unweave.study.diagnosis import nothing_to_undo

    told.show("What the request would change is looked at first (--models 0 leaves that out).")
    # The method of the request is not to be tried by the diagnosis as well.
    asked = replace(spec, cases=(case,), methods=None)
    found = run_diagnose(asked, Wanted(wanted.models), on_progress=told.tell, on_message=told.show)
    # That nothing is to be undone in models of the recipe says nothing of a model of another.
    other = unlike(found.model, case.alpha)
    nothing = nothing_to_undo(found.regime, found.most_memorized)
    count, needed = case.references.models, references_needed(case.alpha)
    if found.model is not None and not other and nothing and count < needed:
        other = (
            f"Whether the model is one of its recipe cannot be told by {count} (`references.models`: {needed}).",
        )
    return nothing and not other, " ".join([found.headline, *other])


def _write(prepared: Prepared, found: Erasure, made: Made | None) -> Erasure:
    """Write model, record and spec as one folder, and the log; nothing is ever written over."""
    folder, out = prepared.folder, prepared.folder.parent
    temporary = out / f".{folder.name}.{uuid.uuid4().hex}.tmp"
    try:
        make_folder(temporary)
        if made is not None:
            write_durably(temporary / made.name, made.content)
            if made.outputs is not None:
                write_durably(temporary / OUTPUTS, made.outputs)
        write_durably(temporary / REQUEST, _request_text(prepared, made).encode())
        write_durably(temporary / RECORD, to_json(found).encode())
        if folder.exists():  # a rename would take the place of a folder that is empty
            raise FileExistsError(None, "another request was carried out in the meantime; run this one again")
        temporary.rename(folder)
        flush_folder(out)
    except OSError as error:
        raise UserError(
            f"Cannot write {folder}: {error.strerror or error}. The model as it was is untouched."
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    try:
        write_durably(out / LOG, log_text(records_in(out)).encode())
    except OSError as error:
        raise UserError(
            f"Request {found.number} is complete in {folder}, but {LOG} cannot be written: "
            f"{error.strerror or error}. The next request writes it."
        ) from None
    return found


def _request_text(prepared: Prepared, made: Made | None) -> str:
    """The spec that repeats a request, with the command that does it."""
    choice = prepared.choice
    spec: dict[str, object] = {"version": SPEC_VERSION}
    spec["methods"] = [{"name": choice.name, **choice.params}] if choice.params else [choice.name]
    code = "".join(" --trust-code FILE" for _ in prepared.assembly.trusted)
    again = f"unweave erase {REQUEST} --aim {prepared.aim} --models 0 --confirm{code} --out NEW_FOLDER"
    about = "nothing was erased" if made is None else f"the same model again: {again}"
    return f"# {about}\n" + toml_text({**spec, **case_tree(prepared)})
