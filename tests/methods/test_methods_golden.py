"""Golden values: what a method gives does not change unless somebody means it to."""

from __future__ import annotations

import pytest
import torch

from unweave.learners import specify
from unweave.learners.contract import State
from unweave.learners.nets import build
from unweave.learners.noise import key_tensor, uniform
from unweave.methods import METHODS, Examples
from unweave.training.outputs import logits

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
    "finetune": "0.109 0.0704 0.3873 0.2441 -0.1647 0.0311 2.2634 2.2688 0.622 1.8324 1.2881 0.4235",
    "ssd": "0.3144 -0.2329 0.3306 0.2117 -0.099 0.1606 -0.3567 1.0845 1.5457 -0.2627 0.6636 1.413",
    "scrub": "0.0904 0.1047 0.3731 0.2337 -0.142 0.0188 1.6586 2.2006 1.133 1.4841 1.2696 0.7137",
    "delete": "0.0916 -0.0398 0.5717 0.1608 -0.1747 0.1243 0.4263 2.5534 1.6746 0.8488 1.0287 1.6012",
    "gradient_ascent": "0.0034 0.0757 0.6204 0.1618 -0.1278 0.1107 -0.7274 1.2926 3.86 0.2948 0.6111 2.5157",
    "neggrad_plus": "0.1173 0.0505 0.4266 0.2396 -0.1752 0.0462 2.0605 2.2057 0.7832 1.9601 1.1008 0.5325",
    "random_label": "0.1574 0.4674 -0.1286 0.2416 0.1616 -0.2931 0.2431 2.818 -0.1423 0.4462 0.742 0.3691",
    "l1_sparse": "0.0625 0.1154 0.3244 0.1831 -0.1073 -0.0266 1.831 1.7067 0.3646 1.4414 1.1068 0.3073",
    "salun": "0.188 -0.0524 0.4539 0.2468 -0.166 0.0688 0.5315 2.6233 -0.0646 1.1159 0.9249 1.008",
    "bad_teacher": "0.3958 -0.2915 -0.0175 0.3246 -0.2248 0.0103 1.7442 2.0925 1.6234 0.5539 1.4703 1.5098",
    "cf_k": "0.1087 0.3318 0.177 0.203 0.0151 -0.0704 2.1698 1.7785 0.6644 1.9946 1.1766 0.2553",
    "eu_k": "0.5178 0.3717 -0.1425 0.4893 0.2313 0.0819 0.5583 0.216 -0.1794 0.5208 0.3806 -0.3526",
    "npo": "-0.0421 0.1442 0.857 0.1663 -0.2118 0.156 -0.7881 0.6546 4.0697 1.4515 -0.7825 2.75",
    "max_entropy": "0.0756 0.1018 0.3298 0.222 -0.1376 0.0261 2.2766 2.4485 0.5087 1.0402 1.518 0.7413",
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
    toy = contract.Toy(learner, originals, Examples(x[:10], y[:10]), Examples(x[10:], y[10:]), [21, 22])
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
