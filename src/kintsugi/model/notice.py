"""Notices: what happened, told to whoever asked to hear of it. Never the middle of a change: they
are written in its transaction and delivered afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from kintsugi.model.incident import new_id
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.model.signal import Severity


class Notice(msgspec.Struct, frozen=True):
    """One thing that happened.

    Attributes:
        id: UUIDv7; whoever receives it twice knows by this that it is the same.
        type: dotted, a name in ``NOTICE_TYPES``.
        subject: what it is about: ``incident:INC-000042``, ``escalation:ID``.
        data: the fields that its type declares; never recorded content.
    """

    id: str
    at: datetime
    type: str
    subject: str
    data: dict[str, Any]
    severity: Severity = "low"


def notice(
    type_name: str,
    subject: str,
    data: dict[str, Any],
    *,
    now: datetime,
    severity: Severity | None = None,
) -> Notice:
    """A new notice; its type's severity counts where none is given.

    Raises:
        ValueError: nobody registered this type, or the data has a field that it does not declare.
    """
    declared = NOTICE_TYPES.get(type_name)
    if declared is None:
        raise ValueError(f'"{type_name}" is no type of notice; add it to NOTICE_TYPES')
    if unknown := sorted(set(data) - set(declared.fields)):
        raise ValueError(f"{type_name} declares no field {', '.join(unknown)}")
    return Notice(
        new_id(now),
        now,
        type_name,
        _sendable(subject),
        {name: _sendable(value) for name, value in data.items()},
        severity or declared.severity,
    )


def _sendable(value: Any) -> Any:
    """Half a surrogate pair is no character, and nothing could carry it; the record that the
    notice tells of keeps the text exactly."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {name: _sendable(one) for name, one in value.items()}
    return value


class NoticeStore(Protocol):
    """What happened, as it is told. Stores that change something add their notices themselves, in
    the same transaction."""

    def add(self, notices: Sequence[Notice]) -> None:
        """Keep them, to be delivered."""

    def add_once(self, key: str, one: Notice) -> bool:
        """Keep it unless something was kept under this key before; whether it was kept. For what
        is found out by looking, such as a date that has passed."""

    def page(
        self, *, type_name: str = "", limit: int, cursor: str | None = None
    ) -> tuple[list[Notice], str | None]:
        """Newest first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def forget(self, *, before: datetime, limit: int) -> int:
        """Remove at most ``limit`` of those that are older and whose delivery is settled; how many
        those were."""
