"""Workflows in PostgreSQL. ``note_workflows`` works inside the transaction that stores what tells
of them; it reads and writes the names and parts of that batch alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.ledger.leaves import workflow_leaf, workflow_record
from kintsugi.model.notice_sources import of_workflow
from kintsugi.model.seen_parts import STATE_KINDS, Sighting
from kintsugi.model.workflow import (
    STATES_SEEN_MAX,
    NewSighting,
    SeenPart,
    SeenWorkflow,
    Standing,
    Workflow,
    WorkflowStatus,
    observations,
    settled,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.log import add_leaf
from kintsugi.store.notices import add_notice
from kintsugi.store.seen_workflows import Row, capped_names, capped_parts
from kintsugi.store.signals import observe, over
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("workflows")
_RECORD: Final = msgspec.json.Decoder(Workflow)
_STANDING: Final[dict[str | None, Standing]] = {"active": "registered", "retired": "retired"}


def note_workflows(connection: Connection, sightings: Sequence[Sighting], *, now: datetime) -> None:
    """See ``WorkflowStore.note``; in the caller's transaction."""
    if not sightings:
        return
    names = _see_names(connection, sightings)
    parts = _see_parts(connection, names)
    if not names.fresh and not parts:
        return
    wanted = sorted({*names.fresh, *(row.workflow for row in parts)})
    rows = connection.execute(_SQL["registered"], [wanted]).fetchall()
    registered = {name: _RECORD.decode(record) for name, record in rows}
    for name in wanted:
        new = NewSighting(
            name,
            names.fresh.get(name, now),
            name in names.fresh,
            [(row.kind, row.name, row.version) for row in parts if row.workflow == name],
        )
        for seen in observations(new, registered.get(name)):
            observe(connection, seen, now=now)
    connection.execute(_SQL["judged_names"], [wanted])
    connection.execute(_SQL["judged_parts"], [wanted])


class PostgresWorkflows:
    """The workflow store of the protocol in ``model/workflow.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, workflow: Workflow, *, expected_version: int | None) -> Workflow:
        name, now = workflow.name, workflow.at
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock"])
            row = connection.execute(_SQL["newest"], [name]).fetchone()
            before = _RECORD.decode(row[0]).version if row else 0
            check_version(name, before, expected_version)
            kept = msgspec.structs.replace(workflow, version=before + 1)
            record = workflow_record(kept).decode()
            connection.execute(_SQL["add"], [name, kept.version, record])
            connection.execute(_SQL["keep"], [name, kept.version, kept.status, record])
            connection.execute(_SQL["judge_name_again"], [name])
            connection.execute(_SQL["judge_parts_again"], [name])
            for key in settled(kept, _parts(connection, {name: kept}, [name]).get(name, ())):
                why = f"settled by version {kept.version} of the registration"
                over(connection, key, resolution=why, now=now)
            add_notice(connection, of_workflow(kept))
            add_leaf(connection, workflow_leaf(kept), now=now)
        return kept

    def get(self, name: str, version: int | None = None) -> Workflow:
        with self._database.transaction() as connection:
            if version is None:
                row = connection.execute(_SQL["newest"], [name]).fetchone()
            else:
                row = connection.execute(_SQL["one"], [name, version]).fetchone()
        if row is None:
            shown = name if version is None else f"{name}@{version}"
            raise NotFound(f'there is no workflow "{shown}"; `kt workflows list` shows all')
        return _RECORD.decode(row[0])

    def versions(self, name: str) -> list[Workflow]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["versions"], [name]).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def page(self, status: WorkflowStatus | None, *, limit: int, after: str = "") -> list[Workflow]:
        values = {"status": status, "after": after, "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        return [_RECORD.decode(record) for (record,) in rows]

    def count(self, status: WorkflowStatus | None) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count"], {"status": status}).fetchone()
        return int(row[0]) if row is not None else 0

    def seen(self, name: str) -> SeenWorkflow | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["seen"], [name]).fetchone()
            if row is None:
                return None
            found = connection.execute(_SQL["newest"], [name]).fetchone()
            registered = _RECORD.decode(found[0]) if found else None
            parts = _parts(connection, {name: registered} if registered else {}, [name])
        status = registered.status if registered else None
        return _seen((*row, status), parts)

    def strangers(self, *, limit: int, after: str = "") -> list[SeenWorkflow]:
        values = {"after": after, "limit": limit}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["strangers"], values).fetchall()
            parts = _parts(connection, {}, [row[0] for row in rows])
        return [_seen(row, parts) for row in rows]

    def count_strangers(self) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["count_strangers"]).fetchone()
        return int(row[0]) if row is not None else 0

    def note(self, sightings: Iterable[Sighting], *, now: datetime) -> None:
        with self._database.transaction() as connection:
            note_workflows(connection, list(sightings), now=now)


def check_version(name: str, before: int, expected: int | None) -> None:
    """Raise when the newest version is another one than expected.

    Raises:
        VersionConflict: somebody else changed it.
    """
    if expected is not None and expected != before:
        there = f"is at version {before}" if before else "is not registered"
        raise VersionConflict(f'workflow "{name}" {there}; read it again and retry')


class _Names:
    """Names of a batch as they are counted, and those that were not judged yet since when."""

    def __init__(self, sightings: Sequence[Sighting], fresh: dict[str, datetime]) -> None:
        self.sightings = sightings
        self.fresh = fresh


def _see_names(connection: Connection, sightings: Sequence[Sighting]) -> _Names:
    told = [one.workflow for one in sightings]
    known = {name for (name,) in connection.execute(_SQL["known_names"], [told]).fetchall()}
    stored = 0
    if not known.issuperset(told):
        row = connection.execute(_SQL["count_names"]).fetchone()
        stored = int(row[0]) if row is not None else 0
    kept = capped_names(sightings, known, stored=stored)
    columns: list[list[Any]] = [
        [one.workflow for one in kept],
        [one.first_at for one in kept],
        [one.last_at for one in kept],
        [one.events for one in kept],
    ]
    rows = connection.execute(_SQL["see_names"], columns).fetchall()
    return _Names(kept, dict(rows))


def _see_parts(connection: Connection, names: _Names) -> list[Row]:
    told = [one.workflow for one in names.sightings if one.parts]
    if not told:
        return []
    known = {Row(*row) for row in connection.execute(_SQL["known_parts"], [told]).fetchall()}
    kept = capped_parts(names.sightings, known)
    columns: list[list[Any]] = [list(column) for column in zip(*kept, strict=True)]
    rows = connection.execute(_SQL["see_parts"], columns).fetchall()
    fresh = [Row(*row[:4]) for row in rows]
    if any(row.kind in STATE_KINDS for row in fresh):
        connection.execute(_SQL["forget_states"], [told, list(STATE_KINDS), STATES_SEEN_MAX])
    return fresh


def _parts(
    connection: Connection, registered: dict[str, Workflow], names: list[str]
) -> dict[str, tuple[SeenPart, ...]]:
    found: dict[str, tuple[SeenPart, ...]] = {}
    for name, kind, part, version, first, last, times in connection.execute(
        _SQL["seen_parts"], [names]
    ).fetchall():
        known = registered.get(name)
        named = known is not None and known.names(kind, part, version)
        seen = SeenPart(kind, part, version, first, last, times, named)
        found[name] = (*found.get(name, ()), seen)
    return found


def _seen(row: tuple[Any, ...], parts: dict[str, tuple[SeenPart, ...]]) -> SeenWorkflow:
    name, first, last, events, status = row
    standing = _STANDING.get(status, "unregistered")
    return SeenWorkflow(name, standing, first, last, events, parts.get(name, ()))
