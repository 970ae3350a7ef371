"""Which part of B was discovered: the forget set S of a corpus, as ids.

The selections of `unweave.problem` go by distances between features; documents have wordings and words
instead, so those here are functions of their own, under the same names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError, UnknownNameError
from unweave._random import Key, generator
from unweave.language.corpora.corpus import Corpus
from unweave.language.corpora.documents import Document

Ints = NDArray[np.int64]
UNITS: dict[str, Callable[[Document], str]] = {
    "document": lambda one: one.id,
    "paraphrase": lambda one: one.template,
    "person": lambda one: one.person or one.id,
    "group": lambda one: one.group,
}
"""What is discovered together: a document by itself, all of one wording, of one person, or of one copy group."""


def select(
    corpus: Corpus,
    *,
    key: Key,
    discovery: float | None = None,
    count: int | None = None,
    selection: str = "random",
    unit: str = "document",
) -> tuple[str, ...]:
    """The ids of S ⊆ B.

    γ is a share of the units: with `paraphrase` and γ = 0.25, all documents of two of eight wordings.

    Args:
        corpus: D and B.
        key: Determines the selection.
        discovery: γ in (0, 1]; the default is 0.2.
        count: Number of units instead of γ.
        selection: `random`; `clustered`: one at random, then those of its wording, then of the next
            wordings; `easiest` or `hardest`: lowest or highest mean −log frequency of the words in D, a
            proxy: no model is asked.
        unit: A name of `UNITS`.

    Returns:
        Ids in the order of D.

    Raises:
        SpecError: γ outside (0, 1], no or too many units, both γ and a count, clustered units that are
            no documents.
        UnknownNameError: for a selection or unit that does not exist.

    Example:
        >>> from unweave.language.corpora.corpus import make_corpus
        >>> corpus = make_corpus(people=40, questions=0.0)
        >>> chosen = select(corpus, key=0, discovery=0.25, unit="paraphrase")
        >>> len(chosen), len({one.rsplit("/")[-1] for one in chosen})
        (40, 2)
    """
    if unit not in UNITS:
        raise UnknownNameError("unit of discovery", unit, UNITS)
    if selection not in _SELECTIONS:
        raise UnknownNameError("selection of S", selection, _SELECTIONS)
    if selection == "clustered" and unit != "document":
        raise SpecError(
            f"A clustered S goes by wordings, document by document; the unit is {unit!r}. Take selection random "
            "or unit document."
        )
    wanted = set(corpus.members)
    members = [one for one in corpus.documents if one.id in wanted]
    mixed = [one for one in members if not one.template]
    if mixed and (selection == "clustered" or unit == "paraphrase"):
        raise SpecError(
            f"{len(mixed)} of {len(members)} members have several wordings (first: `{mixed[0].id}`), so S cannot "
            "go by wordings. Make the corpus with `sentences` 1, or take unit document."
        )
    units: dict[str, list[Document]] = {}
    for one in members:
        units.setdefault(UNITS[unit](one), []).append(one)
    size = _size(len(units), unit, discovery=discovery, count=count)
    names = list(units)
    order = _SELECTIONS[selection](corpus, [units[name] for name in names], generator(key, "forget"))
    chosen = {one.id for i in order[:size] for one in units[names[i]]}
    return tuple(one.id for one in members if one.id in chosen)


def _size(units: int, unit: str, *, discovery: float | None, count: int | None) -> int:
    if discovery is not None and count is not None:
        raise SpecError("The forget set has discovery and count; expected one of them.")
    share = 0.2 if discovery is None else discovery
    if count is None and not 0 < share <= 1:
        raise SpecError(f"`discovery` is {share}; expected γ in (0, 1], the share of B that was discovered.")
    size = round(share * units) if count is None else count
    if not 1 <= size <= units:
        asked = f"`discovery` {share}" if count is None else f"`count` {count}"
        raise SpecError(
            f"{asked} of {units} units ({unit}) makes {size}; expected 1 to {units} in the forget set."
        )
    return size


def _random(corpus: Corpus, units: Sequence[list[Document]], rng: np.random.Generator) -> Ints:
    del corpus
    return rng.permutation(len(units))


def _clustered(corpus: Corpus, units: Sequence[list[Document]], rng: np.random.Generator) -> Ints:
    """The wording of one document at random comes first, the others after it in random order."""
    del corpus
    wordings = [documents[0].template for documents in units]
    names = sorted(set(wordings))
    start = wordings[int(rng.integers(len(units)))]
    rank = {name: turn for turn, name in enumerate(rng.permutation(len(names)).tolist())}
    turn = [-1 if one == start else rank[names.index(one)] for one in wordings]
    return np.lexsort((rng.permutation(len(units)), np.array(turn)))


def _easiest(corpus: Corpus, units: Sequence[list[Document]], rng: np.random.Generator) -> Ints:
    return np.lexsort((rng.permutation(len(units)), _surprise(corpus, units)))


def _hardest(corpus: Corpus, units: Sequence[list[Document]], rng: np.random.Generator) -> Ints:
    return np.lexsort((rng.permutation(len(units)), -_surprise(corpus, units)))


def _surprise(corpus: Corpus, units: Sequence[list[Document]]) -> NDArray[np.float64]:
    """Mean −log frequency of the words of each unit [units]."""
    counts = Counter(word for one in corpus.documents for word in one.words)
    total = sum(counts.values())
    cost = {word: -math.log(times / total) for word, times in counts.items()}
    # fsum: equal wordings of different people are to tie, whatever the order of their words.
    means = [[math.fsum(cost[w] for w in one.words) / len(one.words) for one in documents] for documents in units]
    return np.array([math.fsum(one) / len(one) for one in means])


_SELECTIONS: dict[str, Callable[[Corpus, Sequence[list[Document]], np.random.Generator], Ints]] = {
    "random": _random,
    "clustered": _clustered,
    "easiest": _easiest,
    "hardest": _hardest,
}
