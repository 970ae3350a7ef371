"""The contract of attacks over everything that is registered."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from unweave import attacks
from unweave._gate import AIMS, ALLOWED, GROUPS, REFERENCE, WHAT
from unweave.attacks import ATTACKS, Cut, Signals, auc
from unweave.attacks.contract import SAYS_NOTHING

NAMES = ATTACKS.names()
SHADOWS = 24


class World:
    """Four targets and some shadow models on n examples, of which the even ones are members of the targets."""

    def __init__(self, seed: int, n: int, effect: float = 3.0) -> None:
        rng = np.random.default_rng(seed)
        self.member = np.arange(n) % 2 == 0
        self.labels = rng.integers(0, 3, n)
        self.inside = rng.random((SHADOWS, n)) < 0.5
        both = np.concatenate([np.broadcast_to(self.member, (4, n)), self.inside])
        self.logits = rng.normal(0, 1, (4 + SHADOWS, n, 3))
        self.logits[:, np.arange(n), self.labels] += effect * both
        self.population = -np.logaddexp(0, -rng.normal(0, 1, (4 + SHADOWS, 50)))
        self.blocks = {"target_blocks": np.arange(4), "shadow_blocks": np.arange(4, 4 + SHADOWS)}
        self.rng = rng

    def against_shadows(self, attack, signal, **more):
        score = signal(self.logits, self.labels)
        return attack(score[:4], score[4:], self.inside, **self.blocks, **more)


def of_signal(f, world):
    return f(world.logits[:4], *([world.labels] if "labels" in inspect.signature(f).parameters else []))


def of_rmia(f, world):
    z = {"population_targets": world.population[:4], "population_shadows": world.population[4:]}
    return world.against_shadows(f, attacks.loss_score, **z)


def of_population(f, world):
    score = attacks.scaled_confidence_score(world.logits[:4], world.labels)
    return f(score, Cut(np.zeros(4), np.arange(3)), ids=np.arange(100, 100 + score.shape[1]))


def of_svc(f, world):
    p = np.exp(attacks.loss_score(world.logits[:4], world.labels))
    retain, test = world.rng.uniform(0.5, 1, (4, 30)), world.rng.uniform(0, 0.5, (4, 30))
    signals = Signals(p, retain, test)
    return f(signals, signals, key=0).edited.share


def of_logistic(f, world):
    score = attacks.loss_score(world.logits[:4], world.labels)
    return f(score[:, world.member], score[:, ~world.member], key=0).gap


CALLS = {
    **dict.fromkeys(["scaled_confidence", "loss", "entropy", "modified_entropy", "correctness"], of_signal),
    "population": of_population,
    "lira_online": lambda f, world: world.against_shadows(f, attacks.scaled_confidence_score),
    "lira_offline": lambda f, world: world.against_shadows(f, attacks.scaled_confidence_score),
    "rmia": of_rmia,
    "svc_efficacy": of_svc,
    "logistic": of_logistic,
}
PER_EXAMPLE = [name for name in NAMES if name not in ("svc_efficacy", "logistic")]


def asked(name: str, world: World):
    return CALLS[name](ATTACKS.get(name).factory, world)


def test_every_attack_has_its_way_to_be_asked():
    assert sorted(CALLS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_declared_documented_and_cited(name):
    entry = ATTACKS.get(name)
    declared, doc = entry.declared, inspect.getdoc(entry.factory) or ""
    assert declared.better == "reference" and "logits" in declared.needs and declared.needs <= set(WHAT)
    assert all(REFERENCE[aim] in declared.reads(aim) for aim in AIMS)
    assert declared.bounds[0] < declared.bounds[1] and declared.unit
    for part in ("Args:", "Returns:", "Source:", "Example:", ">>>", "arXiv"):
        assert part in doc
    year, author = re.search(r"\d{4}", declared.cite)[0], re.match("[a-z]+", declared.cite)[0]
    assert year in doc and author in doc.lower()
    assert getattr(attacks, entry.factory.__name__) is entry.factory


@pytest.mark.parametrize("name", NAMES)
def test_membership_of_s_says_nothing_about_unlearning(name):
    declared = ATTACKS.get(name).declared
    assert declared.aims == dict.fromkeys(AIMS, ALLOWED)
    assert declared.not_on["unlearning"]["forget"] == SAYS_NOTHING
    assert {"undiscovered", "unseen"} <= set(declared.allowed_on("unlearning"))
    assert "forget" in declared.allowed_on("untraining")
    assert not {"unseen", "test"} & set(declared.allowed_on("untraining"))
    assert all("test" in declared.not_on[aim] and set(declared.not_on[aim]) < set(GROUPS) for aim in AIMS)


@pytest.mark.parametrize("name", NAMES)
def test_scores_lie_within_the_bounds_that_are_declared(name):
    low, high = ATTACKS.get(name).declared.bounds
    for seed in range(5):
        scores = asked(name, World(seed, 20))
        known = scores[~np.isnan(scores)]
        assert known.size and ((known >= low) & (known <= high)).all()


def check_higher_for_members(score) -> None:
    worlds = [World(seed, 40) for seed in range(3)]
    assert np.mean([auc(score(world), world.member).mean() for world in worlds]) > 0.6


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_higher_is_always_more_likely_a_member(name):
    check_higher_for_members(lambda world: asked(name, world))
    with pytest.raises(AssertionError):
        check_higher_for_members(lambda world: -asked(name, world))


def test_the_share_said_to_be_no_members_is_lower_for_members():
    members, others = World(0, 60, effect=6.0), World(0, 60, effect=-6.0)
    for world in (members, others):
        world.logits = world.logits[:, world.member]
        world.labels = world.labels[world.member]
    assert asked("svc_efficacy", members).mean() < asked("svc_efficacy", others).mean()


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_permuting_examples_permutes_scores(name):
    world = World(1, 20)
    whole = asked(name, world)
    order = np.random.default_rng(0).permutation(20)
    world.logits, world.labels = world.logits[:, order], world.labels[order]
    world.inside = world.inside[:, order]
    np.testing.assert_allclose(asked(name, world), whole[:, order])


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_no_number(name):
    assert np.isnan(asked(name, World(0, 0))).all()
