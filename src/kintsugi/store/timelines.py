"""What the system tells incidents by itself, in the transaction of what it tells of.

Such an entry needs no new version of the incident: nothing of its record changes, and whoever is
about to change it is not sent back because a configuration was published meanwhile.

What is captured from notices gets no leaf of its own: it is told in the middle of other
transactions, where the log's edge may not be locked yet, and what it tells of has a leaf where it
matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from kintsugi.ledger.leaves import incident_leaf
from kintsugi.model.captured import (
    CAPTURED,
    FILLED_MAX,
    TOLD_MAX,
    captured,
    filled_since,
)
from kintsugi.model.incident import Entry, Incident, record_of
from kintsugi.model.incident_keys import number_in, uuid_in
from kintsugi.model.notice import Notice
from kintsugi.store.connections import Connection
from kintsugi.store.log import add_leaf
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("timelines")
_INCIDENT: Final = msgspec.json.Decoder(Incident)
_NOTICE: Final = msgspec.json.Decoder(Notice)


def add_entry(connection: Connection, entry: Entry) -> bool:
    """Keep an entry; False where this incident was told the same before."""
    values = [entry.id, entry.incident_id, entry.at, entry.recorded_at, entry.kind]
    record = record_of(entry).decode()
    done = connection.execute(
        _SQL["add"], [*values, entry.about or None, entry.source or None, record]
    )
    return done.rowcount > 0


def capture(connection: Connection, notices: Sequence[Notice]) -> None:
    """Tell open incidents of what was just told to everybody, where it concerns them."""
    wanted = [one for one in notices if one.type in CAPTURED]
    if not wanted:
        return
    keys = [str(one.data.get("incident_id") or "") for one in wanted]
    rows = connection.execute(
        _SQL["to_be_told"],
        [
            [one for one in map(uuid_in, keys) if one is not None],
            [one for one in map(number_in, keys) if one is not None],
            TOLD_MAX,
        ],
    ).fetchall()
    _capture(connection, wanted, [_INCIDENT.decode(record) for (record,) in rows])


def fill_in(connection: Connection, incident: Incident, *, now: datetime) -> None:
    """Tell an incident of what happened before it was declared, and of nothing twice."""
    values = [list(CAPTURED), filled_since(incident), now, FILLED_MAX]
    rows = connection.execute(_SQL["told_before"], values).fetchall()
    _capture(connection, [_NOTICE.decode(record) for (record,) in rows], [incident], now=now)


def _capture(
    connection: Connection,
    notices: Sequence[Notice],
    incidents: Sequence[Incident],
    *,
    now: datetime | None = None,
) -> None:
    told = False
    for one in notices:
        for incident in incidents:
            entry = captured(one, incident, now=now or one.at)
            told = (entry is not None and add_entry(connection, entry)) or told
    if told:
        connection.execute(_SQL["announce"])


def write_entries(connection: Connection, entries: Sequence[Entry], *, now: datetime) -> None:
    """Keep what was not told yet, and a leaf for each incident that is told something.

    The log stays locked until the commit: call it late, and before anything else that adds to it.
    """
    new = [entry for entry in entries if add_entry(connection, entry)]
    new.sort(key=lambda entry: entry.incident_id)
    for incident_id, told in groupby(new, key=lambda entry: entry.incident_id):
        row = connection.execute(_SQL["incident"], [incident_id]).fetchone()
        if row is not None:
            leaf = incident_leaf(_INCIDENT.decode(row[0]), [*told], now=now)
            add_leaf(connection, leaf, now=now)
    if new:
        connection.execute(_SQL["announce"])
