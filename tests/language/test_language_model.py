"""The model against `transformers` where it is installed, and against the formulas, one token at a time."""

import math

import numpy as np
import pytest
import torch

from unweave import UserError
from unweave.language.model import LlamaConfig, hidden, initial, logits, shapes

CONFIGS = [
    LlamaConfig(30, width=32),
    LlamaConfig(
        30, width=24, inner=40, layers=3, heads=4, groups=2, head_size=10, theta=5e5, epsilon=1e-5, tied=False
    ),
]


def weights(config, key):
    """Far from initial ones: norms that are not 1, attention that is not flat."""
    rng = torch.Generator().manual_seed(key)
    return {
        name: value * 2 if value.ndim > 1 else value + torch.rand(value.shape, generator=rng)
        for name, value in initial(config, key).items()
    }


def stacked(*models):
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}


def naive(config, params, tokens):
    """Logits of one document [T], in float64, token by token, by the formulas of the paper."""
    p = {name: value.double().numpy() for name, value in params.items()}
    size, groups = config.size_of_head, config.key_heads

    def norm(v, w):
        return v / math.sqrt((v**2).mean() + config.epsilon) * w

    def turn(v, t):
        out = v.copy()
        for i in range(size // 2):
            angle = t / config.theta ** (2 * i / size)
            a, b = v[i], v[i + size // 2]
            out[i] = a * math.cos(angle) - b * math.sin(angle)
            out[i + size // 2] = b * math.cos(angle) + a * math.sin(angle)
        return out

    xs = [p["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(config.layers):
        at = f"model.layers.{layer}."
        hs = [norm(x, p[f"{at}input_layernorm.weight"]) for x in xs]
        q = [(p[f"{at}self_attn.q_proj.weight"] @ h).reshape(config.heads, size) for h in hs]
        k = [(p[f"{at}self_attn.k_proj.weight"] @ h).reshape(groups, size) for h in hs]
        v = [(p[f"{at}self_attn.v_proj.weight"] @ h).reshape(groups, size) for h in hs]
        for t in range(len(xs)):
            mixed = []
            for head in range(config.heads):
                group = head * groups // config.heads
                scores = np.array(
                    [turn(q[t][head], t) @ turn(k[s][group], s) / math.sqrt(size) for s in range(t + 1)]
                )
                share = np.exp(scores - scores.max())
                mixed.append(sum(w * v[s][group] for s, w in enumerate(share / share.sum())))
            xs[t] = xs[t] + p[f"{at}self_attn.o_proj.weight"] @ np.concatenate(mixed)
        for t, x in enumerate(xs):
            h = norm(x, p[f"{at}post_attention_layernorm.weight"])
            gate = p[f"{at}mlp.gate_proj.weight"] @ h
            up = p[f"{at}mlp.up_proj.weight"] @ h
            xs[t] = x + p[f"{at}mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
    head = p["model.embed_tokens.weight" if config.tied else "lm_head.weight"]
    return np.stack([head @ norm(x, p["model.norm.weight"]) for x in xs])


@pytest.mark.parametrize("config", CONFIGS)
def test_logits_are_those_of_the_formulas_token_by_token(config):
    params = weights(config, 1)
    tokens = np.random.default_rng(0).integers(1, 30, size=7)
    ours = logits(config, stacked(params), torch.from_numpy(tokens)[None, None])[0, 0]
    assert np.abs(naive(config, params, tokens) - ours.numpy()).max() < 3e-5


@pytest.mark.parametrize("config", CONFIGS)
def test_weights_and_logits_are_those_of_transformers(config):
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=config.inner,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.key_heads,
            head_dim=config.size_of_head,
            max_position_embeddings=config.context,
            rms_norm_eps=config.epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": config.theta},
            tie_word_embeddings=config.tied,
        )
    ).eval()
    params = weights(config, 2)
    own = dict(theirs.named_parameters())
    assert {name: tuple(value.shape) for name, value in own.items()} == shapes(config)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(params[name])
        tokens = torch.from_numpy(np.random.default_rng(1).integers(1, 30, size=(5, 11)))
        found = theirs(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True)
        ours = logits(config, stacked(params), tokens[None])[0]
        first = hidden(config, stacked(params), tokens[None], layers=1)[0]
    torch.testing.assert_close(ours, found.logits, atol=5e-5, rtol=1e-5)
    torch.testing.assert_close(first, found.hidden_states[1], atol=5e-5, rtol=1e-5)


def test_a_model_of_a_stack_answers_as_alone_and_neighbours_change_nothing(tiny):
    models = [weights(tiny, key) for key in range(3)]
    tokens = torch.randint(1, tiny.vocabulary, (3, 4, 6), generator=torch.Generator().manual_seed(0))
    together = logits(tiny, stacked(*models), tokens)
    for at, model in enumerate(models):
        torch.testing.assert_close(together[at], logits(tiny, stacked(model), tokens[at : at + 1])[0])
    other = logits(tiny, stacked(weights(tiny, 9), *models[1:]), tokens)
    assert torch.equal(together[1:], other[1:])


def test_later_tokens_and_padding_on_the_right_change_nothing(tiny):
    params = stacked(weights(tiny, 0))
    tokens = torch.randint(1, tiny.vocabulary, (1, 2, 8), generator=torch.Generator().manual_seed(1))
    short = logits(tiny, params, tokens[:, :, :5])
    padded = torch.cat([tokens[:, :, :5], torch.zeros_like(tokens[:, :, 5:])], 2)
    for longer in (tokens, padded):
        torch.testing.assert_close(logits(tiny, params, longer)[:, :, :5], short)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "at least 1"),
        ({"heads": 3}, "multiple of `heads`"),
        ({"groups": 3, "heads": 4}, "divisor"),
        ({"head_size": 5}, "even"),
        ({"epsilon": 0.0}, "positive"),
    ],
)
def test_an_architecture_that_makes_no_model_is_refused(change, said):
    with pytest.raises(UserError, match=said):
        LlamaConfig(10, **change)
