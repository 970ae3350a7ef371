import pytest

from unweave._errors import SpecError, UnknownNameError
from unweave.problem import BehaviourChoice, ForgetChoice
from unweave.study import DEFAULT_METHODS, MethodChoice, read_spec
from unweave.study.methods import check_methods, expanded


def _set(*settings: str, case: str = "digits-trigger"):
    return read_spec(cases=[case], settings=settings)


@pytest.mark.parametrize(
    ("setting", "read", "value"),
    [
        ("seed=5", lambda case: case.seed, 5),
        ("seed = 5", lambda case: case.seed, 5),
        (" seed=5 # five", lambda case: case.seed, 5),
        ("margin=0.2", lambda case: case.margin, 0.2),
        ("margin=.2", lambda case: case.margin, 0.2),
        ("learner.lr=1.", lambda case: case.learner.lr, 1.0),
        ("learner.lr=.5e-3", lambda case: case.learner.lr, 0.0005),
        ("learner.lr=1e-3", lambda case: case.learner.lr, 0.001),
        ("privacy=true", lambda case: case.privacy, True),
        ("name=mine", lambda case: case.name, "mine"),
        ("name=a=b", lambda case: case.name, "a=b"),
        ("name=5 o'clock", lambda case: case.name, "5 o'clock"),
        ('name="5"', lambda case: case.name, "5"),
        ("learner.schedule=cosine", lambda case: case.learner.schedule, "cosine"),
        ("behaviour.kind=trigger", lambda case: case.behaviour.kind, "trigger"),
        ("forget.ids=[1, 2]", lambda case: case.forget.ids, (1, 2)),
        ("forget.ids=[]", lambda case: case.forget.ids, ()),
        ("forget={count = 3}", lambda case: case.forget.count, 3),
        ("data.test=0.3", lambda case: case.data.test, 0.3),
    ],
)
def test_settings_are_typed_as_in_a_file(setting, read, value):
    (case,) = _set(setting).cases
    assert read(case) == value and type(read(case)) is type(value)


def test_settings_reach_every_case_and_the_last_one_counts():
    spec = read_spec(settings=["seed=5", "seed=6"])
    assert [case.seed for case in spec.cases] == [6, 6]


def test_settings_of_the_run():
    spec = _set("workers=3", "out=a b", "store=c", 'methods=["noop"]')
    assert (spec.workers, str(spec.out), str(spec.store)) == (3, "a b", "c")
    assert spec.methods == (MethodChoice("noop", {}),)


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("forget.count=5", (None, 5, None)),
        ("forget.ids=[1]", (None, None, (1,))),
        ("forget.discovery=1", (1, None, None)),
    ],
)
def test_one_way_to_choose_s_replaces_the_other(tmp_path, setting, left):
    for spec in (_set(setting), read_spec(_file(tmp_path), settings=[setting])):
        forget = spec.cases[0].forget
        assert (forget.discovery, forget.count, forget.ids) == left


def _file(folder):
    file = folder / "mine.toml"
    file.write_text("[forget]\ndiscovery = 0.3")
    return file


def test_two_ways_to_choose_s_in_the_same_breath_stay_an_error():
    forget = _set("forget.count=5", "forget.discovery=0.5").cases[0].forget
    assert (forget.count, forget.discovery) == (5, 0.5)  # refused by `select`, which knows both


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "expected a.b=c, such as forget.discovery=0.5"),
        ("=5", "expected a.b=c"),
        ("seed.=5", "expected a.b=c"),
        (".seed=5", "expected a.b=c"),
        ("", "expected a.b=c"),
        ("forgt.count=5", "Unknown key `forgt` .* Did you mean `forget`"),
        ("forget.cuont=5", r"Unknown key `forget\.cuont` .* Did you mean `forget\.count`"),
        ("worker=5", "Unknown key `worker` .* Did you mean `workers`"),
        ("epochs=5", r"Unknown key `epochs` .* Did you mean `learner\.epochs`"),
        ("version=2", "Unknown key `version`"),
        ("seed.x=5", "`seed` has no keys below it"),
        ("workers.x=5", "`workers` has no keys below it"),
        ("data=5", "`data` is 5; expected a table of keys"),
        ("forget.ids.x=5", r"`forget\.ids` is \{'x': 5\}; expected"),
        ("seed=", "`seed` is ''; expected a whole number"),
        ("seed=five", "`seed` is 'five'; expected a whole number"),
        ("seed=5\nmargin=0.5", r"`seed` is '5\\nmargin=0.5'; expected a whole number"),
        ("seed=" + "9" * 5000, "`seed` is '999.*…; expected a whole number"),
        ("seed=0x" + "9" * 5000, "`seed` is a number too long to show"),
        ("forget.ids=" + "[" * 5000, r"`forget\.ids` is '\[\[.*; expected a list of ids"),
        ("forget.ids=1,2", r"`forget\.ids` is '1,2'; expected a list of ids, such as \[1, 2, 3\]"),
        ("privacy=True", "`privacy` is 'True'; expected true or false"),
        ("name=2024", "`name` is 2024; expected text .* quotes"),
        ("name=a\udcffb", "`name` is .* expected valid Unicode text"),
        ("methods=noop", "`methods` is 'noop'; expected a list of names"),
    ],
)
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(SpecError, match=message) as caught:
        _set(setting)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ('["noop"]', ["noop"]),
        ('["noop", "scrub"]', ["noop", "scrub"]),
        ('[" noop "]', ["noop"]),
        ('[{name = "scrub"}]', ["scrub"]),
        ('[{name = "scrub", lr = 0.5, epochs = 1}]', ["scrub(epochs=1, lr=0.5)"]),
        ('["scrub", {name = "scrub", lr = 0.5}]', ["scrub", "scrub(lr=0.5)"]),
        ('[{name = "ssd", alpha = 1e30}]', ["ssd(alpha=1e+30)"]),
    ],
)
def test_methods_are_names_or_tables(given, ids):
    methods = _set(f"methods={given}").methods
    assert methods is not None and [one.id for one in methods] == ids
    check_methods(methods)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[]", r"`methods` is \[\]; expected a list of names"),
        ("3", "`methods` is 3; expected a list"),
        ('{name = "noop"}', "`methods` is .* expected a list"),
        ("[3]", "`methods` holds 3; expected a name, or a table with a name"),
        ('[["noop"]]', "`methods` holds .* expected a name"),
        ("[{lr = 3}]", "`methods` holds .* table with a name"),
        ("[{name = 3}]", "`methods` holds .* table with a name"),
        ('["noop", "noop"]', "`methods` lists noop more than once"),
        ('[{name = "scrub", lr = 0.1}, {name = "scrub", lr = 0.1}]', r"lists scrub\(lr=0.1\) more than once"),
        *[
            (f'[{{name = "scrub", lr = {value}}}]', "`methods`: scrub.lr is .* expected a finite number")
            for value in ("nan", "inf", "-inf", "true", '"0.1"', "[0.1]", "1e31", "1979-05-27", "0x" + "f" * 5000)
        ],
    ],
)
def test_what_is_no_list_of_methods_is_refused(given, message):
    with pytest.raises(SpecError, match=message):
        _set(f"methods={given}")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("skrub", {}, "Unknown method `skrub`. Did you mean `scrub`"),
        ("scrub", {"rl": 0.1}, "Unknown parameter of `scrub` `rl`. Did you mean `lr`"),
        ("noop", {"lr": 0.1}, "`noop` takes no parameters; got `lr`"),
        ("scrub", {"lr": -0.1}, r"scrub\.lr is -0\.1; expected a number ≥ 0"),
        ("scrub", {"epochs": 1e9}, r"scrub\.epochs is 1e\+09 times those of the learner; expected at most 1000"),
    ],
)
def test_unknown_methods_and_parameters_are_refused(name, params, message):
    from unweave import UserError

    with pytest.raises(UserError, match=message):
        check_methods([MethodChoice(name, params)])


def test_a_whole_number_is_the_same_parameter_as_its_fraction():
    assert MethodChoice("scrub", {"epochs": 1}) == MethodChoice("scrub", {"epochs": 1.0})
    assert isinstance(MethodChoice("scrub", {"epochs": 1}).params["epochs"], float)


def test_no_method_and_one_twice_are_refused_from_scripts_too():
    with pytest.raises(SpecError, match="`methods` is empty"):
        check_methods([])
    with pytest.raises(SpecError, match="lists noop more than once"):
        check_methods([MethodChoice("noop", {}), MethodChoice("noop", {})])


def test_all_methods_are_those_registered_and_not_named_beside():
    from unweave.methods import METHODS

    for given in ("all", ["all"]):
        listed = expanded(read_spec(cases=["digits-trigger"], settings=[f"methods={given!r}"]).methods)
        assert sorted(one.name for one in listed) == sorted(METHODS.names())
    beside = expanded((MethodChoice("npo", {"beta": 2.0}), MethodChoice("all", {})))
    assert [one.name for one in beside].count("npo") == 1 and beside[0].params == {"beta": 2.0}
    assert len(beside) == len(METHODS.names())
    with pytest.raises(SpecError, match="takes no parameters"):
        expanded((MethodChoice("all", {"lr": 1.0}),))


def test_the_default_methods_are_registered():
    from unweave.methods import METHODS

    assert set(DEFAULT_METHODS) <= set(METHODS.names())


def test_option_methods_wins_over_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('methods = ["noop"]')
    assert read_spec(file, methods=["scrub", "ssd"]).methods == (
        MethodChoice("scrub", {}),
        MethodChoice("ssd", {}),
    )


def test_unknown_names_are_no_surprise_of_the_spec_itself():
    # The spec is read without the registries; names are checked where the data or torch is at hand.
    assert _set("behaviour.kind=foo").cases[0].behaviour.kind == "foo"
    with pytest.raises(UnknownNameError):
        read_spec(cases=["foo"])


def test_another_learner_takes_the_place_of_the_whole_recipe():
    (case,) = _set("learner.name=softmax", "learner.epochs=3", case="fashion-trigger").cases
    assert (case.learner.name, case.learner.lr, case.learner.epochs) == ("softmax", None, 3)
    (other,) = _set("behaviour.kind=mislabel", "behaviour.size=7").cases
    assert other.behaviour.parameters == {"size": 7}
    (same,) = _set("learner.name=mlp", case="fashion-trigger").cases
    assert same.learner.lr is not None


@pytest.mark.parametrize("file", [False, True])
def test_ids_of_a_request_leave_what_is_said_of_unknown_ones(tmp_path, file):
    spec = tmp_path / "my.toml"
    said = "allow_unknown = true\n" if file else ""
    spec.write_text(f'[data]\nsource = "digits"\n[forget]\ncount = 3\n{said}')
    settings = () if file else ("forget.allow_unknown=true",)
    (case,) = read_spec(spec, settings=settings, forget_ids=[3, 5]).cases
    assert case.forget == ForgetChoice(ids=(3, 5), allow_unknown=True)
    spec.write_text('[data]\nsource = "digits"\n')
    (case,) = read_spec(spec, forget_ids=[3, 5]).cases
    assert case.forget == ForgetChoice(ids=(3, 5))


def test_a_model_as_deployed_has_not_met_the_default_behaviour(tmp_path):
    """Who names a model but not S must not be told about a mark that unweave would paint on the data."""
    spec = tmp_path / "model.toml"
    spec.write_text('[learner]\ncheckpoint = "model.safetensors"\nepochs = 3\nlr = 0.1\n')
    assert read_spec(spec).cases[0].behaviour == BehaviourChoice("unknown")
    assert read_spec(spec, settings=["behaviour.kind=mislabel"]).cases[0].behaviour.kind == "mislabel"
    given = ["learner.checkpoint=model.safetensors"]
    assert read_spec(cases=["digits-trigger"], settings=given).cases[0].behaviour.kind == "trigger"
    spec.write_text('[data]\nsource = "tofu"\n[learner]\ncheckpoint = "llama"\n')  # where training begins
    assert read_spec(spec).cases[0].behaviour.kind == "trigger"
    spec.write_text("[learner]\nepochs = 3\n")
    assert read_spec(spec, settings=given).cases[0].behaviour.kind == "unknown"
    assert read_spec(spec).cases[0].behaviour.kind == "trigger"
