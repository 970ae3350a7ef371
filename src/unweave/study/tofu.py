"""From a case on TOFU to arrays: a checkpoint that goes on being trained, and candidates to judge it by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError, UnknownNameError
from unweave._random import Key
from unweave.data import Dataset, Examples, Ids
from unweave.data.named import find
from unweave.data.sources import limited
from unweave.language.corpora.tofu import Answered, read_tofu
from unweave.language.learners import from_checkpoint
from unweave.language.questions import Asked, Questions, arrays, asked, candidates, tokenize
from unweave.problem import (
    Case,
    ForgetChoice,
    Planted,
    Probes,
    Unseen,
    discovered,
    hold_out,
    join_probes,
    sample_rows,
)
from unweave.problem.probes import Part
from unweave.study.case_data import CaseData
from unweave.study.chosen_learner import lora_of, no_architecture, recipe_of

Ints = NDArray[np.int64]

PARTS = {
    f"forget{share:02}": f"all questions about {2 * share} of the 200 authors of TOFU, {share}%"
    for share in (1, 5, 10)
}
"""Parts of TOFU that are B, by the names of their files."""

QUESTIONS = 20
"""Questions about one author, which stand one after the other in `full.json`."""

GENERAL = ("real_authors", "world_facts")
"""Sets of questions that have nothing to do with the authors of TOFU, by the names of their files."""

_WRONG = 3
CANDIDATES = ("the answer", "its paraphrase", *(f"wrong answer {number + 1}" for number in range(_WRONG)))
"""What a model chooses among; questions without a paraphrase have the answer twice."""
ANSWER, PARAPHRASE, WRONG = 0, 1, slice(2, None)
"""Where they stand among the candidates."""


class _Read(NamedTuple):
    full: tuple[Answered, ...]
    authors: Ints
    members: tuple[Answered, ...]
    retain: tuple[Answered, ...]
    general: tuple[Answered, ...]
    sets: tuple[str, ...]


def of_tofu(case: Case, key: Key) -> CaseData:
    """Read TOFU and a checkpoint, and lay both out.

    Raises:
        SpecError: for a missing path, checkpoint or file, or one that does not fit.
        UnknownNameError: for a behaviour that is no part of TOFU.
        UserError: for questions that the tokenizer or the context of the model cannot take.
    """
    from unweave.language.adapters import check_rank
    from unweave.language.checkpoints import opened
    from unweave.language.tokenizers import read_tokenizer

    no_architecture(case.learner)
    checkpoint = case.learner.checkpoint
    if checkpoint is None:
        raise SpecError(
            "`learner.checkpoint` is missing: the folder of a pretrained model of the Llama type, with "
            "config.json, model.safetensors and tokenizer.json. TOFU is asked of a model that can read."
        )
    lora = lora_of(case.learner)
    _check_forget(case.forget)
    told = _read(case)
    model, weights = opened(Path(checkpoint))
    if lora is not None:
        check_rank(model.config, lora)
    tokenizer = read_tokenizer(model.folder, model.config)
    reworded = [replace_question(one) for one in told.members]
    others = (*reworded, *told.general)
    judged = (*told.members, *told.retain, *others)
    parts = [
        tokenize(documents, tokenizer, context=model.config.context)
        for documents in (asked(told.full), asked(others), _candidates(judged))
    ]
    length, answers = max(one.length for one in parts), max(one.answers for one in parts)
    full, test, choices = (arrays(one, length=length, answers=answers) for one in parts)
    learner = from_checkpoint(
        Path(checkpoint),
        weights,
        architecture=model.config.function(),
        length=length,
        answers=answers,
        candidates=len(CANDIDATES),
        recipe=recipe_of(case.learner),
        lora=lora,
    )
    data = Dataset(
        "tofu",
        _examples(full, told.full),
        _examples(test, others, sets=[*["reworded"] * len(reworded), *told.sets]),
        len(CANDIDATES),
        CANDIDATES,
        documents=True,
    )
    planted = _planted(data, told.members)
    forget, dropped = _forget(case.forget, planted, data.train.ids, told.authors, key)
    aside = hold_out(len(data.test), planted, count=case.probes.validation, key=key)
    each = dict(zip((one.document.id for one in judged), _by_question(choices), strict=True))
    probes = _probes(data, planted, forget, aside, each, limit=case.probes.limit, key=key)
    found_in = told.authors if case.forget.unit == "person" else None
    return CaseData(data, planted, forget, aside, probes, dropped, learner, found_in)


def replace_question(one: Answered) -> Answered:
    """A fact of B asked in other words: a new instance of it, with the same candidates."""
    assert one.texts.paraphrased_question is not None  # was checked when the file was read
    texts = one.texts._replace(question=one.texts.paraphrased_question)
    return replace(one, document=replace(one.document, id=f"{one.document.id}/reworded"), texts=texts)


def _read(case: Case) -> _Read:
    kind = case.behaviour.kind
    if kind not in PARTS:
        raise UnknownNameError("part of TOFU, in `behaviour.kind`,", kind, PARTS)
    for name in case.behaviour.parameters:
        raise SpecError(
            f"`behaviour.{name}` has no meaning for {kind}: its members are the questions of that file."
        )
    folder = find("tofu/full.json").parent if case.data.path is None else Path(case.data.path)
    full = read_tofu(folder / "full.json")
    members = read_tofu(folder / f"{kind}_perturbed.json", paraphrases=True)
    for number, one in enumerate(members, 1):
        if one.texts.paraphrased_question is None:
            raise SpecError(
                f"{folder / f'{kind}_perturbed.json'}: question {number} has no `paraphrased_question`, by which "
                "it is asked in other words. Take the file of the public TOFU."
            )
    named = {one.document.id for one in members}
    rest = np.array([row for row, one in enumerate(full) if one.document.id not in named])
    limit = None if case.data.limit is None else case.data.limit - len(members)
    if limit is not None and limit < 1:
        raise SpecError(f"`data.limit` is {case.data.limit}; B alone has {len(members)} questions, take more.")
    kept = set(limited(rest, limit).tolist())
    rows = [row for row, one in enumerate(full) if one.document.id in named or row in kept]
    full, authors = tuple(full[row] for row in rows), np.array(rows, dtype=np.int64) // QUESTIONS
    known = {one.document.id for one in full}
    if missing := sorted(named - known):
        raise SpecError(
            f"{len(missing)} of {len(named)} questions of {kind}_perturbed.json are not in full.json (first: "
            f"{missing[0]}); the files are not of one version of TOFU."
        )
    retain = [
        one for one in read_tofu(folder / "retain_perturbed.json", paraphrases=True) if one.document.id in known
    ]
    general = {name: read_tofu(folder / f"{name}_perturbed.json") for name in GENERAL}
    sets = tuple(name for name, of in general.items() for _ in of)
    questions = tuple(one for of in general.values() for one in of)
    return _Read(full, authors, members, tuple(retain), questions, sets)


def _check_forget(chosen: ForgetChoice) -> None:
    if chosen.selection != "random":
        raise SpecError(
            f"`forget.selection` is {chosen.selection!r}, which goes by distances between features, and "
            "questions have none. Take random, or name S in `forget.ids`."
        )


def _forget(
    chosen: ForgetChoice, planted: Planted, ids: Ids, authors: Ints, key: Key
) -> tuple[Ints, tuple[int | str, ...]]:
    """Rows of S, and the ids that were named but are not in D."""
    among = planted
    if chosen.unit == "person":
        _, first = np.unique(authors[planted.members], return_index=True)
        among = replace(planted, members=planted.members[first])  # one question stands for its author
    rows, dropped = discovered(chosen, among, ids, key=key)
    if chosen.unit == "person":
        rows = planted.members[np.isin(authors[planted.members], authors[rows])]
    return rows, dropped


def _candidates(questions: Sequence[Answered]) -> tuple[Asked, ...]:
    """The candidates of each question beside each other: always as many."""
    level: list[Answered] = []
    for one in questions:
        texts = one.texts
        if len(texts.perturbed) < _WRONG:
            raise SpecError(
                f"The question {texts.question[:60]!r} has {len(texts.perturbed)} wrong answers "
                f"(`perturbed_answer`); expected {_WRONG} or more. Take the files of the public TOFU."
            )
        paraphrase = texts.answer if texts.paraphrased_answer is None else texts.paraphrased_answer
        level.append(
            replace(one, texts=texts._replace(paraphrased_answer=paraphrase, perturbed=texts.perturbed[:_WRONG]))
        )
    return candidates(level).documents


def _by_question(found: Questions) -> NDArray[np.float32]:
    return found.x.astype(np.float32).reshape(-1, len(CANDIDATES), found.x.shape[1])


def _examples(found: Questions, questions: Sequence[Answered], *, sets: Sequence[str] = ()) -> Examples:
    texts = {
        **({"set": np.array(sets)} if sets else {}),
        "question": np.array([one.texts.question for one in questions]),
        "answer": np.array([one.texts.answer for one in questions]),
    }
    return Examples(found.x.astype(np.float32), found.y, found.ids, texts)


def _planted(data: Dataset, members: Sequence[Answered]) -> Planted:
    rows = np.flatnonzero(np.isin(data.train.ids, np.array([one.document.id for one in members])))
    reworded = np.arange(len(members))
    right = np.zeros(len(members), dtype=np.int64)
    unseen = Unseen(data.test.x[reworded], right, right, rows=reworded)
    return Planted(data.train.x, data.train.y, data.train.y, rows, unseen, "")


def _probes(
    data: Dataset,
    planted: Planted,
    forget: Ints,
    aside: Ints,
    candidates_of: dict[str, NDArray[np.float32]],
    *,
    limit: int,
    key: Key,
) -> Probes:
    """At most so many questions of each group; candidate 0 is right, and of B it shows the behaviour."""
    judged = np.flatnonzero(np.isin(data.train.ids, np.array(list(candidates_of))))
    assert planted.unseen is not None and planted.unseen.rows is not None
    reworded = planted.unseen.rows
    rows = {
        "forget": forget,
        "undiscovered": np.setdiff1d(planted.members, forget),
        "unseen": np.setdiff1d(reworded, aside),
        "retain": np.setdiff1d(judged, planted.members),
        "test": np.setdiff1d(np.arange(len(data.test)), np.union1d(reworded, aside)),
    }
    parts: dict[str, Part] = {}
    for name, of_group in rows.items():
        if not len(of_group):
            continue
        at = sample_rows(of_group, limit, key, name)
        ids = (data.test if name in ("unseen", "test") else data.train).ids[at]
        right = np.zeros(len(at), dtype=np.int64)
        shown = right - 1 if name in ("retain", "test") else right
        parts[name] = np.stack([candidates_of[str(one)] for one in ids]), right, shown, right, at
    absent = {name: why for name, why in _ABSENT.items() if name not in parts}
    return join_probes(parts, absent, {name: len(rows[name]) for name in ("forget", "undiscovered")})


_ABSENT = {
    "forget": "no examples",
    "undiscovered": "S = B: nothing is undiscovered",
    "unseen": "no examples",
    "retain": "no question of D∖B has wrong answers in retain_perturbed.json",
    "test": "no examples",
}
