import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave import (
    BehaviourChoice,
    Case,
    DataChoice,
    ForgetChoice,
    LearnerChoice,
    ProbeChoice,
    ReferenceChoice,
)
from unweave._errors import SpecError, UnknownNameError
from unweave.report.toml import toml_text
from unweave.study import CASE_NOTES, CASES, DEFAULT_CASES, case_from_tree, case_to_tree, read_spec


def _write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def _case(folder: Path, text: str) -> Case:
    return read_spec(_write(folder, text)).cases[0]


def _table(**keys: st.SearchStrategy) -> st.SearchStrategy:
    return st.fixed_dictionaries({}, optional=keys)


TREES = st.fixed_dictionaries(
    {"name": st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=20)},
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "margin": st.floats(0.001, 0.999),
        "alpha": st.floats(0.001, 0.499),
        "privacy": st.booleans(),
        "data": _table(test=st.integers(1, 99) | st.floats(0.01, 0.9), limit=st.integers(2, 9999)),
        "behaviour": _table(kind=st.text(max_size=9), size=st.integers(1, 99), target=st.integers(0, 9)),
        "forget": _table(discovery=st.floats(0, 1), ids=st.lists(st.integers(0, 2000), max_size=9)),
        "learner": _table(lr=st.floats(1e-9, 9), schedule=st.sampled_from(["constant", "linear", "cosine"])),
        "references": _table(models=st.integers(3, 99), paired=st.booleans()),
        "probes": _table(limit=st.integers(20, 999)),
    },
)


@settings(deadline=None)
@given(TREES)
def test_a_case_survives_the_way_through_a_file(tmp_path_factory, tree):
    case = case_from_tree(tree)
    file = tmp_path_factory.getbasetemp() / "round-trip.toml"
    file.write_text(toml_text({"version": 1, **case_to_tree(case)}), encoding="utf-8")
    assert read_spec(file).cases == (case,)


@pytest.mark.parametrize("name", CASES)
def test_registered_cases_survive_json_and_have_notes(name):
    case = CASES[name]
    assert case_from_tree(json.loads(json.dumps(case_to_tree(case)))) == case
    assert case.name == name and CASE_NOTES[name]
    assert read_spec(cases=[name]).cases == (case,)


def test_no_file_and_no_case_are_the_default_cases():
    spec = read_spec()
    assert [case.name for case in spec.cases] == list(DEFAULT_CASES)
    assert (spec.methods, spec.out, spec.store, spec.workers) == (None, None, None, None)


def test_an_empty_file_is_the_default_case_under_its_own_name(tmp_path):
    assert read_spec(_write(tmp_path, "", "my case.toml")).cases == (replace(Case(), name="my case"),)


def test_a_file_of_every_key(tmp_path):
    text = """
    version = 1
    name = "all"
    seed = 7
    margin = 0.2
    alpha = 0.01
    privacy = true
    methods = ["noop", { name = "scrub", lr = 0.5 }]
    out = "results"
    store = "models"
    workers = 2
    device = "cuda:1"
    [data]
    source = "digits"
    test = 0.25
    limit = 500
    [behaviour]
    kind = "trigger"
    size = 50
    target = 3
    patch = 2
    [forget]
    count = 10
    selection = "random"
    [learner]
    name = "mlp"
    epochs = 3
    lr = 0.1
    batch_size = 32
    momentum = 0.5
    weight_decay = 0.001
    schedule = "cosine"
    clip = 1.5
    noise = 2.0
    width = 16
    depth = 2
    dtype = "float32"
    [references]
    models = 4
    null = 3
    paired = true
    [probes]
    limit = 30
    """
    spec = read_spec(_write(tmp_path, text))
    assert spec.cases[0] == Case(
        name="all",
        seed=7,
        margin=0.2,
        alpha=0.01,
        privacy=True,
        data=DataChoice("digits", test=0.25, limit=500),
        behaviour=BehaviourChoice("trigger", 50, 3, 2),
        forget=ForgetChoice(count=10),
        learner=LearnerChoice("mlp", 3, 0.1, 32, 0.5, 0.001, "cosine", 1.5, 2.0, 16, 2, dtype="float32"),
        references=ReferenceChoice(4, 3, True),
        probes=ProbeChoice(30),
    )
    assert (spec.out, spec.store, spec.workers) == (tmp_path / "results", tmp_path / "models", 2)
    assert spec.methods is not None and [one.id for one in spec.methods] == ["noop", "scrub(lr=0.5)"]


def test_paths_are_relative_to_the_file_or_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    file = _write(tmp_path / "sub", 'out = "a"\nstore = "../b"')
    spec = read_spec(file)
    assert (spec.out, spec.store) == (tmp_path / "sub" / "a", tmp_path / "sub" / ".." / "b")
    assert read_spec(file, settings=["out=c"]).out == Path("c")
    absolute = tmp_path / "elsewhere"
    assert read_spec(_write(tmp_path, f'out = "{absolute}"')).out == absolute


@pytest.mark.parametrize("text", ['out = ""', "out = 3", "store = true", 'store = ["a"]', 'out = "a\\u0000b"'])
def test_what_is_no_path_is_refused(tmp_path, text):
    with pytest.raises(SpecError, match=r"`(out|store)` is .* expected a path"):
        read_spec(_write(tmp_path, text))


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffseed = 5\n".encode(),
        b"seed = 5\r\n[forget]\r\ndiscovery = 0.2\r\n",
        "# ein Fäll, 猫\nseed = 5".encode(),
        b"seed = 5",
    ],
)
def test_bom_crlf_and_comments_are_read(tmp_path, content):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    assert read_spec(file).cases[0].seed == 5


@pytest.mark.parametrize("name", ["my case.toml", "Fälle 猫.toml", "x" * 200 + ".toml", "noextension", ".toml"])
def test_unusual_file_names_name_the_case(tmp_path, name):
    assert read_spec(_write(tmp_path, "", name)).cases[0].name == Path(name).stem


@pytest.mark.parametrize("name", ["a\u202fb.toml", "a\tb.toml", "a\x1b[31m.toml"])
def test_a_file_name_that_cannot_be_printed_is_no_obstacle(tmp_path, name):
    assert read_spec(_write(tmp_path, "", name)).cases[0].name.isprintable()


def test_a_file_name_that_is_no_unicode_is_no_obstacle(tmp_path):
    file = tmp_path / "caf\udce9.toml"
    file.write_text("seed = 5")
    assert read_spec(file).cases[0].name == "caf_"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = ", "is not valid TOML: Invalid value"),
        (b"seed = 1\nseed = 2", "is not valid TOML: Cannot overwrite"),
        (b"seed: 5", "is not valid TOML"),
        (b'{"seed": 5}', "is not valid TOML"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "it is not text in UTF-8"),
        ("seed = 5".encode("utf-16"), "it is not text in UTF-8"),
        (b"a = " + b"[" * 100_000, "is not valid TOML: maximum recursion depth"),
        (b"seed = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        (b"seed = 0x" + b"f" * 5000, "`seed` is a number too long to show; expected a whole number below 2"),
        (b"version = 2", "has version 2; this version of unweave reads version 1"),
        (b"version = true", "has version True"),
        (b'version = "1"', "has version '1'"),
        (b"[version]", r"has version \{\}"),
    ],
)
def test_what_is_no_spec_is_refused(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(file)
    assert len(str(caught.value)) < 300


def test_missing_files_and_folders_are_refused_by_name(tmp_path):
    with pytest.raises(SpecError, match="Cannot read the spec .*nothing.toml: No such file or directory"):
        read_spec(tmp_path / "nothing.toml")
    with pytest.raises(SpecError, match="Cannot read the spec .*: Is a directory"):
        read_spec(tmp_path)


def test_a_case_given_as_a_file_is_pointed_to_the_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match="--case digits-trigger"):
        read_spec(Path("digits-trigger"))


def test_file_and_case_together_are_refused(tmp_path):
    with pytest.raises(SpecError, match="Give a spec file or --case, not both"):
        read_spec(_write(tmp_path, ""), cases=["digits-trigger"])


def test_unknown_case_offers_near_names():
    with pytest.raises(UnknownNameError, match="Unknown case `digits-triger`. Did you mean `digits-trigger`"):
        read_spec(cases=["digits-triger"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("forgt = 3", "Unknown key `forgt` in the spec. Did you mean `forget`"),
        ("[behavior]\nsize = 3", "Unknown key `behavior` .* Did you mean `behaviour`"),
        ("worker = 3", "Unknown key `worker` .* Did you mean `workers`"),
        ("[forget]\ndiscvery = 0.1", r"Unknown key `forget\.discvery` .* Did you mean `forget\.discovery`"),
        ("[learner]\nepoch = 1", r"Unknown key `learner\.epoch` .* Did you mean `learner\.epochs`"),
        ("[references]\nmodel = 1", r"Unknown key `references\.model` .* Did you mean `references\.models`"),
        ("[probes]\nlimits = 1", r"Unknown key `probes\.limits` .* Did you mean `probes\.limit`"),
        ("[data]\nsorce = 1", r"Unknown key `data\.sorce` .* Did you mean `data\.source`"),
        ("epochs = 3", r"Unknown key `epochs` .* Did you mean `learner\.epochs`"),
        ("discovery = 3", r"Unknown key `discovery` .* Did you mean `forget\.discovery`"),
        ("limit = 3", r"Unknown key `limit` .* Did you mean `data\.limit` or `probes\.limit`"),
        ("[data]\nseed = 3", r"Unknown key `data\.seed` .* Did you mean `seed`"),
        ("[data]\nfoo = 3", r"Unknown key `data\.foo` in the spec\. Known here: data\.fingerprint, data\.group"),
        ("zzz = 3", r"Unknown key `zzz` in the spec\. Known here: alpha, "),
    ],
)
def test_unknown_keys_offer_near_ones(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        read_spec(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1.0", "`seed` is 1.0; expected a whole number"),
        ('seed = "1"', "`seed` is '1'; expected a whole number, without quotes"),
        ("seed = true", "`seed` is True; expected a whole number"),
        ("seed = nan", "`seed` is nan; expected a whole number"),
        ("seed = 1979-05-27", r"`seed` is datetime.date\(1979, 5, 27\); expected a number, text"),
        ("seed = [1]", r"`seed` is \[1\]; expected a whole number"),
        ("name = 3", "`name` is 3; expected text"),
        ("margin = nan", r"`margin` is nan; expected a share in \(0, 1\)"),
        ("alpha = inf", r"`alpha` is inf; expected a level in \(0, 0\.5\)"),
        ('margin = "0.1"', "`margin` is '0.1'; expected a number, without quotes"),
        ("privacy = 1", "`privacy` is 1; expected true or false"),
        ("data = 3", "`data` is 3; expected a table of keys"),
        ("[[data]]", r"`data` is \[\{\}\]; expected a table of keys"),
        ("data.test = true", "`data.test` is True; expected a number"),
        ("data.limit = 2.5", "`data.limit` is 2.5; expected a whole number"),
        ("behaviour.size = true", "`behaviour.size` is True; expected a whole number"),
        ("forget.ids = [1, 2.0]", "`forget.ids` holds 2.0; expected a whole number"),
        ("forget.ids = [true]", "`forget.ids` holds True; expected a whole number"),
        ("forget.ids = 7", r"`forget.ids` is 7; expected a list, such as \[1, 2, 3\]"),
        ("forget.ids = [[1]]", r"`forget.ids` holds \[1\]; expected a number"),
        ("forget.ids = {a = 1}", r"`forget.ids` is \{'a': 1\}; expected a number"),
        ('forget.selection = "best"', "`forget.selection` is 'best'; expected 'random'"),
        ('learner.schedule = "step"', "`learner.schedule` is 'step'; expected 'constant', 'linear' or 'cosine'"),
        ("references.models = 3.0", "`references.models` is 3.0; expected a whole number"),
        ("workers = 0", "`workers` is 0; expected a number of processes from 1 to 1024"),
        ("workers = 2.0", "`workers` is 2.0"),
        ("workers = true", "`workers` is True"),
    ],
)
def test_values_of_the_wrong_type_are_refused(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        read_spec(_write(tmp_path, text))


def test_a_long_value_is_shortened_in_the_message(tmp_path):
    with pytest.raises(SpecError) as caught:
        _case(tmp_path, f'forget.ids = "{"x" * 10_000}"')
    assert len(str(caught.value)) < 200


def test_whole_numbers_count_as_numbers_where_a_fraction_may_stand(tmp_path):
    case = _case(tmp_path, "learner.lr = 1\nforget.discovery = 1\ndata.test = 300")
    assert (case.learner.lr, case.forget.discovery, case.data.test) == (1.0, 1.0, 300)


def test_numbers_of_numpy_are_taken_from_scripts():
    # In another process: the type checks of the tests would refuse them at the constructor.
    code = (
        "import numpy as np; from unweave import *; from unweave.study import *;"
        "c = Case(seed=np.int64(3), margin=np.float64(.2), forget=ForgetChoice(ids=tuple(np.arange(3))));"
        "assert case_from_tree(case_to_tree(c)) == Case(seed=3, margin=.2, forget=ForgetChoice(ids=(0, 1, 2)));"
        "c = Case(forget=ForgetChoice(ids=np.arange(3)));"
        "assert case_from_tree(case_to_tree(c)).forget.ids == (0, 1, 2)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert case_from_tree({"seed": np.int64(3).item()}).seed == 3
