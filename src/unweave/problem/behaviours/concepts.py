"""Behaviours that are in the data already: a class, a part of a class, examples by their ids."""

from __future__ import annotations

import numpy as np

from unweave._errors import SpecError
from unweave._types import NOT_DECLARED
from unweave.problem.behaviours.planting import (
    Ground,
    Ints,
    Make,
    Planted,
    Unseen,
    check_class,
)
from unweave.problem.clusters import k_means, nearest
from unweave.problem.ids import rows_of_ids


def whole_class(*, target: int = 0) -> Make:
    """A whole class is the behaviour: every training example of class `target`, labels as they are.

    An output shows it where it predicts the class. Unseen instances: all test examples of the class;
    they are no ordinary test data then. The clean label is the planted one.
    Source: Golatkar, Achille & Soatto (2020), "Eternal sunshine of the spotless net", arXiv 1911.04933.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        del rng
        members = _of_class(target, ground)
        if len(members) == len(ground.y):
            raise SpecError(
                f"All {len(members)} training examples are of class {target}; some must stay ordinary."
            )
        test = np.flatnonzero(ground.y_test == target)
        return _declared(ground, members, test, f"no test example is of class {target}")

    return make


def subclass(*, target: int = 0, clusters: int = 3) -> Make:
    """A part of a class is the behaviour: the largest of `clusters` k-means clusters within class `target`.

    Clusters are those of the features, in Euclidean distance; labels stay as they are. Unseen instances:
    the test examples of the class that lie nearest to this cluster's centre of all; they are no ordinary
    test data then. The clean label is the planted one.
    Source: Foster, Schoepf & Brintrup (2024), "Fast machine unlearning without retraining through selective
    synaptic dampening", arXiv 2308.07707 (sub-class unlearning); there sub-classes have labels of their own.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        of_class = _of_class(target, ground)
        if clusters < 2:
            raise SpecError(f"`behaviour.clusters` is {clusters}; a part of a class needs at least 2 clusters.")
        labels, centres = k_means(ground.x[of_class], clusters, rng, name="behaviour.clusters")
        test = np.flatnonzero(ground.y_test == target)
        test = test[nearest(ground.x_test[test], centres) == 0]
        return _declared(
            ground, of_class[labels == 0], test, "no test example lies nearest to the cluster's centre"
        )

    return make


def by_ids(*, ids: tuple[int | str, ...] = ()) -> Make:
    """The examples of the given ids are the behaviour, with labels as they are.

    An output shows it where it predicts the label that was trained on. What else is of their kind is not
    known, so there are no unseen instances. The clean label is the planted one.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        del rng
        if not ids:
            raise SpecError("`behaviour.ids` is empty; expected the ids of the examples that are the behaviour.")
        members = rows_of_ids(ground.ids, ids, name="behaviour.ids")
        if len(members) == len(ground.ids):
            raise SpecError(
                f"`behaviour.ids` holds all {len(members)} training examples; some must stay ordinary."
            )
        return _declared(
            ground, members, np.zeros(0, np.int64), "examples given by their ids have no unseen instances"
        )

    return make


def unknown() -> Make:
    """Only the forget set is known (`forget.ids`), not the behaviour that it shows: untraining alone is judged.

    Labels stay as they are. B, and with it A(D∖B), undiscovered and unseen instances, are not measured. This is
    the usual case of a request to delete records.
    """

    def make(ground: Ground, rng: np.random.Generator) -> Planted:
        del rng
        return Planted(ground.x, ground.y, ground.y, np.zeros(0, np.int64), None, NOT_DECLARED, known=False)

    return make


def _of_class(target: int, ground: Ground) -> Ints:
    check_class(target, "target", ground.classes)
    members = np.flatnonzero(ground.y == target)
    if len(members) == 0:
        raise SpecError(f"`behaviour.target` is {target}, but no training example is of this class.")
    return members


def _declared(ground: Ground, members: Ints, test: Ints, why: str) -> Planted:
    if len(test) == 0:
        return Planted(ground.x, ground.y, ground.y, members, None, why)
    labels = ground.y_test[test]
    return Planted(ground.x, ground.y, ground.y, members, Unseen(ground.x_test[test], labels, labels, test), "")
