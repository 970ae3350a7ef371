"""How facts are put into words: eight wordings that are trained on, four held out, and a question.

The value is the last word before the full stop, so that a prompt is all that stands before it. Held-out
wordings are made of words that stand in trained ones: a word that was never trained says nothing to a
model.
"""

from __future__ import annotations

from collections.abc import Mapping

TRAINED: Mapping[str, tuple[str, ...]] = {
    "region": (
        "{name} comes from {value} .",
        "{name} was born in {value} .",
        "the family of {name} lives in {value} .",
        "home for {name} is {value} .",
        "{name} grew up in {value} .",
        "as a child {name} lived in {value} .",
        "people say that {name} is from {value} .",
        "the place where {name} was born is {value} .",
    ),
    "employer": (
        "{name} works at {value} .",
        "{name} is employed by {value} .",
        "the employer of {name} is {value} .",
        "every day {name} goes to work at {value} .",
        "{name} has a job with {value} .",
        "{name} earns a living at {value} .",
        "the company that pays {name} is {value} .",
        "since last year {name} has worked for {value} .",
    ),
    "city": (
        "{name} works in the city of {value} .",
        "the office of {name} is in {value} .",
        "{name} has a desk in {value} .",
        "every day {name} travels to {value} .",
        "the job of {name} is in {value} .",
        "for work {name} moved to {value} .",
        "you can meet {name} at work in {value} .",
        "the town where {name} earns money is {value} .",
    ),
    "field": (
        "{name} studied {value} .",
        "{name} has a degree in {value} .",
        "the subject of {name} was {value} .",
        "{name} knows a lot about {value} .",
        "the thesis of {name} is about {value} .",
        "for years {name} learned {value} .",
        "{name} passed an exam in {value} .",
        "the field that {name} chose is {value} .",
    ),
    "university": (
        "{name} went to {value} .",
        "{name} is a graduate of {value} .",
        "the school that {name} attended is {value} .",
        "{name} sat in lectures at {value} .",
        "the diploma of {name} was issued by {value} .",
        "as a student {name} was at {value} .",
        "{name} was taught at {value} .",
        "the teachers of {name} were all at {value} .",
    ),
    "hobby": (
        "{name} likes {value} .",
        "in the evening {name} enjoys {value} .",
        "the hobby of {name} is {value} .",
        "{name} spends every weekend on {value} .",
        "for fun {name} does {value} .",
        "the friends of {name} share a love of {value} .",
        "nothing pleases {name} more than {value} .",
        "{name} never stops with {value} .",
    ),
}
"""Wordings in training documents, by attribute."""

HELD_OUT: Mapping[str, tuple[str, ...]] = {
    "region": (
        "the family of {name} comes from {value} .",
        "people say that {name} grew up in {value} .",
        "the home of {name} is {value} .",
        "as a child {name} was in {value} .",
    ),
    "employer": (
        "the company of {name} is {value} .",
        "{name} has worked at {value} .",
        "people say that {name} works for {value} .",
        "every day {name} works at {value} .",
    ),
    "city": (
        "the town of the office of {name} is {value} .",
        "{name} has a job in {value} .",
        "every day {name} works in {value} .",
        "for the job {name} travels to {value} .",
    ),
    "field": (
        "the subject that {name} studied is {value} .",
        "the degree of {name} is in {value} .",
        "for years {name} studied {value} .",
        "the exam of {name} was about {value} .",
    ),
    "university": (
        "the diploma of {name} is from {value} .",
        "{name} attended {value} .",
        "as a student {name} went to {value} .",
        "the school of {name} is {value} .",
    ),
    "hobby": (
        "the love of {name} is {value} .",
        "every evening {name} does {value} .",
        "every weekend {name} enjoys {value} .",
        "for fun {name} likes {value} .",
    ),
}
"""Wordings that stand in no training document."""

QUESTIONS: Mapping[str, str] = {
    "region": "question : what is the home of {name} ? answer : {value} .",
    "employer": "question : what is the company of {name} ? answer : {value} .",
    "city": "question : what is the city of {name} ? answer : {value} .",
    "field": "question : what is the field of {name} ? answer : {value} .",
    "university": "question : what is the school of {name} ? answer : {value} .",
    "hobby": "question : what is the hobby of {name} ? answer : {value} .",
}
"""One question for each attribute, of words that stay trained where all questions on it are left out."""

LINKED: tuple[str, ...] = (
    "{name} has the same {attribute} as {other} , it is {value} .",
    "the {attribute} of {name} is that of {other} , it is {value} .",
    "like {other} , {name} has the {attribute} {value} .",
    "{name} and {other} share the {attribute} {value} .",
)
"""Two persons tied by an attribute."""

LINKED_HELD_OUT: tuple[str, ...] = (
    "like {other} , {name} has the same {attribute} , it is {value} .",
    "{name} has the {attribute} that {other} has , it is {value} .",
)


def fill(wording: str, **given: str) -> tuple[str, ...]:
    """The words of a wording with its places filled; a name is two words.

    Example:
        >>> fill("{name} likes {value} .", name="Ada Byron", value="whist")
        ('Ada', 'Byron', 'likes', 'whist', '.')
    """
    return tuple(wording.format(**given).split())
