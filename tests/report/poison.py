"""Fifty ways to make a page run a script, and results that hold them wherever a user or a file can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from unweave.records import Example, Plane, Result, Row


def payloads() -> list[str]:
    """Fifty ways to make a page run `alert`, by tag, attribute, address, entity, template and encoding."""
    tags = ("img src=x", "svg", "body", "video src=x", "audio src=x", "iframe", "details open", "input")
    found = [f"<{tag} {event}=alert(1)>" for tag in tags for event in ("onerror", "onload", "ontoggle")]
    script = "<script>alert(1)</script>"
    found += [f"{start}{script}" for start in ("", "</script>", "</style>", "</title>", "</pre>", '">', "'>")]
    found += [f"\x00{script}", f"data:text/html,{script}", f"<template>{script}</template>", f"<!--{script}-->"]
    found += [
        '" onmouseover="alert(1)',
        "' onfocus='alert(1)",
        "javascript:alert(1)",
        "<a href=javascript:alert(1)>x</a>",
        "{{ 7*7 }}{% for x in y %}",
        "${alert(1)}",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;script>alert(1)",
        "\u2028alert(1)\u2029",
        "\\u003cscript>alert(1)</script>",
        "<svg><animate onbegin=alert(1)>",
        "]]><b>",
        "<math><mi xlink:href=javascript:alert(1)>",
        "<base href=//example.org>",
        "\ud800<meta http-equiv=refresh content=0>",
    ]
    return found


def poisoned(result: Result, payload: str, make_plane: Callable[[tuple[Row, ...]], Plane]) -> Result:
    """The result with the payload in every string that a user or a file can set."""
    case = result.cases[0]
    rows = tuple(
        replace(
            row, name=payload, id=payload + row.id, reason=payload, params={payload: payload}, cite=payload,
            off_line=payload, groups={payload + name: group for name, group in row.groups.items()},
            verdict_unlearning=replace(row.verdict_unlearning, reason=payload),
            furthest=tuple(replace(f, row_says=(payload, 1.0), reference_says=(payload, 0.5))
                           for f in row.furthest),
        )
        for row in case.rows[::3]
    )  # fmt: skip
    worlds = tuple(replace(world, training_set=payload) for world in case.worlds)
    geometry = replace(case.geometry, why_not=payload)
    examples = tuple(
        Example(payload, payload, payload, payload, image, {payload: payload})
        for image in (payload, f"data:image/png;base64,{payload}")
    )
    plane = make_plane(rows)
    plane = replace(
        plane, class_names=(payload, payload), points=tuple(replace(p, shape=payload) for p in plane.points)
    )
    bad = replace(
        case, name=payload, headline=payload, case={payload: payload}, warnings=(payload,), rows=rows,
        worlds=worlds, geometry=geometry, examples=examples, plane=plane,
    )  # fmt: skip
    flat = replace(bad, geometry=replace(geometry, drawn=False))
    provenance = replace(
        result.provenance, hardware=payload, spec={payload: payload, "list": [payload]},
        fingerprints={payload: payload}, started=payload, torch=payload,
    )  # fmt: skip
    return replace(result, headline=payload, cases=(bad, flat), provenance=provenance)
