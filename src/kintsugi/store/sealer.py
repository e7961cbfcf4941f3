"""Sealing at ingest: a batch's contents are sealed before its turn to be stored begins."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from kintsugi.errors import KeyUnavailable
from kintsugi.model.event import DecisionEvent
from kintsugi.model.ids import uuid7
from kintsugi.model.vault import Subject
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import Content, encoded, taken_out
from kintsugi.store.event_rows import SealedRow, column_text
from kintsugi.store.keyring import Keyring
from kintsugi.store.statements import load_statements
from kintsugi.vault.sealing import CannotOpen, new_key, seal, unwrap, wrap

_SQL: Final = load_statements("vault")

# COPY's binary format: a signature, flags, an extension; tuples of (length, bytes); -1 at the end.
COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = b"\xff\xff"
COPY_CONTENTS: Final = (
    b"COPY kintsugi.event_payloads (id, data_key, sealed) FROM STDIN (FORMAT binary)"
)
COPY_DATA_KEYS: Final = (
    b"COPY kintsugi.data_keys (id, current, key_id, wrapped, created_at) FROM STDIN (FORMAT binary)"
)
_content_head: Final = struct.Struct(">hi16si16si").pack
_length: Final = struct.Struct(">i").pack
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


class DataKey(NamedTuple):
    """A key that seals, and since when: older content of its subject was erased."""

    id: UUID
    key: bytes
    not_before: datetime | None
    erased_key: UUID | None


class SealedContent(NamedTuple):
    """One content, sealed; ``key_row`` is a line for COPY where it got a key of its own."""

    data_key: UUID
    data: bytes
    digest: str
    key_row: bytes


class SealedBatch(NamedTuple):
    """Rows by event id, and the epoch in which they may be stored."""

    epoch: int
    rows: Mapping[str, SealedRow]


class Sealer:
    """Finds or makes the data keys of a batch, and seals its contents."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    @property
    def seals(self) -> bool:
        """Whether there are keys to seal with."""
        return self._keyring.seals

    def seal(self, events: Iterable[DecisionEvent], *, now: datetime) -> SealedBatch:
        """Seal what the events hold.

        Raises:
            KeyUnavailable: the newest key-encryption key is not to be had; nothing may be stored.
        """
        split = {event.id: taken_out(event) for event in events}
        subjects = {
            identifier: Subject.of(record)
            for identifier, (record, content) in split.items()
            if content is not None
        }
        epoch, by = self.prepare(subjects.values(), now=now)
        rows = {}
        for identifier, (record, content) in split.items():
            if content is None:
                rows[identifier] = SealedRow(record, b"", b"")
                continue
            event = UUID(identifier)
            made = by.seal(content, event, subjects[identifier], at=record.timestamp)
            head = _content_head(3, 16, event.bytes, 16, made.data_key.bytes, len(made.data))
            if made.digest:
                record = msgspec.structs.replace(record, payload_digest=made.digest)
            rows[identifier] = SealedRow(record, head + made.data, made.key_row)
        return SealedBatch(epoch, rows)

    def prepare(self, subjects: Collection[Subject], *, now: datetime) -> tuple[int, DataKeys]:
        """The epoch, and the keys of these subjects as they are in it.

        Raises:
            KeyUnavailable: the newest key-encryption key is not to be had.
        """
        with self._database.transaction() as connection:
            epoch = current_epoch(connection)
            newest = self._keyring.newest(connection, now=now)
            wrapping = self._keyring.key(newest)
            named = {subject_text(one) for one in subjects if one.kind != "event"}
            alone = [subject_text(one) for one in subjects if one.kind == "event"]
            # Of these only what comes again after it was erased, to a database from before it.
            gone = _erased(connection, alone) if alone else {}
            keys = self._current(connection, named) if named else {}
            if missing := named - keys.keys():
                # Read again: the key that wraps must still be the newest when these are added.
                row = connection.execute(_SQL["hold_epoch"]).fetchone()
                if row is None or row[0] != epoch:
                    newest = self._keyring.newest(connection, now=now)
                    wrapping = self._keyring.key(newest)
                self._add(connection, sorted(missing), newest, wrapping, now=now)
                keys |= self._current(connection, missing)
        erased = {subject: key for subject, (_, key) in gone.items()}
        return epoch, DataKeys(keys, erased, newest, wrapping, now)

    def _current(self, connection: Connection, subjects: Collection[str]) -> dict[str, DataKey]:
        rows = connection.execute(_SQL["current_data_keys"], [list(subjects)]).fetchall()
        found, lost = {}, []
        for subject, identifier, key_id, wrapped, not_before, erased_key in rows:
            try:
                key = unwrap(wrapped, self._keyring.key(key_id), data_key=identifier.bytes)
            except (KeyUnavailable, CannotOpen):
                lost.append(identifier)
                continue
            found[subject] = DataKey(identifier, key, not_before, erased_key)
        if lost:
            connection.execute(_SQL["set_aside"], [lost])
        return found

    def _add(
        self,
        connection: Connection,
        subjects: list[str],
        key_id: str,
        wrapping: bytes,
        *,
        now: datetime,
    ) -> None:
        erased = _erased(connection, subjects)
        unix_ms = int(now.timestamp() * 1000)
        ids = [UUID(uuid7(unix_ms, os.urandom(10))) for _ in subjects]
        wrapped = [wrap(new_key(), wrapping, data_key=identifier.bytes) for identifier in ids]
        befores = [erased.get(subject, (None, None)) for subject in subjects]
        not_before, erased_keys = [at for at, _ in befores], [key for _, key in befores]
        connection.execute(
            _SQL["add_data_keys"],
            [key_id, now, ids, subjects, wrapped, not_before, erased_keys],
        )


class DataKeys:
    """The keys of a batch's subjects."""

    def __init__(
        self,
        keys: Mapping[str, DataKey],
        erased: Mapping[str, UUID],
        key_id: str,
        wrapping: bytes,
        now: datetime,
    ) -> None:
        self._keys = keys
        self._erased = erased
        self._wrapping = wrapping
        identity = key_id.encode()
        created = int((now - _POSTGRES_EPOCH).total_seconds() * 1_000_000)
        self._row_middle = _length(1) + b"\0" + _length(len(identity)) + identity
        self._row_end = struct.pack(">iq", 8, created)

    def seal(
        self, content: Content, event: UUID, subject: Subject, *, at: datetime
    ) -> SealedContent:
        """Seal one content; nothing of it is kept where the subject was erased after ``at``."""
        if subject.kind == "event" and (erased := self._erased.get(subject_text(subject))):
            return SealedContent(erased, b"", "", b"")
        if subject.kind == "event":
            key = new_key()
            wrapped = wrap(key, self._wrapping, data_key=event.bytes)
            row = (
                struct.pack(">hi", 5, 16)
                + event.bytes
                + self._row_middle
                + _length(len(wrapped))
                + wrapped
                + self._row_end
            )
            data, digest = seal(encoded(content), key, data_key=event.bytes, event=event.bytes)
            return SealedContent(event, data, digest, row)
        return self.seal_text(encoded(content), event.bytes, subject, at=at)

    def seal_text(
        self, text: bytes, place: bytes, subject: Subject, *, at: datetime
    ) -> SealedContent:
        """Seal a text of a user or a session for one place (16 bytes that name it); nothing of it
        is kept where the subject was erased after ``at``."""
        found = self._keys[subject_text(subject)]
        if found.not_before is not None and at <= found.not_before and found.erased_key:
            return SealedContent(found.erased_key, b"", "", b"")
        data, digest = seal(text, found.key, data_key=found.id.bytes, event=place)
        return SealedContent(found.id, data, digest, b"")


def _erased(connection: Connection, subjects: Collection[str]) -> dict[str, tuple[datetime, UUID]]:
    rows = connection.execute(_SQL["last_erased"], [list(subjects)]).fetchall()
    return {subject: (at, key) for subject, at, key in rows}


def subject_text(subject: Subject) -> str:
    """A subject as the table of keys names it; an id as its column shows it."""
    return f"{subject.kind}:{column_text(subject.id)}"


def current_epoch(connection: Connection) -> int:
    """What moves when keys are destroyed or changed."""
    row = connection.execute(_SQL["epoch"]).fetchone()
    return int(row[0]) if row is not None else 0
