"""Incidents in PostgreSQL. A change, its entries and its leaf in the log are one transaction; the
table of entries refuses to be changed (see the migration that made it)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.ledger.leaves import Leaf, incident_leaf, ledger_leaf
from kintsugi.model.captured import filled_since
from kintsugi.model.incident import (
    ENDED,
    Change,
    Decide,
    Entry,
    Incident,
    IncidentFilter,
    OwedObligation,
    TimelineEntry,
    TimelineOrder,
    record_of,
)
from kintsugi.model.incident_access import seers_of, visibility_of
from kintsugi.model.incident_keys import number_in, uuid_in
from kintsugi.model.incident_terms import NEWEST, terms_of
from kintsugi.model.notice_sources import of_incident
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import encode_cursor, paged, place_in
from kintsugi.store.followups import keep
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notices
from kintsugi.store.regression_ledger import add_entries
from kintsugi.store.statements import load_statements
from kintsugi.store.timelines import add_entry, fill_in

_SQL: Final = load_statements("incidents")
_INCIDENT: Final = msgspec.json.Decoder(Incident)
_ENTRY: Final = msgspec.json.Decoder(Entry)
# Stands for "no date" where clocks are put in order.
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def change_incidents(
    connection: Connection,
    keys: Sequence[str],
    decide: Decide,
    *,
    now: datetime,
    expected_version: int | None = None,
) -> tuple[tuple[Incident, ...], list[Leaf]]:
    """See ``IncidentStore.change``; in the caller's transaction.

    Returns:
        The incidents, and the leaves that the caller adds to the log when all else is done: the
        log's edge stays locked from there to the commit, and nobody may wait for an incident then.
    """
    ids = [_find(connection, key) for key in keys]
    locked = {
        found: _INCIDENT.decode(record)
        for found, record in connection.execute(_SQL["lock"], [ids]).fetchall()
    }
    before = tuple(locked[one] for one in ids)
    check_version(before, expected_version)
    changes = decide(before)
    stored = tuple(_store(connection, one, now=now) for one in changes)
    leaves: list[Leaf] = []
    for change, incident in zip(changes, stored, strict=True):
        if change.entries:
            add_notices(connection, of_incident(incident, change.entries, now=now))
            leaves.append(incident_leaf(incident, change.entries, now=now))
        if change.entries and begins_anew(before, incident):
            fill_in(connection, incident, now=now)
    for change in changes:
        leaves += map(ledger_leaf, add_entries(connection, change.bind))
    connection.execute(_SQL["announce"])
    return stored, leaves


class PostgresIncidents:
    """The incident store of the protocol in ``model/incident.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(
        self,
        keys: Sequence[str],
        decide: Decide,
        *,
        now: datetime,
        expected_version: int | None = None,
    ) -> tuple[Incident, ...]:
        with self._database.transaction() as connection:
            stored, leaves = change_incidents(
                connection, keys, decide, now=now, expected_version=expected_version
            )
            for leaf in leaves:
                add_leaf(connection, leaf, now=now)
        return stored

    def get(self, key: str) -> Incident:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["get"], [_find(connection, key)]).fetchone()
        if row is None:
            raise NotFound(f'there is no incident "{key}"')
        return _INCIDENT.decode(row[0])

    def page(
        self, where: IncidentFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Incident], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        values = {**_values(where), "before_at": at, "before_id": identifier, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        found = [_INCIDENT.decode(record) for (record,) in rows]
        return paged(found, limit, lambda one: (one.reported_at, one.id))

    def count(self, where: IncidentFilter, *, ceiling: int) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(
                _SQL["count"], {**_values(where), "ceiling": ceiling}
            ).fetchone()
        return int(row[0]) if row is not None else 0

    def timeline(
        self,
        incident_id: str,
        *,
        order: TimelineOrder,
        pinned_only: bool,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[TimelineEntry], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        values = {
            "incident": incident_id,
            "pinned_only": pinned_only,
            "before_at": at,
            "before_id": identifier,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL[f"timeline_by_{order}"], values).fetchall()
            found = [(_ENTRY.decode(record), pinned) for record, pinned in rows[:limit]]
            about = [entry.id for entry, _ in found]
            said = connection.execute(_SQL["annotations"], [about]).fetchall()
        annotations = [_ENTRY.decode(record) for (record,) in said]
        shown = [
            TimelineEntry(entry, pinned, tuple(one for one in annotations if one.about == entry.id))
            for entry, pinned in found
        ]
        if len(rows) <= limit or not shown:
            return shown, None
        last = shown[-1].entry
        return shown, encode_cursor(getattr(last, order), last.id)

    def entry(self, incident_id: str, entry_id: str) -> Entry:
        row = None
        if uuid_in(entry_id) is not None:
            with self._database.transaction() as connection:
                row = connection.execute(_SQL["entry"], [incident_id, entry_id]).fetchone()
        if row is None:
            raise NotFound(f'this incident has no entry "{entry_id}"')
        return _ENTRY.decode(row[0])

    def incidents_of(self, event_id: str) -> list[Incident]:
        if uuid_in(event_id) is None:
            return []
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["incidents_of"], [event_id]).fetchall()
        return [_INCIDENT.decode(record) for (record,) in rows]

    def family(self, incident_id: str) -> list[str]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["family"], [incident_id]).fetchall()
        return [incident_id, *(found for (found,) in rows if found != incident_id)]

    def sharing(self, terms: Sequence[str], *, besides: str) -> list[tuple[str, str]]:
        values = {"terms": list(terms), "besides": besides, "newest": NEWEST}
        with self._database.transaction() as connection:
            return connection.execute(_SQL["sharing"], values).fetchall()

    def restricted(self, ids: Sequence[str], *, viewer: str) -> frozenset[str]:
        wanted = [one for one in ids if uuid_in(one) is not None]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["restricted"], [wanted, viewer]).fetchall()
        return frozenset(found for (found,) in rows)

    def obligations(
        self,
        *,
        terminal: bool | None,
        limit: int,
        cursor: str | None = None,
        viewer: str | None = None,
    ) -> tuple[list[OwedObligation], str | None]:
        at, identifier = place_in(cursor) or (None, None)
        values = {
            "terminal": terminal,
            "viewer": viewer,
            "after_at": at,
            "after_id": identifier,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["owed"], values).fetchall()
        shown = [_owed(found, record) for found, _, record in rows[:limit]]
        if len(rows) <= limit or not shown:
            return shown, None
        found, due_order, _ = rows[limit - 1]
        return shown, encode_cursor(due_order, found)

    def obligation(self, obligation_id: str) -> OwedObligation:
        row = None
        if uuid_in(obligation_id) is not None:
            with self._database.transaction() as connection:
                row = connection.execute(_SQL["obligation"], [obligation_id]).fetchone()
        if row is None:
            raise NotFound(f'there is no obligation "{obligation_id}"')
        return _owed(row[0], row[2])


def begins_anew(before: Sequence[Incident], after: Incident) -> bool:
    """Whether an incident is new, or is said to have begun at another time."""
    for one in before:
        if one.id == after.id:
            return filled_since(one) != filled_since(after)
    return after.state not in ENDED


def check_version(before: Sequence[Incident], expected: int | None) -> None:
    """Raise when the first incident is at another version than expected.

    Raises:
        VersionConflict: somebody else changed it.
    """
    if expected is not None and before and before[0].version != expected:
        raise VersionConflict(
            f"{before[0].reference} is at version {before[0].version}, not {expected}; read it "
            "again and retry"
        )


def check_event_ids(change: Change) -> None:
    """Raise when an event cannot be one.

    Raises:
        InvalidInput: an id is no UUID.
    """
    for one in (*change.add_events, *change.remove_events):
        if uuid_in(one) is None:
            raise InvalidInput(f'event_ids: "{one}" is no id of an event')


def recount(
    connection: Connection,
    incident_id: str,
    told: Entry,
    *,
    scope: dict[str, tuple[str, ...]],
    now: datetime,
) -> None:
    """Count the events of an incident anew, after many were tied, and say so with an entry."""
    row = connection.execute(_SQL["lock"], [[incident_id]]).fetchone()
    count = connection.execute(_SQL["tied"], [incident_id]).fetchone()
    if row is None or count is None:
        raise NotFound(f'there is no incident "{incident_id}"')
    incident = msgspec.structs.replace(
        _INCIDENT.decode(row[1]), event_count=count[0], scope=scope, updated_at=now
    )
    stored = _store(connection, Change(incident, (told,)), now=now)
    add_notices(connection, of_incident(stored, [told], now=now))
    add_leaf(connection, incident_leaf(stored, [told], now=now), now=now)


def _store(connection: Connection, change: Change, *, now: datetime) -> Incident:
    incident = change.incident
    if not change.entries:
        return incident
    check_event_ids(change)
    tied = _tie(connection, change, now=now)
    new = incident.version == 0
    if new:
        connection.execute(_SQL["lock_numbers"])
        row = connection.execute(_SQL["last_number"]).fetchone()
        incident = msgspec.structs.replace(incident, number=(row[0] if row else 0) + 1)
    incident = msgspec.structs.replace(
        incident, version=incident.version + 1, event_count=incident.event_count + tied
    )
    record = record_of(incident).decode()
    shown = [incident.state, incident.severity or "unset", incident.state in ENDED]
    into = incident.merged_into or None
    sight = [visibility_of(incident), list(seers_of(incident)), bool(incident.waivers)]
    if new:
        values: list[Any] = [incident.id, incident.number, incident.version, *shown]
        connection.execute(_SQL["add"], [*values, incident.reported_at, into, *sight, record])
    else:
        connection.execute(
            _SQL["save"], [incident.version, *shown, into, *sight, record, incident.id]
        )
    terms = list(terms_of(incident))
    connection.execute(_SQL["forget_terms"], [incident.id, terms])
    connection.execute(_SQL["keep_terms"], [incident.id, terms])
    for entry in change.entries:
        add_entry(connection, entry)
    for one in incident.obligations:
        clock = [one.id, incident.id, one.terminal(now), one.due_at or NEVER]
        connection.execute(_SQL["keep_obligation"], clock)
    for followup in change.keep:
        keep(connection, followup)
    return incident


def _tie(connection: Connection, change: Change, *, now: datetime) -> int:
    """Tie and untie events; by how many there are more now."""
    more = 0
    if change.remove_events:
        values = [change.incident.id, list(change.remove_events)]
        more -= connection.execute(_SQL["untie"], values).rowcount
    if change.add_events:
        wanted = list(change.add_events)
        unknown = connection.execute(_SQL["unknown_events"], [wanted]).fetchall()
        if unknown:
            names = ", ".join(name for (name,) in unknown)
            raise InvalidInput(f"event_ids: there is no event {names}")
        more += connection.execute(_SQL["tie"], [change.incident.id, now, wanted]).rowcount
    return more


def _find(connection: Connection, key: str) -> str:
    identifier, number = uuid_in(key), number_in(key)
    row = None
    if identifier is not None or number is not None:
        row = connection.execute(_SQL["find"], {"id": identifier, "number": number}).fetchone()
    if row is None:
        raise NotFound(f'there is no incident "{key}"')
    return str(row[0])


def _owed(obligation_id: str, record: str) -> OwedObligation:
    incident = _INCIDENT.decode(record)
    found = next(one for one in incident.obligations if one.id == obligation_id)
    return OwedObligation(incident, found)


def _values(where: IncidentFilter) -> dict[str, Any]:
    return {
        "state": "" if where.state == "open" else where.state,
        "open": where.state == "open",
        "severity": where.severity,
        "viewer": where.viewer,
        "waived": where.waived,
    }
