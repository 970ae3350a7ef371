"""SVC efficacy: known shares, the reference beside it, unequal classes, an attack that is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from unweave._errors import UserError
from unweave.attacks import Signals, svc_efficacy


def like(seed: int, *, target: float, retain: float = 1.0, test: float = 0.0, models: int = 3, sizes=(50, 80, 60)):
    """Signals with given means and standard deviation .1."""
    rng = np.random.default_rng(seed)
    return Signals(*(rng.normal(m, 0.1, (models, n)) for m, n in zip((target, retain, test), sizes, strict=True)))


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_what_looks_like_test_was_not_trained_on(kernel):
    found = svc_efficacy(like(0, target=0.0), like(1, target=1.0, models=5), key=0, kernel=kernel)
    assert (found.edited.share > 0.9).all() and (found.reference.share < 0.1).all()
    assert (found.edited.balanced_accuracy > 0.95).all() and (found.reference.balanced_accuracy > 0.95).all()
    assert found.edited.share.shape == (3,) and found.reference.share.shape == (5,)


def test_the_good_value_is_that_of_the_reference():
    """An S that generalises looks like members to models that never saw it: 1 is no goal, nor is .5."""
    edited, reference = like(2, target=0.9), like(3, target=0.9)
    found = svc_efficacy(edited, reference, key=0)
    assert (found.edited.share < 0.2).all() and (found.reference.share < 0.2).all()


def check_unequal_classes(shares) -> None:
    """Nothing tells members from others, and there are ten times as many of them: shares are no 0."""
    signals = like(4, target=0.5, retain=0.5, test=0.5, models=40, sizes=(50, 400, 40))
    assert 0.25 < shares(signals).mean() < 0.75


def of_all(signals):
    """Fitted on all of D∖S and all of test, as ports of the public code do."""
    found = []
    for target, retain, test in zip(*signals, strict=True):
        answers = np.repeat([1, 0], [len(retain), len(test)])
        machine = SVC(C=3, gamma="auto").fit(np.concatenate([retain, test])[:, None], answers)
        found.append(1 - machine.predict(target[:, None]).mean())
    return np.array(found)


def test_the_larger_class_does_not_win():
    check_unequal_classes(lambda signals: svc_efficacy(signals, signals, key=0).edited.share)
    with pytest.raises(AssertionError):
        check_unequal_classes(of_all)


def check_worth(worth) -> None:
    """Nothing to find: the accuracy of the attack is .5 on average."""
    signals = like(5, target=0.5, retain=0.5, test=0.5, models=40, sizes=(5, 24, 24))
    found = worth(signals)
    assert abs(found.mean() - 0.5) < 4 * found.std(ddof=1) / np.sqrt(40), found.mean()


def on_what_it_was_fitted_on(signals):
    found = []
    for retain, test in zip(signals.retain, signals.test, strict=True):
        x, answers = np.concatenate([retain, test])[:, None], np.repeat([1, 0], 24)
        found.append((SVC(C=3, gamma="auto").fit(x, answers).predict(x) == answers).mean())
    return np.array(found)


def test_what_the_attack_is_worth_is_measured_where_it_was_not_fitted():
    check_worth(lambda signals: svc_efficacy(signals, signals, key=0).edited.balanced_accuracy)
    with pytest.raises(AssertionError):
        check_worth(on_what_it_was_fitted_on)


def test_a_row_of_the_target_knows_of_no_other_and_models_of_no_other():
    edited = like(6, target=0.5, models=4)
    whole = svc_efficacy(edited, edited, key=1).edited.share
    singles = [
        svc_efficacy(part, part, key=1).edited.share
        for part in (edited._replace(target=edited.target[:, i : i + 1]) for i in range(50))
    ]
    np.testing.assert_allclose(np.mean(singles, axis=0), whole)
    alone = Signals(*(one[2:3] for one in edited))
    assert svc_efficacy(alone, edited, key=1).edited.share == whole[2]


def test_the_key_chooses_the_examples():
    signals = like(7, target=0.5, retain=0.6, test=0.4)
    one, same, other = (svc_efficacy(signals, signals, key=key).edited.share for key in (0, 0, 1))
    assert (one == same).all() and (one != other).any()


def test_what_cannot_be_measured_is_nan():
    for sizes in ((5, 3, 60), (5, 60, 3)):
        signals = like(8, target=0.5, sizes=sizes)
        found = svc_efficacy(signals, signals, key=0)
        assert np.isnan(found.edited.share).all() and np.isnan(found.reference.balanced_accuracy).all()
    nobody = like(8, target=0.5, sizes=(0, 60, 60))
    found = svc_efficacy(nobody, nobody, key=0).edited
    assert np.isnan(found.share).all() and np.isfinite(found.balanced_accuracy).all()


def test_what_does_not_fit_is_refused():
    good = like(9, target=0.5)
    for edited, reference in [
        (good._replace(test=np.zeros((2, 60))), good),
        (good, good._replace(target=np.zeros((3, 9)))),
        (good._replace(retain=np.full((3, 80), np.inf)), good),
    ]:
        with pytest.raises(UserError, match="Expected"):
            svc_efficacy(edited, reference, key=0)
