"""Webhooks, channels and their deliveries in PostgreSQL. Secrets are sealed as contents are: under
a data key of their own, which the vault's keys wrap and rotate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from kintsugi.errors import (
    InvalidInput,
    NotFound,
    StateConflict,
    VersionConflict,
)
from kintsugi.model.incident import new_id
from kintsugi.model.notice import Notice
from kintsugi.model.notify import (
    TARGETS_MAX,
    AnyTarget,
    ChangeTarget,
    Delivery,
    DeliveryState,
    Secrets,
    Try,
    Work,
    due_again,
)
from kintsugi.store.connections import Connection, Database
from kintsugi.store.cursors import encode_cursor, place_in
from kintsugi.store.keyring import Keyring
from kintsugi.store.own_keys import OwnKeys
from kintsugi.store.statements import load_statements
from kintsugi.store.uuids import parse_uuid

_SQL: Final = load_statements("notify")
_TARGET: Final = msgspec.json.Decoder(AnyTarget)
_NOTICE: Final = msgspec.json.Decoder(Notice)
_REDELIVERED_MAX: Final = 1000


class _Went(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a delivery's record holds besides its columns."""

    attempts: int = 0
    tries: tuple[Try, ...] = ()
    held: str = ""
    finished_at: datetime | None = None


_WENT: Final = msgspec.json.Decoder(_Went)


class PostgresNotify:
    """The store of the protocol in ``model/notify.py``."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keys = OwnKeys(keyring)

    def add_target(self, target: AnyTarget, secrets: Secrets) -> None:
        identifier = parse_uuid(target.id)
        if identifier is None:
            raise InvalidInput(f'"{target.id}" cannot be the id of a new target')
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_targets"])
            row = connection.execute(_SQL["count_targets"], [target.name]).fetchone()
            if row is not None and row[1]:
                raise StateConflict(f'"{target.name}" is taken; choose another name')
            if row is not None and row[0] >= TARGETS_MAX:
                raise StateConflict(f"there are {TARGETS_MAX} webhooks and channels; remove one")
            self._keys.add(connection, identifier, now=target.created_at)
            sealed = self._seal(connection, target.id, secrets)
            values = [target.id, target.name, target.enabled, target.created_at, _json(target)]
            if connection.execute(_SQL["add_target"], [*values, sealed]).rowcount == 0:
                raise InvalidInput(f'"{target.id}" cannot be the id of a new target')

    def target(self, key: str) -> AnyTarget:
        with self._database.transaction() as connection:
            return _find(connection, key, _SQL["target"])[0]

    def secrets(self, target_id: str) -> Secrets:
        with self._database.transaction() as connection:
            target, sealed = _find(connection, target_id, _SQL["target"])
            return self._open(connection, target.id, sealed)

    def targets(self) -> list[AnyTarget]:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["targets"], [TARGETS_MAX]).fetchall()
        return [_TARGET.decode(record) for (record,) in rows]

    def change_target(
        self, key: str, change: ChangeTarget, *, expected_version: int | None = None
    ) -> AnyTarget:
        with self._database.transaction() as connection:
            connection.execute(_SQL["lock_targets"])
            before, sealed = _find(connection, key, _SQL["lock_target"])
            check_version(before, expected_version)
            secrets = self._open(connection, before.id, sealed)
            target, anew = change(before, secrets)
            if connection.execute(_SQL["named"], [target.name, target.id]).fetchone() is not None:
                raise StateConflict(f'"{target.name}" is taken; choose another name')
            target = msgspec.structs.replace(target, version=before.version + 1)
            if anew != secrets:
                sealed = self._seal(connection, target.id, anew)
            # What was waiting for a target that failed is tried at once with what is new.
            soon = before.created_at
            values = [target.name, target.enabled, _json(target), sealed, soon, target.id]
            connection.execute(_SQL["save_target"], values)
            connection.execute(_SQL["announce"])
        return target

    def remove_target(self, key: str) -> AnyTarget:
        with self._database.transaction() as connection:
            target, _ = _find(connection, key, _SQL["lock_target"])
            connection.execute(_SQL["remove_deliveries"], [target.id])
            connection.execute(_SQL["remove_target"], [target.id])
            self._keys.remove(connection, UUID(target.id))
        return target

    def fan_out(self, *, now: datetime, limit: int) -> int:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["waiting_notices"], [limit]).fetchall()
            if not rows:
                return 0
            targets = [
                _TARGET.decode(record)
                for (record,) in connection.execute(_SQL["targets"], [TARGETS_MAX]).fetchall()
            ]
            notices = [_NOTICE.decode(record) for _, record in rows]
            handed = [
                (target.id, one.id) for one in notices for target in targets if target.takes(one)
            ]
            _add_deliveries(connection, handed, now=now)
            connection.execute(_SQL["handed_out"], [[identifier for identifier, _ in rows]])
        return len(rows)

    def claim(self, runner: str, *, now: datetime, lease_seconds: float, limit: int) -> Work | None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["claimable"], {"now": now}).fetchone()
            if row is None:
                return None
            identifier, record, sealed = row
            until = now + timedelta(seconds=lease_seconds)
            connection.execute(_SQL["lease"], [runner, until, identifier])
            rows = connection.execute(_SQL["due"], [identifier, now, limit]).fetchall()
            secrets = self._open(connection, str(identifier), sealed)
        deliveries = tuple(_read(one) for one in rows)
        return Work(runner, until, _TARGET.decode(record), secrets, deliveries)

    def settle(
        self,
        work: Work,
        target: AnyTarget,
        deliveries: Sequence[Delivery],
        *,
        now: datetime,
        resting_until: datetime | None = None,
        release: bool = False,
    ) -> None:
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["lock_lease"], [target.id, work.runner]).fetchone()
            if row is None:
                raise VersionConflict(f'somebody else delivers to "{target.name}" by now')
            told = learned(_TARGET.decode(row[0]), target)
            values = [told.enabled, _json(told), resting_until or now, release, release, told.id]
            connection.execute(_SQL["settle_target"], values)
            for one in deliveries:
                went = _Went(one.attempts, one.tries, one.held, one.finished_at)
                record = msgspec.json.encode(went).decode()
                saved = [one.state, one.due_at, one.finished_at, record, one.id, target.id]
                connection.execute(_SQL["save_delivery"], saved)

    def deliveries(
        self,
        target_id: str,
        state: DeliveryState | None,
        *,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Delivery], str | None]:
        before_at, before_id = place_in(cursor) or (None, None)
        values = {
            "target": parse_uuid(target_id),
            "state": state,
            "before_at": before_at,
            "before_id": before_id,
            "limit": limit + 1,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["page"], values).fetchall()
        shown = [_read(row) for row in rows[:limit]]
        if len(rows) <= limit or not shown:
            return shown, None
        return shown, encode_cursor(rows[limit - 1][-1], shown[-1].id)

    def count(self, target_id: str, state: DeliveryState, *, ceiling: int) -> int:
        with self._database.transaction() as connection:
            values = [parse_uuid(target_id), state, ceiling]
            row = connection.execute(_SQL["count"], values).fetchone()
        return int(row[0]) if row is not None else 0

    def redeliver(
        self, target_id: str, *, delivery_id: str = "", since: datetime | None = None, now: datetime
    ) -> int:
        with self._database.transaction() as connection:
            target, _ = _find(connection, target_id, _SQL["target"])
            rows: list[Any] = []
            values: list[Any]
            missed: list[tuple[str, str]] = []
            if delivery_id:
                row = None
                if parse_uuid(delivery_id) is not None:
                    values = [target.id, delivery_id]
                    row = connection.execute(_SQL["delivery"], values).fetchone()
                if row is None:
                    raise NotFound(f'"{target.name}" has no delivery "{delivery_id}"')
                rows = [row]
            elif since is not None:
                values = [target.id, since, _REDELIVERED_MAX]
                rows = connection.execute(_SQL["failed_since"], values).fetchall()
                told = {"target": target.id, "since": since, "limit": _REDELIVERED_MAX}
                never = connection.execute(_SQL["never_handed"], told).fetchall()
                missed = [
                    (target.id, identifier)
                    for identifier, record in never
                    if any(route.takes(_NOTICE.decode(record)) for route in target.routes)
                ]
            for row in rows:
                again = due_again(_read(row), now=now)
                record = msgspec.json.encode(_Went(tries=again.tries)).decode()
                values = [again.state, again.due_at, None, record, again.id, target.id]
                connection.execute(_SQL["save_delivery"], values)
            _add_deliveries(connection, missed, now=now)
            connection.execute(_SQL["wake_target"], [now, target.id])
            connection.execute(_SQL["announce"])
        return len(rows) + len(missed)

    def forget(self, *, before: datetime, limit: int) -> int:
        with self._database.transaction() as connection:
            return connection.execute(_SQL["forget"], [before, limit]).rowcount

    def _seal(self, connection: Connection, target_id: str, secrets: Secrets) -> bytes:
        return self._keys.seal(connection, UUID(target_id), msgspec.json.encode(secrets))

    def _open(self, connection: Connection, target_id: str, sealed: bytes) -> Secrets:
        text = self._keys.open(connection, UUID(target_id), sealed)
        return msgspec.json.decode(text, type=Secrets)


def check_version(before: AnyTarget, expected: int | None) -> None:
    """Raise when a target is at another version than expected.

    Raises:
        VersionConflict: somebody else changed it.
    """
    if expected is not None and before.version != expected:
        raise VersionConflict(
            f'"{before.name}" is at version {before.version}, not {expected}; read it again and '
            "retry"
        )


def learned(stored: AnyTarget, seen: AnyTarget) -> AnyTarget:
    """The target as people have it now, with what delivering to it has shown. What they changed
    meanwhile stays; a target that they changed is not disabled for how the old one failed."""
    changes: dict[str, Any] = {
        "succeeded_at": seen.succeeded_at,
        "failing_since": seen.failing_since,
        "failures": seen.failures,
    }
    if stored.version == seen.version:
        changes |= {"enabled": seen.enabled, "disabled_reason": seen.disabled_reason}
    if hasattr(seen, "recent"):
        changes["recent"] = seen.recent
    return msgspec.structs.replace(stored, **changes)


def _add_deliveries(
    connection: Connection, handed: Sequence[tuple[str, str]], *, now: datetime
) -> None:
    if handed:
        connection.execute(
            _SQL["add_deliveries"],
            [
                [new_id(now) for _ in handed],
                [target for target, _ in handed],
                [notice for _, notice in handed],
                [now for _ in handed],
            ],
        )


def _find(connection: Connection, key: str, statement: bytes) -> tuple[AnyTarget, bytes]:
    values = {"id": parse_uuid(key), "name": key}
    row = None if "\0" in key else connection.execute(statement, values).fetchone()
    if row is None:
        raise NotFound(f'there is no webhook or channel "{key}"')
    return _TARGET.decode(row[0]), row[1]


def _read(row: tuple[Any, ...]) -> Delivery:
    identifier, target_id, notice, state, due_at, record, _ = row
    went = _WENT.decode(record)
    return Delivery(
        identifier,
        target_id,
        _NOTICE.decode(notice),
        state,
        due_at,
        went.attempts,
        went.tries,
        went.held,
        went.finished_at,
    )


def _json(target: AnyTarget) -> str:
    return msgspec.json.encode(target).decode()
