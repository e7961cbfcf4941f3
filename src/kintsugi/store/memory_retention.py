"""Retention in memory, for unit tests: the same promises, by walking through everything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.ledger.leaves import Leaf, retention_leaf
from kintsugi.model.custody import CustodyStore, custody_entry
from kintsugi.model.event import DecisionEvent, ExpiredNote
from kintsugi.model.event_filter import EventFilter, both
from kintsugi.model.exports import ExportJob, expired
from kintsugi.model.holds import HOLDS_MAX, Hold, HoldStore
from kintsugi.model.retention import (
    DEFAULTS,
    ClassName,
    ExpiredMonth,
    Keeper,
    RetentionRun,
    RetentionSettings,
    Step,
    added_up,
    advanced,
    begun,
    changed_entry,
    class_entry,
    covers_trace,
    ended,
    next_month,
    policy_text,
)
from kintsugi.model.span import TraceSummary
from kintsugi.store.cursors import decode_cursor, encode_cursor, paged
from kintsugi.store.memory_archives import MemoryArchives
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_lock import LOCK
from kintsugi.store.memory_signals import MemorySignals
from kintsugi.store.memory_spans import MemorySpans
from kintsugi.store.memory_vault import MemoryVault
from kintsugi.store.retention import check_version
from kintsugi.store.retention_removal import Removal, class_of_export
from kintsugi.store.uuids import parse_uuid

_TOLERANCE = timedelta(seconds=2)


class _Log(Protocol):
    def add(self, leaf: Leaf, *, now: datetime) -> int:
        """Add a leaf."""


class Events(Protocol):
    """What is asked of the events in memory."""

    def archived_in(self, event_id: str) -> str:
        """The file that an event was moved to; empty where it was not."""

    def covered(self, where: EventFilter) -> list[DecisionEvent]:
        """Records that a filter lets through, full text aside."""

    def drop(self, event_ids: Sequence[str]) -> None:
        """Remove records."""


class Exports(Protocol):
    """What is asked of the exports in memory."""

    def all(self) -> list[ExportJob]:
        """Every job, oldest first."""

    def keep(self, job: ExportJob) -> None:
        """Put a job in the place of itself."""


class Answers(Protocol):
    """What is asked of the saved answers in memory."""

    def forget(self, *, before: datetime, limit: int, drop: bool) -> list[str]:
        """Names of those that are older."""


class MemoryRetention:
    """The same promises as ``PostgresRetention``."""

    def __init__(
        self,
        *,
        log: _Log,
        custody: CustodyStore,
        holds: HoldStore,
        incidents: MemoryIncidents,
        events: Events,
        vault: MemoryVault,
        spans: MemorySpans,
        exports: Exports,
        signals: MemorySignals,
        answers: Answers,
        archives: MemoryArchives,
        announce: Callable[[], None],
    ) -> None:
        self._log = log
        self._custody = custody
        self._holds = holds
        self._incidents = incidents
        self._events = events
        self._vault = vault
        self._spans = spans
        self._exports = exports
        self._signals = signals
        self._answers = answers
        self._archives = archives
        self._announce = announce
        self._settings = [DEFAULTS]
        self._runs: dict[str, tuple[RetentionRun, datetime]] = {}
        self._months: list[ExpiredMonth] = []

    # Settings and runs

    def settings(self) -> RetentionSettings:
        return self._settings[-1]

    def change(self, settings: RetentionSettings, *, expected_version: int | None) -> None:
        with LOCK:
            check_version(self.settings(), settings, expected_version)
            now = settings.changed_at or datetime.now(UTC)
            self._custody.add(changed_entry(settings, now=now))
            self._settings.append(settings)

    def request(self, run: RetentionRun) -> None:
        with LOCK:
            if unfinished := self._unfinished():
                raise StateConflict(f"run {unfinished[0]} is not through yet; wait for its end")
            self._add(run)

    def request_unless(self, run: RetentionRun, *, since: datetime) -> bool:
        with LOCK:
            recent = any(one.created_at > since for one, _ in self._runs.values())
            if recent or self._unfinished():
                return False
            self._add(run)
            return True

    def run(self, run_id: str) -> RetentionRun:
        try:
            return self._runs[run_id][0]
        except KeyError:
            raise NotFound(f'there is no retention run "{run_id}"') from None

    def runs(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[RetentionRun], str | None]:
        before = decode_cursor(cursor) if cursor else None
        ordered = sorted(
            (one for one, _ in self._runs.values()),
            key=lambda one: (one.created_at, one.id),
            reverse=True,
        )
        found = [one for one in ordered if before is None or (one.created_at, one.id) < before]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def claim(self, *, now: datetime, stale_after_seconds: float) -> RetentionRun | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with LOCK:
            free = [
                run
                for run, progress_at in self._runs.values()
                if run.state == "queued" or (run.state == "running" and progress_at < stale)
            ]
            if not free:
                return None
            run = min(free, key=lambda one: (one.created_at, one.id))
            if not run.classes:
                run = begun(run, self.settings(), now=now)
            claimed = msgspec.structs.replace(
                run, state="running", started_at=run.started_at or now, attempt=run.attempt + 1
            )
            return self._save(claimed, now)

    def update(self, run: RetentionRun, *, now: datetime) -> None:
        with LOCK:
            self._require_own(run)
            self._save(run, now)

    def finish(self, run: RetentionRun, *, now: datetime) -> RetentionRun:
        with LOCK:
            self._require_own(run)
            leaf = self._log.add(retention_leaf(run, now=now), now=now) if run.removed else None
            return self._save(ended(run, leaf=leaf, now=now), now)

    def expired_months(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[ExpiredMonth]:
        return sorted(
            (
                one
                for one in self._months
                if (until is None or one.first_day < until) and (since is None or one.until > since)
            ),
            key=lambda one: (one.first_day, one.expired_at),
        )

    # Removal

    def look(self, name: ClassName, *, before: datetime, after: str, limit: int) -> Step:
        with LOCK:
            return self._step(name, before, after, limit, None)

    def remove(
        self, run: RetentionRun, name: ClassName, *, limit: int, now: datetime
    ) -> RetentionRun:
        with LOCK:
            self._require_own(run)
            outcome = run.of(name)
            if outcome.before is None:
                done = msgspec.structs.replace(outcome, outcome="done")
            else:
                removal = Removal(run, outcome, now)
                step = self._step(name, outcome.before, outcome.cursor, limit, removal)
                done = advanced(outcome, step)
            after = run.saying(done)
            if done.outcome == "done" and done.removed:
                self._custody.add(class_entry(after, done, now=now))
            return self._save(after, now)

    def _step(
        self, name: ClassName, before: datetime, after: str, limit: int, removal: Removal | None
    ) -> Step:
        match name:
            case "payloads":
                return self._payloads(before, after, limit, removal)
            case "traces":
                return self._traces(before, after, limit, removal)
            case "signals":
                return self._old_signals(before, after, limit, removal)
            case "events":
                return self._month(before, after, removal)
            case "idempotency":
                gone = self._answers.forget(before=before, limit=limit, drop=removal is not None)
                more = "more" if removal is not None and len(gone) == limit else ""
                return Step(tuple(gone), len(gone), 0, (), more)
            case _:
                return self._files(name, before, after, limit, removal)

    def _payloads(self, before: datetime, after: str, limit: int, removal: Removal | None) -> Step:
        past = [
            event
            for event in sorted(self._events.covered(EventFilter()), key=lambda one: one.id)
            if event.id > after
            and event.timestamp < before - _TOLERANCE
            and self._vault.has_content(event.id)
        ]
        some = past[:limit]
        keepers = {event.id: self._keepers_of(event) for event in some}
        for event in some:
            if path := self._events.archived_in(event.id):
                month, archive_id = path.split("/")[:2]
                keepers[event.id].append(Keeper(f"archive:{archive_id}", month))
        found = _stepped(keepers, some[-1].id if len(past) > limit else "")
        if removal is not None:
            run, outcome, now = removal
            self._vault.expire(found.free, ExpiredNote(now, run.id, policy_text(outcome)))
        return found

    def _traces(self, before: datetime, after: str, limit: int, removal: Removal | None) -> Step:
        place = decode_cursor(after) if after else None
        past = [
            trace
            for trace in self._spans.unexpired()
            if trace.started_at < before
            and (place is None or (trace.started_at, trace.trace_id) > place)
        ]
        some = past[:limit]
        keepers = {
            trace.trace_id: self._keepers_of_trace(trace)
            for trace in some
            if trace.ended_at < before and trace.spans
        }
        cursor = ""
        if len(past) > limit:
            cursor = encode_cursor(some[-1].started_at, some[-1].trace_id)
        found = _stepped(keepers, cursor)
        if removal is not None:
            self._spans.expire(found.free, at=removal.now, under=policy_text(removal.outcome))
        return found

    def _files(
        self,
        name: ClassName,
        before: datetime,
        after: str,
        limit: int,
        removal: Removal | None,
    ) -> Step:
        del after, limit
        jobs = {
            job.id: job
            for job in self._exports.all()
            if job.state == "done"
            and not job.withdrawn
            and class_of_export(job) == name
            and (job.finished_at or job.created_at) < before
        }
        found = _stepped({one: self._keepers_of_file(job) for one, job in jobs.items()}, "")
        if removal is not None:
            run, outcome, now = removal
            note = ExpiredNote(now, run.id, policy_text(outcome))
            for one in found.free:
                job = jobs[one]
                self._exports.keep(expired(job, note))
                kind = "package" if job.type == "package" else "export"
                entry = custody_entry(
                    "delete",
                    f"{kind}:{job.id}",
                    actor=run.requested_by,
                    now=now,
                    reason=f"{note.policy}, run {run.id}",
                    digest_before=f"sha256:{job.sha256}",
                )
                self._custody.add(entry)
        return found

    def _old_signals(
        self, before: datetime, after: str, limit: int, removal: Removal | None
    ) -> Step:
        del after
        past = self._signals.resolved_before(before)
        some = past[:limit]
        found = _stepped(dict.fromkeys(some, ()), "more" if len(past) > limit else "")
        if removal is not None:
            self._signals.forget(some)
        return found

    def _month(self, before: datetime, after: str, removal: Removal | None) -> Step:
        months: dict[datetime, list[DecisionEvent]] = {}
        for event in self._events.covered(EventFilter()):
            day = event.timestamp.astimezone(UTC).date().replace(day=1)
            months.setdefault(datetime.combine(day, time(), UTC), []).append(event)
        past = sorted(
            first
            for first in months
            if next_month(first) + _TOLERANCE <= before and first.strftime("%Y-%m") > after
        )
        if not past:
            return Step((), 0, 0, (), "")
        first, events = past[0], months[past[0]]
        name = first.strftime("%Y-%m")
        keepers = [keeper for event in events for keeper in self._keepers_of(event)]
        keepers += [
            Keeper(f"archive:{one}", f"{name} is being archived or brought back", len(events))
            for one in self._archives.unfinished(name)
        ]
        if keepers:
            return Step((), 0, len(events), added_up(keepers), name)
        if removal is not None:
            self._archives.expire(name, now=removal.now)
            run, outcome, now = removal
            self._events.drop([event.id for event in events])
            self._spans.forget_expired(before=next_month(first))
            told = policy_text(outcome)
            self._months.append(ExpiredMonth(first, now, told, len(events), run.id))
            entry = custody_entry(
                "delete",
                f"events:{name}",
                actor=run.requested_by,
                now=now,
                reason=f"{told}, run {run.id}: {len(events)} records",
            )
            self._custody.add(entry)
        return Step((name,), len(events), 0, (), name)

    # What keeps

    def _in_force(self) -> list[Hold]:
        return self._holds.list(in_force=True, limit=HOLDS_MAX)

    def _keepers_of(self, event: DecisionEvent) -> list[Keeper]:
        only = EventFilter(event=event.id)
        found = [
            _of_hold(hold)
            for hold in self._in_force()
            if (where := _both(hold.where, only)) is not None and self._events.covered(where)
        ]
        return [*found, *self._incidents.keepers_of(event)]

    def _keepers_of_trace(self, trace: TraceSummary) -> list[Keeper]:
        events = self._events.covered(EventFilter(trace=trace.trace_id))
        found = [keeper for event in events for keeper in self._keepers_of(event)]
        found += [_of_hold(hold) for hold in self._in_force() if covers_trace(hold.where, trace)]
        return sorted(set(found))

    def _keepers_of_file(self, job: ExportJob) -> list[Keeper]:
        where = msgspec.structs.replace(job.where, q="")
        found = [
            keeper for event in self._events.covered(where) for keeper in self._keepers_of(event)
        ]
        found += self._incidents.open_named(job.where.incident)
        if self.expired_months(since=job.where.since, until=job.where.until or job.finished_at):
            found += [
                _of_hold(hold) for hold in self._in_force() if _both(hold.where, where) is not None
            ]
        return sorted(set(found))

    def _unfinished(self) -> list[str]:
        return [one.id for one, _ in self._runs.values() if one.state in ("queued", "running")]

    def _add(self, run: RetentionRun) -> None:
        if parse_uuid(run.id) is None or run.id in self._runs:
            raise InvalidInput(f'"{run.id}" cannot be the id of a new retention run')
        self._save(run, run.created_at)

    def _require_own(self, run: RetentionRun) -> None:
        stored = self.run(run.id)
        if stored.state not in ("queued", "running") or stored.attempt != run.attempt:
            raise VersionConflict(
                f'run "{run.id}" is {stored.state} (attempt {stored.attempt}) by now'
            )

    def _save(self, run: RetentionRun, now: datetime) -> RetentionRun:
        self._runs[run.id] = (run, now)
        self._announce()
        return run


def _of_hold(hold: Hold) -> Keeper:
    return Keeper(f"hold:{hold.id}", hold.name)


def _both(one: EventFilter, other: EventFilter) -> EventFilter | None:
    return both(msgspec.structs.replace(one, q=""), msgspec.structs.replace(other, q=""))


def _stepped(keepers: Mapping[str, Collection[Keeper]], cursor: str) -> Step:
    free = tuple(name for name, found in keepers.items() if not found)
    told = added_up(one for found in keepers.values() for one in set(found))
    return Step(free, len(free), len(keepers) - len(free), told, cursor)
