"""`make regimes`: the regime that `diagnose` predicts, held against fresh models, for 40 requests.

Predicted: by the intervals of `diagnose`, from 200 models of parts of D and 32 of each world. Measured: by plain
means over 64 fresh models of D and 64 of D∖S, with other seeds, on the same probes: whether S gets its labels
without itself, whether others do, and whether margins over S tell the two apart. What `diagnose` leaves undecided
counts as missed. At least 36 of 40 must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unweave import Case
from unweave._random import derive, generator
from unweave.influence import Margins, Range, regime_of
from unweave.learners.nets import build
from unweave.problem import MIN_PROBES, BehaviourChoice, ForgetChoice
from unweave.study import CASES, assemble
from unweave.study.assemble import Assembly
from unweave.study.diagnose import diagnose
from unweave.study.frame import forget_margins
from unweave.study.told_by_margins import told_by_margins
from unweave.training.engine import many
from unweave.training.outputs import logits, one_thread

MODELS, REFERENCES, FRESH = 200, 32, 64
NEEDED = 0.9
SEEDS = (1, 2)
NAMES = ("no-op", "little", "S alone", "S and others", "others alone", "undecided")


class Influence(NamedTuple):
    """infl(S→G) of each group that counts, and the p-value that margins over S do not tell."""

    groups: dict[str, float]
    p: float


class Verdict(NamedTuple):
    """A request with the regime predicted and measured, and what was measured."""

    request: str
    predicted: str
    measured: str
    influence: Influence


def _request(name: str, discovery: float, **behaviour: object) -> Case:
    """A registered case of digits with another discovery rate, or another size of the behaviour."""
    case = CASES[name] if name in CASES else CASES["digits-trigger"]
    kind = case.behaviour.kind if name in CASES else name
    own = replace(case.behaviour, **behaviour) if name in CASES else BehaviourChoice(kind, **behaviour)
    told = ", ".join(f"{key} {value}" for key, value in behaviour.items())
    label = f"{name.removeprefix('digits-')}, γ = {discovery:g}" + (f", {told}" if told else "")
    return replace(case, name=label, behaviour=own, forget=ForgetChoice(discovery=discovery))


def _ordinary(count: int, seed: int) -> Case:
    """So many random examples, of which nothing is known."""
    case = CASES["digits-class"]
    ids = assemble(case).data.train.ids
    chosen = sorted(generator(seed, "ordinary", count).choice(ids, count, replace=False).tolist())
    unknown = BehaviourChoice("unknown")
    return replace(case, name=f"{count} random ids", behaviour=unknown, forget=ForgetChoice(ids=tuple(chosen)))


def requests(seed: int) -> list[Case]:
    """Twenty requests, five of each kind as one would expect before anything is trained."""
    copies = {"size": 40, "copies": 20}
    found = [
        # What others teach as well: nothing changes but, mostly, how sure a model is of S.
        _request("digits-trigger", 0.2),
        _request("digits-class", 0.2),
        _request("digits-subclass", 0.5),
        _request("duplicates", 0.5, **copies),
        _ordinary(50, seed),
        # What nothing else teaches, and teaches nothing else: B∖S is empty, or too small to count.
        _request("digits-mislabel", 1.0, size=20),
        _request("digits-mislabel", 1.0, size=40),
        _request("digits-mislabel", 1.0, size=60),
        _request("digits-mislabel", 0.5, size=38),
        _request("digits-mislabel", 0.8, size=50),
        # What is learned from S alone, and used elsewhere.
        _request("digits-confusion", 0.5),
        _request("digits-confusion", 1.0),
        _request("digits-class", 1.0),
        _request("duplicates", 1.0, **copies),
        _request("digits-trigger", 1.0),
        # Few that stay teach S, but not as well to others.
        _request("digits-trigger", 0.88),
        _request("digits-trigger", 0.9),
        _request("digits-trigger", 0.88, target=3),
        _request("digits-trigger", 0.85, size=80),
        _request("digits-trigger", 0.85, size=60),
    ]
    many_models = [replace(one.references, models=REFERENCES) for one in found]
    return [replace(one, seed=seed, references=own) for one, own in zip(found, many_models, strict=True)]


def influence(case: Case, *, models: int = FRESH, worlds: Sequence[str] = ("original", "untrained")) -> Influence:
    """What S does to each group, and to margins over S, from models that `diagnose` has not seen."""
    assembly = assemble(case)
    groups = assembly.probes.groups
    answers = [_answers(assembly, world, models) for world in worlds]
    with_s, without_s = ((z.argmax(2) == assembly.probes.trained).mean(0) for z in answers)
    margins = [forget_margins(z, assembly.probes)[..., 0] for z in answers]
    return Influence(
        {
            name: float(with_s[where].mean() - without_s[where].mean())
            for name, where in groups.items()
            if name == "forget" or len(where) >= MIN_PROBES
        },
        told_by_margins(*margins, rng=generator(case.seed, "margins of regimes")).p,
    )


def _answers(assembly: Assembly, world: str, models: int) -> np.ndarray:
    setting, probes = assembly.setting, assembly.probes
    x, y = torch.from_numpy(setting.x), torch.from_numpy(setting.y)
    keys = [derive(assembly.case.seed, "fresh models of regimes", world, k) for k in range(models)]
    learner = build(setting.learner)
    with one_thread():
        stacked = many(learner, x, y, rows=[assembly.worlds[world].rows] * models, keys=keys)
        return logits(learner, stacked, torch.from_numpy(setting.probes)).numpy()[:, : len(probes.trained)]


def measured_regime(found: Influence) -> str:
    """The regime by these numbers as they are, without intervals."""
    points = {name: Range(value, value, value) for name, value in found.groups.items()}
    own = points.pop("forget")
    return regime_of(own, own, points, Margins(found.p, 0.0)).name


def judged(case: Case, *, models: int = MODELS, fresh: int = FRESH) -> Verdict:
    """A request, diagnosed in a store of its own and measured."""
    with tempfile.TemporaryDirectory() as folder:
        predicted = diagnose(case, models=models, store=Path(folder), workers=1).regime
    found = influence(case, models=fresh)
    return Verdict(f"{case.name}, seed {case.seed}", predicted, measured_regime(found), found)


def enough(found: Sequence[Verdict]) -> bool:
    """Whether nine of ten agree."""
    return sum(one.predicted == one.measured for one in found) >= NEEDED * len(found)


def table(found: Sequence[Verdict]) -> str:
    """How often each regime was predicted, by what was measured; and each request that was missed."""
    counts = Counter((one.measured, one.predicted) for one in found)
    wide = max(map(len, NAMES))
    lines = ["measured \\ predicted".ljust(wide + 10) + "".join(name.rjust(wide + 2) for name in NAMES)]
    for measured in NAMES[:-1]:
        cells = (str(counts[measured, predicted]).rjust(wide + 2) for predicted in NAMES)
        lines.append(measured.ljust(wide + 10) + "".join(cells))
    for one in found:
        if one.predicted != one.measured:
            values = ", ".join(f"{name} {value:.3f}" for name, value in one.influence.groups.items())
            values += f"; margins p {one.influence.p:.3f}"
            lines.append(f"missed: {one.request}: predicted {one.predicted}, measured {one.measured} ({values})")
    return "\n".join(lines)


def main() -> int:
    """Judge all requests, print the table, and fail where fewer than nine of ten agree."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=2, help="requests at a time (2)")
    options.add_argument("--json", type=Path, help="also write what was found to this file")
    given = options.parse_args()
    cases = [case for seed in SEEDS for case in requests(seed)]
    found: list[Verdict] = []
    with ProcessPoolExecutor(given.jobs) as pool:
        for one in pool.map(judged, cases):
            found.append(one)
            print(f"{len(found)}/{len(cases)} {one.request}: {one.predicted} / {one.measured}", flush=True)
    print(f"\n{table(found)}")
    agree = sum(one.predicted == one.measured for one in found)
    print(f"\n{agree} of {len(found)} regimes are as predicted; needed {NEEDED * len(found):.0f}.")
    if given.json is not None:
        given.json.write_text(json.dumps([one._asdict() for one in found], indent=1))
    return 0 if enough(found) else 1


if __name__ == "__main__":
    sys.exit(main())
