"""Any tree of valid and invalid values becomes a case that can be assembled, or one UserError."""

import math
from collections import Counter
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unweave import UserError
from unweave.problem import BEHAVIOURS, GROUPS
from unweave.study import CASES, assemble, case_from_tree, read_spec
from unweave.study.methods import check_methods

# Valid values stand several times, so that a tree of a dozen keys has a fair chance to be a good one.
ANYTHING = [None, True, 0, -1, 1, 2.5, math.nan, math.inf, -math.inf, 1e308, 10**30, 16**5000, "", "x", "\udc80"]
ANYTHING += ["\x00", [], [1], [[1]], [1.5], {}, {"a": 1}, date(2024, 1, 1), b"x", object(), 1j]


def _key(*good: object) -> st.SearchStrategy:
    return st.sampled_from(list(good) * max(1, 120 // len(good)) + ANYTHING)


def _table(**keys: st.SearchStrategy) -> st.SearchStrategy:
    table = st.fixed_dictionaries({}, optional=keys)
    unknown = st.dictionaries(st.sampled_from(["sise", "x", "", 3]), st.integers(), min_size=1, max_size=1)
    return st.one_of(*[table] * 12, unknown, st.sampled_from(ANYTHING))


TREES = st.fixed_dictionaries(
    {},
    optional={
        "name": _key("a", "b c", "Fälle"),
        "seed": _key(0, 1, 2**63 - 1),
        "margin": _key(0.1, 0.5),
        "alpha": _key(0.05, 0.01),
        "privacy": _key(True, False),
        "data": _table(source=_key("digits"), test=_key(397, 0.2, 1, 30, None), limit=_key(None, 60, 500, 2, 25)),
        "behaviour": _table(
            kind=_key(*BEHAVIOURS.names()),
            size=_key(None, None, 30, 100, 5),
            target=_key(None, None, 0, 9),
            patch=_key(None, None, None, 1, 8),
            shape=_key(None, None, None, None, "square", "cross", "star"),
            place=_key(None, None, None, None, "centre", "middle"),
            column=_key(None, None, None, None, None, "age"),
            where=_key(None, None, None, None, None, ">= 60", 5, ["a", 1]),
            source=_key(None, None, None, 0, 9),
            classes=_key(None, None, None, [3, 5], [1, 1]),
            copies=_key(None, None, None, 2, 5),
            clusters=_key(None, None, None, 2, 60),
            ids=_key(None, None, None, [22], [0, 1, 3], list(range(1797))),
        ),
        "forget": _table(
            discovery=_key(None, 0.2, 1.0, 0.5),
            count=_key(None, None, None, None, 1, 20),
            selection=_key("random", "random", "random", "clustered", "easiest", "hardest"),
            ids=_key(None, None, None, None, [22], [0, 1, 3], list(range(1797))),
            outside=_key(False, False, False, False, True),
            allow_unknown=_key(False, True),
        ),
        "learner": _table(
            name=_key("mlp", "softmax"),
            epochs=_key(1, 40),
            lr=_key(0.1, 1),
            batch_size=_key(32, 2**31),
            momentum=_key(0.0, 0.9),
            weight_decay=_key(0.0, 0.1),
            schedule=_key("linear", "cosine", "constant"),
            width=_key(None, 1, 64),
            depth=_key(None, 1, 3),
        ),
        "references": _table(models=_key(3, 32), null=_key(None, 3), paired=_key(True, False)),
        "probes": _table(limit=_key(20, 400)),
    },
)

METHODS = st.lists(
    st.one_of(
        st.sampled_from(["noop", "scrub", "skrub", "", *[one for one in ANYTHING if not isinstance(one, bytes)]]),
        st.fixed_dictionaries(
            {"name": st.sampled_from(["scrub", "ssd", "finetune", "noop", "x", 3])},
            optional={key: st.sampled_from([0.5, 1, 0, *ANYTHING]) for key in ("lr", "epochs", "alpha", "beta")},
        ),
        st.fixed_dictionaries(
            {"name": st.just("assign"), "by": st.sampled_from(["confidence", "shuffled", "x", *ANYTHING])},
            optional={
                key: st.sampled_from(
                    ["noop", "scrub", {"name": "scrub", "lr": 0.5}, "ssd then noop", 2, *ANYTHING]
                )
                for key in ("each", "low", "medium", "high", "parts", "x")
            },
        ),
    ),
    max_size=3,
)


def test_any_tree_is_a_case_or_a_user_error():
    seen: Counter[str] = Counter()

    @settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TREES)
    def check(tree):
        try:
            assembly = assemble(case_from_tree(tree))
        except UserError as error:
            seen["refused"] += 1
            message = str(error)
            assert 20 < len(message) < 600 and message.endswith((".", ")"))
            return
        seen["assembled"] += 1
        groups = assembly.probes.groups
        assert set(groups) <= set(GROUPS) and all(len(at) for at in groups.values())
        if assembly.case.forget.outside:
            assert (assembly.forget >= len(assembly.data.train)).all()
        elif assembly.planted.known:
            assert np.isin(assembly.forget, assembly.planted.members).all()
        assert len(assembly.forget) > 0
        assert all(len(world.rows) > 0 for world in assembly.worlds.values())
        assert np.isfinite(assembly.setting.x).all() and np.isfinite(assembly.setting.probes).all()

    check()
    assert seen["assembled"] > 30 and seen["refused"] > 30, seen


SETTINGS = st.lists(
    st.one_of(
        st.sampled_from(
            [f"{a}{b}" for a in ("seed", "forget.count", "methods", "out", "x.y") for b in ("", "=", "=1")]
        ),
        st.tuples(
            st.sampled_from(
                ["seed", "name", "forget.ids", "learner.lr", "data.test", "methods", "workers", "out", "a.b"]
            ),
            st.text(max_size=12)
            | st.sampled_from(["[", "[1,", "{", '"', "nan", "1e999", "9" * 5000, "'''", "\\", "1\n2"]),
        ).map("=".join),
        st.text(max_size=20),
    ),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(SETTINGS)
def test_any_setting_is_read_or_a_user_error(given):
    try:
        spec = read_spec(cases=["digits-trigger"], settings=given)
    except UserError as error:
        assert 20 < len(str(error)) < 800
    else:
        assert len(spec.cases) == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_spec_or_a_user_error(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content)
    try:
        read_spec(file)
    except UserError as error:
        assert str(file) in str(error) or "`" in str(error)


@settings(max_examples=300, deadline=None)
@given(METHODS)
def test_any_list_of_methods_is_read_or_a_user_error(tmp_path_factory, given):
    from unweave.study.choices import read_methods

    try:
        choices = read_methods(given)
        assert choices is not None
        check_methods(choices)
    except UserError as error:
        assert 20 < len(str(error)) < 800  # it lists all methods that there are
    else:
        assert all(math.isfinite(value) for choice in choices for value in choice.params.values())


@pytest.mark.parametrize("name", [name for name in CASES if name != "tofu"])  # asks for a checkpoint
def test_registered_cases_assemble(name, need_data):
    need_data(CASES[name].data.source)
    # What DP says of one example it hardly says of a set: that request is one star.
    assert len(assemble(CASES[name]).forget) >= (1 if name == "shapes-private" else 20)
