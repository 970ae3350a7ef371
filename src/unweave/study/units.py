"""The units in which a model of a table takes its numbers, kept in the header of its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave._errors import SpecError
from unweave.data import feature_names, load
from unweave.data.sources import Wanted
from unweave.learners.encoding import GAP, SCALE, SHIFT, Scales, world_scales
from unweave.problem import Case
from unweave.study.assemble import Assembly
from unweave.study.corpora import corpus_of

if TYPE_CHECKING:
    from unweave.learners.contract import State

UNITS = "units"
"""Key of the header of a safetensors file: numbers of a table as [mean, sd], and 0/1 features never seen."""

FAR = 0.05
"""Standard deviations by which units have to differ to be worth a word."""


def features_of_case(case: Case) -> dict[str, Any]:
    """Features of a table and its classes in order, as a model gets them: what a checkpoint has to fit.

    Returns:
        `features` and `classes`, lists of names, and `left_out`: columns that are no features, with the reason.

    Raises:
        SpecError: for data that are no table.
    """
    data = None
    if corpus_of(case.data) is None:
        data = load(
            case.data.source, **{key: one for key, one in vars(case.data).items() if key in Wanted._fields}
        )
    if data is None or data.encoding is None:
        what = "texts" if data is None else f"arrays of the shape {list(data.train.x.shape[1:])}, used as they are"
        raise SpecError(f"--features is for tables (csv, parquet, hf); the data here are {what}.")
    return {
        "features": list(feature_names(data)),
        "classes": [str(one) for one in data.labels],
        "left_out": dict(data.left_out),
    }


def features_text(case: Case) -> str:
    """What `features_of_case` finds, a line for each."""
    found = features_of_case(case)
    lines = [f"feature {place}: {name}" for place, name in enumerate(found["features"])]
    lines += [f"class {place}: {name}" for place, name in enumerate(found["classes"])]
    lines += [f"left out: {name}. {why}" for name, why in found["left_out"].items()]
    return "\n".join(lines) + "\n"


def units_text(assembly: Assembly, state: State) -> str | None:
    """How a model standardises its table, in the units of the file of the data; None where it is no table.

    `{"numbers": {column: [mean, sd]}, "unseen": [feature, …]}`: the model takes (v − mean)/sd, 0 where sd is
    null, and 0 for the 0/1 features that are listed, which its training set does not have.
    """
    encoding = assembly.setting.learner.encoding
    if encoding is None:
        return None
    shift, scale = (state.buffers[name].double().cpu().numpy() for name in (SHIFT, SCALE))
    numbers: dict[str, list[float | None]] = {}
    for name, place, middle, unit in _columns(assembly):
        known = scale[place] > 0
        mean, sd = middle + unit * shift[place], unit / scale[place] if known else None
        numbers[name] = [float(mean), None if sd is None else float(sd)]
    flags = [*encoding.category, *(flag for flag in encoding.missing if flag >= 0)]
    unseen = sorted(flag for flag in flags if scale[flag] == 0)
    return json.dumps({"numbers": numbers, "unseen": unseen})


def with_units(assembly: Assembly, text: str, state: State) -> State:
    """A model that standardises its table as the header of its file says.

    Raises:
        SpecError: if the header is about other columns, or is none.
    """
    import torch

    from unweave.learners.contract import State as Model

    encoding = assembly.setting.learner.encoding
    if encoding is None:
        return state
    d = assembly.setting.x.shape[1]
    shift, scale, gap = np.zeros(d), np.ones(d), np.zeros(d)
    try:
        told: Any = json.loads(text)
        columns = _columns(assembly)
        if set(told["numbers"]) != {one[0] for one in columns}:
            raise SpecError(
                f"The header of the model's file has units of the columns {', '.join(told['numbers']) or 'none'}; "
                f"the table has the numbers {', '.join(one[0] for one in columns) or 'none'}. The file and the "
                "data have to belong together."
            )
        for name, place, middle, unit in columns:
            mean, sd = told["numbers"][name]
            shift[place] = (float(mean) - middle) / unit
            scale[place] = 0.0 if sd is None else unit / float(sd)
        unseen = [int(one) for one in told["unseen"]]
        scale[unseen] = 0.0
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError):
        raise SpecError(f"The header of the model's file has no readable `{UNITS}`: {text[:80]!r}.") from None
    if not (np.isfinite(shift).all() and np.isfinite(scale).all() and (scale >= 0).all()):
        raise SpecError(f"The header of the model's file has `{UNITS}` that are no numbers, or sds below 0.")
    places = [place for place, flag in zip(encoding.numeric, encoding.missing, strict=True) if flag >= 0]
    gap[places] = 1.0
    own = {
        name: torch.from_numpy(one.astype(np.float32))
        for name, one in zip((SHIFT, SCALE, GAP), (shift, scale, gap), strict=True)
    }
    return Model(state.params, {**state.buffers, **own})


def units_moved(assembly: Assembly) -> tuple[str, float] | None:
    """The number whose mean or sd differs most between D and D∖S, and by how many sds of D; None without any."""
    encoding = assembly.setting.learner.encoding
    if encoding is None or not encoding.numeric:
        return None
    rows = assembly.worlds["original"].rows
    x, rest = assembly.setting.x, np.setdiff1d(rows, assembly.forget)
    if not len(rest):
        return None
    whole, left = world_scales(encoding, x[rows]), world_scales(encoding, x[rest])
    far = [_far(whole, left, place) for place in encoding.numeric]
    names = [one[0] for one in _columns(assembly)]
    return names[int(np.argmax(far))], max(far)


def moved_words(assembly: Assembly) -> list[str]:
    """What who feeds a retrained model has to know."""
    moved = units_moved(assembly)
    if moved is None:
        return []
    return [
        "The new model takes each number as (v − mean)/sd of D∖S and no longer of D (farthest apart: "
        f"{moved[0]}, {moved[1]:.2g} sd). The header of its file has them as `{UNITS}` (docs/data.md)."
    ]


def unsaid_words(assembly: Assembly, named: Sequence[str]) -> list[str]:
    """That units of models are not known, where those of D and of D∖S differ by so much that it shows.

    Args:
        assembly: The case.
        named: What the models are called that do not say how they standardise a table.
    """
    moved = units_moved(assembly)
    if moved is None or moved[1] < FAR or not named:
        return []
    return [
        f"The file of {' and of '.join(named)} does not say by which mean and sd numbers were standardised; those "
        f"of D were used. Those of D∖S differ (farthest: {moved[0]}, {moved[1]:.2g} sd), and the references use "
        "theirs: a model retrained in units of D∖S has to state them (docs/data.md), and one retrained in units "
        "of D may be told apart for that alone."
    ]


def _far(whole: Scales, left: Scales, place: int) -> float:
    sds = [1 / one[SCALE][place] if one[SCALE][place] > 0 else 0.0 for one in (whole, left)]
    if sds[0] == 0:
        return 0.0
    return float(max(abs(whole[SHIFT][place] - left[SHIFT][place]), abs(sds[0] - sds[1])) / sds[0])


def _columns(assembly: Assembly) -> list[tuple[str, int, float, float]]:
    """Name, position, and v = middle + unit·x, of each number of the table.

    By the rows that are there, whatever rows the features were scaled by.
    """
    encoding, part = assembly.setting.learner.encoding, assembly.data.train
    assert encoding is not None  # asked by those who call
    names = [name for name, values in part.columns.items() if values.dtype.kind == "f"]
    found: list[tuple[str, int, float, float]] = []
    for name, place in zip(names, encoding.numeric, strict=True):
        values, x = part.columns[name], part.x[:, place].astype(np.float64)
        known = np.flatnonzero(np.isfinite(values))
        if not len(known):
            found.append((name, place, 0.0, 1.0))
            continue
        low, high = known[values[known].argmin()], known[values[known].argmax()]
        unit = (values[high] - values[low]) / (x[high] - x[low]) if x[high] > x[low] else 1.0
        found.append((name, place, float(values[low] - unit * x[low]), float(unit)))
    return found
