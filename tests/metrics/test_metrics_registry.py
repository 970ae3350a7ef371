"""The contract of metrics over everything registered: declared, documented, cited, within bounds, honest."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from unweave import metrics
from unweave._errors import UserError
from unweave._gate import AIMS, ALLOWED, BOTH, GROUPS, REFERENCE, WHAT, register
from unweave._registry import Registry
from unweave._types import NotMeasured
from unweave.metrics import METRICS

NAMES = METRICS.names()


def probabilities(rng, models, n, classes=3):
    p = rng.random((models, n, classes)) ** 3
    return p / p.sum(-1, keepdims=True)


def logits(rng, n, models=3):
    return rng.normal(0, 4, (models, n, 4)), rng.integers(0, 4, n)


def two_samples(rng, n):
    return probabilities(rng, 4, n), probabilities(rng, 5, n)


def leave_outs(rng, count):
    return lambda n: tuple(rng.random(n) + 0.1 for _ in range(count))


def of_triangle(rng, n):
    keys = ("to_untrained", "to_unlearned", "to_original", "original_to_untrained", "original_to_unlearned", "gap")
    return {key: rng.random(n) + 0.1 for key in keys}


# How to ask each metric about n examples, or leave-outs, at random.
CALLS = {
    "accuracy": lambda f, rng, n: f(rng.integers(0, 3, (4, n)), rng.integers(0, 3, n)),
    "behaviour_rate": lambda f, rng, n: f(rng.integers(0, 3, (4, n)), rng.integers(0, 3, n)),
    "margins": lambda f, rng, n: f(*logits(rng, n)),
    "confidences": lambda f, rng, n: f(*logits(rng, n)),
    "modified_entropies": lambda f, rng, n: f(*logits(rng, n)),
    "jensen_shannon": lambda f, rng, n: f(logits(rng, n)[0], logits(rng, n)[0]),
    "zrf": lambda f, rng, n: f(logits(rng, n)[0], rng.normal(0, 1, (n, 4))),
    "energy_to_untrained": lambda f, rng, n: f(*two_samples(rng, n)),
    "energy_to_unlearned": lambda f, rng, n: f(*two_samples(rng, n)),
    "damage": lambda f, rng, n: f(*two_samples(rng, n)),
    "mean_shift_to_untrained": lambda f, rng, n: f(*two_samples(rng, n)),
    "mean_shift_to_unlearned": lambda f, rng, n: f(*two_samples(rng, n)),
    "worst_off": lambda f, rng, n: f(rng.normal(0, 1, n)),
    "generality": lambda f, rng, n: f(rng.random(n), rng.random(n), gap=rng.random(n) + 0.1),
    "off_line_squared": lambda f, rng, n: f(rng.random(n), rng.random(n), gap=rng.random(n) + 0.1),
    "affine_weights": lambda f, rng, n: f(**of_triangle(rng, n)),
    "tow": lambda f, rng, n: f(*(metrics.Rates(*rng.random((3, n))) for _ in range(2))),
    "tow_mia": lambda f, rng, n: f(*(metrics.Rates(*rng.random((3, n))) for _ in range(2))),
    "excess": lambda f, rng, n: f(rng.random(n), rng.random(n), margin=0.1),
}


def asked(name: str, seed: int, n: int):
    return CALLS[name](METRICS.get(name).factory, np.random.default_rng(seed), n)


def test_every_metric_has_its_way_to_be_asked():
    assert sorted(CALLS) == sorted(NAMES)


def check_declared(entry) -> None:
    declared, doc = entry.declared, inspect.getdoc(entry.factory) or ""
    assert set(declared.aims) == set(AIMS) and any(said == ALLOWED for said in declared.aims.values())
    for said in [*declared.aims.values(), *(r for not_on in declared.not_on.values() for r in not_on.values())]:
        assert said == ALLOWED or (len(said.split()) > 6 and said.endswith(".")), "a reason is a sentence"
    for aim in AIMS:
        assert set(declared.not_on.get(aim, {})) < set(GROUPS)
        assert declared.aims[aim] != ALLOWED or declared.allowed_on(aim), "allowed, and nowhere"
        if declared.better == "reference" and declared.aims[aim] == ALLOWED:
            assert REFERENCE[aim] in declared.reads(aim), "good is the reference's value, which is not asked for"
    assert declared.needs and declared.needs <= set(WHAT)
    assert declared.bounds[0] < declared.bounds[1] and declared.unit
    assert "Returns:" in doc and "Args:" in doc and "Source:" in doc and ">>>" in doc
    assert "Raises:" in doc or not re.search(r"\braise\b", inspect.getsource(entry.factory))
    if declared.cite:
        assert re.fullmatch(r"[a-z]+\d{4}[a-z]+", declared.cite)
        year = re.search(r"\d{4}", declared.cite)[0]
        author = re.match("[a-z]+", declared.cite)[0]
        folded = doc.lower().translate(str.maketrans("éü", "eu"))
        assert year in doc and author in folded, "the docstring names another source"


@pytest.mark.parametrize("name", NAMES)
def test_declared_documented_and_cited(name):
    check_declared(METRICS.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_registered_metric_is_a_public_function(name):
    function = METRICS.get(name).factory
    assert inspect.isfunction(function) and getattr(metrics, function.__name__) is function


def numbers(value) -> np.ndarray:
    return np.zeros(0) if isinstance(value, NotMeasured) else np.asarray(value, dtype=np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_values_lie_within_the_bounds_that_are_declared(name):
    low, high = METRICS.get(name).declared.bounds
    seen = [numbers(asked(name, seed, 1 + seed)) for seed in range(30)]
    assert sum(one.size for one in seen) > 0
    for one in seen:
        assert np.isfinite(one).all() and (one >= low - 1e-12).all() and (one <= high + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_no_number(name):
    """Of no examples: refused, not measured, NaN or an empty array, and never a 0 or a 1."""
    try:
        value = numbers(asked(name, 0, 0))
    except UserError as error:
        assert "Expected" in str(error)
    else:
        assert np.isnan(value).all()


# ---- the contract can fail ----


def broken(**changes):
    declared = {
        "name": "broken",
        "aims": BOTH,
        "needs": {"logits", "reference"},
        "better": "reference",
        "unit": "nats",
        "bounds": (0.0, 1.0),
        "cite": "",
        **changes,
    }
    registry = Registry("metric")
    register(registry, **declared)(metrics.rate)
    return registry.get("broken")


def test_the_contract_holds_for_what_is_right():
    check_declared(broken())


@pytest.mark.parametrize(
    "changes",
    [
        {"needs": {"logits"}},
        {"needs": set(), "better": "lower"},
        {"aims": {"untraining": "No.", "unlearning": ALLOWED}},
        {"not_on": {"untraining": dict.fromkeys(GROUPS, "There is nothing at all to be asked here.")}},
        {"cite": "someone1999else"},
        {"unit": ""},
    ],
)
def test_what_is_wrongly_declared_is_caught(changes):
    with pytest.raises(AssertionError):
        check_declared(broken(**changes))


@pytest.mark.parametrize("changes", [{"aims": {"untraining": ALLOWED}}, {"bounds": (1.0, 0.0)}])
def test_some_of_it_is_refused_at_once(changes):
    with pytest.raises(ValueError, match="broken"):
        broken(**changes)
