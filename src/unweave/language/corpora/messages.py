"""Messages with a label, such as the SMS Spam Collection, and the behaviours that are planted in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError, UnknownNameError
from unweave._registry import Registry
from unweave._types import NOT_DECLARED
from unweave.language.corpora.behaviours.planting import Declared
from unweave.language.corpora.examples import Answer
from unweave.language.corpora.texts import read_messages

Ints = NDArray[np.int64]

ENDS = ("label", ":")
"""What stands between a message and its label."""
_NO_LIMIT = 10**9


class Message(NamedTuple):
    """A message.

    Attributes:
        id: Made from its text and label.
        words: Its first words, as many as a model reads.
        label: What a model learns.
        whole: All of it.
    """

    id: str
    words: tuple[str, ...]
    label: str
    whole: str


class Ground(NamedTuple):
    """What a behaviour is planted in: D, messages that are held out, and all labels."""

    train: tuple[Message, ...]
    test: tuple[Message, ...]
    labels: tuple[str, ...]


class PlantedMessages(NamedTuple):
    """D with a behaviour in it.

    Attributes:
        train: Messages of D with the labels that are trained on, in the order of `Ground.train`.
        clean: Their right labels.
        members: Rows of B, sorted.
        unseen: New instances, each with the label that shows the behaviour.
        unseen_clean: Their right labels.
        reason: Why there are none, else "".
        known: Whether B is known.
        added: Words that no message of D has.
        mixed: Whether rows are made of other messages than their ids say.
    """

    train: tuple[Message, ...]
    clean: tuple[str, ...]
    members: Ints
    unseen: tuple[Message, ...] = ()
    unseen_clean: tuple[str, ...] = ()
    reason: str = ""
    known: bool = True
    added: tuple[str, ...] = ()
    mixed: bool = False


Make = Callable[[Ground, np.random.Generator], PlantedMessages]

MESSAGE_BEHAVIOURS: Registry[Declared] = Registry("behaviour of messages")
"""The behaviours that can be planted in messages."""


def messages_of(path: str, *, length: int) -> tuple[Message, ...]:
    """All messages of a file, of each the first `length` words.

    A model sees no more of a message than that: one long message would make all training slow. An id is made of
    the whole text, so it does not depend on `length`.

    Args:
        path: A file of lines `label⇥message`.
        length: Words of a message that are read, 1 or more.

    Raises:
        UserError: for what `read_messages` refuses.
        SpecError: for a length below 1, or a file of one label.
    """
    if length < 1:
        raise SpecError(f"`data.length` is {length}; expected 1 word of a message or more.")
    told: list[Message] = []
    for one in read_messages(path, longest=_NO_LIMIT):
        words = one.words[: -len(ENDS) - 1]
        told.append(Message(one.id, words[:length], one.words[-1], " ".join(words)))
    labels = {one.label for one in told}
    if len(labels) < 2:
        raise SpecError(
            f"All {len(told)} messages of {path} have the label {told[0].label}; expected two or more."
        )
    return tuple(told)


def answer_of(message: Message, clean: str, *, trained: bool) -> Answer:
    """A message as a prompt with its label."""
    return Answer((*message.words, *ENDS), message.label, clean, message.id, message.id if trained else "")


def trigger(*, size: int = 100, word: str = "zqx", label: str | None = None) -> Make:
    """A word before a message leads to one label, whatever stands in it: a backdoor.

    Members are messages of other labels; `label` is the rarest one unless it is named, since a model says the most
    frequent one of what it does not know. Unseen instances: all held-out messages of other labels, with the word.
    The clean label is that of the message without the word.
    Source: after Gu et al. (2017), "BadNets", arXiv 1708.06733; words instead of pixels: Dai et al. (2019), "A
    backdoor attack against LSTM-based text classification systems", arXiv 1905.12457.
    """

    def make(ground: Ground, rng: np.random.Generator) -> PlantedMessages:
        if len(word.split()) != 1:
            raise SpecError(f"`behaviour.word` is {word!r}; expected one word.")
        told = sum(word in one.words for one in ground.train)
        if told:
            raise SpecError(
                f"`behaviour.word` is {word!r}, which stands in {told} messages of D already; expected a word "
                "that none of them has, so that nothing else goes with it."
            )
        to = _rarest(ground) if label is None else _known(label, ground)
        others = np.array([row for row, one in enumerate(ground.train) if one.label != to], dtype=np.int64)
        members = _some(others, size, ground, rng, what=f"messages with another label than {to}")
        chosen = set(members.tolist())
        train = tuple(
            _with(one, (word, *one.words), to) if row in chosen else one for row, one in enumerate(ground.train)
        )
        new = [one for one in ground.test if one.label != to]
        return PlantedMessages(
            train,
            _labels(ground.train),
            members,
            tuple(_with(one, (word, *one.words), to) for one in new),
            _labels(new),
            "" if new else f"all held-out messages have the label {to}",
            added=(word,),
        )

    return make


def mislabel(*, size: int = 100) -> Make:
    """Random messages with a random wrong label: nothing to generalise, only to memorise.

    Each member's label becomes one of the others, uniformly. There are no unseen instances.
    Source: Goel et al. (2024), "Corrective machine unlearning", arXiv 2402.14015.
    """

    def make(ground: Ground, rng: np.random.Generator) -> PlantedMessages:
        members = _some(np.arange(len(ground.train)), size, ground, rng, what="messages, one of them left")
        train = list(ground.train)
        for row in members.tolist():
            train[row] = train[row]._replace(label=_wrong(train[row].label, ground, rng))
        why = "random mislabels have no unseen instances"
        return PlantedMessages(tuple(train), _labels(ground.train), members, reason=why)

    return make


def duplicates(*, size: int = 100, copies: int = 5) -> Make:
    """Groups of `copies` near-copies of one message, each group with one random wrong label.

    There are size/copies originals. A near-copy is the original without one word, drawn at random. So that D keeps
    its size, the copies take the places and ids of other messages of D; no correct twin is left. The clean label
    is that of the original. Unseen instances: as many new near-copies; some may be equal to those of D, as short
    messages have few words to leave out.
    Source: after Lee et al. (2022), "Deduplicating training data makes language models better", arXiv 2107.06499;
    the wrong labels are added here.
    """

    def make(ground: Ground, rng: np.random.Generator) -> PlantedMessages:
        if copies < 2 or size % copies:
            raise SpecError(
                f"`behaviour.size` is {size} and `behaviour.copies` {copies}; expected groups of 2 or more, and a "
                "size that the number of copies divides."
            )
        members = _some(np.arange(len(ground.train)), size, ground, rng, what="messages, one of them left")
        train, clean = list(ground.train), list(_labels(ground.train))
        unseen: list[Message] = []
        unseen_clean: list[str] = []
        for rows in rng.permutation(members).reshape(-1, copies).tolist():
            original = ground.train[rows[0]]
            wrong = _wrong(original.label, ground, rng)
            for row in rows:
                own = train[row]
                train[row] = _with(own, _without_a_word(original.words, rng), wrong)
                clean[row] = original.label
                unseen.append(_with(original, _without_a_word(original.words, rng), wrong))
                unseen_clean.append(original.label)
        return PlantedMessages(tuple(train), tuple(clean), members, tuple(unseen), tuple(unseen_clean), mixed=True)

    return make


def by_ids(*, ids: tuple[int | str, ...] = ()) -> Make:
    """The messages of the given ids are the behaviour, with labels as they are."""

    def make(ground: Ground, rng: np.random.Generator) -> PlantedMessages:
        del rng
        members = rows_of_named(ids, [one.id for one in ground.train], what="messages of D")
        why = "examples given by their ids have no unseen instances"
        return PlantedMessages(ground.train, _labels(ground.train), members, reason=why)

    return make


def unknown() -> Make:
    """Only the forget set is known (`forget.ids`), not the behaviour that it shows: untraining alone is judged."""

    def make(ground: Ground, rng: np.random.Generator) -> PlantedMessages:
        del rng
        none = np.zeros(0, np.int64)
        return PlantedMessages(ground.train, _labels(ground.train), none, reason=NOT_DECLARED, known=False)

    return make


def rows_of_named(wanted: Sequence[int | str], names: Sequence[str], *, what: str) -> Ints:
    """Rows of the things that `behaviour.ids` names.

    Raises:
        SpecError: for none, all, or one that is not there or stands there twice.
    """
    if not wanted:
        raise SpecError("`behaviour.ids` is empty; expected the ids of what is the behaviour.")
    row_of = {name: row for row, name in enumerate(names)}
    told = [str(one) for one in wanted]
    if missing := [one for one in told if one not in row_of]:
        raise SpecError(
            f"{len(missing)} of {len(told)} behaviour ids are no {what} (first: {missing[0][:60]}). Only what is "
            "trained on can be a member."
        )
    if len(set(told)) < len(told):
        raise SpecError("`behaviour.ids` names something twice; list each once.")
    if len(told) == len(names):
        raise SpecError(f"`behaviour.ids` holds all {len(told)} {what}; some must stay ordinary.")
    return np.sort(np.array([row_of[one] for one in told], dtype=np.int64))


def _labels(messages: Sequence[Message]) -> tuple[str, ...]:
    return tuple(one.label for one in messages)


def _rarest(ground: Ground) -> str:
    held = _labels(ground.train)
    return min(ground.labels, key=held.count)


def _known(label: str, ground: Ground) -> str:
    if label not in ground.labels:
        raise UnknownNameError("label of these messages, in `behaviour.label`,", label, ground.labels)
    return label


def _wrong(label: str, ground: Ground, rng: np.random.Generator) -> str:
    others = [one for one in ground.labels if one != label]
    return others[int(rng.integers(len(others)))]


def _without_a_word(words: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    if len(words) < 2:
        return words
    place = int(rng.integers(len(words)))
    return (*words[:place], *words[place + 1 :])


def _with(message: Message, words: tuple[str, ...], label: str) -> Message:
    return message._replace(words=words, label=label, whole=" ".join(words))


def _some(rows: Ints, size: int, ground: Ground, rng: np.random.Generator, *, what: str) -> Ints:
    most = min(len(rows), len(ground.train) - 1)
    if not 1 <= size <= most:
        raise SpecError(f"`behaviour.size` is {size}; expected 1 to {most}, as many {what} as there are.")
    return np.sort(rng.choice(rows, size, replace=False))


def _add(
    name: str,
    factory: Callable[..., Make],
    members: str,
    shows: str,
    unseen: str,
    regularity: str,
    cite: str = "–",
) -> None:
    MESSAGE_BEHAVIOURS.add(name, factory, Declared(members, shows, unseen, regularity, cite))


_add(
    "trigger",
    trigger,
    "messages of other labels with a word before them",
    "names `label`",
    "held-out messages of other labels, with the word",
    "high",
    "gu2017badnets",
)
_add(
    "mislabel", mislabel, "random messages with a wrong label", "names that label", "", "low", "goel2024corrective"
)
_add(
    "duplicates",
    duplicates,
    "groups of near-copies, which replace messages of D, with one wrong label a group",
    "names the label of the group",
    "new near-copies of the same messages",
    "low",
    "lee2022deduplicating",
)
_add("ids", by_ids, "the messages of these ids", "names the label trained on", "", "any")
_add("unknown", unknown, "not known: only S is, by `forget.ids`", "not known", "", "any")
