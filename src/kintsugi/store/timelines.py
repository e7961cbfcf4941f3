"""What the system tells incidents by itself, in the transaction of what it tells of.

Such an entry needs no new version of the incident: nothing of its record changes, and whoever is
about to change it is not sent back because a configuration was published meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import msgspec

from kintsugi.ledger.leaves import incident_leaf
from kintsugi.model.incident import Entry, Incident, record_of
from kintsugi.store.connections import Connection
from kintsugi.store.log import add_leaf
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("timelines")
_INCIDENT: Final = msgspec.json.Decoder(Incident)


def add_entry(connection: Connection, entry: Entry) -> bool:
    """Keep an entry; False where this incident was told the same before."""
    values = [entry.id, entry.incident_id, entry.at, entry.recorded_at, entry.kind]
    record = record_of(entry).decode()
    done = connection.execute(
        _SQL["add"], [*values, entry.about or None, entry.source or None, record]
    )
    return done.rowcount > 0


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
