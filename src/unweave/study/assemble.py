"""From a case to arrays: load data, plant the behaviour, choose S and the probes, plan the worlds."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave._random import derive
from unweave.data import Dataset, fingerprint, load
from unweave.learners import specify
from unweave.problem import MIN_PROBES, Case, Planted, Probes, choose_probes, plant, select, strata
from unweave.references import Setting, WorldName, WorldPlan, plan
from unweave.study.spec import case_from_tree, case_to_tree

_RECIPE = ("epochs", "lr", "batch_size", "momentum", "weight_decay", "schedule")
_CONFIG = ("width", "depth", "channels", "trees")


class Assembly(NamedTuple):
    """A case as arrays.

    Attributes:
        case: The case.
        data: The data before planting.
        planted: The training data with the behaviour in it.
        forget: Rows of S.
        probes: Probes of all groups.
        setting: What all models share.
        worlds: Training sets and keys.
    """

    case: Case
    data: Dataset
    planted: Planted
    forget: NDArray[np.int64]
    probes: Probes
    setting: Setting
    worlds: dict[WorldName, WorldPlan]


def assemble(case: Case) -> Assembly:
    """Build and check everything a case needs, before any model is trained.

    Raises:
        UserError: whatever is wrong with the case, as one message.
    """
    return _assemble(json.dumps(case_to_tree(case), sort_keys=True))


@lru_cache(maxsize=8)
def _assemble(text: str) -> Assembly:
    # Cached by content: a worker meets the same case in each of its tasks.
    case = case_from_tree(json.loads(text))
    data = load(
        case.data.source,
        **{key: value for key, value in vars(case.data).items() if key not in ("source", "fingerprint")},
    )
    train, test = (data.train.x, data.train.y), (data.test.x, data.test.y)
    chosen, key = case.behaviour, derive(case.seed, "problem")
    planted = plant(
        chosen.kind,
        train,
        test,
        classes=data.classes,
        key=key,
        parameters=chosen.parameters,
        ids=data.train.ids,
        columns=(data.train.columns, data.test.columns),
    )
    forget = select(
        planted,
        data.train.ids,
        key=key,
        discovery=case.forget.discovery,
        count=case.forget.count,
        forget_ids=case.forget.ids,
        selection=case.forget.selection,
    )
    probes = choose_probes(planted, forget, test, limit=case.probes.limit, key=key)
    sizes = {name: len(rows) for name, rows in probes.groups.items()}
    if not any(strata(sizes).values()):
        raise SpecError(
            f"No probe group has {MIN_PROBES} examples ({', '.join(f'{k} {v}' for k, v in sizes.items())}), so "
            "nothing could be judged. Raise `data.limit`, `data.test` or `behaviour.size`."
        )
    learner = specify(
        case.learner.name,
        data.train.x.shape[1:],
        data.classes,
        recipe=_given(case.learner, _RECIPE),
        config=_given(case.learner, _CONFIG),
        encoding=data.encoding,
    )
    ids = data.train.ids
    setting = Setting(learner, planted.x, planted.y, ids, fingerprint(planted.x, planted.y, ids), probes.x)
    worlds = plan(
        len(ids),
        forget,
        planted.members,
        models=case.references.models,
        null=case.null_models,
        paired=case.references.paired,
        seed=case.seed,
    )
    return Assembly(case, data, planted, forget, probes, setting, worlds)


def _given(choice: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(choice, name) for name in names if getattr(choice, name) is not None}
