"""What a machine's message says before it is a report, and how strangers' words are cut to fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec

from kintsugi.incidents.intake import TITLE_CHARS_MAX, fingerprint
from kintsugi.incidents.taxonomies import CATEGORIES
from kintsugi.model.report import About, AboutKind, AlertState, Fingerprint
from kintsugi.model.signal import Severity

ITEMS_MAX: Final = 1000
_TEXT_CHARS_MAX: Final = 10_000
_LABELS_MAX: Final = 100
_LABEL_CHARS_MAX: Final = 1000

# Words of alerting rules for our own four.
_WORDS: Final[Mapping[Severity, tuple[str, ...]]] = {
    "critical": ("critical", "fatal", "emergency", "p1", "sev1"),
    "high": ("high", "error", "major", "page", "p2", "sev2"),
    "medium": ("medium", "warning", "warn", "minor", "p3", "sev3"),
    "low": ("low", "info", "none", "notice", "p4", "p5"),
}
_SEVERITIES: Final = {word: severity for severity, words in _WORDS.items() for word in words}


class Heard(msgspec.Struct, frozen=True):
    """One thing that a message says.

    Attributes:
        why_unmapped: why it could not be read; then only the title is set besides.
    """

    title: str
    fingerprint: Fingerprint
    text: str = ""
    happened_at: datetime | None = None
    category: str = ""
    severity: Severity | None = None
    workflow: str = ""
    labels: dict[str, str] = {}
    about: tuple[About, ...] = ()
    state: AlertState = ""
    why_unmapped: str = ""


class Unreadable(ValueError):
    """A part of a message that cannot be read; the text says which, and why."""


def unmapped(item: Any, why: str, *, source: str) -> Heard:
    """An item that could not be read, kept for a person."""
    record = msgspec.json.encode(item, order="deterministic", enc_hook=str)
    fields = {"source": source, "item": sha256(record).hexdigest()}
    return Heard(
        f"a message of {source} that could not be read",
        fingerprint(fields),
        why_unmapped=cut(why, _LABEL_CHARS_MAX),
    )


def cut(text: str, most: int) -> str:
    """Words that fit, and that a database can hold."""
    plain = text.replace("\0", "\u2400").encode("utf-8", "replace").decode()
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def title_in(text: str) -> str:
    """Words as a title."""
    return cut(" ".join(text.split()), TITLE_CHARS_MAX)


def text_in(text: str) -> str:
    """Words as a description."""
    return cut(text, _TEXT_CHARS_MAX)


def labels_in(values: Mapping[str, Any]) -> dict[str, str]:
    """Names and values as labels; what is no text, number or truth value is left out."""
    found: dict[str, str] = {}
    for name, value in sorted(values.items())[:_LABELS_MAX]:
        text = as_text(value)
        if text:
            found[cut(str(name), _LABEL_CHARS_MAX)] = cut(text, _LABEL_CHARS_MAX)
    return found


def as_text(value: Any) -> str:
    """A single value in words; empty where it is none, or a list or an object."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            return ""


def severity_in(word: str) -> Severity | None:
    """Our severity for a word of theirs; None where nobody knows it."""
    return _SEVERITIES.get(word.strip().lower())


def category_in(word: str) -> str:
    """Our category; empty where the word is none."""
    found = word.strip().lower().replace("-", "_")
    return found if found in CATEGORIES else ""


def about_in(labels: Mapping[str, str]) -> tuple[About, ...]:
    """What the labels ``event_id``, ``trace_id`` and ``session_id`` name."""
    kinds: tuple[AboutKind, ...] = ("event", "trace", "session")
    return tuple(About(kind, value[:200]) for kind in kinds if (value := labels.get(f"{kind}_id")))


def time_in(value: Any) -> datetime | None:
    """A moment, as RFC 3339 or in seconds since 1970; None for none, and for Go's zero time.

    Raises:
        Unreadable: it is neither.
    """
    match value:
        case None | "":
            return None
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case bool():
            raise Unreadable("is no time")
        case int() | float():
            try:
                return datetime.fromtimestamp(value, UTC)
            except (OverflowError, ValueError, OSError):
                raise Unreadable(f"{value} is no time in seconds since 1970") from None
        case str():
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                raise Unreadable(f'"{cut(value, 80)}" is no time; send RFC 3339') from None
            if at.tzinfo is None:
                raise Unreadable(f'"{cut(value, 80)}" has no time zone')
            return at.astimezone(UTC) if at.year > 1 else None
        case _:
            raise Unreadable("is no time")
