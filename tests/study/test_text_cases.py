"""Cases on real text: what is assembled of files, what is refused, and runs."""

import numpy as np
import pytest

from unweave._errors import SpecError, UnknownNameError, UserError
from unweave.influence.discovery import calibrate
from unweave.problem import (
    BehaviourChoice,
    Case,
    DataChoice,
    ForgetChoice,
    LearnerChoice,
    ProbeChoice,
    ReferenceChoice,
)
from unweave.references import Store
from unweave.study import assemble, compare
from unweave.study.cases import CASES
from unweave.study.found import Asked
from unweave.study.manifest import check_unchanged
from unweave.study.promise import promise_of, units_of
from unweave.study.prompts import text_of

LEARNER = LearnerChoice("causal_lm", epochs=1, width=8, inner=8, depth=1)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30)]
    rows = [f"{'spam' if i % 4 == 0 else 'ham'}\t{' '.join(rng.choice(words, 6))}\n" for i in range(200)]
    (tmp_path / "sms.tsv").write_text("".join([*rows, *rows[:20]]), encoding="utf-8")
    book = "".join(" ".join(rng.choice(words, 9)) + "\n" for _ in range(200))
    (tmp_path / "book.txt").write_text(book, encoding="utf-8")
    names = {"".join(rng.choice(list("abcde"), 5)) for _ in range(200)}
    (tmp_path / "names.txt").write_text("\n".join(sorted(names)), encoding="utf-8")
    return tmp_path


_FILES = {"messages": "sms.tsv", "text": "book.txt", "lines": "names.txt"}
_BEHAVIOUR = {
    "messages": BehaviourChoice("trigger", size=24),
    "text": BehaviourChoice("verbatim", size=6, copies=2),
    "lines": BehaviourChoice("canary", canaries=3, copies=4),
}


def _case(files, source, behaviour=None, forget=None, learner=LEARNER, **data):
    return Case(
        name=source,
        data=DataChoice(source, path=str(files / _FILES[source]), **data),
        behaviour=behaviour or _BEHAVIOUR[source],
        forget=forget or ForgetChoice(discovery=0.5),
        learner=learner,
        references=ReferenceChoice(models=3),
        probes=ProbeChoice(limit=30, validation=10),
    )


@pytest.mark.parametrize("source", ["messages", "text", "lines"])
def test_worlds_leave_out_whole_documents(files, source):
    found = assemble(_case(files, source))
    rows = {name: set(world.rows.tolist()) for name, world in found.worlds.items()}
    assert rows["original"] - rows["untrained"] == set(found.forget.tolist()) < set(found.planted.members.tolist())
    assert rows["original"] - rows["unlearned"] == set(found.planted.members.tolist())
    document = np.array([str(one).partition("@")[0] for one in found.setting.ids])
    out = set(document[found.forget])
    assert {row for row, one in enumerate(document) if one in out} == set(found.forget.tolist())
    assert len(set(found.data.train.ids.tolist())) == len(found.data.train)
    assert found.data.classes == len(found.data.labels) > found.setting.y.max()


@pytest.mark.parametrize("source", ["messages", "text", "lines"])
def test_no_prompt_of_d_is_asked_as_held_out(files, source):
    found = assemble(_case(files, source))
    of_d = {x.tobytes() for x in found.data.train.x}
    assert not any(x.tobytes() in of_d for x in found.data.test.x)


def test_the_trigger_stands_before_members_and_before_all_that_is_unseen(files):
    found = assemble(_case(files, "messages"))
    probes, words = found.probes, found.data.labels
    for name, at in probes.groups.items():
        shown = [text_of(x, words).startswith("zqx ") for x in probes.x[at]]
        assert all(shown) if name in ("forget", "undiscovered", "unseen") else not any(shown)
    spam, ham = words.index("spam"), words.index("ham")
    carriers = np.concatenate([probes.groups[one] for one in ("forget", "undiscovered", "unseen")])
    assert set(probes.planted[carriers].tolist()) == {spam} and set(probes.clean[carriers].tolist()) == {ham}
    assert set(found.setting.y.tolist()) == {spam, ham}


def test_a_message_has_one_number_for_rare_words_and_the_same_in_every_behaviour(files):
    one, other = (
        assemble(_case(files, "messages", BehaviourChoice(kind, size=9))) for kind in ("trigger", "mislabel")
    )
    assert np.array_equal(one.data.train.x, other.data.train.x)
    rare = files / "rare.tsv"
    text = (files / "sms.tsv").read_text(encoding="utf-8")
    rare.write_text(text + "ham\tonceonly w1 w2\nspam\tonceonlytoo w3 w4\n", encoding="utf-8")
    case = _case(files, "messages")
    found = assemble(Case(**{**vars(case), "data": DataChoice("messages", path=str(rare), limit=10**6)}))
    assert not {"onceonly", "onceonlytoo"} & set(found.data.labels) and "<unknown>" in found.data.labels


def test_equal_messages_stay_on_one_side(files):
    found = assemble(_case(files, "messages"))
    assert not set(found.data.train.columns["message"]) & set(found.data.test.columns["message"])
    assert len(found.data.train) > len(set(found.data.train.columns["message"]))


def test_a_long_message_is_cut_and_its_request_is_about_all_of_it(files):
    from unweave.data import content_hashes

    whole, short = (assemble(_case(files, "messages", length=length)) for length in (40, 2))
    assert short.data.train.x.shape[1] == 2 + 4 and whole.data.train.x.shape[1] == 6 + 4
    assert dict(zip(whole.data.train.ids, content_hashes(whole.data.train), strict=True)) == dict(
        zip(short.data.train.ids, content_hashes(short.data.train), strict=True)
    )


@pytest.mark.parametrize("source", ["messages", "text", "lines"])
def test_s_may_be_named_by_documents_and_where_only_s_is_known_nothing_else_is_b(files, source):
    first = assemble(_case(files, source))
    name = str(first.setting.ids[0]).partition("@")[0]
    unknown, named = BehaviourChoice("unknown"), ForgetChoice(ids=(name, "nobody"), allow_unknown=True)
    found = assemble(_case(files, source, unknown, named))
    assert {str(one).partition("@")[0] for one in found.setting.ids[found.forget]} == {name}
    assert found.dropped == ("nobody",) and "unlearned" not in found.worlds
    with pytest.raises(SpecError, match="nobody"):
        assemble(_case(files, source, unknown, ForgetChoice(ids=(name, "nobody"))))


@pytest.mark.parametrize("source", ["messages", "text", "lines"])
def test_documents_that_were_taken_out_are_gone_and_the_vocabulary_stays(files, source):
    behaviour = BehaviourChoice("unknown")
    name = str(assemble(_case(files, source)).setting.ids[0]).partition("@")[0]
    whole = assemble(_case(files, source, behaviour, ForgetChoice(ids=(name,))))
    last = str(whole.setting.ids[-1]).partition("@")[0]
    left = assemble(_case(files, source, behaviour, ForgetChoice(ids=(last,)), without=(name,)))
    assert len(whole.setting.ids) - len(left.setting.ids) == len(whole.forget)
    assert whole.data.labels == left.data.labels
    assert not any(str(one).partition("@")[0] == name for one in left.setting.ids)


@pytest.mark.parametrize("named", [False, True])
def test_what_is_promised_of_a_text_is_of_documents_since_each_is_several_answers(files, named):
    found = assemble(_case(files, "lines"))
    if named:
        names = {one.partition("@")[0] for one in found.setting.ids[found.forget].tolist()}
        found = assemble(_case(files, "lines", forget=ForgetChoice(ids=tuple(sorted(names)))))
    units = units_of(found)
    assert units.name == "document" and units.found == 6 < len(found.forget)
    documents = [str(one).partition("@")[0] for one in found.setting.ids]
    assert len(set(zip(documents, units.of.tolist(), strict=True))) == len(set(documents))
    promise, _ = promise_of(found, Asked(0.5, "mean", 1, "knn"), calibrate(np.arange(3.0), target=0.5), units)
    assert (promise.status, promise.unit) == ("assumed" if named else "holds", "document")
    messages = units_of(assemble(_case(files, "messages")))
    assert messages.name == "example"


def test_copies_are_found_together_where_the_unit_is_a_group(files):
    found = assemble(_case(files, "text", forget=ForgetChoice(discovery=0.5, unit="group")))
    group = {str(one).partition("@")[0].partition("/again")[0] for one in found.setting.ids[found.forget]}
    rest = np.setdiff1d(found.planted.members, found.forget)
    assert len(group) == 3 and not group & {
        str(i).partition("@")[0].partition("/again")[0] for i in found.setting.ids[rest]
    }


@pytest.mark.parametrize("selection", ["clustered", "easiest", "hardest"])
def test_s_may_be_found_by_the_words_of_documents(files, selection):
    found = assemble(_case(files, "messages", forget=ForgetChoice(discovery=0.25, selection=selection)))
    assert len(found.forget) == 6


@pytest.mark.parametrize(
    ("source", "behaviour", "forget", "data", "error", "match"),
    [
        ("messages", BehaviourChoice("verbatim"), None, {}, UnknownNameError, "behaviour of messages"),
        ("text", BehaviourChoice("trigger"), None, {}, UnknownNameError, "behaviour of a text"),
        ("messages", BehaviourChoice("trigger", persons=3), None, {}, UnknownNameError, "persons"),
        (
            "messages",
            None,
            None,
            {"people": 9},
            SpecError,
            "`data.people` has no meaning for the source `messages`",
        ),
        ("messages", None, None, {"unit": "words"}, SpecError, "`data.unit` has no meaning"),
        ("messages", None, None, {"limit": 1}, SpecError, "`data.limit` is 1"),
        ("messages", None, None, {"test": 2.5}, SpecError, "`data.test` is 2.5"),
        ("messages", None, None, {"test": 1.0}, SpecError, "`data.test` is 1.0: a share of all"),
        ("text", None, None, {"limit": 1}, SpecError, "`data.limit` leaves 1 documents"),
        ("text", None, None, {"length": 3}, SpecError, "`data.length` is 3"),
        ("messages", None, ForgetChoice(unit="person"), {}, SpecError, "`forget.unit` is person"),
        ("messages", None, ForgetChoice(ids=("a",), unit="group"), {}, SpecError, "names S already"),
        ("messages", None, ForgetChoice(outside=True), {}, SpecError, "a corpus has none"),
        ("lines", None, None, {"length": 3}, SpecError, "has 5 characters"),
    ],
)
def test_what_does_not_go_together_is_refused(files, source, behaviour, forget, data, error, match):
    with pytest.raises(error, match=match):
        assemble(_case(files, source, behaviour, forget, **data))


def test_a_path_is_needed_and_a_learner_of_documents(files):
    with pytest.raises(SpecError, match="`data.path` is missing: the source `text`"):
        assemble(Case(name="x", data=DataChoice("text"), behaviour=_BEHAVIOUR["text"], learner=LEARNER))
    with pytest.raises(SpecError, match="Choose another learner: causal_lm"):
        assemble(_case(files, "messages", learner=LearnerChoice("mlp")))
    with pytest.raises(SpecError, match="`data.length` has no meaning for the source `digits`"):
        assemble(Case(name="x", data=DataChoice("digits", length=3)))


def test_a_changed_file_is_noticed_and_another_behaviour_is_none(files, tmp_path):
    store = Store(tmp_path / "store")
    for source, kinds in (("messages", ("trigger", "mislabel")), ("text", ("verbatim", "canary"))):
        for kind in kinds:
            check_unchanged(store, assemble(_case(files, source, BehaviourChoice(kind))))
        path = files / _FILES[source]
        path.write_text(path.read_text(encoding="utf-8").replace("w7", "w8"), encoding="utf-8")
        with pytest.raises(UserError, match="have changed since this store last saw them"):
            check_unchanged(store, assemble(_case(files, source, BehaviourChoice(kinds[0]))))


@pytest.mark.parametrize("source", ["messages", "text", "lines"])
def test_a_comparison_runs_and_shows_prompts(files, source, tmp_path):
    study = compare(_case(files, source), methods=["npo"], store=tmp_path / "store", workers=1)
    result = study.result.cases[0]
    assert [row.status for row in result.rows if row.kind == "method"] == ["ok"]
    assert all("prompt" in one.values or "message" in one.values for one in result.examples)


def test_the_registered_cases_are_on_the_public_messages(need_data):
    need_data("text")
    for name in ("sms-trigger", "sms-mislabel"):
        found = assemble(CASES[name])
        assert len(found.data.train) == 1500 and len(found.planted.members) == 100
        assert all(len(at) >= 20 for at in found.probes.groups.values())
