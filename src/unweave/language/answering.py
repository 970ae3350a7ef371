"""Models that answer with several tokens: logits at the places of an answer, as a learner and of questions.

Documents come as `questions.arrays` lays them out: their tokens, then the places whose logits are wanted.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from unweave._errors import UserError
from unweave.language.checkpoints import LlamaCheckpoint, digest
from unweave.language.learner import LanguageLearner, LanguageSpec
from unweave.language.model import LlamaConfig, hidden, project
from unweave.language.questions import Questions
from unweave.language.training import IGNORED, Documents, TokenRecipe, check_start
from unweave.learners.contract import Params, State


def fine_tuned(checkpoint: LlamaCheckpoint, recipe: TokenRecipe, answers: int) -> LanguageLearner:
    """The learner that goes on training a checkpoint on questions and answers.

    Its `apply` takes `Questions.x` [n, T + A] and returns logits [n, V, A]: with `Questions.y` [n, A] they
    are what `torch.nn.functional.cross_entropy` takes, which leaves out `IGNORED`. `init` is the checkpoint
    whatever the key, so models of unlike keys differ by the order of their batches alone. `features` are the
    vectors at these places [n, A, width].

    Args:
        checkpoint: From `checkpoints.read`.
        recipe: How it is trained on; TOFU's is AdamW, lr 1e-5, 5 passes in batches of 32, weight decay .01.
        answers: A of all that is trained on and asked.

    Raises:
        UserError: for `answers` below 1.

    Source: recipe of Maini et al. (2024), arXiv 2401.06121, section 2.3 and official code.
    """
    if answers < 1:
        raise UserError(f"`answers` is {answers}; expected the number of tokens of the longest answer.")
    config, start = checkpoint.config, checkpoint.params
    check_start(config, start)

    def apply(state: State, x: Tensor, *, train: bool, key: Tensor | None) -> tuple[Tensor, Params]:
        return answer_logits(config, _of_one(state.params), x.unsqueeze(0), answers).squeeze(0), state.buffers

    return LanguageLearner(
        LanguageSpec(config, recipe, digest(start)),
        lambda key: State({name: value.clone() for name, value in start.items()}, {}),
        apply,
        lambda state, x: _vectors(config, _of_one(state.params), x.unsqueeze(0), answers).squeeze(0),
    )


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
    vectors = _vectors(config, params, x, answers)
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
            logits = answer_logits(config, params, x.expand(len(first), -1, -1), questions.answers)
            each = -cross_entropy(
                logits.flatten(0, 1).float(),
                y.repeat(len(first), 1),
                ignore_index=IGNORED,
                reduction="none",
            )
            found.append(each.view(len(first), *y.shape).cpu())
    return torch.cat(found, 1).numpy()


def training_set(questions: Questions) -> Documents:
    """Questions as `training.train` takes them; here 0 is a token like any other."""
    tokens, places, labels = (
        torch.from_numpy(np.ascontiguousarray(part)) for part in (questions.tokens, questions.places, questions.y)
    )
    return Documents(tokens, places, labels)


def _vectors(config: LlamaConfig, params: Params, x: Tensor, answers: int) -> Tensor:
    """[K, n, A, width] after all blocks, at the places of the answers."""
    tokens, places = x[..., :-answers].long(), x[..., -answers:].long()
    vectors = hidden(config, params, tokens)
    return vectors.gather(2, places.unsqueeze(-1).expand(*places.shape, config.width))


def _of_one(params: Params) -> Params:
    return {name: value.unsqueeze(0) for name, value in params.items()}
