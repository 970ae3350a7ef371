"""What two versions of a model give away together."""

import numpy as np
import pytest

from unweave._errors import UserError
from unweave.attacks import auc
from unweave.attacks.two_versions import two_version_score


def test_who_was_taken_out_fell_most():
    rng = np.random.default_rng(0)
    before = rng.normal(5, 1, 100)
    after = before + rng.normal(0, 0.1, 100)
    member = np.arange(100) < 20
    after[member] -= 6
    assert auc(two_version_score(before, after)[None], member[None])[0] == 1.0
    assert auc(two_version_score(after, before)[None], member[None])[0] == 0.0  # the direction matters


def test_no_edit_gives_nothing_away():
    before = np.random.default_rng(1).normal(size=50)
    assert auc(two_version_score(before, before)[None], (np.arange(50) < 10)[None])[0] == 0.5


def test_a_row_does_not_depend_on_others():
    before, after = np.array([3.0, 1.0]), np.array([0.0, 9.0])
    assert two_version_score(before, after)[0] == two_version_score(before[:1], after[:1])[0]


def test_other_examples_are_refused():
    with pytest.raises(UserError, match="same examples"):
        two_version_score(np.zeros(3), np.zeros(4))
