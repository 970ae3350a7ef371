"""The one case of a command that looks at a single model or request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave._errors import SpecError
from unweave.study import Spec, read_spec


def one_case(
    spec: Path | None,
    case: str | None,
    settings: list[str],
    *,
    seed: int | None = None,
    workers: int | None = None,
    default: str | None = None,
    forget_ids: Sequence[int | str] | None = None,
) -> Spec:
    """Read a spec, or a registered case, with `--set`, `--seed` and `--workers`.

    Raises:
        SpecError: for what is wrong with it, an option given twice, or no case at all.
    """
    for key, given in (("seed", seed), ("workers", workers)):
        if given is not None and any(one.partition("=")[0].strip() == key for one in settings):
            raise SpecError(f"Give --{key} or --set {key}=…, not both.")
        if given is not None:
            settings = [*settings, f"{key}={given}"]
    if spec is None and case is None and default is None:
        raise SpecError("No case: give a file SPEC.toml with data, `forget.ids` and the model, or --case NAME.")
    named = [case] if case is not None else [] if spec is not None else [str(default)]
    return read_spec(spec, cases=named, settings=settings, forget_ids=forget_ids)
