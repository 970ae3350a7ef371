"""`erase` by `expand(NAME)`: the edit is of the larger set, the request of S, and the record says what joined."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.study.erasing import digests, erase, ids_of, save_model, tiny

from unweave._errors import ApplicabilityError, UnknownNameError
from unweave._random import derive
from unweave.learners.nets import build
from unweave.problem import ForgetChoice
from unweave.study import assemble
from unweave.study.choices import MethodChoice
from unweave.study.given import given_model
from unweave.training.engine import many, unstack

EXPAND = MethodChoice("expand(retrain)", {})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("erase")
    case = tiny(folder, forget=ForgetChoice(ids=ids_of(6)))
    save_model(case)
    return case, folder, erase(case, folder / "out", aim="unlearning", method=EXPAND)


def test_the_model_is_one_of_d_without_all_that_was_found(made):
    case, folder, record = made
    assembly = assemble(replace(case, learner=replace(case.learner, checkpoint=None)))
    joined = [str(one) for one in record.provenance["expansion"]["joined"]]
    rows_of = {str(one): row for row, one in enumerate(assembly.setting.ids.tolist())}
    out = np.union1d(assembly.forget, [rows_of[one] for one in joined])
    assert len(out) == 6 + len(joined) and len(joined) >= 1
    rest = np.setdiff1d(np.arange(200), out)
    x, y = (torch.from_numpy(one[rest]) for one in (assembly.setting.x, assembly.setting.y))
    learner = build(assembly.setting.learner)
    keys = [derive(case.seed, "erase", "expand(retrain)")]
    wanted = unstack(many(learner, x, y, rows=[np.arange(len(rest))], keys=keys))[0]
    found = given_model(assembly, folder / "out" / "0001" / "model.safetensors").state
    for name, value in wanted.params.items():
        torch.testing.assert_close(found.params[name][0], value, atol=1e-5, rtol=1e-5)


def test_the_record_says_what_joined_and_what_it_cost(made):
    _, folder, record = made
    about = record.provenance["expansion"]
    cut = about["cuts"][about["rung"]]
    assert len(about["joined"]) == cut and record.forget == 6
    ladder, left = sum(194 - one for one in about["cuts"]) / 194, (194 - cut) / 194
    assert record.gradient_ratio == pytest.approx(left + ladder + (5 + 1) * 200 / 194)
    assert any(f"{cut} examples of D∖S were taken for the same behaviour" in one for one in record.warnings)
    assert json.loads((folder / "out" / "0001" / "record.json").read_text())["provenance"]["expansion"] == about


def test_the_same_request_makes_the_same_model_and_trains_nothing_again(made):
    case, folder, _ = made
    before = digests(folder / "store" / "objects")
    erase(case, folder / "again", aim="unlearning", method=EXPAND)
    one, two = ((folder / name / "0001" / "model.safetensors").read_bytes() for name in ("out", "again"))
    assert one == two
    assert digests(folder / "store" / "objects") == before


def test_what_is_wrong_is_said_before_anything_is_trained(made, tmp_path):
    case, folder, _ = made
    before = digests(folder / "store")
    with pytest.raises(ApplicabilityError, match="takes out more than S, and untraining is of S alone"):
        erase(case, folder / "no", method=EXPAND)
    few = replace(case, forget=ForgetChoice(ids=ids_of(3)))
    with pytest.raises(ApplicabilityError, match="S has 3 examples, expected at least 4"):
        erase(few, folder / "no", aim="unlearning", method=EXPAND)
    unknown = replace(case, learner=replace(case.learner, epochs=None, lr=None))
    with pytest.raises(ApplicabilityError, match="how this model was trained is not known; give `learner.epochs`"):
        erase(unknown, folder / "no", aim="unlearning", method=EXPAND)
    with pytest.raises(UnknownNameError, match="Did you mean `scrub`"):
        erase(case, folder / "no", aim="unlearning", method=MethodChoice("expand(scrubb)", {}))
    assert not (folder / "no").exists() and digests(folder / "store") == before
