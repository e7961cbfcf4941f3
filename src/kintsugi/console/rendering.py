"""Templates to HTML. Everything is escaped, and characters that hide or reorder text are shown."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from kintsugi.console.assets import Assets
from kintsugi.console.contexts import Shell
from kintsugi.model.verdict import Verdict

# Each verdict has a word and a mark besides its colour.
MARKS = {
    Verdict.ALLOW: "✓",
    Verdict.FLAG: "⚑",
    Verdict.TRANSFORM: "≈",
    Verdict.REDACT: "▬",
    Verdict.ESCALATE: "↑",
    Verdict.QUARANTINE: "◫",
    Verdict.BLOCK: "✕",
}

# The sections, in order, with the address of each one's first page.
NAVIGATION = (
    ("Decisions", "/"),
    ("Oversight", "/oversight"),
    ("Containment", "/containments"),
    ("Regressions", "/regressions"),
    ("Signals", "/signals"),
    ("Report", "/report"),
    ("Log", "/log"),
    ("Configurations", "/configurations"),
)

_HIDING = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}


def environment(assets: Assets) -> Environment:
    """The template environment: escaping always on, a name that is not given is an error."""
    made = Environment(
        loader=PackageLoader("kintsugi.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = assets.address
    made.globals["marks"] = MARKS
    made.globals["navigation"] = NAVIGATION
    made.filters.update(
        hostile=hostile,
        clock=clock,
        moment=moment,
        iso=iso,
        ago=ago,
        until=until,
        configuration_address=configuration_address,
        duration=duration,
        number=number,
        ms=ms,
    )
    return made


def render(templates: Environment, page: Shell, *, status: int = 200) -> HTMLResponse:
    """A page."""
    values = {name: getattr(page, name) for name in page.__struct_fields__}
    values["section"] = page.section
    return HTMLResponse(templates.get_template(page.template).render(values), status_code=status)


def hostile(text: str) -> Markup:
    """Text from anywhere, safe to read: escaped, with unseen characters named.

    A right-to-left override or a zero-width space can make evidence read differently from what
    it says.
    """
    return Markup("").join(_visible(character) for character in text)


def _visible(character: str) -> str | Markup:
    if character in "\n\t" or unicodedata.category(character) not in _HIDING:
        return escape(character)
    name = unicodedata.name(character, "control character").lower()
    return Markup('<span class="unseen" title="{}">U+{:04X}</span>').format(name, ord(character))


def until(at: datetime, now: datetime) -> str:
    """``in 3 min``; ``over`` once it is."""
    seconds = (at - now).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "over"


def clock(at: datetime) -> str:
    """``14:05:09``, in UTC."""
    return f"{at.astimezone(UTC):%H:%M:%S}"


def moment(at: datetime) -> str:
    """``2026-04-23 14:05:09 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """``2026-04-23T14:05:09.123456Z``, for the ``datetime`` attribute."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(at: datetime, now: datetime) -> str:
    """``3 minutes ago``."""
    seconds = int((now - at).total_seconds())
    if seconds < 2:
        return "just now"
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def duration(seconds: float) -> str:
    """``4 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def number(count: int) -> str:
    """``12,450``."""
    return f"{count:,}"


def ms(duration_ms: float) -> str:
    """``0.42 ms``, ``87 ms``, ``3.1 s``."""
    if duration_ms >= 1000:
        return f"{duration_ms / 1000:.1f} s"
    return f"{duration_ms:.0f} ms" if duration_ms >= 10 else f"{duration_ms:.2f} ms"


def configuration_address(config_version: str) -> str:
    """The page of a version; empty for one that only a file had."""
    config_id, _, version = config_version.rpartition("@")
    if not config_id or not version.isdecimal():
        return ""
    return f"/configurations/{quote(config_id, safe='')}/versions/{version}"


def laid_out(text: str) -> str:
    """JSON with one member per line; anything else as it is."""
    try:
        return msgspec.json.format(text.encode(), indent=2).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return text
