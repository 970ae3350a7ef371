"""Code of the user's own is run only where the user said so, and tried out before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave._errors import UserError
from unweave.problem import Case
from unweave.study.assemble import Assembly


def check_trust(cases: Sequence[Case], trusted: Sequence[Path]) -> None:
    """Refuse a file of code that was not named as trusted; nothing of it has been run before.

    Raises:
        UserError: for the first such file.
    """
    allowed = {file.resolve() for file in trusted}
    for case in cases:
        if case.learner.factory is None:
            continue
        file = Path(case.learner.factory.rpartition(":")[0])
        if file.resolve() not in allowed:
            raise UserError(
                f"`learner.factory` of {case.name} would run the code of {file} on this machine. If you trust it, "
                f"say so: --trust-code {file} (in Python: trust_code=[{str(file)!r}])."
            )


def try_learner(assembly: Assembly) -> None:
    """Try out a user's own module on the data before anything is trained.

    Raises:
        UserError: if it cannot be made, or does not take the data.
    """
    setting = assembly.setting
    if not setting.learner.file:
        return
    import torch

    if setting.learner.opaque:
        from unweave.learners.own import make

        make(setting.learner)
        return
    from unweave.learners.nets import build
    from unweave.learners.own import try_out

    sizes = [len(world.rows) for world in assembly.worlds.values()]
    try_out(build(setting.learner), torch.from_numpy(setting.x[:64]), sizes)
