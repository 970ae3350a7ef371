"""Bad input: exit code 2, one message that says what and where, nothing trained, nothing left behind."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

TRIGGER = ("--case", "digits-trigger")


def _set(*settings: str) -> tuple[str, ...]:
    return tuple(f"--set={one}" for one in settings)


ALL_IDS = "forget.ids=" + str([i for i in range(1797)])


def _assert_refused(done, message: str, folder: Path, *, left: tuple[str, ...] = ()) -> None:
    assert done.exit_code == 2, (done.exit_code, done.output, done.exception)
    assert re.search(message, done.stderr), done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("Error") == 1
    assert len(done.stderr.strip().splitlines()) == 1 and len(done.stderr) < 800
    assert "Traceback" not in done.output and not done.stdout
    assert sorted(file.name for file in folder.iterdir()) == sorted(left)


BAD = {
    "empty S by count": (_set("forget.count=0"), r"`forget\.count` is 0: an empty forget set; nothing to remove"),
    "empty S by ids": (_set("forget.ids=[]"), "forget set has 0 examples; nothing to remove. Check `forget`"),
    "empty S by share": (_set("forget.discovery=0.001"), "empty forget set; nothing to remove"),
    "S outside D": (
        _set("forget.ids=[22, 99999]"),
        r"1 of 2 forget ids are not in the training data \(first: 99999",
    ),
    "S of test ids": (_set("forget.ids=[2]"), r"1 of 1 forget ids are in the test part \(first: 2\)"),
    "S outside B": (_set("forget.ids=[22, 0]"), r"1 of 2 forget ids do not carry the behaviour \(first: 0\)"),
    "ids twice": (_set("forget.ids=[22, 22]"), r"`forget\.ids`: id 22 appears 2×"),
    "negative id": (_set("forget.ids=[-1]"), "negative id -1; ids are 0 … 1796, and −1 never means the last"),
    "float id": (_set("forget.ids=[22.0]"), r"`forget\.ids` holds 22\.0; expected a whole number"),
    "bool id": (_set("forget.ids=[true]"), r"`forget\.ids` holds True; expected a whole number"),
    "text id": (
        _set('forget.ids=["22"]'),
        r"`forget\.ids` holds '22', but the ids of these data are whole numbers",
    ),
    "huge id": (
        _set("forget.ids=[1" + "0" * 40 + "]"),
        r"`forget\.ids` holds 10.*; expected a whole number below",
    ),
    "share 0": (_set("forget.discovery=0"), r"`forget\.discovery` is 0\.0; expected γ = .* in \(0, 1\]"),
    "share below 0": (_set("forget.discovery=-.1"), r"`forget\.discovery` is -0\.1; expected"),
    "share above 1": (_set("forget.discovery=1.5"), r"`forget\.discovery` is 1\.5; expected"),
    "share nan": (_set("forget.discovery=nan"), r"`forget\.discovery` is nan; expected"),
    "share and count": (_set("forget.discovery=.2", "forget.count=3"), "has discovery and count; expected one of"),
    "count above B": (_set("forget.count=101"), "101, but the behaviour has only 100 members"),
    "unknown key": (_set("forgt.count=3"), "Unknown key `forgt` .* Did you mean `forget`"),
    "unknown inner key": (_set("forget.cuont=3"), r"Unknown key `forget\.cuont` .* Did you mean `forget\.count`"),
    "unknown method": (("--methods", "noop,skrub"), "Unknown method `skrub`. Did you mean `scrub`"),
    "no method": (("--methods", " , "), "--methods is empty; expected names separated by commas"),
    "method twice": (("--methods", "noop,noop"), "`methods` lists noop more than once"),
    "unknown behaviour": (_set("behaviour.kind=triger"), "Unknown behaviour `triger`. Did you mean `trigger`"),
    "unknown learner": (_set("learner.name=mpl"), "Unknown learner `mpl`. Did you mean `mlp`"),
    "unknown source": (_set("data.source=digit"), "Unknown data source `digit`. Did you mean `digits`"),
    "unknown method parameter": (
        _set('methods=[{name = "scrub", gama = 1}]'),
        "Unknown parameter of `scrub` `gama`. Did you mean `gamma`",
    ),
    "method parameter below 0": (
        _set('methods=[{name = "scrub", lr = -1}]'),
        "scrub.lr is -1.*expected a number ≥ 0",
    ),
    "method parameter nan": (
        _set('methods=[{name = "scrub", lr = nan}]'),
        "scrub.lr is nan; expected a finite number",
    ),
    "parameter of another behaviour": (
        _set("behaviour.kind=mislabel", "behaviour.target=1"),
        "Unknown parameter of `mislabel` `target`. Known: size",
    ),
    "2 models": (_set("references.models=2"), r"`references\.models` is 2: an interval .* at least 3"),
    "1 fresh retrain": (_set("references.null=1"), r"`references\.null` is 1: an interval .* at least 3"),
    "too many models": (_set("references.models=100000000"), r"`references\.models` is 100000000; expected 3 to"),
    "0 epochs": (_set("learner.epochs=0"), r"`learner\.epochs` is 0; expected"),
    "too many epochs": (_set("learner.epochs=10000000000"), r"`learner\.epochs` is 10000000000; expected"),
    "learning rate below 0": (_set("learner.lr=-1"), r"`learner\.lr` is -1\.0; expected a positive number"),
    "learning rate nan": (_set("learner.lr=nan"), r"`learner\.lr` is nan; expected a positive number"),
    "learning rate infinite": (_set("learner.lr=inf"), r"`learner\.lr` is inf; expected"),
    "momentum 1": (_set("learner.momentum=1"), r"`learner\.momentum` is 1\.0; expected 0 ≤ momentum < 1"),
    "weight decay below 0": (_set("learner.weight_decay=-1"), r"`learner\.weight_decay` is -1\.0; expected"),
    "batch of 0": (_set("learner.batch_size=0"), r"`learner\.batch_size` is 0; expected"),
    "width 0": (_set("learner.width=0"), r"`learner\.width` is 0; expected at least 1"),
    "depth 0": (_set("learner.depth=0"), r"`learner\.depth` is 0; expected at least 1"),
    "width of a learner without": (
        _set("learner.name=softmax", "learner.width=3"),
        "`softmax` takes no parameters",
    ),
    "channels of a learner without": (
        _set("learner.channels=3"),
        "Unknown parameter of `mlp` `channels`. Known: depth, etd, p_gen, width",
    ),
    "no channels": (
        _set("learner.name=cnn", "learner.channels=0"),
        r"`learner\.channels` is 0; expected at least 1",
    ),
    "huge convolution": (
        _set("learner.name=resnet9", "learner.width=60000"),
        r"`learner\.width` is 60,000; expected",
    ),
    "trees without number": (_set("learner.name=forest", "learner.trees=many"), r"`learner\.trees` is 'many'"),
    "recipe of a forest": (
        _set("learner.name=forest"),
        r"`learner\.epochs` is a part of a recipe, and `forest` follows no gradient: it has none",
    ),
    "batch of one for batch norm": (
        _set("learner.name=resnet9", "learner.batch_size=19"),
        r"`learner\.batch_size` is 19, which leaves a batch of one example of the forget set S \(20 examples\)",
    ),
    "code that nobody trusts": (
        _set("learner.factory=model.py:make"),
        r"run code of model\.py, and nothing of it has been run\. If you trust it, add --trust-code model\.py",
    ),
    "a factory without function": (
        _set("learner.factory=model.py"),
        r"`learner\.factory` is 'model\.py'; expected",
    ),
    "trusted code that is not there": (
        ("--trust-code", "gone.py"),
        r"Cannot read the code gone\.py: No such file",
    ),
    "huge learner": (_set("learner.width=60000", "learner.depth=900"), "weights in each model; expected at most"),
    "unknown schedule": (
        _set("learner.schedule=step"),
        "`learner.schedule` is 'step'; expected 'constant', 'linear'",
    ),
    "huge behaviour": (_set("behaviour.size=1400"), r"`behaviour\.size` is 1400, but only 1259 of 1400"),
    "empty behaviour": (_set("behaviour.size=0"), r"`behaviour\.size` is 0; .* at least 1 member"),
    "target no class": (_set("behaviour.target=10"), r"`behaviour\.target` is 10; expected a class in 0 … 9"),
    "patch too large": (_set("behaviour.patch=9"), r"`behaviour\.patch` is 9; expected 1 to 8 pixels"),
    "test part too large": (
        _set("data.test=1797"),
        r"`data\.test` asks for 1797 of 1797 examples; expected 1 to 1795",
    ),
    "test part nan": (_set("data.test=nan"), r"`data\.test` is nan; expected"),
    "test part no count": (_set("data.test=2.5"), r"`data\.test` is 2\.5; expected"),
    "limit 1": (_set("data.limit=1"), r"`data\.limit` is 1; a training set needs at least 2"),
    "too little of everything": (
        _set("data.limit=20", "data.test=10", "behaviour.size=3", "forget.count=1"),
        r"No probe group has 20 examples \(forget 1, undiscovered 2, unseen \d+, retain 17, test 10\)",
    ),
    "probes": (_set("probes.limit=19"), r"`probes\.limit` is 19; expected at least 20"),
    "alpha": (_set("alpha=0.5"), r"`alpha` is 0\.5; expected a level in \(0, 0\.5\)"),
    "margin": (_set("margin=1"), r"`margin` is 1\.0; expected a share in \(0, 1\)"),
    "seed below 0": (("--seed", "-1"), r"`seed` is -1; expected an integer in 0"),
    "huge seed": (("--seed", str(2**63)), r"`seed` is 9223372036854775808; expected a whole number below"),
    "no workers": (("--workers", "0"), "`workers` is 0; expected a number of processes from 1 to 1024"),
    "name": (_set("name=' '"), "`name` is ' '; expected 1 to 255 printable characters"),
    "setting": (("--set", "seed"), r"--set 'seed': expected a\.b=c, such as forget\.discovery=0\.5"),
    "json is a folder": (("--json", "."), r"Cannot write \.: it is a folder; name a file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_leaves_nothing_behind(invoke, tmp_path, tiny, case):
    options, message = BAD[case]
    left = ("runs",) if case.startswith("json") else ()
    # Without the list of methods, which would win over one that is set.
    cheap = [option for option in tiny if "--methods" not in option]
    _assert_refused(invoke("compare", *TRIGGER, *cheap, *options), message, tmp_path, left=left)


def test_s_that_is_all_of_d_is_refused(invoke, tmp_path, tiny):
    from unweave.study import CASES, assemble

    ids = assemble(CASES["digits-trigger"]).setting.ids.tolist()
    done = invoke("compare", *TRIGGER, *tiny, *_set(f"forget.ids={ids}"))
    message = "forget set is all 1400 training examples; no retain data remain. Delete the model instead"
    _assert_refused(done, message, tmp_path)


def test_unknown_case_offers_near_names(invoke, tmp_path):
    done = invoke("compare", "--case", "digits-mislabels")
    _assert_refused(done, "Unknown case `digits-mislabels`. Did you mean `digits-mislabel`", tmp_path)


def test_the_same_case_twice_is_refused(invoke, tmp_path, tiny):
    done = invoke("compare", *TRIGGER, *TRIGGER, *tiny)
    assert done.exit_code == 2 and "different names" in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("command", [["diagnose"], ["discover"], ["erase", "--aim", "untraining"]])
def test_a_second_case_is_not_dropped_without_a_word(invoke, tmp_path, command):
    done = invoke(*command, "--case", "digits-trigger", "--case", "digits-class")
    _assert_refused(done, r"--case is given 2 times \(digits-trigger, digits-class\); expected one", tmp_path)


def test_a_file_of_ids_that_is_not_there_is_no_id(invoke, tmp_path):
    done = invoke("store", "purge", "--forget-ids", "nofile.csv", "--store", ".")
    _assert_refused(done, r"--forget-ids 'nofile\.csv': no such file", tmp_path)


@pytest.mark.parametrize("command", [["audit", "--edited", "other.safetensors"], ["diagnose"], ["discover"]])
def test_a_model_without_a_request_is_asked_for_one(invoke, tmp_path, command):
    """Not judged by a mark that would be painted on its data and that it never met."""
    np.savez(tmp_path / "d.npz", x=np.arange(3840, dtype=np.float32).reshape(60, 8, 8), y=np.arange(60) % 2)
    (tmp_path / "my.toml").write_text(
        '[data]\nsource = "npz"\npath = "d.npz"\ntest = 10\n'
        '[learner]\ncheckpoint = "m.safetensors"\nepochs = 2\nlr = 0.1\n'
    )
    done = invoke(command[0], "my.toml", *command[1:])
    _assert_refused(done, r"name its examples in `forget\.ids`", tmp_path, left=("d.npz", "my.toml"))


def test_spec_and_case_together_are_refused(invoke, tmp_path):
    (tmp_path / "mine.toml").write_text("")
    done = invoke("compare", "mine.toml", *TRIGGER)
    _assert_refused(done, "Give a spec file or --case, not both", tmp_path, left=("mine.toml",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"forgt = 1", "Unknown key `forgt` .* Did you mean `forget`"),
        (b"seed = ", "mine.toml is not valid TOML"),
        (b"\xff\xfe", "mine.toml: it is not text in UTF-8"),
        (b"version = 9", "mine.toml has version 9; this version of unweave reads version 1"),
        (b"[forget]\nids = [-1]", "negative id -1"),
        (b'methods = "noop"', "`methods` is 'noop'; expected a list"),
        (b'"\\u001b[31mred" = 1', "Unknown key `\ufffd.31mred`"),
    ],
)
def test_bad_spec_files_are_refused(invoke, tmp_path, content, message):
    (tmp_path / "mine.toml").write_bytes(content)
    _assert_refused(invoke("compare", "mine.toml"), message, tmp_path, left=("mine.toml",))


def test_missing_spec_is_refused(invoke, tmp_path):
    _assert_refused(invoke("compare", "nothing.toml"), "Cannot read the spec nothing.toml: No such file", tmp_path)
    _assert_refused(invoke("compare", "digits-trigger"), "case of this name: --case digits-trigger", tmp_path)
    _assert_refused(invoke("compare", "."), "Cannot read the spec .*: Is a directory", tmp_path)


# The user may be root, whom no permission stops: below a plain file nobody can make a folder.


def test_out_that_cannot_be_written_is_refused_before_training(invoke, tmp_path, tiny):
    (tmp_path / "file").write_text("precious")
    for out in ("file", "file/below"):
        done = invoke("compare", *TRIGGER, *tiny, "--out", out)
        message = f"Cannot write results to {out}: .* Choose another folder with --out"
        _assert_refused(done, message, tmp_path, left=("file",))
    assert (tmp_path / "file").read_text() == "precious"


def test_store_that_cannot_be_written_is_refused_before_training(invoke, tmp_path, tiny):
    (tmp_path / "file").write_text("precious")
    done = invoke("compare", *TRIGGER, *tiny, "--store", "file/store")
    assert done.exit_code == 2 and "Cannot write to the store" in done.stderr and "--store" in done.stderr
    assert "Traceback" not in done.output and (tmp_path / "file").read_text() == "precious"
    assert not list(tmp_path.rglob("*.safetensors"))


def test_json_that_cannot_be_written_is_refused_before_training(invoke, tmp_path, tiny):
    (tmp_path / "file").write_text("precious")
    for path in ("file/x.json", "missing/x.json"):
        done = invoke("compare", *TRIGGER, *tiny, "--out", "out", "--json", path)
        _assert_refused(done, f"Cannot write {path}: ", tmp_path, left=("file", "out"))
    assert not list((tmp_path / "out").iterdir())


def test_json_that_fills_the_disk_keeps_the_results(invoke, tmp_path, tiny):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    done = invoke("compare", *TRIGGER, *tiny, "--out", "out", "--quiet", "--json", "/dev/full")
    assert done.exit_code == 2 and "No space left on device. The results are in out." in done.stderr
    assert (tmp_path / "out" / "result.json").exists()


def test_report_of_what_is_no_result_is_refused(invoke, tmp_path, finished):
    text = (finished / "out" / "result.json").read_text()
    broken = {
        "not JSON": (text[: len(text) // 2], "is not JSON .* Expected one of result.json, sweep.json"),
        "empty": ("", "is not JSON"),
        "a list": ("[]", "has schema None; this version of unweave reads unweave.result/1, unweave.sweep/1"),
        "another schema": (
            text.replace("unweave.result/1", "unweave.result/9", 1),
            "has schema 'unweave.result/9'",
        ),
        "a number for a name": (
            re.sub(r'"name": "digits-trigger"', '"name": 3', text),
            "at `cases.0.name`.*by hand",
        ),
        "NaN": (re.sub(r'"margin": [\d.]+', '"margin": NaN', text), "is not JSON"),
    }
    file = tmp_path / "result.json"
    for content, message in broken.values():
        file.write_text(content)
        _assert_refused(invoke("report", str(file)), message, tmp_path, left=("result.json",))
    file.write_bytes(b"\xff\xfe\x00")
    _assert_refused(invoke("report", str(file)), "Cannot read a result from", tmp_path, left=("result.json",))


def test_report_of_a_broken_record_of_another_command_is_refused(invoke, tmp_path):
    file = tmp_path / "record.json"
    for kind in ("sweep", "discovery", "audit", "diagnosis"):
        file.write_text(json.dumps({"schema": f"unweave.{kind}/1", "headline": 3}))
        message = f"record.json does not fit schema unweave.{kind}/1"
        _assert_refused(invoke("report", str(file)), message, tmp_path, left=("record.json",))
    file.write_text('{"schema": "unweave.erasure/1"}')
    _assert_refused(invoke("report", str(file)), "erasure, which has no page", tmp_path, left=("record.json",))


def test_report_of_a_folder_with_two_records_asks_which(invoke, tmp_path):
    for name in ("sweep.json", "audit.json"):
        (tmp_path / name).write_text("{}")
    done = invoke("report", str(tmp_path))
    assert done.exit_code == 2 and "holds sweep.json and audit.json; name the file" in done.stderr


def test_report_without_a_result_is_refused(invoke, tmp_path, finished):
    _assert_refused(invoke("report", "nothing"), "Cannot read a result from nothing", tmp_path)
    _assert_refused(invoke("report", "."), ". holds no result: none of result.json,", tmp_path)
    done = invoke("report", str(finished / "out"), "--out", "missing/page.html")
    _assert_refused(done, "Cannot write missing/page.html: No such file", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "method"), "Unknown kind of thing to list `method`. Did you mean `methods`"),
        (("list", "learners", "--json", "."), "it is a folder; name a file"),
        (("cases", "digits"), "Unknown case `digits`. Did you mean"),
        (("cases", "--members"), "--members, --manifest, --features, --set and --allow-unknown need the name"),
        (
            ("cases", "--set", "seed=3"),
            "--members, --manifest, --features, --set and --allow-unknown need the name",
        ),
        (("cases", "digits-trigger", "--set", "forget.count=0"), "empty forget set"),
        (("cases", "digits-trigger", "--set", "workers=3"), "--set of `workers` has no effect on a case"),
        (("cases", "digits-trigger", "--members", "--set", "behaviour.size=9999"), "Choose a smaller size"),
        (("cases", "--json", "missing/x.json"), "Cannot write missing/x.json"),
    ],
)
def test_other_commands_refuse_bad_input(invoke, tmp_path, arguments, message):
    done = invoke(*arguments)
    assert done.exit_code == 2 and re.search(message, done.stderr), done.stderr
    assert done.stderr.startswith("Error: ") and len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("bogus",), ("compare", "--bogus"), ("compare", "--seed", "x"), ("list",)])
def test_wrong_usage_has_exit_code_2_and_points_to_help(run, arguments):
    done = run(*arguments)
    assert done.returncode == 2 and "--help" in done.stderr and "Traceback" not in done.stderr


def test_exit_code_and_message_of_a_real_process(run, tmp_path):
    done = run("compare", *TRIGGER, "--set", "forget.count=0")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "Error: `forget.count` is 0: an empty forget set; nothing to remove.\n"
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback_as_well(invoke):
    done = invoke("compare", *TRIGGER, "--set", "forget.count=0", "--debug")
    assert done.exit_code == 2 and "Traceback" in done.stderr and "Error: `forget.count` is 0" in done.stderr
