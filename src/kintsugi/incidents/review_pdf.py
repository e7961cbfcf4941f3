"""A review on paper, from its HTML. Needs the extra ``pdf``: WeasyPrint, and the system's Pango."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from kintsugi.errors import InvalidInput


def review_pdf(html: str) -> bytes:
    """The page as PDF. Nothing is fetched, from anywhere, whatever the text names.

    Raises:
        InvalidInput: the extra is not installed.
    """
    if find_spec("weasyprint") is None:
        raise InvalidInput(
            'format: pdf needs an extra: pip install "kintsugi[pdf]", and Pango of the system; '
            "md and html work without"
        )
    # Here: its import takes a second, and loads libraries of the system.
    from weasyprint import HTML

    written: Any = HTML(string=html, url_fetcher=_refuse).write_pdf()
    return bytes(written)


def _refuse(url: str, *_: Any, **__: Any) -> dict[str, Any]:
    raise ValueError(f"nothing is fetched for a review: {url}")
