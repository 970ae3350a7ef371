"""The one case of a command that looks at a single model or request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave._errors import SpecError
from unweave.cli.options import refuse_twice
from unweave.study import Spec, read_spec


def one_case(
    spec: Path | None,
    case: str | None,
    settings: list[str],
    *,
    seed: int | None = None,
    workers: int | None = None,
    default: str | None = None,
    methods: Sequence[str] | None = None,
    forget_ids: Sequence[int | str] | None = None,
) -> Spec:
    """Read a spec, or a registered case, with `--set`, `--seed` and `--workers`.

    Raises:
        SpecError: for what is wrong with it, an option given twice, or no case at all.
    """
    refuse_twice(settings, {"seed": seed, "workers": workers, "methods": methods})
    options = {"seed": seed, "workers": workers}
    settings = [*settings, *(f"{key}={given}" for key, given in options.items() if given is not None)]
    if spec is None and case is None and default is None:
        raise SpecError("No case: give a file SPEC.toml with data, `forget.ids` and the model, or --case NAME.")
    named = [case] if case is not None else [] if spec is not None else [str(default)]
    return read_spec(spec, cases=named, settings=settings, methods=methods, forget_ids=forget_ids)
