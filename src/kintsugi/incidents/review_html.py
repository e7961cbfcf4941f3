"""A review as a page of its own: no script, nothing fetched, whatever people wrote escaped."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Final

from markdown_it import MarkdownIt

from kintsugi.incidents.reviewing import body_of

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; }
h1, h2, h3 { line-height: 1.25; } h2 { border-bottom: 2px solid #c9a227; padding-bottom: .2rem; }
code { background: #f4f1e6; padding: .1em .3em; font-size: .85em; overflow-wrap: anywhere; }
a { color: #6b5300; } li { margin: .25rem 0; } li p { margin: 0; }
@page { size: A4; margin: 20mm; @bottom-right { content: counter(page) " / " counter(pages); } }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; } }
"""


def review_html(text: str, *, title: str) -> str:
    """The review as HTML; raw HTML in it is shown as text, and addresses that run code are no
    links."""
    lines = (line for line in body_of(text).split("\n") if not line.startswith("<!-- "))
    body = _markdown().render("\n".join(lines))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}</body></html>\n"
    )


@cache
def _markdown() -> MarkdownIt:
    # Images would be fetched from wherever somebody names.
    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").disable("image")
