"""What is sent: JSON for programs, a few lines for people. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from kintsugi.model.notice import Notice
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.model.notify import rank

_SHOWN_MAX: Final = 20
_CALLS: Final = re.compile(r"@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_VALUE_CHARS_MAX: Final = 300
_TITLES: Final = ("title", "summary", "name", "policy_name", "lever", "config_id")
# Ids that a person looks up by the subject, which stands in the title.
_LEFT_OUT: Final = frozenset({"reference", "entry_id", "severity"})


class Message(msgspec.Struct, frozen=True):
    """What people get."""

    title: str
    body: str


def webhook_body(one: Notice) -> bytes:
    """A notice as Standard Webhooks wants it: type, timestamp, data; ours beside them."""
    return msgspec.json.encode(
        {
            "type": one.type,
            "timestamp": one.at,
            "id": one.id,
            "severity": one.severity,
            "subject": one.subject,
            "data": one.data,
        }
    )


def of_notice(one: Notice) -> Message:
    """One notice in words."""
    declared = NOTICE_TYPES.get(one.type)
    lines = [declared.text] if declared is not None else []
    lines += [
        f"{name.replace('_', ' ')}: {_shown(value)}"
        for name, value in one.data.items()
        if name not in _LEFT_OUT and value not in (None, "", {}, [])
    ]
    return Message(f"[{one.severity}] {_headline(one)}", "\n".join(lines))


def digest(notices: Sequence[Notice], *, why: str) -> Message:
    """Several notices in one message: how many of which kind, and the gravest of them by name.

    Args:
        why: they come together.
    """
    counts = Counter(one.type for one in notices)
    gravest = sorted(notices, key=lambda one: (-rank(one.severity), one.at, one.id))
    lines = [f"{len(notices)} notices were held back ({why}):"]
    lines += [f"{count} x {name}" for name, count in counts.most_common()]
    lines += [
        "",
        *(f"{_time(one.at)} [{one.severity}] {_headline(one)}" for one in gravest[:_SHOWN_MAX]),
    ]
    if len(gravest) > _SHOWN_MAX:
        lines.append(f"and {len(gravest) - _SHOWN_MAX} more: kt notices list")
    return Message(f"[{gravest[0].severity}] {len(notices)} notices", "\n".join(lines))


def _headline(one: Notice) -> str:
    said = next((str(one.data[name]) for name in _TITLES if one.data.get(name)), "")
    subject = one.subject.partition(":")[2]
    return f"{one.type}: {subject}{' - ' if said else ''}{_line(said)}"


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{_time(value)} UTC"
    if isinstance(value, dict):
        return _line(", ".join(f"{name}={one}" for name, one in value.items()))
    return _line(str(value))


def _line(text: str) -> str:
    """On one line and of bounded length, and calling nobody: people's words must not look like
    ours, nor like a chat's commands."""
    flat = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    flat = _CALLS.sub("(at)", flat.replace("<", "‹").replace(">", "›"))
    return flat if len(flat) <= _VALUE_CHARS_MAX else f"{flat[: _VALUE_CHARS_MAX - 1]}…"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
