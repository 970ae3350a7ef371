"""`unweave cases`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unweave.cli.options import AllowUnknown, Debug, Json, Setting, TrustCode, reported, settings_of


def cases(
    name: Annotated[str | None, typer.Argument(help="A case, or a file SPEC.toml: show it as a spec.")] = None,
    members: Annotated[
        bool, typer.Option("--members", help="With a name: list the ids of the behaviour's members.")
    ] = False,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="With a name: list ids of D with the SHA-256 of their content.")
    ] = False,
    features: Annotated[
        bool, typer.Option("--features", help="With a table: list features and classes as a model gets them.")
    ] = False,
    setting: Setting = None,
    allow_unknown: AllowUnknown = False,
    trust_code: TrustCode = None,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """List the cases that come with unweave, or show one."""
    with reported(debug):
        from unweave._errors import SpecError
        from unweave.cli.files import check_file, is_stdout, write_json
        from unweave.report.toml import toml_text
        from unweave.study import assemble, case_to_tree, read_spec, training_data, trusted_files
        from unweave.study.request import manifest_of, manifest_text
        from unweave.study.spec import SPEC_VERSION
        from unweave.study.units import features_of_case, features_text

        check_file(json)
        settings = settings_of(setting, allow_unknown=allow_unknown)
        if name is None:
            if members or manifest or features or settings:
                raise SpecError(
                    "--members, --manifest, --features, --set and --allow-unknown need the name of a case; "
                    "`unweave cases` lists the names."
                )
            _list_all(json)
            return
        file = Path(name)
        spec = (
            read_spec(file, settings=settings)
            if file.suffix == ".toml"
            else read_spec(cases=[name], settings=settings)
        )
        for key in ("methods", "out", "store", "workers"):
            if getattr(spec, key) is not None:
                raise SpecError(f"--set of `{key}` has no effect on a case; give it to `unweave compare`.")
        case = spec.cases[0]
        alone = is_stdout(json)
        if features:
            print("" if alone else features_text(case), end="")
            write_json(json, None if json is None else features_of_case(case))
            return
        if manifest:
            data = training_data(case, trusted=trusted_files(trust_code or []))
            print("" if alone else manifest_text(data), end="")
            write_json(json, None if json is None else manifest_of(data))
            return
        if members:
            assembly = assemble(case, trusted=trusted_files(trust_code or []))
            if not assembly.planted.known:
                raise SpecError(
                    "The members of the behaviour are not known (`behaviour.kind` is unknown); `forget.ids` "
                    "names S."
                )
            ids = assembly.setting.ids[assembly.planted.members].tolist()
            print("" if alone else "".join(f"{one}\n" for one in ids), end="")  # as `forget.ids` reads a file
            write_json(json, ids)
            return
        assemble(
            case, trusted=trusted_files(trust_code or [])
        )  # so that no spec is printed that `compare` would refuse
        tree = case_to_tree(case)
        print("" if alone else toml_text({"version": SPEC_VERSION, **tree}), end="")
        write_json(json, tree)


def _list_all(json: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from unweave.cli.files import is_stdout, write_json
    from unweave.study import CASE_NOTES, CASES, case_to_tree

    table = Table("case", "what", "data", "B", "discovered", box=None, pad_edge=False)
    for name, case in CASES.items():
        table.add_row(
            name,
            CASE_NOTES[name],
            case.data.source,
            ", ".join(str(one) for one in (case.behaviour.kind, case.behaviour.size) if one is not None),
            f"{case.forget.discovery:.0%}" if case.forget.discovery else "–",
        )
    if not is_stdout(json):
        Console().print(table)
    write_json(json, {name: case_to_tree(case) for name, case in CASES.items()})
