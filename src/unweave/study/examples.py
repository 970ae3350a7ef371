"""Where a method is furthest from its ideal: single probes, as a person sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unweave._types import Estimate, Measured
from unweave.data import Dataset, Examples
from unweave.records import Aim, Example, Furthest, Row
from unweave.records.diagnosis import Shown
from unweave.report import png_address
from unweave.study.assemble import Assembly
from unweave.study.frame import Frame
from unweave.study.prompts import text_of
from unweave.study.samples import Sample

PER_ROW = 3
_MOST_VALUES = 12


def with_furthest(
    assembly: Assembly, frame: Frame, rows: Sequence[Row], samples: Mapping[str, Sample]
) -> tuple[list[Row], tuple[Example, ...]]:
    """Name for each method the probes where it is furthest from the reference that it came nearest to.

    Args:
        assembly: The case as arrays.
        frame: The frame the rows were measured in.
        rows: All rows of the case.
        samples: Outputs of the methods that ran, by id.

    Returns:
        The rows with their `furthest`, and the examples that these name.
    """
    places: dict[int, int] = {}
    found: list[Row] = []
    for row in rows:
        aim = _nearest(row, frame)
        if row.id not in samples or aim is None:
            found.append(row)
            continue
        sample, reference = samples[row.id], frame.reference(aim)
        energies = frame.distances.by_probe(sample, reference)
        worst = np.argsort(-energies, kind="stable")[:PER_ROW].tolist()
        for probe in worst:
            places.setdefault(probe, len(places))
        furthest = tuple(
            Furthest(
                places[probe],
                aim,
                float(energies[probe]),
                _says(assembly, sample.outputs[:, probe]),
                _says(assembly, reference.outputs[:, probe]),
            )
            for probe in worst
        )
        found.append(replace(row, furthest=furthest))
    return found, tuple(_example(assembly, probe) for probe in places)


def _nearest(row: Row, frame: Frame) -> Aim | None:
    """The aim of which least is left, among those with something to remove."""
    left: dict[Aim, Measured] = {"untraining": row.residual_untraining, "unlearning": row.residual_unlearning}
    known: list[Aim] = [aim for aim in frame.aims if isinstance(left[aim], Estimate)]
    return min(known, key=lambda aim: _value(left[aim])) if known else None


def _value(measured: Measured) -> float:
    return measured.value if isinstance(measured, Estimate) else math.inf


def label_name(assembly: Assembly, label: int) -> str:
    """A class by its name, or its number where it has none."""
    names = assembly.data.labels
    return names[label] if names else str(label)


def _says(assembly: Assembly, outputs: NDArray[np.float64]) -> tuple[str, float]:
    mean = outputs.mean(axis=0)
    return label_name(assembly, int(mean.argmax())), float(mean.max())


def _example(assembly: Assembly, probe: int) -> Example:
    group, seen = of_probe(assembly, probe)
    clean, planted = int(assembly.probes.clean[probe]), int(assembly.probes.planted[probe])
    shows = "" if planted < 0 else label_name(assembly, planted)
    return Example(group, seen.id, label_name(assembly, clean), shows, seen.image, seen.values)


def of_data(assembly: Assembly, row: int) -> Shown:
    """An example of D with the label that models are trained on."""
    trained, x = assembly.setting.y[row], assembly.setting.x[row]
    # Of an answer of several tokens the label is the first candidate: that answer itself.
    label = label_name(assembly, 0 if trained.ndim else int(trained))
    return _shown(assembly.data, assembly.data.train, row, str(assembly.setting.ids[row]), label, x)


def of_probe(assembly: Assembly, place: int) -> tuple[str, Shown]:
    """The group of a probe, and the probe with the label that models of D are trained on, or the clean one."""
    probes, data, unseen = assembly.probes, assembly.data, assembly.planted.unseen
    group = next(name for name, places in probes.groups.items() if place in places)
    row, label = int(probes.rows[place]), label_name(assembly, int(probes.trained[place]))
    if group in ("forget", "undiscovered", "retain"):
        return group, of_data(assembly, row)
    if group == "unseen":
        if unseen is None or unseen.rows is None:  # made for the purpose: neither an id nor a row of a table
            return group, _shown(data, None, 0, f"instance {row}", label, probes.x[place])
        row = int(unseen.rows[row])
    return group, _shown(data, data.test, row, str(data.test.ids[row]), label, probes.x[place])


def _shown(data: Dataset, part: Examples | None, row: int, name: str, label: str, x: NDArray[np.float32]) -> Shown:
    if part is None or row >= len(part):
        columns = {}
    elif data.documents and x.ndim > 1:  # the candidates of a question, which stands in the table by itself
        columns = part.columns
    else:  # what planting changed is another example than the row of the table
        columns = part.columns if np.array_equal(part.x[row], x, equal_nan=True) else {}
    if data.documents:
        told = values_of(columns, row, x) if columns else {"prompt": text_of(x, data.labels)}
        return Shown(name, label, "", told)
    image = image_of(x)
    return Shown(name, label, image, {} if image else values_of(columns, row, x))


def image_of(x: NDArray[np.float32]) -> str:
    """A grey image [h, w] or one of 1 or 3 colours [c, h, w] as the address of a PNG; "" for what is no image."""
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or len(x) not in (1, 3):
        return ""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 1.0)
    grey = np.round(255 * (x - low) / (high - low)).astype(np.uint8)
    return png_address(np.moveaxis(grey, 0, -1).tobytes(), x.shape[2], x.shape[1], colours=len(x) == 3)


def values_of(columns: Mapping[str, NDArray[np.generic]], row: int, x: NDArray[np.float32]) -> dict[str, str]:
    """The first columns of a row of a table, or the first features where there is no table."""
    if not columns:
        return {
            f"feature {place}": f"{value:.4g}" for place, value in enumerate(x.ravel()[:_MOST_VALUES].tolist())
        }
    shown = list(columns.items())[:_MOST_VALUES]
    return {name: _text(values[row]) for name, values in shown}


def _text(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{float(value):.6g}"
    return str(value) or "missing"
