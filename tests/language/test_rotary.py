"""Rotary frequencies against a plain loop over the pairs of a head, and against `transformers`."""

import math

import pytest
import torch

from unweave._errors import SpecError
from unweave.language.rotary import Scaling, frequencies, scaling_of

CPU = torch.device("cpu")
LLAMA3 = Scaling("llama3", 8.0, 1.0, 4.0, 8192.0)


def by_hand(size, theta, scaling):
    found = []
    for pair in range(size // 2):
        frequency = theta ** (-2 * pair / size)
        wave = 2 * math.pi / frequency
        if scaling is None:
            found.append(frequency)
        elif scaling.kind == "linear" or wave > scaling.context / scaling.low:
            found.append(frequency / scaling.factor)
        elif wave < scaling.context / scaling.high:
            found.append(frequency)
        else:
            smooth = (scaling.context / wave - scaling.low) / (scaling.high - scaling.low)
            found.append((1 - smooth) * frequency / scaling.factor + smooth * frequency)
    return torch.tensor(found)


@pytest.mark.parametrize(
    "scaling", [None, Scaling("linear", 4.0), LLAMA3, Scaling("llama3", 32.0, 1.0, 4.0, 64.0)]
)
@pytest.mark.parametrize(("size", "theta"), [(64, 500000.0), (128, 10000.0), (6, 100.0)])
def test_frequencies_are_those_of_a_loop(size, theta, scaling):
    torch.testing.assert_close(
        frequencies(size, theta, scaling, CPU), by_hand(size, theta, scaling), rtol=1e-5, atol=0
    )


def test_all_three_kinds_of_waves_stand_in_a_head_of_llama_3():
    ratio = frequencies(128, 500000.0, None, CPU) / frequencies(128, 500000.0, LLAMA3, CPU)
    assert ratio[0] == 1 and ratio[-1] == 8
    assert ((ratio > 1.01) & (ratio < 7.99)).sum() >= 3


def test_they_are_those_of_transformers():
    library = pytest.importorskip("transformers", reason="the package transformers is not installed")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = library.LlamaConfig(hidden_size=256, num_attention_heads=2, rope_theta=500000.0, rope_scaling=rope)
    theirs, factor = ROPE_INIT_FUNCTIONS["llama3"](config, CPU)
    assert factor == 1.0
    torch.testing.assert_close(frequencies(128, 500000.0, scaling_of(rope, "here"), CPU), theirs)


@pytest.mark.parametrize("kind", ["yarn", "dynamic", "longrope", "su"])
def test_other_types_are_refused(kind):
    with pytest.raises(SpecError, match=f"here: this model has rope_type = {kind}, which unweave does not"):
        scaling_of({"rope_type": kind, "factor": 2.0}, "here")


def test_bands_the_wrong_way_round_are_refused():
    with pytest.raises(SpecError, match="expected more than `low_freq_factor`"):
        Scaling("llama3", 8.0, 4.0, 1.0)
