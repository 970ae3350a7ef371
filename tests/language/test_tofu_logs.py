"""Logs of TOFU's evaluation: a small one worked out by hand, what is wrong with others, and the published ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from unweave._errors import UserError
from unweave._types import NotMeasured
from unweave.data.named import find
from unweave.language.measures import log_forget_quality, log_utility, read_tofu_log, truth_ratio


def losses(*probabilities):
    return [float(-np.log(p)) for p in probabilities]


def part(prompts, answer, paraphrased, perturbed, rouge):
    """A part of a log from probabilities per token; its questions stand in another order in each quantity."""

    def by_number(values, turn):
        order = list(range(turn, len(values))) + list(range(turn))
        return {str(i): values[i] for i in order}

    return {
        "avg_gt_loss": by_number(losses(*answer), 0),
        "avg_paraphrased_loss": by_number(losses(*paraphrased), 1),
        "average_perturb_loss": by_number([losses(*one) for one in perturbed], 0),
        "rougeL_recall": by_number(list(rouge), 1),
        "generated_text": by_number([[f"{one}\n", "said", "true"] for one in prompts], 1),
        "num_token_gt": by_number([3] * len(prompts), 0),
    }


def small():
    """Per part: mean probability, mean ROUGE, mean of max(0, 1 − R), worked out beside it."""
    return {
        # .5, .5; R = .1/.5 = .2 and 2, so .8 and 0: .4.
        "eval_log.json": part("ab", (0.4, 0.6), (0.5, 0.05), [(0.1, 0.1), (0.1, 0.1)], (0.25, 0.75)),
        # .3/(.3 + .1 + .2) = .5; R = sqrt(.1·.2)/.4 = .354.
        "eval_real_author_wo_options.json": part("c", (0.3,), (0.4,), [(0.1, 0.2)], (0.5,)),
        # .2/(.2 + .2) = .5; R = .2/.8 = .25.
        "eval_real_world_wo_options.json": part("d", (0.2,), (0.8,), [(0.2,)], (0.5,)),
        # R = .4, 2, .5.
        "eval_log_forget.json": part(
            "efg", (0.9, 0.9, 0.9), (0.5, 0.1, 0.8), [(0.2,), (0.2,), (0.4,)], (1.0, 0.0, 1.0)
        ),
    }


def written(folder: Path, log, name="log.json") -> Path:
    (folder / name).write_text(json.dumps(log), encoding="utf-8")
    return folder / name


def test_a_small_log_by_hand(tmp_path):
    log = read_tofu_log(written(tmp_path, small()))
    assert list(log) == ["retain", "real authors", "world facts", "forget"]
    assert log["forget"].ratios() == pytest.approx([0.4, 2.0, 0.5]) and log["forget"].prompts == ("e", "f", "g")
    assert np.exp(log["retain"].answer) == pytest.approx([0.4, 0.6]) and np.isnan(log["retain"].stored).all()
    author = 1 - np.sqrt(0.1 * 0.2) / 0.4
    parts = [0.5, 0.5, 0.4, 0.5, 0.5, author, 0.5, 0.5, 0.75]
    assert log_utility(log) == pytest.approx(9 / sum(1 / one for one in parts))
    arithmetic = log["real authors"].ratios(average="arithmetic")
    assert arithmetic == pytest.approx([0.15 / 0.4])


def test_values_go_together_by_number_and_not_by_place(tmp_path):
    given = small()
    sort = {name: {k: dict(sorted(v.items())) for k, v in of.items()} for name, of in given.items()}
    one, other = read_tofu_log(written(tmp_path, given)), read_tofu_log(written(tmp_path, sort, "sorted.json"))
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_forget_quality_is_of_the_questions_that_both_were_asked(tmp_path):
    """R of the model .4, 2, .5 on e, f, g; of the reference 1, 3, .45 on g, e, h."""
    reference = small()
    reference["eval_log_forget.json"] = part(
        "geh", (0.9,) * 3, (0.2, 0.1, 0.8), [(0.2,), (0.3,), (0.36,)], (1, 1, 1)
    )
    log, other = (read_tofu_log(written(tmp_path, one)) for one in (small(), reference))
    shared = log_forget_quality(log, other)  # e, g: .4, .5 beside 3, 1
    assert shared.effect == 1 and (shared.questions, shared.reference_questions) == (2, 2)
    assert shared.p == pytest.approx(1 / 3)  # 2 of the 6 orders of two and two lie apart
    pooled = log_forget_quality(log, other, pooled=True)  # .4, .5, 2 beside .45, 1, 3
    assert pooled.effect == pytest.approx(1 / 3) and pooled.p == pytest.approx(1.0)
    assert (pooled.questions, pooled.reference_questions) == (3, 3)


def test_other_questions_are_not_compared_unless_asked_for(tmp_path):
    reference = small()
    reference["eval_log_forget.json"] = part("xy", (0.9,) * 2, (0.2, 0.1), [(0.2,), (0.3,)], (1, 1))
    log, other = (read_tofu_log(written(tmp_path, one)) for one in (small(), reference))
    found = log_forget_quality(log, other)
    assert isinstance(found, NotMeasured) and "no question" in found.not_measured
    assert log_forget_quality(log, other, pooled=True).reference_questions == 2
    again = small()
    again["eval_log_forget.json"] = part("ee", (0.9,) * 2, (0.2, 0.1), [(0.2,), (0.3,)], (1, 1))
    with pytest.raises(UserError, match="one question twice"):
        log_forget_quality(log, read_tofu_log(written(tmp_path, again)))


def test_a_log_of_some_parts_says_what_it_lacks(tmp_path):
    log = small()
    forget = read_tofu_log(written(tmp_path, {"eval_log_forget.json": log.pop("eval_log_forget.json")}))
    rest = read_tofu_log(written(tmp_path, log))
    with pytest.raises(UserError, match="retain, real authors, world facts"):
        log_utility(forget)
    for pair in ((forget, rest), (rest, forget)):
        with pytest.raises(UserError, match="`eval_log_forget.json` in both"):
            log_forget_quality(*pair)


def _put(*path_and_value):
    *path, value = path_and_value

    def spoil(log):
        for key in path[:-1]:
            log = log[key]
        log[path[-1]] = value

    return spoil


def _without(*path):
    def spoil(log):
        for key in path[:-1]:
            log = log[key]
        del log[path[-1]]

    return spoil


RETAIN = "eval_log.json"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_put(RETAIN, 3), "no object of quantities"),
        (_without(RETAIN, "avg_gt_loss"), "has no `avg_gt_loss`"),
        (_put(RETAIN, "avg_gt_loss", {}), "has no questions"),
        (_without(RETAIN, "rougeL_recall"), "has no `rougeL_recall`"),
        (_without(RETAIN, "rougeL_recall", "1"), "question 1 in only one of `avg_gt_loss` and `rougeL_recall`"),
        (_put(RETAIN, "avg_gt_loss", "0", "much"), "`avg_gt_loss` of .* to be numbers"),
        (_put(RETAIN, "avg_gt_loss", "0", None), "finite"),
        (_put(RETAIN, "avg_gt_loss", "0", -1.0), "finite and in 0..inf"),
        (_put(RETAIN, "avg_paraphrased_loss", "0", float("nan")), "finite"),
        (_put(RETAIN, "average_perturb_loss", "0", [1.0]), "as many for each question"),
        (_put(RETAIN, "average_perturb_loss", {"0": 1.0, "1": 2.0}), "a list of numbers per question"),
        (_put(RETAIN, "average_perturb_loss", {"0": [], "1": []}), "a list of numbers per question"),
        (_put(RETAIN, "rougeL_recall", "0", 75.0), "in 0..1"),
        (_put(RETAIN, "generated_text", "0", "text"), "its prompt first"),
        (_put(RETAIN, "truth_ratio", {"0": 1.0, "1": -1.0}), "`truth_ratio` of .* finite and in 0..inf"),
    ],
)
def test_what_is_wrong_with_a_log_is_said_with_its_place(tmp_path, spoil, said):
    log = copy.deepcopy(small())
    spoil(log)
    with pytest.raises(UserError, match=said) as error:
        read_tofu_log(written(tmp_path, log))
    assert RETAIN in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"other": 1}', "\xff"])
def test_what_is_no_log_is_refused(tmp_path, text):
    file = tmp_path / "log.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="log.json"):
        read_tofu_log(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_tofu_log(tmp_path / "none.json")


def test_published_logs_give_the_published_numbers(need_data):
    """KS statistic and p-value of `expected.json`, all utilities, and the truth ratio that the logs store."""
    need_data("tofu logs")
    folder = find("tofu_eval_logs/expected.json").parent
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    names = ("full", "retain90", "retain95", "retain99")
    logs = {name: read_tofu_log(folder / f"ft_epoch5_lr2e-05_phi_{name}_wd0.01.json") for name in names}
    assert len(expected) == 3
    for log in logs.values():
        for of in log.values():
            assert of.ratios() == pytest.approx(of.stored, rel=1e-6)
    for key, numbers in expected.items():
        other = logs[key.split("/")[1]]
        found = log_forget_quality(logs["full"], other, pooled=True)
        assert found.effect == pytest.approx(numbers["ks"], abs=1e-9)
        assert found.p == pytest.approx(numbers["p"], rel=1e-9)
        assert (found.questions, found.reference_questions) == (numbers["n_full"], numbers["n_retain"])
        utilities = log_utility(logs["full"]), log_utility(other)
        assert utilities == pytest.approx((numbers["mu_full"], numbers["mu_retain"]), abs=1e-9)


def test_published_logs_ask_other_questions_than_their_references(need_data):
    need_data("tofu logs")
    folder = find("tofu_eval_logs/expected.json").parent
    names = ("full", "retain90", "retain95", "retain99")
    full, *others = (read_tofu_log(folder / f"ft_epoch5_lr2e-05_phi_{name}_wd0.01.json") for name in names)
    all_same, half, none = (log_forget_quality(full, other) for other in others)
    assert all_same.questions == 300 and all_same == log_forget_quality(full, others[0], pooled=True)
    assert half.questions == 100 and half.effect == pytest.approx(0.41)
    assert isinstance(none, NotMeasured)
    forget = full["forget"]
    papers = truth_ratio(forget.paraphrased[None], forget.perturbed[None], average="arithmetic")[0]
    assert (papers > forget.ratios()).all(), "the code's geometric mean is the lower one"
