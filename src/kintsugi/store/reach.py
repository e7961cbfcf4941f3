"""How far incidents reach, in PostgreSQL."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from kintsugi.model.reach import (
    DIMENSIONS,
    NAMED_MAX,
    Dimension,
    Extent,
    Judged,
    Named,
    Spread,
    Traffic,
)
from kintsugi.model.span import Span
from kintsugi.store.connections import Connection, Database
from kintsugi.store.event_rows import column_text, decode
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("reach")
_REMEMBERED_MAX: Final = 100
_TRAFFIC: Final[tuple[Dimension, ...]] = ("configuration", "model", "provider", "gateway")


class PostgresReach:
    """The store of the protocol in ``model/reach.py``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._extents: OrderedDict[str, tuple[object, Extent]] = OrderedDict()

    def extent(self, incident_id: str) -> Extent:
        # Events never change, so what they name changes only with which of them belong to it.
        with self._database.transaction() as connection:
            values = {**_incident(connection, incident_id), "most": NAMED_MAX}
            state = connection.execute(_SQL["belonging"], values).fetchone()
            with self._lock:
                known = self._extents.get(incident_id)
            if known is not None and known[0] == state:
                return known[1]
            connection.execute(_SQL["room"])
            rows = connection.execute(_SQL["extent"], values).fetchall()
        found = _extent(rows)
        with self._lock:
            self._extents[incident_id] = state, found
            self._extents.move_to_end(incident_id)
            while len(self._extents) > _REMEMBERED_MAX:
                self._extents.popitem(last=False)
        return found

    def judged(self, incident_id: str) -> list[Judged]:
        with self._database.transaction() as connection:
            values = _incident(connection, incident_id)
            rows = connection.execute(_SQL["judged"], values).fetchall()
        return [Judged(*row) for row in rows]

    def traffic(
        self,
        incident_id: str,
        *,
        since: datetime,
        until: datetime,
        onset: datetime,
        others_max: int,
    ) -> list[Traffic]:
        with self._database.transaction() as connection:
            window = {"since": since, "until": until, "onset": onset, "others": others_max}
            values = {**_incident(connection, incident_id), **window}
            rows = connection.execute(_SQL["traffic"], values).fetchall()
        found = []
        everything = (1 << len(_TRAFFIC)) - 1
        for mask, name, affected, others, first_at in rows:
            place = len(_TRAFFIC) - 1 - ((everything ^ mask).bit_length() - 1)
            if name:
                found.append(Traffic(_TRAFFIC[place], name, affected, others, first_at))
        return sorted(found, key=lambda one: (one.dimension, one.name))

    def tied_among(self, incident_id: str, event_ids: Sequence[str]) -> frozenset[str]:
        values = {"incident": incident_id, "events": list(event_ids)}
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["tied_among"], values).fetchall()
        return frozenset(event_id for (event_id,) in rows)

    def changing_steps(self, trace_ids: Sequence[str], *, limit: int) -> list[Span]:
        columns = [column_text(trace_id) for trace_id in trace_ids]
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["changing_steps"], [columns, limit]).fetchall()
        return [decode(record, Span) for (record,) in rows]


def _incident(connection: Connection, incident_id: str) -> dict[str, Any]:
    """The incident under the names that gateways may have recorded."""
    row = connection.execute(
        "SELECT number FROM kintsugi.incidents WHERE id = %s", [incident_id]
    ).fetchone()
    names = [incident_id, *([f"INC-{row[0]:06d}"] if row is not None else [])]
    return {"incident": incident_id, "names": names}


def _extent(rows: Sequence[tuple[Any, ...]]) -> Extent:
    everything = (1 << len(DIMENSIONS)) - 1
    events, first_at, last_at = 0, None, None
    for mask, _, count, first, last, _ in rows:
        if mask == everything:
            events, first_at, last_at = count, first, last
    spreads = []
    for place, dimension in enumerate(DIMENSIONS):
        mask = everything ^ (1 << (len(DIMENSIONS) - 1 - place))
        mine = [row for row in rows if row[0] == mask]
        spreads.append(
            Spread(
                dimension,
                distinct=next((row[5] for row in mine), 0),
                unnamed=sum(row[2] for row in mine if not row[1]),
                named=tuple(Named(*row[1:5]) for row in mine if row[1]),
            )
        )
    return Extent(events, first_at, last_at, tuple(spreads))
