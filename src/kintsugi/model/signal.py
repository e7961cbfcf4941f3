"""Signals: observations that somebody should look at. Not yet incidents; the first step of the
loop."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec

from kintsugi.model.ids import uuid7

Severity = Literal["low", "medium", "high", "critical"]
SignalStatus = Literal["open", "acknowledged", "resolved"]

# Who resolved a signal when no person did: what it told of is over.
BY_ITSELF: Final = ""


class Observation(msgspec.Struct, frozen=True):
    """What was seen, as whoever saw it tells it.

    Attributes:
        kind: ``journal_gap``, ``counters_differ`` and the like; names a section of the manual.
        key: says which thing it is; while a signal with this key is open, seeing it again makes no
            second one, and what a person has resolved is not raised again.
        subject: what it is about: ``gateway:ID``.
        summary: one sentence: what, where, since when.
        detail: the same for programs.
    """

    kind: str
    key: str
    severity: Severity
    subject: str
    summary: str
    detail: dict[str, Any] = {}


class Signal(msgspec.Struct, frozen=True):
    """An observation with its life.

    Attributes:
        at, seen_at: when it was first and last seen.
        note: of whoever acknowledged it.
        resolved_by: a person's name; empty when it was over by itself.
        resolution: why it is over.
    """

    id: str
    at: datetime
    kind: str
    severity: Severity
    summary: str
    subject: str
    key: str
    detail: dict[str, Any]
    seen_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    resolution: str = ""

    @property
    def status(self) -> SignalStatus:
        """Where it stands."""
        if self.resolved_at is not None:
            return "resolved"
        return "open" if self.acknowledged_at is None else "acknowledged"


class SignalStore(Protocol):
    """Signals by key while they are open, by id for ever."""

    def observe(self, seen: Observation, *, now: datetime) -> Signal:
        """Raise a signal, or note that the open one with this key was seen again.

        One that a person resolved stays resolved and is returned as it is: the same thing is not
        raised twice against a person's word. Use a key that changes when the thing does.
        """

    def over(self, key: str, *, resolution: str, now: datetime) -> Signal | None:
        """Resolve the open signal with this key, because it is over; None when there is none."""

    def get(self, signal_id: str) -> Signal:
        """One signal.

        Raises:
            NotFound: there is none with this id.
        """

    def page(
        self,
        status: SignalStatus | Literal["unresolved"] | None,
        *,
        kind: str = "",
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Signal], str | None]:
        """Newest first, and the cursor of the next page; None is every status, ``unresolved`` open
        and acknowledged together."""

    def count_unresolved(self) -> int:
        """How many are open or acknowledged."""

    def acknowledge(self, signal_id: str, *, by: str, note: str, now: datetime) -> Signal:
        """Note that a person looks into it; the first one stays.

        Raises:
            NotFound: there is none with this id.
        """

    def resolve(self, signal_id: str, *, by: str, resolution: str, now: datetime) -> Signal:
        """A person says that it is over; the first word stays.

        Raises:
            NotFound: there is none with this id.
        """


def first_seen(seen: Observation, *, now: datetime) -> Signal:
    """A new signal."""
    return Signal(
        id=uuid7(int(now.timestamp() * 1000), secrets.token_bytes(10)),
        at=now,
        kind=seen.kind,
        severity=seen.severity,
        summary=seen.summary,
        subject=seen.subject,
        key=seen.key,
        detail=seen.detail,
        seen_at=now,
    )


def seen_again(signal: Signal, seen: Observation, *, now: datetime) -> Signal:
    """The open signal as it is seen now."""
    return msgspec.structs.replace(
        signal, severity=seen.severity, summary=seen.summary, detail=seen.detail, seen_at=now
    )


def acknowledged(signal: Signal, *, by: str, note: str, now: datetime) -> Signal:
    """With whoever looks into it; one that is acknowledged or resolved stays as it is."""
    if signal.status != "open":
        return signal
    return msgspec.structs.replace(signal, acknowledged_at=now, acknowledged_by=by, note=note)


def resolved(signal: Signal, *, by: str, resolution: str, now: datetime) -> Signal:
    """With its end; one that is resolved stays as it is."""
    if signal.status == "resolved":
        return signal
    return msgspec.structs.replace(signal, resolved_at=now, resolved_by=by, resolution=resolution)
