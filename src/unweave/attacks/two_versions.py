"""What the model before and the model after an edit give away together about who was taken out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unweave._errors import UserError

Floats = NDArray[np.float64]


def two_version_score(before: Floats, after: Floats) -> Floats:
    """How far each example's margin fell between two versions of a model.

        s(x) = φ_before(x) − φ_after(x),   φ = z_y − logsumexp_{k≠y} z_k

    Who holds both versions takes the examples that fell most for those that were taken out. The score of an
    example depends on no other example.

    Args:
        before: φ of the model as deployed [..., n], in nats.
        after: φ of the edited one, on the same examples.

    Returns:
        [..., n] in nats; higher = more likely to have been taken out.

    Raises:
        UserError: if the shapes differ.

    Source: Chen et al. (2021), When Machine Unlearning Jeopardizes Privacy, arXiv 2005.02205, §3. Deviation:
        their attack feeds both outputs to a classifier; this one has nothing to fit.

    Example:
        >>> two_version_score(np.array([3.0, 1.0]), np.array([-1.0, 1.0]))
        array([4., 0.])
    """
    if before.shape != after.shape:
        raise UserError(f"Expected φ of the same examples before and after, got {before.shape} and {after.shape}.")
    return before - after
