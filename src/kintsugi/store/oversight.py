"""Escalations and quarantines in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import NotFound
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import NO_PAYLOAD, DecisionEvent, Payload
from kintsugi.model.incident import new_id
from kintsugi.model.notice_sources import of_escalation, of_quarantine
from kintsugi.model.overrides import Judgement, Seen
from kintsugi.model.oversight import (
    CLAIM_LASTS,
    OPEN_MAX,
    OPEN_OF_ONE_MAX,
    Escalation,
    EscalationReport,
    QuarantineRecord,
    asker_of,
    default_tier,
    due_of,
    escalation_of,
    flooded,
    not_asked,
    override_of,
    quarantine_of,
)
from kintsugi.model.verdict import Verdict
from kintsugi.model.workflow import RiskTier, Workflow
from kintsugi.store import oversight_moves as moves
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.event_rows import column_text, decode, encode
from kintsugi.store.held_contents import HELD_KEPT, HeldContents, drop_held, forget_held
from kintsugi.store.keyring import Keyring
from kintsugi.store.notices import add_notice
from kintsugi.store.overrides import add_override
from kintsugi.store.signals import observe
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("oversight")


class PostgresOversight:
    """The oversight store of the protocol in ``model/oversight.py``."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._held = HeldContents(keyring)

    def raise_escalation(
        self, report: EscalationReport, payload: Payload = NO_PAYLOAD
    ) -> Escalation:
        with self._database.transaction() as connection:
            _raise(connection, report)
            self._held.keep(connection, report, payload)
            return _escalation(connection, report.id, _SQL["escalation"])

    def held_payload(self, escalation_id: str, entry: CustodyEntry | None = None) -> Payload | None:
        with self._database.transaction() as connection:
            return self._held.payload(connection, escalation_id, entry)

    def escalation(self, escalation_id: str) -> Escalation:
        with self._database.transaction() as connection:
            return _escalation(connection, escalation_id, _SQL["escalation"])

    def escalations(
        self, status: str | None, *, now: datetime, limit: int, cursor: str | None = None
    ) -> tuple[list[Escalation], str | None]:
        values = {**_at(status, now), "limit": limit + 1, **_before(cursor)}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_read(row) for row in rows]
        return paged(found, limit, lambda one: (one.report.created_at, one.id))

    def count_escalations(self, status: str | None, *, now: datetime) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], _at(status, now)).fetchone()
        return int(row[0]) if row is not None else 0

    def claim(self, escalation_id: str, *, by: str, now: datetime) -> Escalation:
        return self._move(
            escalation_id, lambda before: moves.claim(before, by=by, now=now), now=now
        )

    def resolve(self, escalation_id: str, said: Judgement, *, now: datetime) -> Escalation:
        return self._move(
            escalation_id, lambda before: moves.resolve(before, said, now=now), now=now, said=said
        )

    def expire(self, *, now: datetime, limit: int) -> int:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["over"], [now, limit]).fetchall()
            for before in map(_read, rows):
                _save(connection, before, moves.expire(before), now=now)
            forget_held(connection, before=now - HELD_KEPT, limit=limit)
            if rows:
                connection.execute(_SQL["announce"])
        return len(rows)

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
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["usable"], [now, limit]).fetchall()
        return [_read(row) for row in rows]

    def quarantines(
        self, *, in_force: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineRecord], str | None]:
        values = {"in_force": in_force, "limit": limit + 1, **_before(cursor)}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["quarantines"], values).fetchall()
        found = [_read_quarantine(row) for row in rows]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def count_quarantines(self, *, in_force: bool | None) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count_quarantines"], {"in_force": in_force}).fetchone()
        return int(row[0]) if row is not None else 0

    def quarantine(self, quarantine_id: str) -> QuarantineRecord:
        with self._database.transaction() as connection:
            return _quarantine(connection, quarantine_id)

    def release(
        self, quarantine_id: str, *, by: str, reason: str, now: datetime
    ) -> QuarantineRecord:
        with self._database.transaction() as connection:
            _quarantine(connection, quarantine_id)
            done = connection.execute(_SQL["release"], [now, by, reason, quarantine_id])
            if done.rowcount:
                ended = _quarantine(connection, quarantine_id)
                add_notice(connection, of_quarantine(ended, "released", now=now))
                connection.execute(_SQL["announce"])
            return _quarantine(connection, quarantine_id)

    def released_since(self, moment: datetime) -> list[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["released_since"], [moment]).fetchall()
        return [str(row[0]) for row in rows]

    def _move(
        self,
        escalation_id: str,
        move: Callable[[Escalation], Escalation],
        *,
        now: datetime,
        said: Judgement | None = None,
    ) -> Escalation:
        """Decide and write in one transaction, while nobody else can."""
        with self._database.transaction() as connection:
            before = _escalation(connection, escalation_id, _SQL["lock_escalation"])
            after = move(before)
            if after != before:
                connection.execute(_SQL["announce"])
                _save(connection, before, after, now=now, said=said)
            return after


def _save(
    connection: Connection,
    before: Escalation,
    after: Escalation,
    *,
    now: datetime,
    said: Judgement | None = None,
) -> None:
    values: list[Any] = [
        after.status,
        after.claimed_by,
        after.claimed_at,
        after.resolved_by,
        after.resolved_at,
        after.reason,
        after.used_at,
        after.used_by,
        after.classification,
        after.incident_id,
        after.id,
    ]
    connection.execute(_SQL["save"], values)
    if after.status == before.status or after.status == "pending":
        return
    add_notice(connection, of_escalation(after, after.status, now=now))
    if after.status != "claimed":
        seen, bulk_id = (said.seen, said.bulk_id) if said is not None else (Seen(), "")
        made = override_of(after, override_id=new_id(now), now=now, bulk_id=bulk_id, seen=seen)
        add_override(connection, made)


def note_events(connection: Connection, events: Iterable[DecisionEvent]) -> None:
    """Keep the escalations and quarantines that stored events tell of."""
    found = False
    for event in events:
        if event.verdict is Verdict.ESCALATE or event.approval is not None:
            drop_held(connection, event.id)
        report = escalation_of(event)
        if report is not None:
            _raise(connection, report)
        record = quarantine_of(event)
        if record is not None:
            values = [record.id, record.created_at, encode(record).decode()]
            if connection.execute(_SQL["quarantine"], values).rowcount:
                began = of_quarantine(record, "began", now=record.created_at)
                add_notice(connection, began)
        found = found or report is not None or record is not None
    if found:
        connection.execute(_SQL["announce"])


def _raise(connection: Connection, report: EscalationReport) -> None:
    asker, now = asker_of(report), report.created_at
    bounds = {"asker": column_text(asker), "now": now}
    bounds |= {"of_one": OPEN_OF_ONE_MAX, "in_all": OPEN_MAX}
    row = connection.execute(_SQL["count_open"], bounds).fetchone()
    refused = not_asked(row[0], row[1]) if row is not None else ""
    tier = _tier(connection, report)
    raised = Escalation(
        report,
        status="expired" if refused else "pending",
        reason=refused,
        tier=tier,
        due_at=due_of(report, tier),
    )
    values = [
        report.id,
        report.created_at,
        report.expires_at,
        raised.status,
        encode(report).decode(),
        refused,
        tier,
        raised.due_at,
        bounds["asker"],
    ]
    if connection.execute(_SQL["raise"], values).rowcount == 0:
        return
    add_notice(connection, of_escalation(raised, "created", now=now))
    if refused:
        observe(connection, flooded(report, refused), now=now)


def _tier(connection: Connection, report: EscalationReport) -> RiskTier:
    name = report.identity.workflow
    row = connection.execute(_SQL["tier"], [column_text(name)]).fetchone() if name else None
    return decode(row[0], Workflow).tier if row is not None else default_tier(report)


def _at(status: str | None, now: datetime) -> dict[str, Any]:
    return {"status": status, "now": now, "claims_from": now - CLAIM_LASTS}


def _escalation(connection: Connection, escalation_id: str, statement: bytes) -> Escalation:
    row = None
    if parse_uuid(escalation_id) is not None:
        row = connection.execute(statement, [escalation_id]).fetchone()
    if row is None:
        raise NotFound(f'there is no escalation "{escalation_id}"')
    return _read(row)


def _quarantine(connection: Connection, quarantine_id: str) -> QuarantineRecord:
    row = None
    if parse_uuid(quarantine_id) is not None:
        row = connection.execute(_SQL["get_quarantine"], [quarantine_id]).fetchone()
    if row is None:
        raise NotFound(f'there is no quarantine "{quarantine_id}"')
    return _read_quarantine(row)


def _read(row: tuple[Any, ...]) -> Escalation:
    report, *rest = row
    return Escalation(decode(report, EscalationReport), *rest)


def _read_quarantine(row: tuple[Any, ...]) -> QuarantineRecord:
    record, released_at, released_by, reason = row
    return msgspec.structs.replace(
        decode(record, QuarantineRecord),
        released_at=released_at,
        released_by=released_by,
        release_reason=reason,
    )


def _before(cursor: str | None) -> dict[str, Any]:
    before_at, before_id = place_in(cursor) or (None, None)
    return {"before_at": before_at, "before_id": before_id}
