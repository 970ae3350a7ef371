"""The suite that authors outside have catches every planted method, and says how to mend it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from unweave._errors import UserError
from unweave._registry import Entry
from unweave.methods import METHODS, Method
from unweave.testing import CONTRACTS, check_method
from unweave.testing.suite import Subject

_spec = spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
wrong = module_from_spec(_spec)
_spec.loader.exec_module(wrong)


def entry(factory, name: str = "finetune", **declared):
    """A planted factory that declares what the method declares that it spoils."""
    of = replace(METHODS.get(name).declared, **{"space": {}, "several": False, **declared})

    def made(*, epochs: float = 1.0) -> Method:
        method = factory()
        return method._replace(epochs=method.epochs * min(epochs, 1.0), step=method.step if epochs else None)

    made.__doc__ = METHODS.get(name).factory.__doc__
    return Entry("planted", made, of)


BROKEN = {
    "teacher": (wrong.scrub_taught_by_itself, "scrub", "forget: not as declared"),
    "student": (wrong.scrub_that_optimises_its_teacher, "scrub", "model 0 did not change"),
    "idle": (
        lambda: wrong.finetune(lambda *given: 0 * wrong.on_retain(*given)),
        "finetune",
        "model 0 did not change",
    ),
    "descent": (wrong.descends_on_s, "gradient_ascent", "the mean loss of S fell"),
    "cost": (wrong.hides_its_cost, "ssd", "the recorded cost is"),
    "in place": (wrong.writes_into_the_model, "finetune", "originals were changed in place"),
    "labels": (wrong.blanks_the_labels, "finetune", "data were changed in place"),
    "mask": (wrong.masked_gradient, "finetune", "stays without weight decay, and with it it moved"),
    "built": (wrong.draws_when_built, "finetune", "the same key gives another result"),
    "numpy": (wrong.draws_by_numpy, "finetune", "the same key gives another result"),
    "torch": (wrong.draws_by_torch, "finetune", "raised RuntimeError"),
    "key": (wrong.ignores_its_key, "finetune", "keys do not matter"),
    "tensors": (wrong.orders_its_tensors, "finetune", "the order of the tensors"),
    "nan": (wrong.is_not_finite, "finetune", "is not finite"),
}


@pytest.mark.parametrize("planted", BROKEN)
def test_check_method_catches_every_one_and_says_how_to_mend_it(planted):
    factory, name, said = BROKEN[planted]
    with pytest.raises(AssertionError) as caught:
        check_method(entry(factory, name))
    assert said in str(caught.value), caught.value
    assert "To mend it: " in str(caught.value) or "of the checks end so: " in str(caught.value)
    assert "planted breaks" in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "said"), [("several", "returned a tensor of shape"), ("none", "returned NoneType")]
)
def test_a_loss_that_is_not_one_number_is_refused_once(loss, said):
    def step(net, aux, batches, i, key):
        each = wrong.on_retain(net, aux, batches, i, key)
        return each.expand(3) if loss == "several" else None

    with pytest.raises(AssertionError) as caught:
        check_method(entry(lambda: wrong.finetune(step)))
    assert str(caught.value).count(said) == 1 and "of the checks end so: raised UserError: its `step`" in str(
        caught.value
    )
    assert "no `mul_`" not in str(caught.value), "nothing was looked at that this would mend"


@pytest.mark.parametrize(
    ("needs", "said"),
    [({"original"}, "retain: not as declared"), ({"original", "forget", "retain"}, "forget: not as declared")],
)
def test_check_method_catches_wrong_needs(needs, said):
    with pytest.raises(AssertionError, match=said):
        check_method(entry(wrong.finetune, needs=frozenset(needs)))


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"cite": "Me 2026"}, "`cite` is 'Me 2026'; expected author"),
        ({"equation": ""}, "no equation"),
        ({"identity": {"strength": 0.0}}, "does not exist: strength"),
        ({"space": {"epochs": (2.0, 3.0)}}, "the default of epochs lies outside"),
        ({"needs": frozenset({"retain"})}, "`needs` lacks original"),
    ],
)
def test_check_method_catches_wrong_declarations(declared, said):
    contract = next(one for one in CONTRACTS if "documented" in one.promise)
    subject = Subject(entry(wrong.finetune, **declared), {}, chance=True)
    with pytest.raises(AssertionError, match=said):
        contract.check(subject)


def test_check_method_passes_the_right_toy_and_takes_names_and_functions():
    check_method(entry(wrong.finetune))
    check_method(METHODS.get("ssd").factory, strong={"alpha": 1.5}, chance=False)
    check_method("noop", chance=False)
    with pytest.raises(AssertionError, match="on_retain is not registered.*@unweave.methods.method"):
        check_method(wrong.on_retain)
    with pytest.raises(UserError, match="Unknown method `nop`. Did you mean `noop`"):
        check_method("nop")


def test_the_suite_needs_no_pytest_and_holds_without_assertions():
    code = (
        "import sys; from unweave.testing import check_method\n"
        "try: check_method('ssd', strong={'alpha': 1.5})\n"
        "except AssertionError as error: print(str(error).splitlines()[0], 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == f"ssd breaks 1 of {len(CONTRACTS)} promises. False\n", done.stderr
