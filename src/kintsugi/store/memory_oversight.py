"""Escalations and quarantines in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.event import NO_PAYLOAD, DecisionEvent, Payload
from kintsugi.model.notice_sources import of_escalation, of_quarantine
from kintsugi.model.overrides import Judgement
from kintsugi.model.oversight import (
    OPEN,
    Escalation,
    EscalationReport,
    QuarantineRecord,
    asker_of,
    default_tier,
    due_of,
    escalation_of,
    flooded,
    not_asked,
    quarantine_of,
)
from kintsugi.model.signal import SignalStore
from kintsugi.model.workflow import RiskTier
from kintsugi.store import oversight_moves as moves
from kintsugi.store.contents import redacted, whole
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import Tell
from kintsugi.store.memory_overrides import MemoryOverrides


class MemoryOversight:
    """The same promises as ``PostgresOversight``.

    Args:
        announce: wakes whoever waits for a change.
        tell: keeps notices.
        tier: of a workflow by name; None for one that is not registered.
    """

    def __init__(
        self,
        announce: Callable[[], None],
        tell: Tell,
        signals: SignalStore,
        overrides: MemoryOverrides,
        tier: Callable[[str], RiskTier | None],
        custody: CustodyStore,
    ) -> None:
        self._custody = custody
        self._signals = signals
        self._overrides = overrides
        self._tier = tier
        self._tell = tell
        self._announce = announce
        self._escalations: dict[str, Escalation] = {}
        self._held: dict[str, Payload] = {}
        self._quarantines: dict[str, QuarantineRecord] = {}

    def raise_escalation(
        self, report: EscalationReport, payload: Payload = NO_PAYLOAD
    ) -> Escalation:
        with LOCK:
            if payload != NO_PAYLOAD and report.id not in self._escalations:
                self._held[report.id] = payload
            if report.id not in self._escalations:
                self._raise(report)
            return self._escalations[report.id]

    def held_payload(self, escalation_id: str, entry: CustodyEntry | None = None) -> Payload | None:
        found = self._held.get(escalation_id.lower())
        if found is None or entry is None:
            return redacted(found) if found is not None else None
        self._custody.add(entry)
        return whole(found)

    def escalation(self, escalation_id: str) -> Escalation:
        try:
            return self._escalations[escalation_id.lower()]
        except KeyError:
            raise NotFound(f'there is no escalation "{escalation_id}"') from None

    def escalations(
        self, status: str | None, *, now: datetime, limit: int, cursor: str | None = None
    ) -> tuple[list[Escalation], str | None]:
        before = decode_cursor(cursor) if cursor else None
        found = [
            one
            for one in self._newest_first()
            if _is(one, status, now)
            and (before is None or (one.report.created_at, one.id) < before)
        ]
        return paged(found, limit, lambda one: (one.report.created_at, one.id))

    def count_escalations(self, status: str | None, *, now: datetime) -> int:
        return sum(_is(one, status, now) for one in self._escalations.values())

    def claim(self, escalation_id: str, *, by: str, now: datetime) -> Escalation:
        return self._move(
            escalation_id, lambda before: moves.claim(before, by=by, now=now), now=now
        )

    def resolve(self, escalation_id: str, said: Judgement, *, now: datetime) -> Escalation:
        return self._move(
            escalation_id, lambda before: moves.resolve(before, said, now=now), now=now, said=said
        )

    def expire(self, *, now: datetime, limit: int) -> int:
        over = [
            one
            for one in self._newest_first()
            if one.status in OPEN and one.report.expires_at <= now
        ][:limit]
        for one in over:
            self._move(one.id, moves.expire, now=now)
        return len(over)

    def use(
        self, escalation_id: str, *, action_digest: str, revision: str, by: str, now: datetime
    ) -> Escalation:
        return self._move(
            escalation_id,
            lambda before: moves.use(
                before, action_digest=action_digest, revision=revision, by=by, now=now
            ),
            now=now,
        )

    def usable(self, *, now: datetime, limit: int) -> list[Escalation]:
        found = [
            one
            for one in self._newest_first()
            if one.resolved_at is not None and one.used_at is None and one.report.expires_at > now
        ]
        return found[:limit]

    def quarantines(
        self, *, in_force: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineRecord], str | None]:
        before = decode_cursor(cursor) if cursor else None
        found = [
            one
            for one in self._quarantines.values()
            if in_force is None or (one.released_at is None) == in_force
            if before is None or (one.created_at, one.id) < before
        ]
        found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count_quarantines(self, *, in_force: bool | None) -> int:
        return sum(
            in_force is None or (one.released_at is None) == in_force
            for one in self._quarantines.values()
        )

    def quarantine(self, quarantine_id: str) -> QuarantineRecord:
        try:
            return self._quarantines[quarantine_id.lower()]
        except KeyError:
            raise NotFound(f'there is no quarantine "{quarantine_id}"') from None

    def release(
        self, quarantine_id: str, *, by: str, reason: str, now: datetime
    ) -> QuarantineRecord:
        before = self.quarantine(quarantine_id)
        if before.released_at is None:
            self._quarantines[before.id] = msgspec.structs.replace(
                before, released_at=now, released_by=by, release_reason=reason
            )
            ended = self._quarantines[before.id]
            self._tell([of_quarantine(ended, "released", now=now)])
            self._announce()
        return self._quarantines[before.id]

    def released_since(self, moment: datetime) -> list[str]:
        return [
            one.id
            for one in self._quarantines.values()
            if one.released_at is not None and one.released_at >= moment
        ]

    def note_events(self, events: Iterable[DecisionEvent]) -> None:
        """Keep what stored events tell of."""
        found = False
        for event in events:
            report, record = escalation_of(event), quarantine_of(event)
            self._held.pop(event.id, None)
            if report is not None:
                self.raise_escalation(report)
            if record is not None and record.id not in self._quarantines:
                self._quarantines[record.id] = record
                self._tell([of_quarantine(record, "began", now=record.created_at)])
            found = found or report is not None or record is not None
        if found:
            self._announce()

    def _newest_first(self) -> list[Escalation]:
        return sorted(
            self._escalations.values(),
            key=lambda one: (one.report.created_at, one.id),
            reverse=True,
        )

    def _raise(self, report: EscalationReport) -> None:
        now, asker = report.created_at, asker_of(report)
        waiting = [one for one in self._escalations.values() if one.at(now) in OPEN]
        refused = not_asked(sum(asker_of(one.report) == asker for one in waiting), len(waiting))
        tier = self._tier(report.identity.workflow) or default_tier(report)
        raised = self._escalations[report.id] = Escalation(
            report,
            status="expired" if refused else "pending",
            reason=refused,
            tier=tier,
            due_at=due_of(report, tier),
        )
        self._tell([of_escalation(raised, "created", now=now)])
        if refused:
            self._signals.observe(flooded(report, refused), now=now)

    def _move(
        self,
        escalation_id: str,
        move: Callable[[Escalation], Escalation],
        *,
        now: datetime,
        said: Judgement | None = None,
    ) -> Escalation:
        with LOCK:
            before = self.escalation(escalation_id)
            after = self._escalations[before.id] = move(before)
            if after.status != before.status and after.status != "pending":
                self._tell([of_escalation(after, after.status, now=now)])
                if after.status != "claimed":
                    self._overrides.add(after, said, now=now)
        if after != before:
            self._announce()
        return after


def _is(escalation: Escalation, status: str | None, now: datetime) -> bool:
    found = escalation.at(now)
    if status == "resolved":
        return found in ("approved", "rejected")
    if status == "open":
        return found in OPEN
    return status is None or found == status
