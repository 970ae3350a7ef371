"""What a diagnosis says of the model as it is deployed; all that it can say where its recipe is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._logits import label_margins
from unweave._types import NotMeasured
from unweave.influence import HIGH_CROSS, HIGH_SELF, entanglement
from unweave.records.diagnosis import DIAGNOSIS_SCHEMA, Deployed, Diagnosis, GroupChange, Memorized
from unweave.stats.ranks import rank
from unweave.study.assemble import Assembly
from unweave.study.audit_checks import OF_OUTPUTS, checks_of
from unweave.study.audit_models import of_outputs, questions
from unweave.study.copies import copies_of_forget
from unweave.study.diagnosis import about_use, features_of, rest_of
from unweave.study.given import NO_RECIPE, GivenModel, accuracies, outputs_of
from unweave.study.spec import case_to_tree


def deployed(assembly: Assembly, model: GivenModel, originals: NDArray[np.float32] | None) -> Deployed:
    """What is known of the model itself.

    Args:
        assembly: The case.
        model: The model from its file.
        originals: Logits on the probes of models that its recipe trains on D [K, n, classes]; None without one.
    """
    probes = assembly.probes
    logits = outputs_of(model.learner, model.state, probes.x)
    groups = probes.groups
    phi = label_margins(logits.astype(np.float64), probes.trained)[0]
    own, rest = phi[groups["forget"]], phi[groups.get("retain", groups["test"])]
    place = np.searchsorted(np.sort(rest), own) / len(rest)
    features = features_of(assembly, model.state)[0]
    mixed = entanglement(*features, rest=rest_of(assembly))
    return Deployed(
        sha256=model.checkpoint.sha256,
        recipe_known=assembly.case.learner.recipe_known,
        accuracy={
            name: float(accuracies(logits[:, where], probes.trained[where])[0]) for name, where in groups.items()
        },
        place=float(np.median(place)),
        entanglement=float(mixed) if np.isfinite(mixed) else None,
        recipe_p=None if originals is None else _recipe_p(assembly, logits, originals),
        notes=model.checkpoint.notes,
    )


def _recipe_p(assembly: Assembly, logits: NDArray[np.float32], originals: NDArray[np.float32]) -> float:
    """P-value that the model is of the law of the originals, by outputs alone."""
    checks = [one for one in checks_of(assembly, questions(assembly)) if one.name in OF_OUTPUTS]
    one, many = (of_outputs(found) for found in (logits, originals))
    return float(rank([check.measure(one, many) for check in checks]).p[0])


def without_recipe(
    assembly: Assembly, found: Deployed, use: str | None, *, cost: dict[str, float], provenance: dict[str, Any]
) -> Diagnosis:
    """A diagnosis of a model of which no second one can be trained: what that leaves open is said to be open."""
    missing = NotMeasured(NO_RECIPE)
    groups = tuple(
        GroupChange(name, len(where), missing, missing, missing, missing, missing)
        for name, where in assembly.probes.groups.items()
    )
    return Diagnosis(
        schema=DIAGNOSIS_SCHEMA,
        name=assembly.case.name,
        headline=f"On {assembly.case.name}: what untraining changes is not known; {NO_RECIPE}.",
        case=case_to_tree(assembly.case),
        forget=len(assembly.forget),
        behaviour=len(assembly.planted.members) if assembly.planted.known else None,
        memorized=Memorized(missing, missing, None, HIGH_SELF, 0, 0.0, None),
        entanglement=missing,
        groups=groups,
        self_level="undecided",
        cross_level="undecided",
        cross_threshold=HIGH_CROSS,
        regime="undecided",
        regime_text=f"not decided: {NO_RECIPE}",
        **about_use(assembly, use),
        advice=(
            "Without references neither aim can be verified; `unweave audit` then compares the two "
            "versions alone.",
            "`unweave erase` edits the model by a method of your choice; it cannot retrain it.",
        ),
        most_memorized=(),
        most_influential=(),
        plane=(),
        warnings=(),
        cost=cost,
        provenance=provenance,
        copies=copies_of_forget(assembly),
        model=found,
    )


def with_model(found: Diagnosis, model: Deployed, alpha: float) -> Diagnosis:
    """A diagnosis with what is known of the model itself, and a warning where its recipe is not its own."""
    return replace(found, model=model, warnings=(*found.warnings, *unlike(model, alpha)))


def unlike(model: Deployed | None, alpha: float) -> tuple[str, ...]:
    """A warning where a model is not of the law that its recipe trains; none where that is not known."""
    if model is None or model.recipe_p is None or model.recipe_p > alpha:
        return ()
    return (
        f"The model is not like those that its recipe trains on D (p = {model.recipe_p:.3f}): what is said of "
        "models of this recipe may not hold for it. Check `learner` and the data.",
    )
