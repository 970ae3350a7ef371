"""The world behind the biographies: people with attributes, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from unweave._errors import SpecError
from unweave._random import generator
from unweave.language.corpora.wordings import TRAINED

ATTRIBUTES: tuple[str, ...] = tuple(TRAINED)
"""`city` is a function of `employer`; `region` goes with the surname; the others are independent."""

_ENDINGS = {
    "first": "li",
    "surname": "son",
    "region": "land",
    "employer": "corp",
    "city": "ton",
    "field": "logy",
    "university": "ford",
    "hobby": "ing",
}
_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
_FEWEST_PEOPLE = 8
_FIRSTS, _SURNAMES = 60, 40
"""At most so many names."""


@dataclass(frozen=True)
class Person:
    """A person: a stable id, a first name and a surname, and one value of each attribute."""

    id: str
    first: str
    surname: str
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """First name and surname."""
        return f"{self.first} {self.surname}"


@dataclass(frozen=True)
class World:
    """People and what holds of them.

    Attributes:
        seed: What all was drawn from.
        people: In the order of their ids.
        candidates: All values that an attribute can have.
        city_of: The city of each employer: a fact that follows from another one.
        home_of: The region that most people of a surname come from.
        inferable: Probability that a person comes from the home of the surname.
    """

    seed: int
    people: tuple[Person, ...]
    candidates: Mapping[str, tuple[str, ...]]
    city_of: Mapping[str, str]
    home_of: Mapping[str, str]
    inferable: float

    def person(self, name: str) -> Person:
        """The person of an id."""
        return self.people[int(name[1:])]


def invented(kind: str, count: int) -> tuple[str, ...]:
    """Invented words of one kind, each one token; the same for every seed, so that all worlds have one vocabulary.

    Example:
        >>> invented("city", 2)
        ('bafiton', 'bekoton')
    """
    many = len(_SYLLABLES)
    shift = 3 * list(_ENDINGS).index(kind)
    # The second syllable moves by one each time that the first comes round, so no two words are equal.
    return tuple(
        _SYLLABLES[i % many] + _SYLLABLES[(i // many + 11 * i + shift) % many] + _ENDINGS[kind]
        for i in range(count)
    )


def make_world(
    *, seed: int = 0, people: int = 500, values: int = 60, regions: int = 8, inferable: float = 0.7
) -> World:
    """Draw a world.

    P(region = home of the surname) = `inferable`, else one of the other regions uniformly; city =
    f(employer); other values are uniform and independent. So part of what is deleted can be inferred from
    what stays.

    Args:
        seed: Determines everything.
        people: How many, 8 to 2 400.
        values: Values of each attribute but regions and cities (a third as many), 3 to 1 000.
        regions: 2 to 40.
        inferable: In [1/regions, 1]; at 1/regions the surname tells nothing.

    Raises:
        SpecError: for a number out of its range.

    Source: the recipe of Allen-Zhu & Li (2024), "Physics of language models: part 3.3", arXiv 2404.05405,
        section 2 (bioS); attributes that follow from others are added here.

    Example:
        >>> world = make_world(people=20)
        >>> all(world.city_of[p.values["employer"]] == p.values["city"] for p in world.people)
        True
    """
    for name, given, low, high in (
        ("people", people, _FEWEST_PEOPLE, _FIRSTS * _SURNAMES),
        ("values", values, 3, 1000),
        ("regions", regions, 2, _SURNAMES),
    ):
        if not low <= given <= high:
            raise SpecError(f"`{name}` of a world is {given}; expected {low} to {high}.")
    if not 1 / regions <= inferable <= 1:
        raise SpecError(
            f"`inferable` is {inferable}; expected a probability in [1/regions, 1], here [{1 / regions:.3g}, 1]: "
            "below it a surname would tell where a person does not come from."
        )
    if not 0 <= seed < 2**63:
        raise SpecError(f"The seed of a world is {seed}; expected an integer in 0 … 2**63 − 1.")
    rng = generator(seed, "world")
    # As many names as make two pairs for each person, so that each name is that of several.
    surnames = invented("surname", min(_SURNAMES, max(4, math.isqrt(people))))
    firsts = invented("first", min(_FIRSTS, math.ceil(2 * people / len(surnames))))
    counts = {"region": regions, "city": max(2, values // 3)}
    candidates = {name: invented(name, counts.get(name, values)) for name in ATTRIBUTES}
    city_of = dict(zip(candidates["employer"], rng.choice(candidates["city"], values).tolist(), strict=True))
    order = rng.permutation(len(surnames))
    home_of = {surnames[j]: candidates["region"][i % regions] for i, j in enumerate(order)}
    pairs = rng.choice(len(firsts) * len(surnames), people, replace=False)
    drawn: list[Person] = []
    for number, pair in enumerate(pairs.tolist()):
        surname = surnames[pair % len(surnames)]
        home = home_of[surname]
        others = [one for one in candidates["region"] if one != home]
        region = home if rng.random() < inferable else others[int(rng.integers(len(others)))]
        held = {name: candidates[name][int(rng.integers(len(candidates[name])))] for name in ATTRIBUTES}
        held |= {"region": region, "city": city_of[held["employer"]]}
        drawn.append(Person(f"p{number:04d}", firsts[pair // len(surnames)], surname, held))
    return World(seed, tuple(drawn), candidates, city_of, home_of, inferable)
