"""The causal language model as a learner: prompts in, the logits of the token that answers out."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from unweave._errors import SpecError
from unweave.language import adapters
from unweave.language.answering import answer_facts, answer_logits, answer_vectors, answers_in, log_probabilities
from unweave.language.checkpoints import opened
from unweave.language.learners import Lora, lora_of
from unweave.language.model import EMBEDDING, HEAD, LORA_A, LORA_B, NORM, LlamaConfig, hidden, initial, project
from unweave.learners import LearnerSpec
from unweave.learners.contract import Learner, Params, State
from unweave.methods.losses import answer_mean

_PARTS = {
    "input_layernorm": "0.norm",
    "self_attn.q_proj": "1.q",
    "self_attn.k_proj": "1.k",
    "self_attn.v_proj": "1.v",
    "self_attn.o_proj": "2.o",
    "post_attention_layernorm": "3.norm",
    "mlp.gate_proj": "4.gate",
    "mlp.up_proj": "4.up",
    "mlp.down_proj": "5.down",
}


def names(config: LlamaConfig) -> dict[str, str]:
    """The name here of each tensor of `transformers.LlamaForCausalLM`: numbers tell which layer comes first.

    Example:
        >>> found = names(LlamaConfig(10, layers=1, tied=False))
        >>> found["model.layers.0.mlp.down_proj.weight"], found["lm_head.weight"]
        ('1.5.down.weight', '3.head.weight')
    """
    found = {EMBEDDING: "0.embed.weight"}
    for layer in range(config.layers):
        for theirs, ours in _PARTS.items():
            found[f"model.layers.{layer}.{theirs}.weight"] = f"{layer + 1}.{ours}.weight"
    found[NORM] = f"{config.layers + 1}.norm.weight"
    if not config.tied:
        found[HEAD] = f"{config.layers + 2}.head.weight"
    return found


def _stack_of_one(state: State, ours: dict[str, str]) -> Params:
    """The parameters of one model, as a stack under the names of `transformers.LlamaForCausalLM`."""
    return {theirs: state.params[own].unsqueeze(0) for theirs, own in ours.items()}


def config_of(spec: LearnerSpec) -> LlamaConfig:
    """The architecture of a learner; its embedding and its output layer are two, so that it has a last layer."""
    own = spec.config
    return LlamaConfig(
        spec.classes,
        width=own["width"],
        inner=own["inner"],
        layers=own["depth"],
        heads=own["heads"],
        context=spec.shape[-1],
        tied=False,
    )


def causal_net(spec: LearnerSpec) -> Learner:
    """The functions of a language model: x float32 [b, T] are tokens of prompts, padded on the right by 0.

    `apply` gives the logits [b, V] of the token after each prompt's last one, so an example with its label is a
    prompt with its answer. Attention is causal: padding changes nothing. A learner that goes on from a checkpoint
    answers with several tokens, see `learners.from_checkpoint`.

    Example:
        >>> from unweave.learners import specify
        >>> learner = causal_net(specify("causal_lm", (3,), 7, config={"width": 8, "inner": 8, "depth": 1}))
        >>> x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 0.0]])
        >>> learner.apply(learner.init(0), x, train=False, key=None)[0].shape
        torch.Size([2, 7])
    """
    if spec.start is not None:
        return _continued(spec)
    config = config_of(spec)
    ours = names(config)

    def ends(state: State, x: Tensor, layers: int | None = None) -> Tensor:
        tokens = x.long()
        vectors = hidden(config, _stack_of_one(state, ours), tokens.unsqueeze(0), layers=layers).squeeze(0)
        last = (tokens != 0).sum(1, keepdim=True) - 1
        return vectors.gather(1, last.unsqueeze(-1).expand(-1, 1, config.width)).squeeze(1)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key  # nothing in these nets differs between training and use
        return project(config, _stack_of_one(state, ours), ends(state, x).unsqueeze(0)).squeeze(0), state.buffers

    def features(state: State, x: Tensor) -> Tensor:
        return ends(state, x) * state.params[ours[NORM]]

    def middle(state: State, x: Tensor) -> Tensor:
        return ends(state, x, layers=math.ceil(config.layers / 2))

    def init(key: int) -> State:
        drawn = initial(config, key)
        return State({ours[name]: value for name, value in drawn.items()}, {})

    def read(state: State, x: Tensor, answers: int) -> Tensor:
        return answer_facts(config, _stack_of_one(state, ours), x, answers)

    # One by one: products of matrices of this size gain nothing from a stack on one thread.
    return Learner(spec, init, apply, features, stacked=False, middle=middle, read=read)


_PER_PASS = 16
"""Candidates whose logits of the whole vocabulary are held at once: more is no faster."""


def _continued(spec: LearnerSpec) -> Learner:
    """Training that goes on from a checkpoint: x [b, T + A] are documents and the places of their answers.

    `apply` gives logits [b, V, A], with labels [b, A] what `torch.nn.functional.cross_entropy` takes; `score`
    gives the mean log-probability per token of candidates that are documents of their own. With `lora_rank` the
    parameters are those of an adapter, and the checkpoint is no part of any model.
    """
    assert spec.start is not None
    folder, answers = Path(spec.start), spec.config["answers"]
    config, start = _checkpoint(folder, spec.config["weights"])
    lora = lora_of(spec.config)
    if lora is None:
        ours, drawn = names(config), lambda key: start
        params_of = partial(_stack_of_one, ours=ours)
    else:
        ours = _names_of_adapter(config, lora)
        drawn = partial(adapters.initial, config, lora)
        params_of = partial(_adapted, folder=folder, weights=spec.config["weights"], lora=lora, ours=ours)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        del train, key
        return answer_logits(config, params_of(state), x.unsqueeze(0), answers).squeeze(0), state.buffers

    def features(state: State, x: Tensor) -> Tensor:
        params = params_of(state)
        return (answer_vectors(config, params, x.unsqueeze(0), answers) * params[NORM]).squeeze(0)

    def middle(state: State, x: Tensor) -> Tensor:
        half = math.ceil(config.layers / 2)
        return answer_vectors(config, params_of(state), x.unsqueeze(0), answers, layers=half).squeeze(0)

    def score(state: State, x: Tensor) -> Tensor:
        params, of_each = params_of(state), list[Tensor]()
        for part in x.flatten(0, 1).split(_PER_PASS):
            labels = answers_in(part, answers)
            of_each.append(answer_mean(log_probabilities(config, params, part, labels)[0], labels))
        return torch.cat(of_each).view(x.shape[:2])

    def init(key: int) -> State:
        # Training begins where the checkpoint ended: keys differ by the order of documents, and by the adapter.
        begin = drawn(key)
        return State({own: begin[theirs].clone() for theirs, own in ours.items()}, {})

    def read(state: State, x: Tensor, answers: int) -> Tensor:
        return answer_facts(config, params_of(state), x, answers)

    return Learner(spec, init, apply, features, stacked=False, middle=middle, score=score, read=read)


def _names_of_adapter(config: LlamaConfig, lora: Lora) -> dict[str, str]:
    """The name here of each matrix of an adapter: a layer is the two of one matrix."""
    every = names(config)
    return {
        f"{name}{part}": every[f"{name}.weight"].removesuffix(".weight") + part
        for name in adapters.adapted(config, lora)
        for part in (LORA_A, LORA_B)
    }


def _adapted(state: State, *, folder: Path, weights: str, lora: Lora, ours: dict[str, str]) -> Params:
    """The frozen checkpoint with the adapter of one model beside it, as a stack."""
    own = _stack_of_one(state, ours)
    device = next(iter(own.values())).device
    names = [name.removesuffix(LORA_A) for name in ours if name.endswith(LORA_A)]
    return adapters.beside(_frozen(folder, weights, str(device)), names, own, lora)


@lru_cache(maxsize=1)
def _frozen(folder: Path, weights: str, device: str) -> Params:
    """The weights of a checkpoint on a device, a stack of one; all models and methods read these very tensors."""
    _, params = _checkpoint(folder, weights)
    return {name: value.to(device).unsqueeze(0) for name, value in params.items()}


def _checkpoint(folder: Path, weights: str) -> tuple[LlamaConfig, Params]:
    found, own = opened(folder)
    if own != weights:
        raise SpecError(f"{folder} changed while the run was at work. Run again; what was made before is stored.")
    return found.config, found.params
