"""Documents of a case that models are read on token by token: what each group says, also in other words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._random import derive
from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.examples import Examples
from unweave.language.reading import (
    NO_OTHER_WORDS,
    NOTHING_ON_CLEAN,
    Text,
    by_document,
    lay_out,
    of_rows,
    shown_on_clean,
    told,
)
from unweave.language.tokens import BEGIN
from unweave.problem import sample_rows
from unweave.references import Documents
from unweave.study.assemble import Assembly
from unweave.study.corpora import CORPORA, generated
from unweave.study.spec import case_from_tree, case_to_tree
from unweave.study.tofu import ANSWER, GENERAL, PARAPHRASE

Ints = NDArray[np.int64]

IN_D = ("forget", "undiscovered", "retain")
"""Groups whose probes are documents of D; the others are prompts of which nothing was trained on."""


class Reading(NamedTuple):
    """What models are read on, and what each part of it is.

    Attributes:
        documents: All of it.
        mask: Which of the A places are those of an answer's tokens [n, A].
        groups: Positions of what each probe group says.
        texts: The answers of each group in words.
        others: Of groups with other wordings: positions of what they say [m], and of the same in other words
            [m, P], −1 where one has fewer than P.
        clean: Positions of prompts that carry nothing, with the value that would show the behaviour.
        no_others: Why a group is not in `others`.
        no_clean: Why `clean` is empty.
        sets: Positions among the probes of each set of general questions; only where probes are candidates, an
            answer, the same in other words and wrong ones, so that other words answer the same question.
    """

    documents: Documents
    mask: NDArray[np.bool_]
    groups: dict[str, Ints]
    texts: dict[str, tuple[str, ...]]
    others: dict[str, tuple[Ints, Ints]]
    clean: Ints
    no_others: str
    no_clean: str
    sets: dict[str, Ints]


def read_too(assembly: Assembly) -> Assembly:
    """The case with its documents, where it has any: its models are read on them as well as asked its probes."""
    reading = reading_of(assembly)
    if reading is None:
        return assembly
    return assembly._replace(setting=assembly.setting._replace(documents=reading.documents))


def reading_of(assembly: Assembly) -> Reading | None:
    """What the models of a case are read on; None for features, and for texts whose every word is a probe."""
    corpus = CORPORA.get(assembly.case.data.source)
    if corpus is None or corpus.free or not (corpus.candidates or corpus.generated):
        return None
    return _of_candidates(assembly) if corpus.candidates else _of_generated(assembly)


# ---- questions with candidates ----


def _of_candidates(assembly: Assembly) -> Reading:
    """The answer of each question, and the same in other words."""
    x, answers = assembly.probes.x, int(assembly.setting.learner.config["answers"])
    groups, each = assembly.probes.groups, len(assembly.probes.x)
    texts: dict[str, tuple[str, ...]] = {}
    for name, at in groups.items():
        part = assembly.data.train if name in IN_D else assembly.data.test
        texts[name] = tuple(part.columns["answer"][assembly.probes.rows[at]].tolist())
    documents = Documents(np.concatenate([x[:, ANSWER], x[:, PARAPHRASE]]), answers)
    of_set = assembly.data.test.columns["set"][assembly.probes.rows[groups["test"]]]
    return Reading(
        documents,
        told(documents.x, answers),
        dict(groups),
        texts,
        {name: (at, (at + each)[:, None]) for name, at in groups.items() if name != "test"},
        np.zeros(0, dtype=np.int64),
        "real authors and world facts have no answer in other words",
        NOTHING_ON_CLEAN,
        {name: groups["test"][of_set == name] for name in GENERAL},
    )


# ---- generated corpora ----


@lru_cache(maxsize=4)
def _generated(case: str) -> tuple[Corpus, Examples]:
    return generated(case_from_tree(json.loads(case)))


def _of_generated(assembly: Assembly) -> Reading:
    corpus, examples = _generated(json.dumps(case_to_tree(assembly.case), sort_keys=True))
    number = {word: place for place, word in enumerate(examples.words)}
    texts: list[Text] = []
    groups: dict[str, Ints] = {}
    others: dict[str, tuple[Ints, Ints]] = {}
    alike = by_document(corpus)

    def add(made: Sequence[Text]) -> Ints:
        texts.extend(made)
        return np.arange(len(texts) - len(made), len(texts))

    def said(prompt: Sequence[str], answer: str) -> Text:
        tokens = (BEGIN, *(number[word] for word in prompt), number[answer])
        return Text(tokens, (len(tokens) - 1,))

    for name, at in assembly.probes.groups.items():
        if name not in IN_D:
            groups[name] = add(_of_prompts(assembly, at))
            continue
        of_each = _rows_of(examples, assembly.probes.rows[at])
        groups[name] = add([of_rows(examples.train.x[rows], examples.train.y[rows]) for rows in of_each.values()])
        one_token = [place for place in groups[name] if len(texts[place].answers) == 1]
        named = dict(zip(groups[name].tolist(), of_each, strict=True))
        # Of S and B∖S alone: where nothing was to change, they would be as much again to read.
        known = {place: alike[named[place]] for place in one_token if name != "retain" and named[place] in alike}
        if known:
            wide = max(map(len, known.values()))
            table = np.full((len(known), wide), -1, dtype=np.int64)
            for row, probes in enumerate(known.values()):
                table[row, : len(probes)] = add([said(one.prompt, one.planted) for one in probes])
            others[name] = np.array(list(known), dtype=np.int64), table
    shown = shown_on_clean(corpus)
    key = derive(assembly.case.seed, "problem")
    chosen = sample_rows(np.arange(len(shown)), assembly.case.probes.limit, key, "clean")
    clean = add([said(*shown[row]) for row in chosen])
    documents = Documents(*lay_out(texts))
    words = examples.words
    answers = {
        name: tuple(" ".join(words[texts[place].tokens[at]] for at in texts[place].answers) for place in of_group)
        for name, of_group in groups.items()
    }
    mask = told(documents.x, documents.answers)
    return Reading(documents, mask, groups, answers, others, clean, NO_OTHER_WORDS, NOTHING_ON_CLEAN, {})


def _rows_of(examples: Examples, rows: Ints) -> dict[str, Ints]:
    """All answers of the documents that some answers belong to, by the id of the document."""
    train = examples.train
    wanted = dict.fromkeys(train.document[rows].tolist())
    inside = np.flatnonzero(np.isin(train.document, np.array(list(wanted), dtype=np.str_)))
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for row in inside:
        found[str(train.document[row])].append(int(row))
    return {name: np.array(of, dtype=np.int64) for name, of in found.items()}


def _of_prompts(assembly: Assembly, at: Ints) -> list[Text]:
    """Prompts that stand in no document, each with what shows the behaviour, or with the right answer."""
    probes = assembly.probes
    answer = np.where(probes.planted[at] >= 0, probes.planted[at], probes.trained[at])
    return [of_rows(x[None], y[None]) for x, y in zip(probes.x[at], answer, strict=True)]
