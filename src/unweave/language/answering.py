"""Answers of several tokens: the logits at their places, and how likely each token is.

Documents come as `questions.arrays` lays them out: their tokens, then the places whose logits are wanted.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from unweave._errors import UserError
from unweave.language.model import LlamaConfig, hidden, project
from unweave.language.questions import Questions
from unweave.learners import NO_TOKEN
from unweave.learners.contract import Params, State


def answer_logits(config: LlamaConfig, params: Params, x: Tensor, answers: int) -> Tensor:
    """Logits of the answer tokens of documents, of each model of a stack.

    Args:
        config: The architecture.
        params: A stack of K models.
        x: [K, n, T + A], of any type that holds token numbers exactly: float32 does up to 2²⁴, bfloat16 up to 256.
        answers: A.

    Returns:
        [K, n, V, A]; where an answer has fewer than A tokens, what stands there means nothing.
    """
    vectors = answer_vectors(config, params, x, answers)
    count, n = vectors.shape[:2]
    found = project(config, params, vectors.flatten(1, 2))
    return found.view(count, n, answers, config.vocabulary).transpose(2, 3)


def answer_log_probabilities(
    config: LlamaConfig, stacked: State, questions: Questions, *, chunk: int = 32
) -> NDArray[np.float32]:
    """Log-probability of each answer token after all that stands before it, of every model of a stack.

    The one forward pass of a set of questions: logits of whole vocabularies are never kept.

    Args:
        config: The architecture.
        stacked: K models.
        questions: From `questions.arrays`.
        chunk: Documents per pass.

    Returns:
        [K, n, A], in nats, ≤ 0; 0 where an answer has fewer tokens.

    Raises:
        UserError: for tokens outside the vocabulary, or documents longer than the context.
    """
    tokens = questions.tokens
    if tokens.min() < 0 or tokens.max() >= config.vocabulary or tokens.shape[1] > config.context:
        raise UserError(
            f"Documents have tokens {tokens.min()}…{tokens.max()} and up to {tokens.shape[1]} of them; the model "
            f"knows 0…{config.vocabulary - 1} and reads {config.context}. Encode them with its own tokenizer."
        )
    params = stacked.params
    first = next(iter(params.values()))
    found: list[Tensor] = []
    with torch.no_grad():
        for at in range(0, len(tokens), chunk):
            x, y = (
                torch.from_numpy(part[at : at + chunk]).to(first.device) for part in (questions.x, questions.y)
            )
            found.append(log_probabilities(config, params, x, y).cpu())
    return torch.cat(found, 1).numpy()


def log_probabilities(config: LlamaConfig, params: Params, x: Tensor, y: Tensor) -> Tensor:
    """Log-probability of each token of the answers of documents, by each model of a stack.

    The logits of a whole vocabulary are computed for the tokens that answers have, and for no other place.

    Args:
        config: The architecture.
        params: A stack of K models.
        x: [b, T + A].
        y: Tokens of the answers [b, A]; `NO_TOKEN` where an answer has fewer.

    Returns:
        float32 [K, b, A]; 0 where there is no token.
    """
    count, told = len(next(iter(params.values()))), y >= 0
    vectors = answer_vectors(config, params, x.expand(count, -1, -1), y.shape[1])
    logits = project(config, params, vectors[:, told]).float()
    labels = y[told].repeat(count)
    each = -cross_entropy(logits.flatten(0, 1), labels, reduction="none")
    found = torch.zeros(count, *y.shape, device=x.device)
    found[:, told] = each.view(count, -1)
    return found


def answers_in(x: Tensor, answers: int) -> Tensor:
    """The tokens of the answers of documents, which are in the documents themselves.

    Args:
        x: [b, T + A] of any type that holds token numbers exactly.
        answers: A.

    Returns:
        int64 [b, A]; `NO_TOKEN` where an answer has fewer.

    Example:
        >>> answers_in(torch.tensor([[1, 7, 8, 2, 0, 1, 2], [1, 9, 2, 0, 0, 1, 0]]), 2).tolist()
        [[8, 2], [2, -100]]
    """
    places = x[:, -answers:].long()
    # The places of an answer follow each other; what is filled up by 0 does not.
    told = places == places[:, :1] + torch.arange(answers, device=x.device)
    return torch.where(told, x.long().gather(1, places + 1), NO_TOKEN)


_AT_ONCE = 2**22
"""Logits that are held at once, in double precision, while what counts of them is taken."""


def answer_facts(config: LlamaConfig, params: Params, x: Tensor, answers: int) -> Tensor:
    """What one model says of each answer token of documents, as `measures.token_facts` has it of logits.

    Args:
        config: The architecture.
        params: A stack of one model.
        x: Documents [n, T + A], their places rising; nobody reads the last token of the longest, which is told.
        answers: A.

    Returns:
        float32 [n, A, 4]: log π of the token, mean and variance of log π over the vocabulary, all in nats, and 1
        where the token is the likeliest, else 0; what stands beyond an answer means nothing.
    """
    tokens, places = x[:, :-answers].long(), x[:, -answers:].long()
    labels = tokens.gather(1, places + 1)
    asked = torch.cat([tokens[:, :-1], places], 1)
    per_pass = max(1, min(512, _AT_ONCE // (config.vocabulary * answers)))
    found: list[Tensor] = []
    for part, label in zip(asked.split(per_pass), labels.split(per_pass), strict=True):
        logits = answer_logits(config, params, part.unsqueeze(0), answers).squeeze(0)
        each = log_softmax(logits.double(), 1)
        p = each.exp()
        mean = (p * each).sum(1)
        variance = (p * (each - mean.unsqueeze(1)) ** 2).sum(1)
        log_p = each.gather(1, label.unsqueeze(1)).squeeze(1)
        found.append(torch.stack([log_p, mean, variance, (logits.argmax(1) == label).double()], -1).float())
    return torch.cat(found)


def answer_vectors(
    config: LlamaConfig, params: Params, x: Tensor, answers: int, *, layers: int | None = None
) -> Tensor:
    """[K, n, A, width] after all blocks or some, at the places of the answers."""
    tokens, places = x[..., :-answers].long(), x[..., -answers:].long()
    vectors = hidden(config, params, tokens, layers=layers)
    return vectors.gather(2, places.unsqueeze(-1).expand(*places.shape, config.width))
