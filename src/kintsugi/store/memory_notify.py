"""Webhooks, channels and their deliveries in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.model.incident import new_id
from kintsugi.model.notice import Notice
from kintsugi.model.notify import (
    TARGETS_MAX,
    AnyTarget,
    ChangeTarget,
    Delivery,
    DeliveryState,
    Secrets,
    Work,
    due_again,
)
from kintsugi.store.cursors import encode_cursor, place_in
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_notices import MemoryNotices
from kintsugi.store.notify import check_version, learned
from kintsugi.store.uuids import parse_uuid


class _Row(msgspec.Struct):
    target: AnyTarget
    secrets: Secrets
    ready_at: datetime
    lease_by: str = ""
    lease_until: datetime | None = None


class MemoryNotify:
    """The same promises as ``PostgresNotify``.

    Args:
        announce: wakes whoever delivers.
    """

    def __init__(self, notices: MemoryNotices, announce: Callable[[], None]) -> None:
        self._notices = notices
        self._announce = announce
        self._rows: dict[str, _Row] = {}
        self._deliveries: dict[str, tuple[datetime, Delivery]] = {}

    def add_target(self, target: AnyTarget, secrets: Secrets) -> None:
        with LOCK:
            if parse_uuid(target.id) is None or target.id in self._rows:
                raise InvalidInput(f'"{target.id}" cannot be the id of a new target')
            self._check_name(target)
            if len(self._rows) >= TARGETS_MAX:
                raise StateConflict(f"there are {TARGETS_MAX} webhooks and channels; remove one")
            self._rows[target.id] = _Row(target, secrets, target.created_at)

    def target(self, key: str) -> AnyTarget:
        return self._row(key).target

    def secrets(self, target_id: str) -> Secrets:
        return self._row(target_id).secrets

    def targets(self) -> list[AnyTarget]:
        return sorted((row.target for row in self._rows.values()), key=lambda one: one.name)

    def change_target(
        self, key: str, change: ChangeTarget, *, expected_version: int | None = None
    ) -> AnyTarget:
        with LOCK:
            row = self._row(key)
            check_version(row.target, expected_version)
            target, secrets = change(row.target, row.secrets)
            self._check_name(target)
            row.target = msgspec.structs.replace(target, version=row.target.version + 1)
            row.secrets = secrets
            row.ready_at = row.target.created_at
        self._announce()
        return row.target

    def remove_target(self, key: str) -> AnyTarget:
        with LOCK:
            target = self._row(key).target
            del self._rows[target.id]
            for _, one in list(self._deliveries.values()):
                if one.target_id == target.id:
                    del self._deliveries[one.id]
        return target

    def fan_out(self, *, now: datetime, limit: int) -> int:
        with LOCK:
            taken = self._notices.take_waiting(limit)
            for one in taken:
                for row in self._rows.values():
                    if row.target.takes(one):
                        self._hand(row.target, one, now)
        return len(taken)

    def claim(self, runner: str, *, now: datetime, lease_seconds: float, limit: int) -> Work | None:
        with LOCK:
            for row in sorted(self._rows.values(), key=lambda row: (row.ready_at, row.target.id)):
                free = row.lease_until is None or row.lease_until <= now
                due = sorted(
                    (
                        one
                        for _, one in self._deliveries.values()
                        if one.target_id == row.target.id
                        and one.state == "waiting"
                        and one.due_at <= now
                    ),
                    key=lambda one: one.notice.id,
                )
                if due and free and row.target.enabled and row.ready_at <= now:
                    row.lease_by = runner
                    row.lease_until = now + timedelta(seconds=lease_seconds)
                    deliveries = tuple(due[:limit])
                    return Work(runner, row.lease_until, row.target, row.secrets, deliveries)
        return None

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
        with LOCK:
            row = self._rows.get(target.id)
            if row is None or row.lease_by != work.runner:
                raise VersionConflict(f'somebody else delivers to "{target.name}" by now')
            row.target = learned(row.target, target)
            row.ready_at = resting_until or now
            for one in deliveries:
                if one.id in self._deliveries:
                    self._deliveries[one.id] = (self._deliveries[one.id][0], one)
            if release:
                row.lease_by, row.lease_until = "", None

    def deliveries(
        self,
        target_id: str,
        state: DeliveryState | None,
        *,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Delivery], str | None]:
        before = place_in(cursor)
        found = sorted(
            (
                (at, one.id)
                for at, one in self._deliveries.values()
                if one.target_id == target_id
                and state in (None, one.state)
                and (before is None or (at, one.id) < before)
            ),
            reverse=True,
        )
        shown = [self._deliveries[identifier][1] for _, identifier in found[:limit]]
        if len(found) <= limit or not shown:
            return shown, None
        return shown, encode_cursor(*found[limit - 1])

    def count(self, target_id: str, state: DeliveryState, *, ceiling: int) -> int:
        found = (one for _, one in self._deliveries.values() if one.target_id == target_id)
        return min(ceiling, sum(one.state == state for one in found))

    def redeliver(
        self, target_id: str, *, delivery_id: str = "", since: datetime | None = None, now: datetime
    ) -> int:
        with LOCK:
            row = self._row(target_id)
            own = {
                one.id: (at, one)
                for at, one in self._deliveries.values()
                if one.target_id == row.target.id
            }
            again: list[Delivery] = []
            missed: list[Notice] = []
            if delivery_id:
                if delivery_id not in own:
                    raise NotFound(f'"{row.target.name}" has no delivery "{delivery_id}"')
                again = [own[delivery_id][1]]
            elif since is not None:
                again = [one for at, one in own.values() if one.state == "failed" and at >= since]
                had = {one.notice.id for _, one in own.values()}
                missed = [
                    one
                    for one in self._notices.handed_out(since)
                    if one.id not in had and any(route.takes(one) for route in row.target.routes)
                ]
            for one in again:
                self._deliveries[one.id] = (own[one.id][0], due_again(one, now=now))
            for notice in missed:
                self._hand(row.target, notice, now)
            row.ready_at = min(row.ready_at, now)
        self._announce()
        return len(again) + len(missed)

    def forget(self, *, before: datetime, limit: int) -> int:
        with LOCK:
            old = [
                one.id
                for _, one in self._deliveries.values()
                if one.finished_at is not None and one.finished_at < before
            ][:limit]
            for identifier in old:
                del self._deliveries[identifier]
        return len(old)

    def known(self, notice_id: str) -> bool:
        """Whether a delivery of this notice is kept."""
        return any(one.notice.id == notice_id for _, one in self._deliveries.values())

    def _hand(self, target: AnyTarget, one: Notice, now: datetime) -> None:
        made = Delivery(new_id(now), target.id, one, "waiting", now)
        self._deliveries[made.id] = (now, made)

    def _row(self, key: str) -> _Row:
        if key.lower() in self._rows:
            return self._rows[key.lower()]
        for row in self._rows.values():
            if row.target.name == key:
                return row
        raise NotFound(f'there is no webhook or channel "{key}"')

    def _check_name(self, target: AnyTarget) -> None:
        for row in self._rows.values():
            if row.target.name == target.name and row.target.id != target.id:
                raise StateConflict(f'"{target.name}" is taken; choose another name')
