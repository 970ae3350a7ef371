"""The language model as a learner: what it computes, and that it is a learner like the others."""

import numpy as np
import pytest
import torch

from unweave._errors import SpecError
from unweave._random import derive
from unweave.language import learners  # noqa: F401 - registers `causal_lm`
from unweave.language.model import NORM, logits
from unweave.language.nets import config_of, names
from unweave.learners import specify
from unweave.learners.nets import build
from unweave.learners.sizes import model_bytes
from unweave.methods.layers import layers
from unweave.training import TRAINING_VERSION
from unweave.training.engine import many
from unweave.training.loop import fit

CONFIG = {"width": 8, "inner": 12, "depth": 2}


@pytest.fixture(scope="module")
def net():
    recipe = {"epochs": 2, "batch_size": 4, "warmup": 0}
    return build(specify("causal_lm", (6,), 11, config=CONFIG, recipe=recipe))


def _x(n=10, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 11, size=(n, 6)).astype(np.float32)
    for row, length in enumerate(rng.integers(1, 7, size=n)):
        x[row, length:] = 0
    return torch.from_numpy(x)


def test_logits_are_those_of_the_model_after_the_last_word_of_each_prompt(net):
    state, x = net.init(3), _x()
    found, buffers = net.apply(state, x, train=True, key=None)
    theirs = {name: state.params[ours].unsqueeze(0) for name, ours in names(config_of(net.spec)).items()}
    every = logits(config_of(net.spec), theirs, x.long().unsqueeze(0))[0]
    for row in range(len(x)):
        last = int((x[row] != 0).sum()) - 1
        torch.testing.assert_close(found[row], every[row, last])
    assert buffers == {}


def test_padding_and_the_other_prompts_of_a_batch_change_nothing(net):
    state, x = net.init(1), _x()
    longer = build(specify("causal_lm", (9,), 11, config=CONFIG))
    wide = torch.nn.functional.pad(x, (0, 3))
    together = net.apply(state, x, train=False, key=None)[0]
    torch.testing.assert_close(longer.apply(state, wide, train=False, key=None)[0], together)
    torch.testing.assert_close(net.apply(state, x[4:5], train=False, key=None)[0][0], together[4])


def test_the_last_layer_works_on_the_features(net):
    state, x = net.init(2), _x()
    state.params[names(config_of(net.spec))[NORM]].mul_(torch.linspace(0.5, 2, 8))
    by_hand = net.features(state, x) @ state.params["4.head.weight"].T
    torch.testing.assert_close(by_hand, net.apply(state, x, train=False, key=None)[0], rtol=1e-4, atol=1e-5)


def test_layers_come_in_the_order_of_the_forward_pass(net):
    order = [layer[0] for layer in layers(reversed(list(net.init(0).params)))]
    assert order[0] == "0.embed.weight" and order[-1] == "4.head.weight"
    assert order.index("1.5.down.weight") < order.index("2.1.q.weight") < order.index("2.5.down.weight")
    assert order.index("2.5.down.weight") < order.index("3.norm.weight")


def test_models_are_those_of_the_loop_and_what_is_left_out_is_never_read(net):
    x, y = _x(20), torch.arange(20) % 10 + 1
    rows = np.arange(0, 20, 2)
    stacked = many(net, x, y, rows=[rows, rows], keys=[4, 5])
    other = x.clone()
    other[1::2] = 7.0
    one = fit(net, other, y, rows=rows, key=5)
    for name, value in one.params.items():
        assert torch.equal(stacked.params[name][1], value), name
    assert not torch.equal(stacked.params["0.embed.weight"][0], stacked.params["0.embed.weight"][1])


def test_the_size_of_a_model_is_known_before_there_is_one(net):
    assert model_bytes(net.spec) == 4 * sum(value.numel() for value in net.init(0).params.values())


@pytest.mark.parametrize(
    ("config", "match"),
    [({"heads": 0}, "`learner.heads` is 0"), ({"width": 6, "heads": 2}, "a multiple of 2 · `heads`, 4")],
)
def test_sizes_that_make_no_model_are_refused(config, match):
    with pytest.raises(SpecError, match=match):
        specify("causal_lm", (6,), 11, config=config)


TRAINED = [0.16249, -0.01335, -0.07161, -0.10076, -0.17706, 0.14832, 0.02382, -0.05742]
"""To four decimals, of version 5 of the training; who changes them raises `TRAINING_VERSION`, as elsewhere."""


def test_trained_weights_are_those_of_the_present_version():
    recipe = {"epochs": 3, "batch_size": 8, "warmup": 2, "weight_decay": 0.01}
    net = build(specify("causal_lm", (6,), 11, config={"width": 8, "inner": 12, "depth": 2}, recipe=recipe))
    x = (torch.arange(24)[:, None] * torch.arange(1, 7) % 10 + 1).float()
    x[::3, 4:] = 0
    state = fit(net, x, torch.arange(24) % 10 + 1, rows=np.arange(2, 22), key=derive(7, "report", 0))
    head, embedding = state.params["4.head.weight"], state.params["0.embed.weight"]
    found = torch.cat([head.flatten()[:4], embedding.flatten()[8:12]])
    assert TRAINING_VERSION == 5
    assert found.tolist() == pytest.approx(TRAINED, abs=1e-4)
