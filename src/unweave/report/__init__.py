"""Report: a result in words, in a terminal and as one HTML page. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.report.headlines import case_headline as case_headline
from unweave.report.headlines import headline as headline
from unweave.report.headlines import headline_result as headline_result
from unweave.report.markdown import markdown_table as markdown_table
from unweave.report.page import render_page as render_page
from unweave.report.page import result_html as result_html
from unweave.report.png import png_address as png_address
from unweave.report.words import aim_reason as aim_reason
from unweave.report.words import attainable_words as attainable_words
from unweave.report.words import margin_words as margin_words
from unweave.report.words import off_line_text as off_line_text
from unweave.report.words import row_reason as row_reason

if TYPE_CHECKING:
    from unweave.report.terminal import print_case as print_case
    from unweave.report.terminal import print_result as print_result

_TERMINAL = ("print_case", "print_result")


def __getattr__(name: str) -> Any:
    # `rich` is loaded only by those who print to a terminal.
    if name in _TERMINAL:
        from unweave.report import terminal

        return getattr(terminal, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
