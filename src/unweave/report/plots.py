"""The map as a matplotlib figure, for notebooks and papers."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unweave._errors import UserError
from unweave.records import Result
from unweave.report.charts import case_charts, shared_frame
from unweave.report.words import LABEL_MEANINGS, LABEL_NAMES, UNLEARNED, UNTRAINED, not_drawn_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours and signs of the page: Okabe and Ito's, which stay apart for colour-blind readers.
_LOOKS: dict[str, tuple[str, str, str]] = {
    "original": ("P", "#1c1c1e", "original"),
    "null": ("o", "#1c1c1e", "fresh retrains"),
    "untrained": ("s", "#0072b2", LABEL_NAMES["untrained"]),
    "unlearned": ("^", "#009e73", LABEL_NAMES["unlearned"]),
    "both": ("*", "#b8578f", LABEL_NAMES["both"]),
    "neither": ("o", "#d55e00", LABEL_NAMES["neither"]),
    "inconclusive": ("D", "#e69f00", LABEL_NAMES["inconclusive"]),
    "no-power": ("1", "#8b8e95", LABEL_NAMES["no power"]),
    "not-applicable": ("x", "#8b8e95", LABEL_MEANINGS["not applicable"]),
}
_NEAR = 0.025


def plot_map(result: Result, *, cases: Sequence[str] | None = None) -> Figure:
    """Draw the map of each case side by side, to one scale.

    Across is generality t from A(D∖S) at 0 to A(D∖B) at 1, upwards the distance off that line; ellipses hold 95%
    confidence over models. Points far outside stand at the border with their place.

    Args:
        result: What was measured.
        cases: Names of the cases to draw; None = all.

    Returns:
        A matplotlib figure that belongs to no window.

    Raises:
        UserError: where matplotlib is missing, or for a case that the result does not have.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("Drawing needs matplotlib: `python -m pip install 'unweave[plots]'`.") from None
    known = [case.name for case in result.cases]
    if missing := [name for name in cases or () if name not in known]:
        raise UserError(f"The result has no case {missing[0]!r}; it has {', '.join(known)}.")
    shown = [case for case in result.cases if cases is None or case.name in cases]

    class Picture(Figure):
        """A figure that a notebook shows, though it belongs to no window and nothing was set up."""

        def _repr_png_(self) -> bytes:
            held = io.BytesIO()
            self.savefig(held, format="png", dpi=110)
            return held.getvalue()

    figure = Picture(figsize=(6.2 * max(len(shown), 1), 4.2), layout="constrained")
    if not shown:
        return figure
    drawn = [case_charts(case) for case in shown]
    frame = shared_frame(drawn) or {"x": (0.0, 1.0), "y": (0.0, 1.0)}
    across, top = (frame["x"][0], frame["x"][1]), frame["y"][1]
    for axes, case, charts in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, drawn, strict=True):
        axes.set_title(case.name, loc="left", fontweight="bold", parse_math=False)
        if charts["map"] is None:
            axes.set_axis_off()
            axes.text(
                0.5, 0.5, not_drawn_words(case.geometry), ha="center", va="center", wrap=True, parse_math=False
            )
            continue
        _draw(axes, charts["map"]["points"], across, top)
    return figure


def _draw(axes: Axes, points: Sequence[dict[str, Any]], across: tuple[float, float], top: float) -> None:
    axes.set_xlim(*across)
    axes.set_ylim(-0.03 * top, top)
    axes.grid(color="#dcdee3", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.plot([0, 1], [0, 0], color="#1c1c1e", linewidth=2.5)
    for place, name in ((0, f"{UNTRAINED}\nuntrained"), (1, f"{UNLEARNED}\nunlearned")):
        axes.annotate(
            name, (place, 0), xytext=(0, -26), textcoords="offset points", ha="center", va="top", fontweight="bold"
        )
    axes.set_xlabel("generality t", labelpad=36)
    axes.set_ylabel("off-line")
    placed: list[tuple[float, float, str]] = []
    for point in points:
        x, y = min(max(point["x"], across[0]), across[1]), min(point["y"], top)
        beyond = (x, y) != (point["x"], point["y"])
        sign, colour, said = _LOOKS[point["symbol"]]
        if point["ellipse"] and not beyond:
            axes.fill(*zip(*point["ellipse"], strict=True), color=colour, alpha=0.15, linewidth=0)
        inside = "none" if point["symbol"] == "null" else colour
        axes.plot([x], [y], sign, color=colour, markerfacecolor=inside, markersize=7, label=said, clip_on=False)
        placed.append((x, y, f"{point['name']} {point['place']}" if beyond else point["name"]))
    for x, y, names in _gathered(placed, across[1] - across[0], top):
        axes.annotate(names, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=8, parse_math=False)
    signs = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(signs.values(), signs.keys(), fontsize=8, frameon=False, loc="upper center")


def _gathered(
    placed: Sequence[tuple[float, float, str]], width: float, height: float
) -> list[tuple[float, float, str]]:
    """One text for points that lie on each other, three names to a line."""
    crowds: list[list[tuple[float, float, str]]] = []
    for x, y, name in placed:
        for crowd in crowds:
            if math.hypot((crowd[0][0] - x) / width, (crowd[0][1] - y) / height) < _NEAR:
                crowd.append((x, y, name))
                break
        else:
            crowds.append([(x, y, name)])
    texts: list[tuple[float, float, str]] = []
    for crowd in crowds:
        names = [name for _, _, name in crowd]
        lines = [", ".join(names[begin : begin + 3]) for begin in range(0, len(names), 3)]
        texts.append((crowd[0][0], crowd[0][1], ",\n".join(lines)))
    return texts
