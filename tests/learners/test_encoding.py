"""Tables are standardised on the training set of each world, and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.data import Encoding
from unweave.learners import specify
from unweave.learners.encoding import GAP, SCALE, SHIFT, standardised, world_scales
from unweave.learners.nets import build
from unweave.training.engine import many, stack, unstack
from unweave.training.loop import fit
from unweave.training.outputs import logits

# Two numbers without gaps, one with its flag, a column that is always 5, and three 0/1 features.
ENCODING = Encoding((0, 1, 2, 4), (-1, -1, 3, -1), (5, 6, 7))
N, ROWS = 30, np.arange(20)
OUTSIDE = np.arange(20, 30)


def table(seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    gaps = rng.random(N) < 0.3
    kinds = rng.integers(0, 2, N)
    numbers = rng.normal(50, 9, N), rng.normal(-2, 0.1, N), np.where(gaps, 0, rng.normal(7, 3, N))
    columns = [*numbers, gaps, np.full(N, 5), kinds == 0, kinds == 1, np.arange(N) >= 20]
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def labels() -> torch.Tensor:
    return torch.arange(N) % 3


def learner(name: str = "mlp", **config: int):
    config = {"width": 6, **config} if name == "mlp" else config
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.1}
    return build(specify(name, (8,), 3, recipe=recipe, config=config, encoding=ENCODING))


def naive(x: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Column by column and value by value, as one would by hand."""
    out = np.zeros(x.shape)
    for j in (0, 1, 2, 4):
        known = [float(v) for i, v in enumerate(x[:, j]) if i in inside and not (j == 2 and x[i, 3] == 1)]
        mean = sum(known) / len(known)
        sd = (sum((v - mean) ** 2 for v in known) / len(known)) ** 0.5
        for i in range(len(x)):
            unknown = j == 2 and x[i, 3] == 1
            out[i, j] = 0 if unknown or len(set(known)) == 1 else (x[i, j] - mean) / sd
    for j in (3, 5, 6, 7):
        out[:, j] = x[:, j] if any(x[i, j] for i in inside) else 0
    return out


def test_against_columns_by_hand():
    x = table().numpy()
    found = standardised(ENCODING, x, world_scales(ENCODING, x[ROWS]))
    np.testing.assert_allclose(found, naive(x, set(ROWS.tolist())), atol=2e-4)
    assert found.dtype == np.float32
    assert not found[:, 7].any() and x[:, 7].any(), "the category that only others have says nothing"
    assert not found[:, 4].any(), "a constant column is no feature"
    assert (found[x[:, 3] == 1, 2] == 0).all() and (x[:, 3] == 1).any()


def test_numpy_and_torch_and_a_stack_agree_to_the_bit():
    x, made = table(), learner()
    state = fit(made, x, labels(), rows=ROWS, key=1)
    scales = world_scales(ENCODING, x.numpy()[ROWS])
    assert all(torch.equal(state.buffers[name], torch.from_numpy(scales[name])) for name in (SHIFT, SCALE, GAP))
    by_numpy = standardised(ENCODING, x.numpy(), scales)
    assert np.array_equal(by_numpy, made.encode(state.buffers, x).numpy())


@pytest.mark.parametrize("path", ["fit", "by hand", "vmap", "one by one"])
def test_no_excluded_example_has_a_part_in_it(path):
    made = learner()
    made = replace(made, dense=None) if path == "vmap" else made
    made = replace(made, stacked=False) if path == "one by one" else made

    def train(x, y):
        if path == "fit":
            return fit(made, x, y, rows=ROWS, key=3)
        return unstack(many(made, x, y, rows=[ROWS, ROWS], keys=[3, 4]))[0]

    before = train(table(), labels())
    for value in (torch.nan, 1e6):
        x = table()
        x[OUTSIDE] = value
        after = train(x, labels().flip(0).where(torch.arange(N) >= 20, labels()))
        for a, b in zip(before, after, strict=True):
            assert all(torch.equal(a[name], b[name]) for name in a)


def test_an_included_example_does_move_shift_and_scale():
    x = table()
    x[3, 0] += 1
    before, after = (fit(learner(), one, labels(), rows=ROWS, key=3) for one in (table(), x))
    assert before.buffers[SHIFT][0] != after.buffers[SHIFT][0]
    assert before.buffers[SCALE][0] != after.buffers[SCALE][0]


@settings(max_examples=15, deadline=None)
@given(
    factor=st.floats(0.01, 100),
    shift=st.floats(-10, 10),
    column=st.sampled_from([0, 1, 2]),
    name=st.sampled_from(["mlp", "softmax"]),
)
def test_units_do_not_matter(factor, shift, column, name):
    """Metres or feet: standardised they are the same features, but for rounding."""
    x, made = table(), learner(name)
    other = x.clone()
    known = x[:, 3] == 0 if column == 2 else torch.ones(N, dtype=torch.bool)
    other[known, column] = (factor * (x[known, column].double() + shift)).float()
    found = [logits(made, many(made, one, labels(), rows=[ROWS], keys=[1]), one) for one in (x, other)]
    torch.testing.assert_close(found[0], found[1], atol=2e-3, rtol=0)


def test_the_engine_equals_the_loop_and_each_world_has_its_own_scales():
    x, made = table(), learner(depth=2)
    worlds = [np.arange(0, 20), np.arange(5, 25), np.arange(10, 30)]
    stacked = many(made, x, labels(), rows=worlds, keys=[1, 2, 3])
    alone = stack([fit(made, x, labels(), rows=r, key=k) for r, k in zip(worlds, [1, 2, 3], strict=True)])
    for a, b in zip(stacked, alone, strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=1e-4)
    assert len(set(stacked.buffers[SHIFT][:, 0].tolist())) == 3
    assert stacked.buffers[SCALE][:, 7].tolist() == [0, 1, 1]
    one = replace(made, dense=None)
    torch.testing.assert_close(
        many(one, x, labels(), rows=worlds, keys=[1, 2, 3]).params, stacked.params, atol=1e-5, rtol=1e-4
    )


def test_the_order_of_the_rows_changes_no_bit_of_the_scales():
    x, made = table(), learner()
    turned = [made.start(1, x, rows).buffers for rows in (ROWS, ROWS[::-1].copy())]
    assert all(torch.equal(turned[0][name], turned[1][name]) for name in turned[0])


def test_only_tables_have_another_identity():
    plain, of_table = specify("mlp", (8,), 3), specify("mlp", (8,), 3, encoding=ENCODING)
    assert "encoding" not in plain.identity()
    assert plain.identity() != of_table.identity()
    other = specify("mlp", (8,), 3, encoding=replace(ENCODING, category=(5, 6)))
    assert other.identity() != of_table.identity()
