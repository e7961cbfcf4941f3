"""Keys of the vault in PostgreSQL, and the background work on them: sealing what lies open from
before, and wrapping data keys anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from kintsugi.errors import KeyUnavailable
from kintsugi.model.event import Payload
from kintsugi.model.vault import EncryptionKey, KeyUse, Subject, VaultStatus
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import Content
from kintsugi.store.event_rows import decode
from kintsugi.store.keyring import Keyring
from kintsugi.store.sealer import COPY_DATA_KEYS, COPY_END, COPY_HEAD, Sealer, current_epoch
from kintsugi.store.statements import load_statements
from kintsugi.vault.sealing import CannotOpen, unwrap, wrap

_SQL: Final = load_statements("vault")
_INGEST: Final = load_statements("events")
_CEILING: Final = 100_000


class PostgresVault:
    """The key store of the protocol in ``model/vault.py``."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        sealer: Sealer,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sealer = sealer
        self._now = now

    def ready(self) -> None:
        if self._keyring.seals:
            self._sealer.prepare((), now=self._now())

    def key_uses(self) -> list[KeyUse]:
        with self._database.transaction() as connection:
            found = [EncryptionKey(*row) for row in connection.execute(_SQL["keys"]).fetchall()]
            counts = [_count(connection, "count_data_keys", key.id) for key in found]
        return [
            KeyUse(key, number == 0, min(count, _CEILING), count > _CEILING)
            for number, (key, count) in enumerate(zip(found, counts, strict=True))
        ]

    def rotate(self, *, now: datetime) -> EncryptionKey:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_epoch"])
            key = self._keyring.begin(connection, now=now)
            connection.execute(_SQL["advance_epoch"])
            connection.execute(_SQL["announce"])
        return key

    def rewrap(self, *, limit: int, now: datetime) -> int:
        with self._database.transaction() as connection:
            newest, *older = _ids(connection) or [""]
            if not older:
                return 0
            rows = connection.execute(_SQL["to_rewrap"], [older, limit]).fetchall()
            if not rows:
                connection.execute(_SQL["retire_keys"], [now, newest])
                return 0
            by = self._keyring.key(newest)
            ids, wrapped = [], []
            for identifier, key_id, kept in rows:
                try:
                    key = unwrap(kept, self._keyring.key(key_id), data_key=identifier.bytes)
                except CannotOpen:
                    raise KeyUnavailable(
                        f"data key {identifier} does not open with key {key_id}: it was changed "
                        "in the database"
                    ) from None
                ids.append(identifier)
                wrapped.append(wrap(key, by, data_key=identifier.bytes))
            connection.execute(_SQL["rewrap"], [newest, ids, wrapped])
        return len(rows)

    def seal_pending(self, *, limit: int) -> int:
        if not self._sealer.seals:
            return 0
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["open_contents"], [limit]).fetchall()
        if not rows:
            return 0
        now = self._now()
        subjects = [_subject(identifier, user, session) for identifier, _, _, user, session in rows]
        epoch, by = self._sealer.prepare(subjects, now=now)
        made = [
            by.seal(Content(decode(payload, Payload)), UUID(identifier), subject, at=at)
            for (identifier, payload, at, _, _), subject in zip(rows, subjects, strict=True)
        ]
        with self._database.transaction() as connection:
            # As ingest does: what is destroyed in between must not be sealed again.
            connection.execute(_INGEST["lock_ingest"])
            if current_epoch(connection) != epoch:
                return len(rows)  # again, with the keys of now
            if lines := b"".join(one.key_row for one in made):
                with connection.cursor().copy(COPY_DATA_KEYS) as copy:
                    copy.write(COPY_HEAD + lines + COPY_END)
            connection.execute(
                _SQL["close_contents"],
                [
                    [UUID(row[0]) for row in rows],
                    [one.data_key for one in made],
                    [one.data for one in made],
                ],
            )
        return len(rows)

    def status(self) -> VaultStatus:
        with self._database.transaction() as connection:
            _, *older = _ids(connection) or [""]
            unsealed = _count(connection, "count_open")
            to_rewrap = sum(_count(connection, "count_data_keys", key_id) for key_id in older)
        return VaultStatus(unsealed=min(unsealed, _CEILING), to_rewrap=min(to_rewrap, _CEILING))


def _ids(connection: Connection) -> list[str]:
    return [str(row[0]) for row in connection.execute(_SQL["keys"]).fetchall()]


def _count(connection: Connection, statement: str, *values: object) -> int:
    row = connection.execute(_SQL[statement], [*values, _CEILING + 1]).fetchone()
    return int(row[0]) if row is not None else 0


def _subject(event_id: str, user: str, session: str) -> Subject:
    """Whose content it is, from the events' columns: an id too long for one stands as shown there,
    as it does in the table of keys."""
    if user:
        return Subject("user", user)
    return Subject("session", session) if session else Subject("event", event_id)
