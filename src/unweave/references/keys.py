"""What identifies models and outputs in the store, and reading them back."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import CorruptObjectError, MissingObjectError
from unweave.learners import LearnerSpec
from unweave.references.objects import Arrays, Fields, Objects, key_of
from unweave.references.plan import WorldPlan
from unweave.training import TRAINING_VERSION


class Origin(NamedTuple):
    """Where data came from, so that what was made of them can be found again.

    Attributes:
        name: The data in words.
        fingerprint: Of both parts as they were read, before anything was planted.
        test_ids: Ids of the test part [t].
        file: The file or folder that they were read from, absolute with links followed; "" = none.
        mixed: Whether rows were then made of other examples than their ids say, such as near-copies.
    """

    name: str
    fingerprint: str
    test_ids: NDArray[Any]
    file: str = ""
    mixed: bool = False


class Documents(NamedTuple):
    """Documents of which a language model is asked for every token of their answers.

    Attributes:
        x: Tokens, then the places whose logits predict the answer's tokens [n, T + A]; places rise, and are filled
            up by 0 where an answer has fewer than A tokens.
        answers: A.
    """

    x: NDArray[np.float32]
    answers: int


class Setting(NamedTuple):
    """What is the same for all models of a case.

    Attributes:
        learner: The training algorithm A.
        x: Features of all of D after planting [n, ...].
        y: Labels of all of D after planting [n].
        ids: Ids of all of D [n].
        fingerprint: Of the three above.
        probes: Features of all probes [m, ...].
        device: Where models are trained and run, as torch calls it.
        origin: Where D came from, if anywhere.
        documents: What is read token by token beside the probes; None = nothing is.
    """

    learner: LearnerSpec
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    ids: NDArray[Any]
    fingerprint: str
    probes: NDArray[np.float32]
    device: str = "cpu"
    origin: Origin | None = None
    documents: Documents | None = None


class Outputs(NamedTuple):
    """What K models say, and notes such as cost.

    Attributes:
        logits: On the probes, float32 [K, m, classes].
        notes: Cost, and where they come from.
        tokens: On the answer tokens of documents, where these were read: log π of the token, mean and variance of
            log π over the vocabulary, and 1 where the token is the likeliest, float32 [K, n, A, 4].
    """

    logits: NDArray[np.float32]
    notes: Fields
    tokens: NDArray[np.float32] | None = None

    @property
    def arrays(self) -> Arrays:
        """As they are stored."""
        return {"logits": self.logits, **({} if self.tokens is None else {"tokens": self.tokens})}

    @staticmethod
    def of(arrays: Arrays, notes: Fields) -> Outputs:
        """What `arrays` were of."""
        return Outputs(arrays["logits"], notes, arrays.get("tokens"))


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and bytes."""
    if array.dtype.kind == "U":  # how wide numpy stores texts depends on the longest one
        return hashlib.sha256(b"\0".join(one.encode() for one in ["text", *array.tolist()])).hexdigest()
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def model_fields(setting: Setting, world: WorldPlan) -> list[Fields]:
    """What identifies each model of a world; two models with the same fields are the same model."""
    shared = {
        "kind": "model",
        "learner": setting.learner.identity(),
        "data": setting.fingerprint,
        "training_ids": digest(setting.ids[world.rows]),
        **versions_of(setting),
    }
    return [{**shared, "key": key} for key in world.keys]


@cache
def installed(package: str) -> str:
    """The version of a package; read once, since every key asks for it."""
    return version(package)


def _library(learner: LearnerSpec) -> Fields:
    return {name: installed(name) for name in (("scikit-learn",) if learner.opaque else ("torch",))}


def _kind_of_device(setting: Setting) -> Fields:
    """What a GPU trains is another model to the last bits, on whichever GPU; what needs none is the same."""
    kind = setting.device.partition(":")[0]
    return {} if kind == "cpu" or setting.learner.opaque else {"device": kind}


def opaque_fields(setting: Setting, world: WorldPlan) -> list[Fields]:
    """What identifies the outputs of each model of a world of which nothing but its outputs is kept."""
    probes = digest(setting.probes)
    return [{**fields, "kind": "opaque outputs", "probes": probes} for fields in model_fields(setting, world)]


def stored_fields(setting: Setting, world: WorldPlan) -> list[Fields]:
    """What identifies what is kept of each model of a world: the model, or outputs where nothing else is known."""
    return (opaque_fields if setting.learner.opaque else model_fields)(setting, world)


def about(setting: Setting, world: WorldPlan) -> Fields:
    """What notes of outputs say of their models, since their key does not: data, training set, versions."""
    return {
        "data": setting.fingerprint,
        "training_ids": digest(setting.ids[world.rows]),
        "versions": versions_of(setting),
    }


def versions_of(setting: Setting) -> Fields:
    """Versions of what decides the bits of models: the training code, its library, the kind of device."""
    return {"training_version": TRAINING_VERSION, **_library(setting.learner), **_kind_of_device(setting)}


def outputs_fields(setting: Setting, world: WorldPlan) -> Fields:
    """What identifies the outputs of a world on the probes."""
    models = [key_of(fields) for fields in model_fields(setting, world)]
    read = setting.documents
    more = {} if read is None else {"documents": digest(read.x), "answers": read.answers}
    return {"kind": "outputs", "models": models, "probes": digest(setting.probes), **more}


def read_verified(store: Objects, key: str) -> tuple[Arrays, Fields] | None:
    """An object, or None if it is not there or was bad; a bad one is set aside, to be made anew."""
    if not store.has(key):
        return None
    try:
        return store.read(key)
    except MissingObjectError:  # another run has met it before, and set it aside
        return None
    except CorruptObjectError:
        store.set_aside(key)
        return None
