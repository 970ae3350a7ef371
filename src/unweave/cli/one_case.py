"""The one case of a command that looks at a single model or request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unweave._errors import SpecError
from unweave.cli.options import refuse_twice, with_options
from unweave.study import Spec, read_spec


def one_case(
    spec: Path | None,
    case: str | None,
    settings: list[str],
    *,
    seed: int | None = None,
    workers: int | None = None,
    default: str | None = None,
    store: Path | None = None,
    trust_code: Sequence[Path] | None = None,
    methods: Sequence[str] | None = None,
    forget_ids: Sequence[int | str] | None = None,
) -> Spec:
    """Read a spec, or a registered case, with `--set`, `--seed`, `--workers`, `--store` and `--trust-code`.

    Raises:
        SpecError: for what is wrong with it, an option given twice, or no case at all.
    """
    refuse_twice(settings, {"seed": seed, "workers": workers, "methods": methods})
    settings = with_options(settings, seed=seed, workers=workers)
    if spec is None and case is None and default is None:
        raise SpecError("No case: give a file SPEC.toml with data, `forget.ids` and the model, or --case NAME.")
    named = [case] if case is not None else [] if spec is not None else [str(default)]
    found = read_spec(spec, cases=named, settings=settings, methods=methods, forget_ids=forget_ids)
    return replace(found, store=store or found.store, trust_code=tuple(trust_code or ()))
