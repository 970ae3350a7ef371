"""Gradients of single examples and the Gauss-Newton matrix, written down by plain loops of torch."""

from __future__ import annotations

from dataclasses import replace

import torch

from unweave.learners.contract import State
from unweave.methods import Net


def net_of(toy, k: int = 0, *, plain: bool = True) -> Net:
    learner = toy.learner if plain else replace(toy.learner, dense=None)
    state = State(*({n: v[k] for n, v in part.items()} for part in toy.originals))
    return Net(learner, state, train=False)


def naive_gradients(net: Net, x, u):
    """∂(u_i·z_i)/∂θ, one backward pass after the other [n, p]."""
    found = []
    for one, of_one in zip(x, u, strict=True):
        params = {n: v.detach().clone().requires_grad_() for n, v in net.params.items()}
        z = net.learner.apply(State(params, net.buffers), one[None], train=False, key=None)[0]
        (z[0] * of_one).sum().backward()
        found.append(torch.cat([params[n].grad.flatten() for n in sorted(params)]))
    return torch.stack(found)


def naive_matrix(net: Net, x):
    """(1/n)·Σ JᵀΛJ, written down."""
    z = net(x)
    jacobians = [naive_gradients(net, x, torch.eye(z.shape[1])[c].expand(len(x), -1)) for c in range(z.shape[1])]
    j, p = torch.stack(jacobians, 1), z.softmax(1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    return torch.einsum("ncp,nce,neq->pq", j, inner, j) / len(x)
