"""Training causal language models on documents: which document comes when, and the loop over a stack of models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from unweave._errors import DivergedError, SpecError, UserError
from unweave._random import Key, generator
from unweave.language.model import LlamaConfig, hidden, initial, project, shapes
from unweave.learners.contract import Params, State

OPTIMISERS, SCHEDULES = ("adamw", "sgd"), ("constant", "linear", "cosine")


@dataclass(frozen=True)
class TokenRecipe:
    """How a language model is trained: a fixed number of steps on the mean cross-entropy of predicted tokens.

    `lr` is the peak rate, reached after `warmup` steps; `schedule` leads to 0 after the last step. `momentum` is
    of `sgd`, `betas` of `adamw`. Batches hold `batch_size` documents.
    """

    lr: float = 0.01
    steps: int = 400
    batch_size: int = 128
    optimiser: str = "adamw"
    schedule: str = "cosine"
    warmup: int = 20
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a recipe that cannot be followed.

        Raises:
            SpecError: naming the field and what is expected.
        """
        for field, least in (("steps", 1), ("batch_size", 1), ("warmup", 0)):
            if getattr(self, field) < least:
                raise SpecError(f"`learner.{field}` is {getattr(self, field)}; expected at least {least}.")
        if not 0 < self.lr < math.inf:
            raise SpecError(f"`learner.lr` is {self.lr}; expected a positive number.")
        if not 0 <= self.weight_decay < math.inf:
            raise SpecError(f"`learner.weight_decay` is {self.weight_decay}; expected a number ≥ 0.")
        for field, values in (("momentum", (self.momentum,)), ("betas", self.betas)):
            if not all(0 <= value < 1 for value in values):
                raise SpecError(f"`learner.{field}` is {getattr(self, field)}; expected 0 ≤ {field} < 1.")
        for field, known in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES)):
            if getattr(self, field) not in known:
                said = getattr(self, field)
                raise SpecError(f"`learner.{field}` is {said!r}; expected one of {', '.join(known)}.")

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0.

        Example:
            >>> recipe = TokenRecipe(lr=0.4, steps=12, warmup=2, schedule="linear")
            >>> [round(recipe.rate(step), 3) for step in (0, 1, 2, 7)]
            [0.2, 0.4, 0.4, 0.2]
        """
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        share = (step - self.warmup) / max(self.steps - self.warmup, 1)
        if self.schedule == "constant":
            return self.lr
        return self.lr * (1 - share if self.schedule == "linear" else (1 + math.cos(math.pi * share)) / 2)

    def identity(self) -> dict[str, Any]:
        """Everything about the recipe that changes a trained model."""
        return {**asdict(self), "betas": list(self.betas)}


class Documents(NamedTuple):
    """A corpus laid out for training, so that only the output layer's rows that count are computed.

    Attributes:
        tokens: [n, T], without columns that are padding everywhere.
        places: The places t whose next token is predicted [n, M], M = the most of one document; filled up by 0.
        labels: That token [n, M]; `IGNORED` where `places` was filled up.
    """

    tokens: Tensor
    places: Tensor
    labels: Tensor


IGNORED = -100


def lay_out(tokens: NDArray[np.int64], mask: NDArray[np.bool_], config: LlamaConfig) -> Documents:
    """Check a corpus and lay it out.

    Args:
        tokens: [n, T], 0 where padded, on the right only.
        mask: [n, T]: the tokens that are predicted (from those before them) and count in the loss.
        config: The architecture that is to read them.

    Raises:
        UserError: if shapes differ, ids lie outside the vocabulary, a document is longer than the context or has
            padding before its last token, or a first or padded token is said to be predicted.
    """
    if tokens.ndim != 2 or tokens.shape != mask.shape or not tokens.size:
        raise UserError(f"Expected tokens [n, T] and a mask of that shape, got {tokens.shape} and {mask.shape}.")
    if not 0 <= tokens.min() <= tokens.max() < config.vocabulary:
        raise UserError(
            f"Token ids are {tokens.min()}…{tokens.max()}; the model knows 0…{config.vocabulary - 1}. The "
            "corpus and the model need one vocabulary."
        )
    real = tokens != 0
    if (real[:, 1:] & ~real[:, :-1]).any():
        row = int((real[:, 1:] & ~real[:, :-1]).any(1).argmax())
        raise UserError(f"Document {row} is padded (token 0) before its last token; pad on the right only.")
    if (mask & ~real).any() or mask[:, 0].any():
        row = int(((mask & ~real).any(1) | mask[:, 0]).argmax())
        raise UserError(f"The mask of document {row} marks a padded or a first token; nothing predicts these.")
    length = int(real.any(0).sum())
    if length > config.context:
        raise UserError(f"The longest document has {length} tokens; `learner.context` is {config.context}.")
    counts = mask.sum(1)
    places = np.zeros((len(tokens), max(int(counts.max()), 1)), dtype=np.int64)
    labels = np.full_like(places, IGNORED)
    rows, columns = mask.nonzero()
    slots = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    places[rows, slots], labels[rows, slots] = columns - 1, tokens[rows, columns]
    return Documents(*map(torch.from_numpy, (tokens[:, : max(length, 1)].copy(), places, labels)))


def batches(n: int, rows: NDArray[np.int64], recipe: TokenRecipe, key: Key) -> NDArray[np.int64]:
    """The documents of each step: one order of all n documents after another, without those left out.

    Two worlds with one key visit what they share in one order, as `training.batches.epoch_orders` has it; here the
    steps are fixed, so a world with fewer documents sees them more often.

    Args:
        n: Number of documents of D.
        rows: Documents of the training set, unique, in 0…n−1.
        recipe: Steps and batch size.
        key: The replica's key.

    Returns:
        [steps, batch_size].

    Example:
        >>> sorted(batches(5, np.array([0, 3, 4]), TokenRecipe(steps=1, batch_size=3), 7)[0].tolist())
        [0, 3, 4]
    """
    if not len(rows):
        raise UserError("A training set has no documents; nothing can be learned from it.")
    inside = np.zeros(n, dtype=bool)
    inside[rows] = True
    rng = generator(key, "order")
    needed = recipe.steps * recipe.batch_size
    orders = [rng.permutation(n) for _ in range(math.ceil(needed / int(inside.sum())))]
    return np.concatenate([order[inside[order]] for order in orders])[:needed].reshape(recipe.steps, -1)


def train(
    config: LlamaConfig,
    recipe: TokenRecipe,
    documents: Documents,
    *,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    stack: int = 1,
    start: Params | None = None,
) -> State:
    """Train K models, each on its own documents from its own key.

    Args:
        config: The architecture.
        recipe: The rule of training.
        documents: The corpus D, from `lay_out`, on the device to train on.
        rows: Per model, the documents of its training set; the others are never read.
        keys: Per model, what determines its initial weights and its order.
        stack: Models trained at once. On one CPU thread single models are fastest (docs/language-models.md); what
            a model becomes hangs on this by rounding alone.
        start: Weights of one model to begin with, such as a checkpoint's; None = initial weights of each key.

    Returns:
        The trained models as a stack [K, …].

    Raises:
        UserError: for no models, unequal numbers of sets and keys, an empty set, or weights to begin with
            that are of another architecture.
        DivergedError: if weights are no longer finite.

    Example:
        >>> config, recipe = LlamaConfig(6, width=8, inner=8, layers=1), TokenRecipe(steps=2, batch_size=2)
        >>> tokens = np.array([[1, 2, 3], [1, 4, 5], [1, 3, 0]])
        >>> documents = lay_out(tokens, np.array([[0, 0, 1], [0, 0, 1], [0, 1, 0]], dtype=bool), config)
        >>> state = train(config, recipe, documents, rows=[np.arange(3), np.arange(2)], keys=[1, 2])
        >>> state.params["model.norm.weight"].shape
        torch.Size([2, 8])
    """
    if not keys or len(rows) != len(keys) or stack < 1:
        raise UserError(
            f"Expected one training set per key and stack ≥ 1; got {len(rows)}, {len(keys)} and {stack}."
        )
    if start is not None:
        check_start(config, start)
    parts = [
        _train_stack(config, recipe, documents, rows[at : at + stack], keys[at : at + stack], start)
        for at in range(0, len(keys), stack)
    ]
    params = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    finite = torch.stack([value.flatten(1).isfinite().all(1) for value in params.values()]).all(0)
    if not finite.all():
        raise DivergedError(
            f"Training diverged: the weights of {int((~finite).sum())} of {len(keys)} models are not finite. "
            f"Choose a smaller `learner.lr` than {recipe.lr}."
        )
    return State(params, {})


def check_start(config: LlamaConfig, start: Params) -> None:
    """Refuse weights to begin with that are not of this architecture.

    Raises:
        UserError: naming the first tensor that does not fit.
    """
    for name, shape in shapes(config).items():
        found = tuple(start[name].shape) if name in start else "not there"
        if found != shape:
            raise UserError(
                f"The weights to begin with are of another architecture: `{name}` is {found}, expected "
                f"{shape}. Give the configuration that was read with them."
            )


def batch_loss(config: LlamaConfig, params: Params, documents: Documents, index: Tensor) -> Tensor:
    """Mean cross-entropy per predicted token of documents `index` [K, b], of each model of a stack [K]."""
    count, size = index.shape
    flat = index.reshape(-1)
    tokens, places, labels = (part.index_select(0, flat).view(count, size, -1) for part in documents)
    vectors = hidden(config, params, tokens)
    at = places.unsqueeze(-1).expand(*places.shape, config.width)
    chosen = vectors.gather(2, at).view(count, -1, config.width)
    labels = labels.view(count, -1)
    found = project(config, params, chosen)
    each = cross_entropy(found.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return each.view(count, -1).sum(1) / (labels != IGNORED).sum(1).clamp(min=1)


def _train_stack(
    config: LlamaConfig,
    recipe: TokenRecipe,
    documents: Documents,
    rows: Sequence[NDArray[np.int64]],
    keys: Sequence[Key],
    start: Params | None,
) -> Params:
    n, device = len(documents.tokens), documents.tokens.device
    table = torch.from_numpy(
        np.stack([batches(n, own, recipe, key) for own, key in zip(rows, keys, strict=True)])
    ).to(device)
    starts = [initial(config, key) if start is None else start for key in keys]
    params = {
        name: torch.stack([start[name] for start in starts]).to(device).requires_grad_() for name in starts[0]
    }
    optimiser = _optimiser(recipe, list(params.values()))
    for step in range(recipe.steps):
        optimiser.param_groups[0]["lr"] = recipe.rate(step)
        optimiser.zero_grad()
        # The sum over models gives each the gradient of its own mean.
        batch_loss(config, params, documents, table[:, step]).sum().backward()
        optimiser.step()
    return {name: value.detach() for name, value in params.items()}


def _optimiser(recipe: TokenRecipe, params: list[Tensor]) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            params, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, foreach=True
        )
    return torch.optim.AdamW(
        params, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )
