"""What is said in answers that wait for a reviewer, until the event that holds it is stored. Sealed
under a key of its own that the erasure of its subject destroys."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from kintsugi.errors import KeyUnavailable
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import NO_PAYLOAD, Payload
from kintsugi.model.ids import uuid7
from kintsugi.model.oversight import EscalationReport
from kintsugi.model.vault import Subject
from kintsugi.store.connections import Connection
from kintsugi.store.contents import redacted, whole
from kintsugi.store.custody import add_custody
from kintsugi.store.event_rows import decode, encode
from kintsugi.store.keyring import Keyring
from kintsugi.store.own_keys import OwnKeys
from kintsugi.store.sealer import subject_text
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("held_contents")
# Of answers whose event never came: their gateway has been away for so long.
HELD_KEPT: Final = timedelta(days=7)


class HeldContents:
    """Keeps and opens them."""

    def __init__(self, keyring: Keyring) -> None:
        self._keys = OwnKeys(keyring)

    def keep(self, connection: Connection, report: EscalationReport, payload: Payload) -> None:
        """Seal it; nothing is kept where there is nothing, no key, or the event is here."""
        if payload == NO_PAYLOAD or not self._keys.seals:
            return
        if connection.execute(_SQL["needless"], [report.id, report.id]).fetchone() is not None:
            return
        at = report.created_at
        identifier = UUID(uuid7(int(at.timestamp() * 1000), secrets.token_bytes(10)))
        self._keys.add(connection, identifier, now=at, subject=subject_text(_subject(report)))
        sealed = self._keys.seal(connection, identifier, encode(payload))
        connection.execute(_SQL["add"], [report.id, at, identifier, sealed])

    def payload(
        self, connection: Connection, escalation_id: str, entry: CustodyEntry | None
    ) -> Payload | None:
        """It, redacted; as it was with an entry, which is kept."""
        row = connection.execute(_SQL["get"], [parse_uuid(escalation_id)]).fetchone()
        if row is None:
            return None
        try:
            text = self._keys.open(connection, row[0], row[1])
        except KeyUnavailable as error:
            return Payload(unreadable=str(error))
        found = decode(text.decode(), Payload)
        if entry is None:
            return redacted(found)
        add_custody(connection, entry, now=entry.at)
        return whole(found)


def drop_held(connection: Connection, escalation_id: str) -> None:
    """The event is here and holds it."""
    connection.execute(_SQL["drop"], [escalation_id])


def forget_held(connection: Connection, *, before: datetime, limit: int) -> None:
    """Remove what nobody will ask for."""
    connection.execute(_SQL["forget"], [before, limit])


def _subject(report: EscalationReport) -> Subject:
    who = report.identity
    if who.user_id:
        return Subject("user", who.user_id)
    return Subject("session", who.session_id) if who.session_id else Subject("event", report.id)
