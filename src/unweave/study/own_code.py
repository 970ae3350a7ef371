"""The user's own learner: which files may be run, and what is checked before any of it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unweave._errors import SpecError
from unweave.data import Encoding
from unweave.learners import LearnerSpec
from unweave.learners.own_code import imports_here, make, seeded, sha256, trusted_content
from unweave.learners.specs import specify_own
from unweave.problem import LearnerChoice

Trusted = Mapping[str, str]
"""Files whose code may be run, as absolute paths, with the SHA-256 they had when the user said so."""


def trusted_files(files: Sequence[Path]) -> dict[str, str]:
    """Digests of the files that the user trusts.

    Raises:
        SpecError: for a file that cannot be read.
    """
    return {str(file.resolve()): sha256(file) for file in files}


def own_learner(
    choice: LearnerChoice,
    trusted: Trusted,
    x: NDArray[np.float32],
    classes: int,
    *,
    recipe: Mapping[str, Any],
    encoding: Encoding | None,
) -> tuple[LearnerSpec, int]:
    """The learner that `learner.factory` names, tried on two examples.

    Args:
        choice: With a factory `file.py:function`.
        trusted: Nothing of a file that is not among these is run.
        x: Features of the training data [n, ...].
        classes: Number of classes.
        recipe: Fields of the recipe that were given.
        encoding: How a table is standardised.

    Returns:
        The learner, and the smallest batch that it can be trained on.

    Raises:
        UserError: whatever is wrong with the file or with what its function makes, as one message.
    """
    text = str(choice.factory)
    name, colon, function = text.rpartition(":")
    if not colon or not name or not function.isidentifier():
        raise SpecError(f"`learner.factory` is {text!r}; expected a file and a function in it: model.py:make.")
    default = asdict(LearnerChoice())
    for field in ("width", "depth", "channels", "trees", "name"):
        if getattr(choice, field) != default[field]:
            raise SpecError(
                f"`learner.{field}` is {getattr(choice, field)!r}, but `learner.factory` is given: what the net "
                "looks like stands in that file alone."
            )
    file = Path(name).resolve()
    digest = trusted.get(str(file))
    if digest is None:
        raise SpecError(
            f"`learner.factory` is {text}: that means to run code of {file.name}, and nothing of it has been run. "
            f"If you trust it, add --trust-code {name} (in Python: trust_code=[...] of compare)."
        )
    imports = imports_here(file, trusted_content(file, digest))

    def learner(*, opaque: bool, recipe: Mapping[str, Any] | None = None) -> LearnerSpec:
        about = (file, function, x.shape[1:], classes)
        return specify_own(*about, sha256=digest, imports=imports, opaque=opaque, recipe=recipe, encoding=encoding)

    with seeded(0):
        made = make(learner(opaque=False))
    if hasattr(made, "fit") and hasattr(made, "predict_proba"):
        return learner(opaque=True, recipe=recipe), 1
    import torch

    from unweave.learners.modules import check_module

    spec = learner(opaque=False, recipe=recipe)
    return spec, check_module(replace(spec, encoding=None), torch.from_numpy(x))


def check_batches(spec: LearnerSpec, smallest: int, sizes: Mapping[str, int]) -> None:
    """Refuse a last batch of one example where the learner cannot be trained on one.

    Args:
        spec: The learner.
        smallest: The smallest batch it can be trained on.
        sizes: Name → number of examples, of every set that is visited in batches.

    Raises:
        SpecError: naming the set, and a batch size that would do.
    """
    if spec.recipe is None or smallest < 2:
        return
    size = spec.recipe.batch_size
    for name, n in sizes.items():
        if size == 1 or n % size == 1:
            good = next((b for b in range(size + 1, size + 1000) if all(n % b != 1 for n in sizes.values())), None)
            hint = f"Take another, such as {good}." if good else "Change the number of examples."
            raise SpecError(
                f"`learner.batch_size` is {size}, which leaves a batch of one example of {name} ({n} examples); "
                f"{spec.label} cannot be trained on one (batch norm, for one, needs two). {hint}"
            )
