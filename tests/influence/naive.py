"""Gradients of single examples, one backward pass after the other, and what is made of them."""

from __future__ import annotations

import numpy as np
import torch

from unweave.influence.attribution import Attributions
from unweave.learners.contract import State
from unweave.training.engine import unstack


def naive_gradients(learner, state, examples, of="loss"):
    """∂/∂θ of the cross-entropy or of log(p/(1 − p)), one backward pass after the other, in double [n, P]."""
    found = []
    buffers = {n: v.double() if v.is_floating_point() else v for n, v in state.buffers.items()}
    for x, y in zip(*examples, strict=True):
        params = {n: v.detach().double().requires_grad_() for n, v in state.params.items()}
        z = learner.apply(State(params, buffers), x[None].double(), train=False, key=None)[0]
        loss = torch.nn.functional.cross_entropy(z, y[None])
        number = loss if of == "loss" else torch.log(torch.exp(-loss) / (1 - torch.exp(-loss)))
        number.backward()
        found.append(torch.cat([params[n].grad.flatten() for n in sorted(params)]))
    return torch.stack(found).numpy()


def close(found: Attributions, score, own, rtol=1e-7):
    np.testing.assert_allclose(found.score, score, rtol=rtol, atol=rtol * np.abs(score).max())
    np.testing.assert_allclose(found.own, own, rtol=rtol, atol=rtol * np.abs(own).max())


def naive_tracin(models, rates):
    score, own = 0.0, 0.0
    for rate in rates:
        for state in unstack(models.stacked):
            g, v = (naive_gradients(models.learner, state, part) for part in (models.train, models.probes))
            score, own = score + rate * g @ v.T, own + rate * (g**2).sum(1)
    count = len(unstack(models.stacked))
    return score / count, own / count
