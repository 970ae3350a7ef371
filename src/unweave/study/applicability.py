"""Whether a metric or an attack, by its name, may be asked of an aim."""

from __future__ import annotations

from collections.abc import Collection

from unweave._errors import UnknownNameError
from unweave._gate import Aim, Applicability, Group, Measurement, Need
from unweave._gate import applicable as applicable_entry
from unweave._registry import Entry

READ = (
    "exact_memorization",
    "extraction_strength",
    "token_loss",
    "zlib_ratio",
    "min_k",
    "min_k_plus_plus",
    "privleak",
    "answer_probability",
    "leak_at_k",
    "paraphrase_mass_ratio",
    "behaviour_on_clean",
)
"""Measures of language models for which a comparison has them read documents token by token."""
OF_CANDIDATES = ("truth_ratio", "forget_quality_effect", "model_utility", "utility_without_rouge")
"""Those that it takes from what models say of candidates, as it has them anyway."""
OF_DOCUMENTS = (*READ, *OF_CANDIDATES)
"""All measures of language models that a comparison takes."""


def measurement(name: str) -> Entry[Measurement]:
    """The entry of a metric, of an attack, or of a measure of language models that a comparison takes.

    Raises:
        UnknownNameError: for a name that is neither; near ones are offered.
    """
    from unweave.attacks import ATTACKS
    from unweave.language.measures import MEASURES
    from unweave.metrics import METRICS

    if name in OF_DOCUMENTS:
        return MEASURES.get(name)
    for registry in (METRICS, ATTACKS):
        if name in registry:
            return registry.get(name)
    raise UnknownNameError("metric or attack", name, [*METRICS.names(), *ATTACKS.names(), *OF_DOCUMENTS])


def applicable(
    name: str, aim: Aim, *, on: Group = "forget", have: Collection[Need] | None = None, force: bool = False
) -> Applicability:
    """Whether a metric or an attack may be asked of an aim on a probe group, and why it may not.

    Args:
        name: As `unweave list metrics` and `unweave list attacks` have it.
        aim: `untraining` or `unlearning`.
        on: Where it is asked: `forget` (S), `undiscovered` (B∖S), `unseen`, `retain` or `test`.
        have: What is at hand, in the words in which measurements declare their needs; None = all.
        force: Whether to run it although it does not apply; what is not there cannot be forced.

    Returns:
        Status `allowed`, `refused` or `forced`, with the reason.

    Raises:
        UnknownNameError: for a name that is neither metric nor attack.

    Example:
        >>> applicable("lira_online", "unlearning", on="unseen").status
        'allowed'
        >>> applicable("lira_online", "unlearning").reason.split(":")[0]
        'Membership inference on S says nothing about unlearning'
    """
    return applicable_entry(measurement(name), aim, on=on, have=have, force=force)
