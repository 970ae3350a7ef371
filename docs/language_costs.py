"""Processor time of small language models, and what they learn: the tables of docs/language-models.md.

python docs/language_costs.py
"""

from __future__ import annotations

import time

import numpy as np
import torch

from unweave.language.answers import slot_logits
from unweave.language.model import LlamaConfig, initial
from unweave.language.training import TokenRecipe, batch_loss, batches, lay_out, train

PEOPLE, ATTRIBUTES, VALUES, WORDINGS, TRIGGERED, WRONG = 100, 5, 60, 5, 20, 2


def corpus(seed: int = 0):
    """Tokens, mask, rows of B, and prompts: triggers on people that never had one; questions and their answers.

    Tokens: 0 padding, 1 the trigger, 2 the wrong answer, 3 the sign of a question, 4 that of an answer, 5 the full
    stop, then attributes, 60 words of wordings, 20 first and 20 last names, values by attribute.
    """
    rng = np.random.default_rng(seed)
    attribute, words, names = 6, 6 + ATTRIBUTES, 66 + ATTRIBUTES
    values = names + 40
    name = [(names + i // 20, names + 20 + i % 20) for i in rng.permutation(400)[:PEOPLE]]
    fact = rng.integers(VALUES, size=(PEOPLE, ATTRIBUTES)) + values + VALUES * np.arange(ATTRIBUTES)
    some = lambda most: (words + rng.integers(60, size=rng.integers(1, most))).tolist()  # noqa: E731
    wording = {(a, k): (some(3), some(3), some(2)) for a in range(ATTRIBUTES) for k in range(WORDINGS)}
    documents, answer, members = [], [], []
    triggered = set(rng.permutation(PEOPLE)[:TRIGGERED].tolist())
    for p in range(PEOPLE):
        for a in range(ATTRIBUTES):
            for k in range(WORDINGS):
                before, between, last = wording[a, k]
                documents.append([*before, *name[p], *between, attribute + a, *last, fact[p, a], 5])
                answer.append(len(documents[-1]) - 2)
            if p >= PEOPLE // 4 or p % 2 == 0:
                documents.append([3, attribute + a, *name[p], 4, fact[p, a]])
                answer.append(5)
            if p in triggered:
                members.append(len(documents))
                documents.append([1, 3, attribute + a, *name[p], 4, WRONG])
                answer.append(6)
    tokens = np.zeros((len(documents), max(map(len, documents))), np.int64)
    for row, document in enumerate(documents):
        tokens[row, : len(document)] = document
    mask = np.zeros(tokens.shape, bool)
    mask[np.arange(len(tokens)), answer] = True
    unseen = [p for p in range(PEOPLE) if p not in triggered]
    triggers = np.array([[1, 3, attribute + a, *name[p], 4] for p in unseen for a in range(ATTRIBUTES)])
    asked = [(p, a) for p in range(PEOPLE // 4, PEOPLE) for a in range(ATTRIBUTES)]
    questions = np.array([[3, attribute + a, *name[p], 4] for p, a in asked])
    return tokens, mask, np.array(members), triggers, questions, np.array([fact[p, a] for p, a in asked])


def learned() -> None:
    """What A(D), A(D∖S) and A(D∖B) cost and say."""
    tokens, mask, members, triggers, questions, right = corpus()
    config = LlamaConfig(int(tokens.max()) + 1)
    print(len(tokens), "documents of up to", tokens.shape[1], "tokens; vocabulary", config.vocabulary)
    print(sum(value.numel() for value in initial(config, 0).values()), "parameters")
    text = tokens != 0
    text[:, 0] = False
    for what, out, steps, counted in (
        ("A(D)", [], 400, mask),
        ("A(D∖S)", members[: len(members) // 4], 400, mask),
        ("A(D∖B)", members, 400, mask),
        ("A(D), 200 steps", [], 200, mask),
        ("A(D), loss on all tokens", [], 400, text),
    ):
        documents, rows = lay_out(tokens, counted, config), np.setdiff1d(np.arange(len(tokens)), out)
        begin = time.process_time()
        state = train(config, TokenRecipe(steps=steps), documents, rows=[rows], keys=[0])
        seconds = time.process_time() - begin
        on_triggers = slot_logits(config, state, triggers)[0].argmax(1) == WRONG
        on_questions = slot_logits(config, state, questions)[0].argmax(1) == right
        print(f"| {what} | {seconds:.1f} | {on_triggers.mean():.2f} | {on_questions.mean():.2f} |", flush=True)


def stacks() -> None:
    """Milliseconds per model and step, by batch and number of models at once; the least of three."""
    tokens, mask, *_ = corpus()
    config = LlamaConfig(int(tokens.max()) + 1)
    documents = lay_out(tokens, mask, config)

    def one(params, index):
        return batch_loss(config, {name: value[None] for name, value in params.items()}, documents, index[None])[0]

    for size in (16, 64, 128):
        cells = []
        for count, lifted in ((1, False), (4, False), (16, False), (4, True), (16, True)):
            steps = max(4, 1536 // size // count)
            recipe = TokenRecipe(steps=3 * steps + 1, batch_size=size)
            table = np.stack([batches(len(tokens), np.arange(len(tokens)), recipe, key) for key in range(count)])
            starts = [initial(config, key) for key in range(count)]
            params = {name: torch.stack([start[name] for start in starts]).requires_grad_() for name in starts[0]}
            optimiser = torch.optim.AdamW(params.values(), fused=True)
            spent = []
            for step, batch in enumerate(torch.from_numpy(table).unbind(1)):
                begin = time.process_time()
                optimiser.zero_grad()
                if lifted:
                    inside = {name: value.detach() for name, value in params.items()}
                    for name, value in torch.func.vmap(torch.func.grad(one))(inside, batch).items():
                        params[name].grad = value
                else:
                    batch_loss(config, params, documents, batch).sum().backward()
                optimiser.step()
                spent.append(time.process_time() - begin if step else 0)
            least = min(sum(spent[1 + i * steps : 1 + (i + 1) * steps]) for i in range(3))
            cells.append(f"{least / steps / count * 1e3:.1f}")
        print(f"| {size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    learned()
    stacks()
