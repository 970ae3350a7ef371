"""The spec of a run: a file or registered cases, and what options say in place of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from unweave._errors import SpecError
from unweave.cli.options import names_in, settings_of
from unweave.study import Spec, read_spec


def wanted_spec(
    file: Path | None,
    cases: Sequence[str],
    setting: list[str] | None,
    *,
    allow_unknown: bool = False,
    quick: bool = False,
    seed: int | None = None,
    workers: int | None = None,
    methods: str | None = None,
    device: str | None = None,
    engine: str | None = None,
    out: Path | None = None,
    store: Path | None = None,
    trust_code: Sequence[Path] | None = None,
    plugin: Sequence[Path] | None = None,
    forget_ids: Sequence[int | str] | None = None,
    also: Mapping[str, tuple[str, object]] | None = None,
) -> Spec:
    """Read a spec, or registered cases, with `--set` and the options of these names, which go before it.

    `also` holds key and value of a command's own options by their names: no key may be given by `--set` as well.

    Raises:
        SpecError: for what is wrong with it, or a key that an option and `--set` give.
    """
    settings = settings_of(setting, allow_unknown=allow_unknown)
    own = {"seed": seed, "workers": workers, "methods": methods, "device": device, "engine": engine}
    _refuse_twice(settings, {**{name: (name, value) for name, value in own.items()}, **(also or {})})
    numbers = {"seed": seed, "workers": workers}
    found = read_spec(
        file,
        cases=cases,
        settings=[*settings, *(f"{key}={value}" for key, value in numbers.items() if value is not None)],
        methods=None if methods is None else names_in(methods, "--methods"),
        forget_ids=forget_ids,
        quick=quick,
    )
    return replace(
        found,
        out=out or found.out,
        store=store or found.store,
        device=device or found.device,
        engine=engine or found.engine,
        trust_code=tuple(trust_code or ()),
        plugins=tuple(plugin or ()),
    )


def named_case(file: Path | None, cases: Sequence[str] | None, default: str | None = None) -> list[str]:
    """The one case of a command that looks at a single model or request, where no file holds it.

    Raises:
        SpecError: if there is no case at all, or more than one.
    """
    if cases and len(cases) > 1:
        raise SpecError(f"--case is given {len(cases)} times ({', '.join(cases)}); expected one case here.")
    if cases:
        return list(cases)
    if file is not None:
        return []
    if default is None:
        raise SpecError("No case: give a file SPEC.toml with data, `forget.ids` and the model, or --case NAME.")
    return [default]


def _refuse_twice(settings: Sequence[str], given: Mapping[str, tuple[str, object]]) -> None:
    """Refuse what is given by an option and by --set as well: nobody knows which of the two is meant."""
    for option, (key, value) in given.items():
        if value is not None and any(one.partition("=")[0].strip() == key for one in settings):
            raise SpecError(f"Give --{option} or --set {key}=…, not both.")
