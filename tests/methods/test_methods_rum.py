"""RUM: what each stage sees, in which order, from which model; scores by hand; names of methods for parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave._errors import SpecError, UnknownNameError, UserError
from unweave._random import derive
from unweave.learners.contract import State
from unweave.methods import (
    METHODS,
    Assignment,
    Examples,
    History,
    Method,
    confidence_scores,
    embedding_scores,
    random_scores,
    rum,
    run,
    thirds,
)
from unweave.methods.meta import parts_of
from unweave.methods.plugins import build_entry, build_method
from unweave.methods.refinement import GIVEN_SCORES, SCORES, labels, names_parts
from unweave.training.engine import unstack

HARD = np.array([7, 1, 8, 2, 9, 0, 3, 4, 6, 5])
"""How hard each example of S is said to be."""
LOW, MEDIUM, HIGH = [1, 3, 5, 6], [7, 8, 9], [0, 2, 4]


def sets_of(toy) -> dict:
    return {"forget": toy.forget, "retain": toy.retain, "keys": toy.keys, "validation": toy.validation}


def refined(toy, methods, by=HARD, **more):
    given = {**sets_of(toy), "training": toy.training, "chunk": len(toy.keys), **more}
    return rum(methods, toy.learner, toy.originals, by=by, **given)


# ---- which examples, in which order, from which model ----

Run = Callable[..., State]


def naive(
    toy,
    methods,
    *,
    backwards: bool = False,
    all_of_s: bool = False,
    later_left_out: bool = False,
    earlier_kept: bool = False,
    own_kept: bool = False,
    restart: bool = False,
) -> State:
    """RUM written plainly, part by part; each switch is a way to get it wrong."""
    state, handled = toy.originals, []
    parts = [LOW, MEDIUM, HIGH][:: -1 if backwards else 1]
    for number, (part, method) in enumerate(zip(parts, methods, strict=True)):
        gone = [*part, *([] if earlier_kept else handled)]
        gone = [] if own_kept else gone
        kept = [] if later_left_out else [i for i in range(10) if i not in gone]
        part = list(range(10)) if all_of_s else part
        sets = {
            "forget": Examples(toy.forget.x[part], toy.forget.y[part]),
            "retain": Examples(*(torch.cat([s[kept], r]) for s, r in zip(toy.forget, toy.retain, strict=True))),
        }
        keys = [derive(key, "part", number) if number else key for key in toy.keys]
        start = toy.originals if restart else state
        state = run(method, toy.learner, start, keys=keys, chunk=3, **sets).state
        handled += part
    return state


WRONG = ["backwards", "all_of_s", "later_left_out", "earlier_kept", "own_kept", "restart"]


def built(*names: str) -> list[Method]:
    return [METHODS.get(name).build() for name in names]


@pytest.mark.parametrize(
    "names", [("scrub",) * 3, ("noop", "finetune", "salun"), ("npo", "delete", "random_label")]
)
def test_it_is_the_plain_loop_over_the_parts_to_the_bit(toy, contract, names):
    assert contract.same_bits(refined(toy, built(*names)).state, naive(toy, built(*names)))


@pytest.mark.parametrize("wrong", WRONG)
def test_each_way_to_get_it_wrong_makes_other_models(toy, contract, wrong):
    methods = built("scrub", "npo", "salun")
    assert contract.gap(refined(toy, methods).state, naive(toy, methods, **{wrong: True})) > 1e-4


def tally() -> Method:
    """A one-shot edit that writes down what it was given: each weight becomes 2·w + Σ_S x₀ + 3·Σ_R x₀."""

    def prepare(net, given, key):
        told = given.forget.x[:, 0].sum() + 3 * given.retain.x[:, 0].sum()
        return State({name: 2 * w + told for name, w in net.params.items()}, net.buffers), ()

    return Method(None, 0.0, 0.0, prepare=prepare)


def check_tally(toy, edit: Callable[[list[Method]], State]) -> None:
    """((2w + t₁)·2 + t₂)·2 + t₃, with t by the parts and by what is still to come."""
    s, r = toy.forget.x[:, 0].double().numpy(), toy.retain.x[:, 0].double().sum().item()
    low, medium, high = (s[part].sum() for part in (LOW, MEDIUM, HIGH))
    told = [low + 3 * (r + medium + high), medium + 3 * (r + high), high + 3 * r]
    got, first = edit([tally()] * 3), toy.originals
    for name, w in first.params.items():
        want = 8 * w.double() + 4 * told[0] + 2 * told[1] + told[2]
        torch.testing.assert_close(got.params[name].double(), want, rtol=1e-4, atol=1e-3)


def test_a_toy_with_a_known_answer(toy):
    check_tally(toy, lambda methods: refined(toy, methods).state)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_known_answer_is_that_of_no_mutilated_version(toy, wrong):
    with pytest.raises(AssertionError):
        check_tally(toy, lambda methods: naive(toy, methods, **{wrong: True}))


def test_each_stage_knows_which_of_its_part_a_step_of_training_saw(toy):
    """In 3 epochs the parts of 4, 3 and 3 were seen 12, 9 and 9 times, and all of S 30 times."""

    def follow(seen, moment):
        return {"times": seen["times"] + moment.forget.sum()}

    def prepare(net, given, key):
        return State({name: 2 * w + given.history["times"] for name, w in net.params.items()}, net.buffers), ()

    history = History(lambda params: {"times": torch.zeros(())}, follow)
    count = Method(None, 0.0, 0.0, prepare=prepare, history=history)
    found = refined(toy, count).state
    for name, w in toy.originals.params.items():
        torch.testing.assert_close(found.params[name], 8 * w + 4 * 12 + 2 * 9 + 9, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["finetune", "npo", "scrub", "salun", "amnesiac", "ssd then finetune"])
def test_one_part_is_the_method_on_all_of_s_to_the_bit(toy, contract, name):
    plain = toy.edit(METHODS.get(name).build)
    one = refined(toy, METHODS.get(name).build(), parts=1)
    assert contract.same_bits(one.state, plain.state)
    assert (one.gradient_ratio, one.steps) == (plain.gradient_ratio, plain.steps)
    assert one.note == "parts of S, lowest scores first: 10"


def test_one_method_for_all_parts_is_that_method_in_each(toy, contract):
    """RUM^F: the parts have 4, 3 and 3 examples, and beside each 36, 33 and 30 are retained, in place of 30."""
    assert contract.same_bits(refined(toy, *built("finetune")).state, refined(toy, built(*["finetune"] * 3)).state)
    once = toy.edit(METHODS.get("finetune").build)
    assert refined(toy, *built("finetune")).gradient_ratio == pytest.approx(once.gradient_ratio * 99 / 30)


def test_originals_are_left_alone(toy):
    before = {name: value.clone() for name, value in toy.originals.params.items()}
    refined(toy, *built("npo"))
    assert all(torch.equal(before[name], value) for name, value in toy.originals.params.items())


# ---- the parts ----


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.data())
def test_parts_are_disjoint_make_up_s_and_go_up(scores, data):
    count = data.draw(st.integers(1, len(scores)))
    parts = thirds(scores, parts=count)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(scores)))
    sizes = [len(part) for part in parts]
    assert len(sizes) == count and max(sizes) - min(sizes) <= 1
    values = np.array(scores)
    assert all(values[a].max() <= values[b].min() for a, b in zip(parts, parts[1:], strict=False))


def parts_seen(toy, **given) -> list[list[float]]:
    seen: list[list[float]] = []

    def prepare(net, given, key):
        seen.append(given.forget.x[:, 0].tolist())
        return State(net.params, net.buffers), ()

    refined(toy, Method(None, 0.0, 0.0, prepare=prepare), **given)
    return seen


def test_random_parts_have_the_sizes_of_the_others_and_hang_on_the_seed_alone(toy):
    of_score, one, again, other = (
        parts_seen(toy, by=by, seed=seed)
        for by, seed in ((HARD, 0), ("shuffled", 1), ("shuffled", 1), ("shuffled", 2))
    )
    assert [len(part) for part in one] == [len(part) for part in of_score] == [4, 3, 3]
    assert one == again and one != other
    assert sorted(sum(one, [])) == sorted(sum(other, [])) == sorted(toy.forget.x[:, 0].tolist())
    assert one == parts_seen(toy, by=random_scores(10, 1))


def test_a_seed_changes_nothing_where_nothing_is_random(toy):
    assert parts_seen(toy, by="confidence", seed=1) == parts_seen(toy, by="confidence", seed=2)


# ---- scores ----


def confidence_by_hand(toy) -> np.ndarray:
    total = np.zeros(len(toy.forget.y))
    for state in unstack(toy.originals):
        p = toy.learner.apply(state, toy.forget.x, train=False, key=None)[0].double().softmax(-1)
        total += np.array([p[i, y].item() for i, y in enumerate(toy.forget.y.tolist())])
    return 1 - total / len(toy.keys)


def test_confidence_is_the_mean_over_models_of_one_minus_p(toy):
    given = confidence_scores(toy.learner, toy.originals, toy.forget)
    np.testing.assert_allclose(given, confidence_by_hand(toy), atol=1e-6)
    assert (given >= 0).all() and (given <= 1).all() and np.ptp(given) > 0.05


def check_wrong_labels_last(toy, score) -> None:
    """Where four labels of S are not what nets that generalise believe, those are handled last."""
    wrong, y = [0, 3, 4, 8], toy.forget.y.clone()
    y[wrong] = (y[wrong] + 1) % 3
    order = np.argsort(score(toy.learner, toy.originals, Examples(toy.forget.x, y)))
    assert set(order[-4:].tolist()) == set(wrong)


@pytest.fixture(scope="module")
def sure(toy):
    """Nets that have learned the rule: the labels of S are put to them anew."""
    from unweave.learners import specify
    from unweave.learners.nets import build
    from unweave.testing.toys import trained_toy

    learner = build(specify("mlp", (6,), 3, config={"width": 24}, recipe={"epochs": 60, "lr": 0.1}))
    x, y = (torch.cat([a, b]) for a, b in zip(toy.forget, toy.retain, strict=True))
    return trained_toy(learner, x, y, forget=10, keys=[1, 2], validation=toy.validation)


def test_what_is_hardly_believed_is_handled_last(sure):
    check_wrong_labels_last(sure, confidence_scores)


def test_the_sign_of_a_confidence_is_seen(sure):
    with pytest.raises(AssertionError):
        check_wrong_labels_last(sure, lambda *given: 1 - confidence_scores(*given))


def embedding_by_hand(toy) -> np.ndarray:
    each = []
    for state in unstack(toy.originals):
        kept, asked = (
            toy.learner.features(state, one.x).double().detach().numpy() for one in (toy.retain, toy.forget)
        )
        centre = sum(kept) / len(kept)
        scale = np.mean([np.sqrt(((row - centre) ** 2).sum()) for row in kept])
        each.append([np.sqrt(((row - centre) ** 2).sum()) / scale for row in asked])
    return np.mean(each, axis=0)


def test_embedding_is_the_distance_to_the_centroid_of_what_is_retained(toy):
    given = embedding_scores(toy.learner, toy.originals, toy.forget, toy.retain)
    np.testing.assert_allclose(given, embedding_by_hand(toy), rtol=1e-5)
    far = Examples(torch.cat([toy.forget.x[:-1], 50 * toy.forget.x[-1:]]), toy.forget.y)
    assert embedding_scores(toy.learner, toy.originals, far, toy.retain).argmax() == 9


def test_models_of_a_larger_scale_count_no_more(toy):
    """Twice the features of one model are no other scores: distances are relative to that model's own."""
    large = State({name: value.clone() for name, value in toy.originals.params.items()}, toy.originals.buffers)
    first = min(large.params)  # the first layer of a relu net: features grow as it does
    assert first.startswith("0.")
    for name in ("0.weight", "0.bias"):
        large.params[name][0] *= 4
    layers = {name.partition(".")[0] for name in large.params}
    for layer in layers - {"0"}:
        large.params[f"{layer}.bias"][0] *= 4
    before, after = (embedding_scores(toy.learner, one, toy.forget, toy.retain) for one in (toy.originals, large))
    np.testing.assert_allclose(before, after, rtol=1e-4)


@pytest.mark.parametrize("by", SCORES)
def test_every_score_by_name_gives_models_of_its_own_but_does_not_hang_on_the_stack(toy, contract, by):
    small, large = (refined(toy, *built("npo"), by=by, seed=3, chunk=chunk) for chunk in (1, 3))
    assert contract.gap(small.state, large.state) <= 1e-6
    others = [refined(toy, *built("npo"), by=other, seed=3) for other in SCORES if other != by]
    assert all(contract.gap(large.state, one.state) > 1e-5 for one in others)


@pytest.mark.parametrize("learner", ["cnn", "resnet9"])
def test_nets_that_are_edited_one_by_one(contract, learner):
    toy = contract.image_toy(learner)
    for by in SCORES:
        # In three parts the last batch of what is retained has one example, which batch norm refuses.
        state = refined(toy, *built("finetune"), by=by, parts=2).state
        assert all(value.isfinite().all() for value in state.params.values())


# ---- names ----

NAME = "noop / ssd then finetune / scrub by confidence"


def test_a_name_of_parts():
    entry = METHODS.get("  noop /ssd then finetune/ scrub   by confidence ")
    assert entry.name == NAME and names_parts(entry.name) and METHODS.get(entry.name).name == NAME
    assert {"medium.ssd.alpha", "medium.finetune.lr", "high.lr"} <= set(entry.defaults())
    made = entry.build(**{"medium.finetune.lr": 0.25, "high.lr": 0.5})
    assert isinstance(made, Assignment) and made.by == "confidence" and len(made.methods) == 3
    assert made.methods[1].stages()[1].lr == 0.25 and made.methods[2].lr == 0.5
    assert [one.name for one in parts_of(entry)] == ["noop", "ssd", "finetune", "scrub"]
    assert entry.declared.cite.startswith("zhao2024what, ") and entry.declared.family == "meta"
    assert entry.declared.needs >= {"original", "forget", "retain"}
    assert "validation" not in entry.declared.needs


def test_what_a_part_needs_all_need():
    needy = next(one for one in METHODS if "validation" in one.declared.needs)
    assert "validation" in METHODS.get(f"noop / {needy.name} by shuffled").declared.needs


def test_a_name_and_a_call_are_the_same_models(toy, contract):
    made = build_entry(METHODS.get("noop / finetune / salun by embedding"), {})
    assert isinstance(made, Assignment)
    by_name = refined(toy, made.methods, by=made.by)
    assert contract.same_bits(
        by_name.state, refined(toy, built("noop", "finetune", "salun"), by="embedding").state
    )


def test_parts_have_names_of_their_own():
    assert [labels(n)[0] for n in (2, 3, 4)] == ["low", "low", "part1"]
    assert set(METHODS.get("npo / npo / npo / npo by shuffled").defaults()) >= {"part1.lr", "part4.lr"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("noop / scrub by confidenc", "Unknown score to divide S by .*confidence"),
        ("noop / scrubb by confidence", "Unknown method .*scrub"),
        ("noop / by confidence", "Unknown method"),
        ("noop by confidence", "Unknown method"),
        ("noop / scrub", "Unknown method"),
        ("noop / scrub by", "Unknown method"),
        ("noop / npo by confidence / scrub by shuffled", "Unknown method"),
    ],
)
def test_what_is_no_name_of_parts(name, said):
    with pytest.raises(UnknownNameError, match=said):
        METHODS.get(name)


def test_parts_within_a_row_are_refused():
    with pytest.raises(SpecError, match="cannot be one of several in a row"):
        METHODS.get("noop / npo by confidence then finetune")


def test_where_one_method_is_wanted_several_are_refused():
    with pytest.raises(UserError, match="a method for each part of S"):
        build_method(METHODS.get(NAME), {})
    with pytest.raises(UnknownNameError, match="parameter of"):
        METHODS.get(NAME).build(**{"scrub.lr": 1.0})


def test_what_does_not_fit_is_refused(toy):
    for wrong, said in (
        ({"by": HARD[:4]}, "scores of shape"),
        ({"by": [float("nan")] * 10}, "no finite number"),
        ({"by": "memory"}, "Unknown score"),
        *(({"by": name}, f"by = '{name}' .* give the scores themselves") for name in GIVEN_SCORES),
    ):
        with pytest.raises(UserError, match=said):
            refined(toy, *built("npo"), **wrong)
    with pytest.raises(SpecError, match="3 methods were assigned to 2 parts"):
        refined(toy, built("npo", "npo", "npo"), parts=2)
    with pytest.raises(SpecError, match="cannot be divided"):
        refined(toy, *built("npo"), parts=11)
