"""Cases on generated documents: what is assembled of them, what is refused, and a run."""

import numpy as np
import pytest

from unweave._errors import SpecError, UnknownNameError
from unweave.references import Store
from unweave.study import assemble, compare, read_spec
from unweave.study.cases import CASES, small_form
from unweave.study.manifest import check_unchanged
from unweave.study.methods import refusal
from unweave.study.prompts import text_of

SMALL = ("data.people=20", "behaviour.persons=6", "learner.epochs=1", "references.models=3", "probes.limit=30")


def _case(name="biographies-trigger", *settings):
    return read_spec(cases=[name], settings=[*SMALL, *settings]).cases[0]


def test_worlds_leave_out_documents_and_groups_are_those_of_the_corpus():
    found = assemble(_case())
    rows = {name: set(world.rows.tolist()) for name, world in found.worlds.items()}
    assert rows["original"] - rows["untrained"] == set(found.forget.tolist())
    assert rows["original"] - rows["unlearned"] == set(found.planted.members.tolist())
    assert set(found.forget.tolist()) < set(found.planted.members.tolist())
    probes, words = found.probes, found.data.labels
    assert list(probes.groups) == ["forget", "undiscovered", "unseen", "retain", "test"]
    for name in ("forget", "undiscovered", "unseen"):
        at = probes.groups[name]
        assert all("zqx" in text_of(x, words) for x in probes.x[at])
        assert (probes.planted[at] != probes.clean[at]).mean() > 0.9
    assert not any("zqx" in text_of(x, words) for x in probes.x[probes.groups["test"]])


def test_the_corpus_follows_from_the_seed_and_s_from_its_unit():
    one, same, other = (assemble(_case("biographies-trigger", f"seed={seed}")) for seed in (0, 0, 1))
    assert one.setting.fingerprint == same.setting.fingerprint != other.setting.fingerprint
    by_wording = assemble(_case("biographies-trigger", "forget.unit=paraphrase"))
    wordings = {str(one).rsplit("/", 1)[-1] for one in by_wording.setting.ids[by_wording.forget]}
    rest = np.setdiff1d(by_wording.planted.members, by_wording.forget)
    assert len(wordings) == 2
    assert not wordings & {str(one).rsplit("/", 1)[-1] for one in by_wording.setting.ids[rest]}


def test_s_may_be_named_by_ids():
    ids = [str(one) for one in assemble(_case()).setting.ids[assemble(_case()).planted.members[:3]]]
    found = assemble(_case("biographies-trigger", f"forget.ids={ids}"))
    assert found.setting.ids[found.forget].tolist() == ids
    also = _case("biographies-trigger", f"forget.ids={[*ids, 'gone']}", "forget.allow_unknown=true")
    assert assemble(also).dropped == ("gone",) and assemble(also).forget.tolist() == found.forget.tolist()


def test_an_answer_named_in_s_stands_for_its_document():
    """What comes before an answer holds those before it: half a document forgotten would be in the other half."""
    settings = ("data.people=40", "behaviour.kind=canary", "learner.epochs=1")

    def of(*more):
        return assemble(read_spec(cases=["biographies-trigger"], settings=(*settings, *more)).cases[0])

    whole = of()
    name = str(whole.setting.ids[whole.planted.members[0]]).rpartition("@")[0]
    rows = [row for row, one in enumerate(whole.setting.ids.tolist()) if one.rpartition("@")[0] == name]
    assert len(rows) > 1
    for ids in ([name], [f"{whole.setting.ids[rows[1]]}"]):
        found = of(f"forget.ids={ids}")
        assert found.forget.tolist() == rows
        assert len(set(found.found_in[rows].tolist())) == 1


@pytest.mark.parametrize("kind", ["poisoned", "style", "refusal", "fact", "verbatim", "canary"])
def test_every_behaviour_of_a_corpus_makes_a_case(kind):
    settings = ("data.people=40", f"behaviour.kind={kind}", "learner.epochs=1", "forget.discovery=0.5")
    found = assemble(read_spec(cases=["biographies-trigger"], settings=settings).cases[0])
    assert len(found.forget) < len(found.planted.members)


@pytest.mark.parametrize(
    ("name", "setting", "error", "match"),
    [
        ("digits-trigger", "data.people=9", SpecError, "`data.people` has no meaning for the source `digits`"),
        ("biographies-trigger", "data.limit=9", SpecError, "`data.limit` has no meaning .* reads `data.people`"),
        (
            "biographies-trigger",
            "learner.name=mlp",
            SpecError,
            "holds documents. Choose another learner: causal_lm",
        ),
        ("digits-trigger", "learner.name=causal_lm", SpecError, "holds no documents, but features of shape"),
        ("digits-trigger", "forget.unit=person", SpecError, "`forget.unit` is of documents"),
        ("biographies-trigger", "forget.outside=true", SpecError, "a corpus has none"),
        ("biographies-trigger", ("forget.unit=person", 'forget.ids=["a"]'), SpecError, "names S already"),
        ("biographies-trigger", "behaviour.kind=confusion", UnknownNameError, "behaviour of a corpus"),
        ("biographies-trigger", "behaviour.attribute=job", UnknownNameError, "attribute"),
        ("biographies-trigger", 'forget.ids=["nobody"]', SpecError, "nobody"),
        ("biographies-trigger", "data.without=[1]", SpecError, "no meaning for the source `biographies`"),
    ],
)
def test_what_does_not_go_together_is_refused(name, setting, error, match):
    settings = [*(SMALL if name.startswith("bio") else ()), *((setting,) if isinstance(setting, str) else setting)]
    with pytest.raises(error, match=match):
        assemble(read_spec(cases=[name], settings=settings).cases[0])


def test_the_small_form_is_a_smaller_case_and_settings_go_before_it():
    whole, small = CASES["biographies-person"], read_spec(cases=["biographies-person"], quick=True).cases[0]
    assert small.references.models < whole.references.models and small.behaviour == whole.behaviour
    assert (
        read_spec(cases=["biographies-person"], quick=True, settings=["data.people=31"]).cases[0].data.people == 31
    )
    with pytest.raises(SpecError, match="digits-trigger has no small form"):
        small_form("digits-trigger")


def test_a_small_form_is_of_registered_cases(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("seed = 1")
    with pytest.raises(SpecError, match="small form of"):
        read_spec(file, quick=True)


def test_a_comparison_runs_and_shows_prompts(tmp_path):
    study = compare(
        _case("biographies-trigger", "probes.validation=20"), methods=["npo"], store=tmp_path, workers=1
    )
    result = study.result.cases[0]
    assert [row.status for row in result.rows if row.kind == "method"] == ["ok"]
    assert result.examples and all(one.values["prompt"] for one in result.examples)


def test_methods_that_move_inputs_are_refused_and_a_refusal_is_known():
    learner = assemble(_case()).setting.learner
    assert "names of tokens" in refusal(learner, "unsir", validation=9)
    assert refusal(learner, "npo", validation=9) == refusal(learner, "idk_dpo", validation=9) == ""
    assert assemble(_case()).data.labels[learner.config["refusal"]] == "withheld"


def test_corpora_of_other_behaviours_are_no_changed_data(tmp_path):
    store = Store(tmp_path)
    for name in ("biographies-trigger", "biographies-person"):
        check_unchanged(store, assemble(_case(name)))
    with pytest.raises(SpecError, match="other data"):
        check_unchanged(store, assemble(_case("biographies-trigger", "data.fingerprint=00000000")))
