"""What is audited, checked before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from unweave._errors import SpecError, UserError
from unweave.problem import ReferenceChoice
from unweave.records.audit import Audit
from unweave.records.files import KINDS, read_record
from unweave.references import WorldName, WorldPlan
from unweave.study.assemble import Assembly, assemble
from unweave.study.audit_procedure import check_procedure
from unweave.study.audit_subjects import (
    GivenOutputs,
    check_edited,
    given_outputs,
    given_retrained,
    without_groups,
)
from unweave.study.given import GivenModel, given_model
from unweave.study.own_code import trusted_files
from unweave.study.running import only_case
from unweave.study.spec import Spec

REFERENCES = 64
FRESH = 20


class AuditWanted(NamedTuple):
    """What `audit` is asked beside the case.

    Attributes:
        edited: File of the edited model, or of its outputs where of the learner nothing else is known.
        references: Reference models per aim; 0 = none are trained.
        fresh: Fresh retrains per aim, audited as if each was the edited model; 0 = none.
        retrained: Files or folders of models that were retrained without S: the references of untraining.
        procedure: A method that is compared on the case as well.
        out: Folder of the audit, for the page of that comparison.
    """

    edited: Path
    references: int = REFERENCES
    fresh: int = FRESH
    retrained: tuple[Path, ...] = ()
    procedure: str | None = None
    out: Path | None = None


class Prepared(NamedTuple):
    """What is audited: the case as arrays, both models, references that are given, and worlds that are trained.

    `original` and `edited` are None, and `outputs` is not, where of the learner nothing but outputs is known.
    """

    assembly: Assembly
    original: GivenModel | None
    edited: GivenModel | None
    outputs: GivenOutputs | None
    retrained: tuple[GivenModel, ...]
    worlds: dict[WorldName, WorldPlan]

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of what was given."""
        if self.outputs is not None:
            return {"edited": self.outputs.sha256}
        named = {"original": self.original, "edited": self.edited}
        return {name: one.checkpoint.sha256 for name, one in named.items() if one is not None}

    @property
    def unchanged(self) -> bool:
        """Whether the edited model is the original, byte for byte."""
        return len(self.files) == 2 and len(set(self.files.values())) == 1


def prepare_audit(spec: Spec, wanted: AuditWanted) -> Prepared:
    """What an audit looks at, checked before any training.

    Raises:
        UserError: whatever is wrong with it.
    """
    case = only_case(spec, "audit")
    for name, count in (("references", wanted.references), ("fresh", wanted.fresh)):
        if count < 0 or count > 10_000 or 0 < count < 3:
            raise SpecError(f"--{name} is {count}; expected 0, or 3 to 10,000.")
    chosen = ReferenceChoice(max(3, wanted.references), max(3, wanted.fresh))
    assembly = assemble(replace(case, references=chosen), trusted=trusted_files(spec.trust_code))
    if assembly.case.forget.outside:
        raise UserError("S lies outside D: no model was trained on it, and there is no edit of S to audit.")
    check_edited(assembly, wanted.edited, wanted.retrained)
    if wanted.procedure is not None:
        check_procedure(assembly, wanted.procedure)
    trained = wanted.references > 0 and case.learner.recipe_known
    worlds = _asked(assembly, wanted) if trained else {}
    if assembly.setting.learner.opaque:
        outputs = given_outputs(assembly, wanted.edited)
        return Prepared(without_groups(assembly, outputs.unanswered), None, None, outputs, (), worlds)
    original, edited = given_model(assembly), given_model(assembly, wanted.edited)
    retrained = given_retrained(assembly, wanted.retrained, original, edited)
    return Prepared(assembly, original, edited, None, retrained, worlds)


def check_earlier(folder: Path, prepared: Prepared) -> None:
    """Refuse to put an audit in the place of one of other models, which nothing else keeps.

    Raises:
        UserError: naming the folder and the model that was audited there.
    """
    file = folder / KINDS[Audit].file
    try:
        earlier = read_record(Audit, file)
    except UserError:  # nothing is there, or no audit
        return
    if earlier.files != prepared.files:
        was = earlier.provenance.get("edited", "another model")
        raise UserError(
            f"{folder} holds the audit of {was} (SHA-256 {earlier.files.get('edited', '')[:12]}…), with other "
            f"files than this one, and it would be lost. Choose another --out, or remove {file}."
        )


def _asked(assembly: Assembly, wanted: AuditWanted) -> dict[WorldName, WorldPlan]:
    """The worlds that models are trained of."""
    given = ("untrained", "null_untrained") if wanted.retrained else ()
    fresh = () if wanted.fresh else ("null_untrained", "null_unlearned")
    # Of classifiers the original is one of those of D, so no others of them are needed.
    own = ("original",) if assembly.setting.learner.opaque else ()
    left: set[str] = {*given, *fresh, *own}
    return {name: one for name, one in assembly.worlds.items() if name not in left}
