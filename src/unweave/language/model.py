"""A causal language model of the Llama type: functions of flat dicts of tensors with a leading axis of models."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, rms_norm, silu

from unweave._errors import SpecError
from unweave._random import Key, derive
from unweave.language.rotary import Scaling, frequencies
from unweave.learners.contract import Params

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
LORA_A, LORA_B = ".lora_A", ".lora_B"
"""What follows the name of a matrix, without `.weight`, in those of its adapter."""


@dataclass(frozen=True)
class LlamaConfig:
    """The architecture of one model; names in brackets are those of `transformers.LlamaConfig`.

    Attributes:
        vocabulary: Number of tokens, padding (id 0) included [vocab_size].
        width: Length of the vector of a token [hidden_size].
        inner: Units of each gated layer [intermediate_size].
        layers: Number of blocks [num_hidden_layers].
        heads: Attention heads per block [num_attention_heads].
        groups: Heads of keys and values; None = as many as `heads` [num_key_value_heads].
        head_size: Length of a head's vectors, even; None = width / heads [head_dim].
        context: Most tokens of a document [max_position_embeddings].
        epsilon: Added to mean squares [rms_norm_eps].
        theta: Base of the rotary frequencies [rope_theta].
        scaling: How they are slowed for long documents; None = not at all [rope_scaling].
        tied: Whether the output layer is the embedding [tie_word_embeddings].
        spread: Standard deviation of initial weights [initializer_range].
    """

    vocabulary: int
    width: int = 64
    inner: int = 128
    layers: int = 2
    heads: int = 2
    groups: int | None = None
    head_size: int | None = None
    context: int = 64
    epsilon: float = 1e-6
    theta: float = 10000.0
    scaling: Scaling | None = None
    tied: bool = True
    spread: float = 0.08

    def __post_init__(self) -> None:
        """Refuse what makes no model.

        Raises:
            SpecError: naming the field.
        """
        for field in ("vocabulary", "width", "inner", "layers", "heads", "context"):
            if getattr(self, field) < 1:
                raise SpecError(f"`learner.{field}` is {getattr(self, field)}; expected at least 1.")
        if self.groups is not None and (self.groups < 1 or self.heads % self.groups):
            raise SpecError(f"`learner.groups` is {self.groups}; expected a divisor of `heads`, {self.heads}.")
        if self.head_size is None and self.width % self.heads:
            raise SpecError(f"`learner.width` is {self.width}; expected a multiple of `heads`, {self.heads}.")
        if self.size_of_head < 2 or self.size_of_head % 2:
            raise SpecError(f"A head has {self.size_of_head} numbers; rotary positions need an even one.")
        for field in ("epsilon", "theta", "spread"):
            if not 0 < getattr(self, field) < math.inf:
                raise SpecError(f"`learner.{field}` is {getattr(self, field)}; expected a positive number.")

    @property
    def size_of_head(self) -> int:
        """Length of a head's vectors."""
        return self.width // self.heads if self.head_size is None else self.head_size

    def function(self) -> dict[str, Any]:
        """What decides, beside the weights, what a model computes: equal weights may be of two models."""
        fields = asdict(self) | {"groups": self.key_heads, "head_size": self.size_of_head}
        return {name: value for name, value in fields.items() if name not in ("context", "spread")}

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.groups is None else self.groups


def shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of one model, by the name that it has in `transformers.LlamaForCausalLM`.

    Example:
        >>> shapes(LlamaConfig(10, width=4, inner=6, layers=1, heads=2))["model.layers.0.mlp.down_proj.weight"]
        (4, 6)
    """
    width, inner = config.width, config.inner
    own, shared = config.heads * config.size_of_head, config.key_heads * config.size_of_head
    found: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocabulary, width)}
    for layer in range(config.layers):
        at = f"model.layers.{layer}."
        found |= {
            f"{at}self_attn.q_proj.weight": (own, width),
            f"{at}self_attn.k_proj.weight": (shared, width),
            f"{at}self_attn.v_proj.weight": (shared, width),
            f"{at}self_attn.o_proj.weight": (width, own),
            f"{at}mlp.gate_proj.weight": (inner, width),
            f"{at}mlp.up_proj.weight": (inner, width),
            f"{at}mlp.down_proj.weight": (width, inner),
            f"{at}input_layernorm.weight": (width,),
            f"{at}post_attention_layernorm.weight": (width,),
        }
    found[NORM] = (width,)
    if not config.tied:
        found[HEAD] = (config.vocabulary, width)
    return found


def initial(config: LlamaConfig, key: Key) -> Params:
    """Weights of one model before training: matrices from N(0, spread²), norms of 1, as `transformers` does."""
    rng = torch.Generator().manual_seed(derive(key, "weights"))
    found = {name: torch.ones(shape) for name, shape in shapes(config).items()}
    for value in found.values():
        if value.ndim == 2:
            value.normal_(0.0, config.spread, generator=rng)
    return found


def hidden(config: LlamaConfig, params: Params, tokens: Tensor, *, layers: int | None = None) -> Tensor:
    """The vector of each token after some blocks, of every model of a stack.

    Attention is causal, so padding on the right changes nothing to its left, and needs no mask; what stands at
    padded places is never to be read.

    Args:
        config: The architecture.
        params: A stack of K models.
        tokens: int64 [K, n, T], padded on the right.
        layers: Number of blocks to go through, without the last norm (`hidden_states[layers]` of `transformers`);
            None = all, and the last norm without its weights, which `project` applies.

    Returns:
        [K, n, T, width].
    """
    count, n, length = tokens.shape
    offsets = torch.arange(count, device=tokens.device).view(-1, 1, 1) * config.vocabulary
    table = params[EMBEDDING]
    x = embedding(tokens + offsets, table.reshape(-1, config.width)).view(count, n * length, config.width)
    cosine, sine = rotations(config, length, x)
    for layer in range(config.layers if layers is None else layers):
        at = f"model.layers.{layer}."
        x = x + _attention(config, params, at, x, cosine, sine)
        x = x + _gated(config, params, at, x)
    if layers is None:
        x = _scaled(config, x)
    return x.view(count, n, length, config.width)


def project(config: LlamaConfig, params: Params, vectors: Tensor) -> Tensor:
    """Logits [K, m, vocabulary] of vectors [K, m, width] that `hidden` returned after all blocks."""
    head = params[EMBEDDING if config.tied else HEAD] * params[NORM].unsqueeze(1)
    return torch.bmm(vectors, head.mT)


def logits(config: LlamaConfig, params: Params, tokens: Tensor) -> Tensor:
    """Logits [K, n, T, vocabulary] of tokens [K, n, T] by a stack: at t, of the token that comes at t + 1."""
    count, n, length = tokens.shape
    vectors = hidden(config, params, tokens).view(count, n * length, config.width)
    return project(config, params, vectors).view(count, n, length, config.vocabulary)


def rotations(config: LlamaConfig, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, head size] of the angles t·f_i by which positions turn vectors."""
    each = frequencies(config.size_of_head, config.theta, config.scaling, like.device)
    angles = torch.outer(torch.arange(length, device=like.device).float(), each).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _scaled(config: LlamaConfig, x: Tensor) -> Tensor:
    """Vectors over their root mean square; a norm's weights go into the matrix after it, which is much smaller."""
    return rms_norm(x, (x.shape[-1],), None, config.epsilon)


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def _attention(config: LlamaConfig, params: Params, at: str, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    count, size, own, shared = len(x), config.size_of_head, config.heads, config.key_heads
    length = len(cosine)
    names = [f"{at}self_attn.{name}_proj" for name in "qkv"]
    parts = _products(params, names, _scaled(config, x), params[f"{at}input_layernorm.weight"])
    parts = parts.view(-1, length, own + 2 * shared, size).transpose(1, 2)
    turned = _turned(parts[:, : own + shared], cosine, sine)
    keys, values = (
        part.repeat_interleave(own // shared, 1) for part in (turned[:, own:], parts[:, own + shared :])
    )
    # As fast as torch's fused attention on documents of some twenty tokens, which cannot be lifted by `vmap`.
    later = torch.full((length, length), -math.inf, dtype=x.dtype, device=x.device).triu(1)
    mixed = (turned[:, :own] @ keys.mT / math.sqrt(size) + later).softmax(-1) @ values
    mixed = mixed.transpose(1, 2).reshape(count, -1, own * size)
    return _product(params, f"{at}self_attn.o_proj", mixed)


def _gated(config: LlamaConfig, params: Params, at: str, x: Tensor) -> Tensor:
    names = [f"{at}mlp.{name}_proj" for name in ("gate", "up")]
    parts = _products(params, names, _scaled(config, x), params[f"{at}post_attention_layernorm.weight"])
    gate, up = parts.chunk(2, -1)
    return _product(params, f"{at}mlp.down_proj", silu(gate) * up)


def _products(params: Params, names: list[str], x: Tensor, norm: Tensor) -> Tensor:
    """Vectors with the weights of a norm, times some matrices, side by side."""
    if any(f"{name}{LORA_A}" in params for name in names):
        # Frozen matrices are used as they lie: a copy with a norm in it would be kept for the backward pass.
        x = x * norm.unsqueeze(1)
        return torch.cat([_product(params, name, x) for name in names], -1)
    weight = torch.cat([params[f"{name}.weight"] for name in names], 1) * norm.unsqueeze(1)
    return torch.bmm(x, weight.mT)


def _product(params: Params, name: str, x: Tensor) -> Tensor:
    """W·x, and B·A·x where an adapter stands beside W."""
    found = torch.bmm(x, params[f"{name}.weight"].mT)
    if f"{name}{LORA_A}" not in params:
        return found
    return found + torch.bmm(torch.bmm(x, params[f"{name}{LORA_A}"].mT), params[f"{name}{LORA_B}"].mT)
