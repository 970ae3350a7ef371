"""SCRUB and rewind: back to the epoch whose error on S is that of unseen examples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unweave.learners.contract import State
from unweave.methods import METHODS, Examples, Net
from unweave.methods.contract import Plan
from unweave.methods.matched import alike, weights_as
from unweave.methods.rewinding import errors
from unweave.training.outputs import logits

GIVEN = {"epochs": 1 / 6, "lr": 0.3, "alpha": 0.5, "gamma": 1.0, "max_share": 0.6}


def of(name: str, **params: float):
    return lambda: METHODS.get(name).build(**params)


# ---- weights ----


def test_weights_give_each_class_the_share_it_has_elsewhere():
    rng = torch.Generator().manual_seed(0)
    y, wanted = torch.randint(0, 4, (50,), generator=rng), torch.randint(0, 3, (30,), generator=rng)
    found = weights_as(y, wanted, 5)
    assert found.sum() == pytest.approx(1) and (found >= 0).all()
    for label in range(5):
        assert found[y == label].sum() == pytest.approx((wanted == label).float().mean().item(), abs=1e-6)
        assert len(found[y == label].unique()) <= 1


def test_classes_that_are_missing_are_left_out_and_without_any_all_count_alike():
    assert weights_as(torch.tensor([0, 1, 1]), torch.tensor([1, 2, 2]), 3).tolist() == [0, 0.5, 0.5]
    assert weights_as(torch.tensor([0, 1]), torch.tensor([2]), 3).tolist() == [0.5, 0.5]


def test_like_is_compared_with_like():
    rng = torch.Generator().manual_seed(0)
    y, other = torch.randint(0, 3, (40,), generator=rng), torch.randint(1, 4, (30,), generator=rng)
    one, two = alike(y, other)
    assert one.sum() == pytest.approx(1) and two.sum() == pytest.approx(1)
    assert not one[y == 0].any() and not two[other == 3].any()
    for label in (1, 2):
        assert one[y == label].sum() == pytest.approx(two[other == label].sum().item())
    assert not any(part.any() for part in alike(torch.tensor([0]), torch.tensor([1])))


# ---- errors ----


def test_errors_are_shares_of_wrong_labels(memorised):
    net = Net(memorised.learner, State({n: v[0] for n, v in memorised.originals.params.items()}, {}), train=False)
    y = net(memorised.validation.x).argmax(-1)
    flipped = y.clone()
    flipped[:4] = (y[:4] + 1) % 3
    held_out = Examples(memorised.validation.x, flipped)
    z = net(memorised.forget.x).argmax(-1)
    s = Examples(memorised.forget.x, torch.cat([(z[:3] + 1) % 3, z[3:]]))
    found = errors(net, (), memorised._replace(forget=s, validation=held_out).given(net))
    wanted = sum(
        (s.y == label).float().mean() * (flipped[:4] == label).sum() / (flipped == label).sum()
        for label in flipped.unique()
    ) / sum((s.y == label).float().mean() for label in flipped.unique())
    assert [float(one) for one in found] == pytest.approx([0.3, float(wanted)])


# ---- rewinding ----


def state_after(toy, epoch: int) -> State:
    """SCRUB, cut off after an epoch: the same steps up to there."""
    scrub = of("scrub", **GIVEN)()
    climbing = round(0.6 * 10)

    def cut(plan):
        order = list(scrub.passes(plan))
        if epoch <= climbing:
            return order[: epoch * (plan.forget_batches + plan.retain_batches)]
        return order[: climbing * plan.forget_batches + epoch * plan.retain_batches]

    return toy.edit(lambda: scrub._replace(passes=cut)).state


def wrong(toy, state: State, part: Examples, k: int) -> Tensor:
    return (logits(toy.learner, state, part.x)[k].argmax(-1) != part.y).double()


@pytest.fixture(scope="module")
def halfway(memorised):
    """The toy with labels of the validation set of which nets get about a third wrong."""
    x, y = memorised.validation
    given = torch.where(torch.arange(len(y)) % 3 == 0, (y + 1) % 3, y)
    return memorised._replace(validation=Examples(x, given))


@pytest.fixture(scope="module")
def trajectory(halfway):
    return [state_after(halfway, epoch) for epoch in range(1, 11)]


def check_rewinds(build, toy, trajectory) -> None:
    """Each model is the checkpoint of the naive search, to the bit."""
    edited, chosen = toy.edit(build).state, []
    for k in range(3):
        y = toy.validation.y
        weight = torch.stack([(toy.forget.y == label).double().mean() / (y == label).sum() for label in y])
        last = (weight * wrong(toy, trajectory[-1], toy.validation, k)).sum() / weight.sum()
        gaps = [round(float((wrong(toy, one, toy.forget, k).mean() - last).abs()), 5) for one in trajectory]
        chosen.append(gaps.index(min(gaps)))
        expected = trajectory[chosen[-1]]
        assert all(torch.equal(value[k], expected.params[name][k]) for name, value in edited.params.items())
    assert min(chosen) < 9, "nothing to go back for"


def test_each_model_goes_back_to_the_checkpoint_of_a_naive_search(halfway, trajectory):
    check_rewinds(of("scrub_r", **GIVEN), halfway, trajectory)


def test_without_rewinding_or_by_another_yardstick_it_is_caught(halfway, trajectory):
    method = of("scrub_r", **GIVEN)()
    scores = {
        "scrub": None,
        "smallest error": method.rewind._replace(score=lambda then, last: then[0]),
        "largest error": method.rewind._replace(score=lambda then, last: -then[0]),
    }
    for rewind in scores.values():
        with pytest.raises(AssertionError):
            check_rewinds(lambda rewind=rewind: method._replace(rewind=rewind), halfway, trajectory)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_ends_are_those_of_the_epochs_of_scrub(share):
    plan = Plan(7, 3, 5)
    order = list(of("scrub", max_share=share)().passes(plan))
    ends = list(of("scrub_r", max_share=share)().rewind.ends(plan))
    # An epoch ends with its fifth batch of D∖S.
    seen = [i + 1 for i, which in enumerate(order) if which == "retain"]
    assert ends == seen[4::5] and ends[-1] == len(order)
