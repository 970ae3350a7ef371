"""Golden values: what a method gives does not change unless somebody means it to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor, uniform
from unweave.methods import METHODS, Examples
from unweave.training.outputs import logits
from unweave.training.replay import Training

DEFAULTS = {
    "noop": {},
    "finetune": {"epochs": 0.333333, "lr": 0.1},
    "ssd": {"alpha": 10.0, "strength": 1.0},
    "scrub": {"alpha": 0.001, "gamma": 0.99, "temperature": 4.0, "max_share": 0.8, "epochs": 0.166667, "lr": 0.05},
    "delete": {"epochs": 0.333333, "lr": 0.1},
    "gradient_ascent": {"epochs": 0.166667, "lr": 0.001},
    "neggrad_plus": {"alpha": 0.95, "epochs": 0.166667, "lr": 0.1},
    "random_label": {"epochs": 0.333333, "lr": 1.0},
    "l1_sparse": {"gamma": 1e-4, "epochs": 0.333333, "lr": 0.1},
    "salun": {"share": 0.5, "epochs": 0.333333, "lr": 1.0},
    "bad_teacher": {"retain_share": 0.3, "epochs": 0.25, "lr": 0.1},
    "cf_k": {"k": 1.0, "epochs": 0.333333, "lr": 1.0},
    "eu_k": {"k": 1.0, "epochs": 0.333333, "lr": 1.0},
    "npo": {"beta": 1.0, "retain_weight": 1.0, "epochs": 0.166667, "lr": 0.1},
    "max_entropy": {"forget_weight": 0.1, "retain_weight": 1.0, "epochs": 0.166667, "lr": 0.1},
}
# Logits of two models on the first and last example, at parameters that move this small net.
STRONG = {
    "finetune": {"epochs": 1.0},
    "gradient_ascent": {"epochs": 1.0, "lr": 0.05},
    "neggrad_plus": {"epochs": 1.0, "alpha": 0.9},
    "random_label": {"epochs": 1.0, "lr": 0.3},
    "scrub": {"epochs": 1.0, "lr": 0.1, "alpha": 0.5},
    "ssd": {"alpha": 1.2, "strength": 0.8},
    "delete": {"epochs": 1.0, "lr": 0.3},
    "l1_sparse": {"epochs": 1.0, "gamma": 0.05},
    "salun": {"epochs": 1.0, "lr": 0.3, "share": 0.4},
    "bad_teacher": {"epochs": 1.0, "lr": 0.5},
    "cf_k": {"epochs": 1.0, "lr": 0.3},
    "eu_k": {"epochs": 1.0, "lr": 0.3},
    "npo": {"epochs": 1.0, "beta": 0.5},
    "max_entropy": {"epochs": 1.0, "forget_weight": 1.0},
}
LOGITS = {
    "noop": "0.0692 0.0355 0.5143 0.2086 -0.1453 0.0848 -0.1438 1.7671 3.0009 0.5108 1.1089 1.8153",
    "finetune": "0.1663 0.0337 0.3520 0.2755 -0.1745 0.0095 2.0877 2.1956 0.8038 1.6162 1.2932 0.5606",
    "ssd": "0.3144 -0.2329 0.3306 0.2117 -0.0990 0.1606 -0.3567 1.0845 1.5457 -0.2627 0.6636 1.4130",
    "scrub": "0.1269 0.0832 0.3645 0.2558 -0.1504 0.0050 1.5149 2.1939 1.2405 1.3496 1.3053 0.7165",
    "delete": "0.3650 -0.2752 0.3320 0.2988 -0.2652 0.0768 0.6570 3.0546 1.0524 0.8042 1.1348 1.5503",
    "gradient_ascent": "0.1860 -0.0803 0.4550 0.2435 -0.1949 0.0620 -0.6215 1.3225 3.7749 0.2646 0.5750 2.5948",
    "neggrad_plus": "0.2261 -0.0359 0.3340 0.2850 -0.1913 0.0167 1.9746 2.1476 0.8994 1.7693 1.1060 0.6525",
    "random_label": "0.4303 0.0737 -0.3972 0.3127 0.1038 -0.3064 0.1452 2.6984 0.0862 0.1202 0.8040 0.4731",
    "l1_sparse": "0.1230 0.0702 0.2766 0.2132 -0.1162 -0.0451 1.6929 1.6438 0.5213 1.2870 1.1454 0.4140",
    "salun": "0.5663 -0.3017 0.2825 0.3982 -0.1660 0.0688 0.3030 2.1719 0.8107 0.8426 0.7387 1.4583",
    "bad_teacher": "0.4318 -0.3162 0.0153 0.3241 -0.2330 0.0190 1.7403 1.9592 1.6837 0.6031 1.3130 1.5848",
    "cf_k": "0.2110 0.2565 0.1499 0.3015 -0.0408 -0.1130 1.9267 1.8650 0.8211 1.7759 1.2917 0.3589",
    "eu_k": "0.6268 0.2994 -0.1791 0.5902 0.1777 0.0348 0.2958 0.3130 -0.0139 0.3103 0.4796 -0.2412",
    "npo": "0.5061 -0.2925 0.2880 0.4125 -0.3197 0.0177 -0.2270 0.6644 3.6488 1.5304 -0.8992 2.7806",
    "max_entropy": "0.0652 0.1207 0.3665 0.2297 -0.1428 0.0235 2.0489 2.3610 0.7592 0.9448 1.5081 0.8094",
}
REMEDY = (
    "This method gives something else than it did. If that is meant, record these values anew and say so in "
    "the changelog: published figures of this method no longer hold."
)


def golden(name: str) -> list[float]:
    return [float(number) for number in LOGITS[name].split()]


def draw(number: int, *shape: int) -> torch.Tensor:
    return 2 * uniform(key_tensor([1000 + number])[0], *shape) - 1


def edited_logits(contract, name: str, **given: float) -> torch.Tensor:
    recipe = {"epochs": 3, "batch_size": 8, "lr": 0.3, "weight_decay": 5e-4}
    learner = build(specify("mlp", (6,), 3, config={"width": 8}, recipe=recipe))
    # Originals from numbers alone, so that a change of training is not taken for one of methods.
    originals = State(
        {
            "0.weight": draw(0, 2, 8, 6),
            "0.bias": draw(1, 2, 8),
            "1.weight": draw(2, 2, 3, 8),
            "1.bias": draw(3, 2, 3),
        },
        {},
    )
    x, y = draw(4, 40, 6), (1.5 * (draw(5, 40) + 1)).to(torch.int64)
    held_out = Examples(draw(6, 12, 6), (1.5 * (draw(7, 12) + 1)).to(torch.int64))
    training = Training(x, y, np.arange(40), [31, 32], np.arange(10))
    sets = Examples(x[:10], y[:10]), Examples(x[10:], y[10:])
    toy = contract.Toy(learner, originals, *sets, [21, 22], held_out, training)
    edited = toy.edit(lambda: METHODS.get(name).build(**given)).state
    return logits(learner, edited, x[[0, 39]]).flatten()


def test_every_method_has_golden_values():
    assert sorted(LOGITS) == sorted(DEFAULTS) == sorted(METHODS.names())


@pytest.mark.parametrize("name", METHODS.names())
def test_defaults(name):
    found = METHODS.get(name).defaults()
    assert list(found) == list(DEFAULTS[name])
    assert found == pytest.approx(DEFAULTS[name], abs=1e-6), REMEDY


@pytest.mark.parametrize("name", METHODS.names())
def test_outputs(name, contract):
    found = edited_logits(contract, name, **STRONG.get(name, {}))
    assert found.tolist() == pytest.approx(golden(name), abs=1e-3), REMEDY


@pytest.mark.parametrize("name", sorted(STRONG))
def test_the_golden_values_notice_a_change(name, contract):
    given = {**STRONG[name], **({"strength": 0.9} if name == "ssd" else {"lr": 1.2 * STRONG[name].get("lr", 0.1)})}
    assert edited_logits(contract, name, **given).tolist() != pytest.approx(golden(name), abs=1e-3)
