"""The contract of measures of language models over everything registered, and that the page names each."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unweave._errors import UserError
from unweave._gate import AIMS, ALLOWED, BOTH, GROUPS, REFERENCE, WHAT, applicable, register
from unweave._registry import Registry
from unweave.attacks import ATTACKS
from unweave.language import measures
from unweave.language.measures import MEASURES
from unweave.metrics import METRICS

NAMES = MEASURES.names()
PAGE = Path(__file__).parents[2] / "docs" / "language-measures.md"
MEMBERSHIP = ("token_loss", "zlib_ratio", "reference_ratio", "min_k", "min_k_plus_plus", "privleak")


def facts(rng, n, models=3, length=6):
    mask = np.arange(length) < rng.integers(2, length + 1, n)[:, None]
    mask[:, 0] = False
    return measures.token_facts(rng.normal(0, 3, (models, n, length, 5)), rng.integers(0, 5, (n, length)), mask)


def answers(rng, n, wrong=3):
    """Log-probabilities of an answer and of others that add up to less than 1."""
    p = rng.dirichlet(np.ones(wrong + 2), (2, n))
    return np.log(p[..., 0]), np.log(p[..., 1:-1])


# How to ask each measure about n documents, questions or models at random; the generator is begun anew.
CALLS = {
    "exact_memorization": lambda f, rng, n: f((one := facts(rng, n)).hits, one.mask),
    "extraction_strength": lambda f, rng, n: f((one := facts(rng, n)).hits, one.mask),
    "token_loss": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.mask),
    "zlib_ratio": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.mask, rng.integers(9, 90, n)),
    "reference_ratio": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.log_p[::-1] * 0.9, one.mask),
    "min_k": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.mask),
    "min_k_plus_plus": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.mean, one.variance, one.mask),
    "privleak": lambda f, rng, n: f(rng.random(n), rng.uniform(0.4, 0.6, 3)),
    "answer_probability": lambda f, rng, n: f((one := facts(rng, n)).log_p, one.mask),
    "choice_probability": lambda f, rng, n: f(*answers(rng, n)),
    "truth_ratio": lambda f, rng, n: f(*answers(rng, n)),
    "model_utility": lambda f, rng, n: f(rng.random((n, 3, 3))),
    "utility_without_rouge": lambda f, rng, n: f(rng.random((n, 3, 2))),
    "behaviour_on_clean": lambda f, rng, n: f(rng.random((2, n)) < 0.5),
    "forget_quality_effect": lambda f, rng, n: f(rng.lognormal(0, 1, (2, n)), rng.lognormal(0, 1, (3, n))),
    "forget_quality_p": lambda f, rng, n: f(rng.lognormal(0, 1, (2, n)), rng.lognormal(0, 1, (3, n))),
    "paraphrase_mass_ratio": lambda f, rng, n: f(*answers(rng, n), *answers(rng, n)),
    "leak_at_k": lambda f, rng, n: f(answers(rng, n)[1], k=4),
    "rtt": lambda f, rng, n: f(lambda taught: rng.random((2, n)), np.arange(n) % 2),
}


def asked(name, seed, n):
    found = CALLS[name](MEASURES.get(name).factory, np.random.default_rng(seed), n)
    return np.asarray(found, dtype=np.float64)


def check_declared(entry):
    """What every registered measure has to have."""
    declared, doc = entry.declared, inspect.getdoc(entry.factory) or ""
    assert set(declared.aims) == set(AIMS)
    for aim, reason in declared.aims.items():
        assert reason == ALLOWED or (len(reason) > 20 and reason.endswith(".")), aim
    for groups in declared.not_on.values():
        assert set(groups) <= set(GROUPS) and all(len(why) > 20 for why in groups.values())
    assert declared.needs and declared.needs <= set(WHAT)
    assert declared.better in ("reference", "higher") and (
        "reference" in declared.needs or entry.name in ("model_utility", "utility_without_rouge")
    )
    assert declared.unit and declared.bounds[0] < declared.bounds[1]
    for section in ("Args:", "Returns:", "Raises:", "Source:", ">>>"):
        assert section in doc, section
    assert re.fullmatch(r"[a-z]+\d{4}[a-z]+", declared.cite)
    author, year = re.match(r"([a-z]+)(\d{4})", declared.cite).groups()
    assert author in doc.lower() and year in doc and "arXiv" in doc


@pytest.mark.parametrize("name", NAMES)
def test_declared_documented_and_cited(name):
    check_declared(MEASURES.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_registered_measure_is_a_public_function_and_its_name_is_no_other_measurement(name):
    function = MEASURES.get(name).factory
    assert function.__name__ == name and getattr(measures, name) is function
    assert name not in METRICS and name not in ATTACKS


@pytest.mark.parametrize("name", NAMES)
def test_values_lie_within_the_bounds_that_are_declared(name):
    low, high = MEASURES.get(name).declared.bounds
    for seed in range(20):
        found = asked(name, seed, 2 + seed)
        assert found.size and np.isfinite(found).all()
        assert (found >= low - 1e-12).all() and (found <= high + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_of_nothing_there_is_no_number(name):
    """Refused, NaN or an empty array, and never a 0 or a 1."""
    try:
        found = asked(name, 0, 0)
    except UserError as error:
        assert "Expected" in str(error)
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize("name", MEMBERSHIP)
def test_membership_on_s_says_nothing_about_unlearning(name):
    entry = MEASURES.get(name)
    assert (
        applicable(entry, "unlearning").status == "refused" and applicable(entry, "untraining").status == "allowed"
    )
    assert applicable(entry, "unlearning", on="undiscovered").status == "allowed"
    assert applicable(entry, "untraining", on="test").status == "refused"


def test_each_aim_is_held_against_its_own_reference():
    for entry in MEASURES:
        for aim, need in REFERENCE.items():
            if "reference" in entry.declared.needs:
                assert applicable(entry, aim, on="undiscovered", have=["logits"]).status == "refused"
                assert need in entry.declared.reads(aim)
    spread = MEASURES.get("paraphrase_mass_ratio")
    assert applicable(spread, "untraining").status == "refused"
    assert applicable(spread, "unlearning").status == "allowed"


def test_the_page_has_a_row_for_each():
    table = PAGE.read_text(encoding="utf-8").split("## The measures")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert sorted(rows) == sorted(NAMES)


def test_the_examples_of_the_page_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    runnable = [block for block in blocks if "read_tofu_log" not in block]
    assert len(runnable) == len(blocks) - 1 == 2
    for block in runnable:
        exec(compile(block, str(PAGE), "exec"), {})
    assert "[" in capsys.readouterr().out


def test_measures_load_nothing_heavy():
    code = (
        "import sys, unweave.language.measures; "
        "print([n for n in ('torch', 'scipy', 'sklearn', 'pandas', 'transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("declares", "doc"),
    [
        ({}, "Says nothing."),
        ({"cite": "maini2023tofu"}, None),
        ({"cite": ""}, None),
        ({"needs": {"logits"}}, None),
        ({"aims": {"untraining": ALLOWED, "unlearning": "no"}}, None),
    ],
)
def test_the_contract_can_fail(declares, doc):
    def broken():
        pass

    broken.__doc__ = MEASURES.get("truth_ratio").factory.__doc__ if doc is None else doc
    registry = Registry("measure")
    register(
        registry,
        **{
            "name": "broken",
            "aims": BOTH,
            "needs": {"logits", "reference"},
            "better": "reference",
            "unit": "ratio",
            "bounds": (0.0, 1.0),
            "cite": "maini2024tofu",
            **declares,
        },
    )(broken)
    with pytest.raises(AssertionError):
        check_declared(registry.get("broken"))
