"""The vault in memory, for unit tests: keys are only names, and what was erased is let go of."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.ledger.leaves import ErasureLeaf, Leaf
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.erasure import ErasureJob, Left, Receipt, Remembered, destroyed_entry
from kintsugi.model.event import DecisionEvent, ErasedNote, ExpiredNote, Payload
from kintsugi.model.ids import uuid7
from kintsugi.model.vault import EncryptionKey, KeyUse, Subject, VaultStatus
from kintsugi.store.contents import Content, put_back, revealable, taken_out
from kintsugi.store.cursors import decode_cursor, paged
from kintsugi.store.memory_lock import LOCK
from kintsugi.vault.sealing import content_digest


class _Log(Protocol):
    def add(self, leaf: Leaf, *, now: datetime) -> int:
        """Add a leaf."""


class _Kept(msgspec.Struct):
    """Content under the name of its data key; None where nothing is left of it."""

    subject: Subject
    position: int
    data_key: str
    content: Content | None


class MemoryVault:
    """Contents, keys and erasures, with the promises of ``store/vault.py`` and
    ``store/erasures.py``."""

    def __init__(
        self,
        log: _Log,
        custody: CustodyStore,
        announce: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._custody = custody
        self._announce = announce
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._current: dict[Subject, str] = {}
        self._wrapped_by: dict[str, str] = {}
        self._erased: dict[str, ErasedNote] = {}
        self._expired: dict[str, ExpiredNote] = {}
        self._before: dict[Subject, str] = {}
        self._keys: list[EncryptionKey] = []
        self._jobs: dict[str, tuple[ErasureJob, datetime]] = {}

    # Contents

    def take(self, event: DecisionEvent, *, position: int) -> DecisionEvent:
        """Keep the content of an event; its record."""
        record, content = taken_out(event)
        if content is None:
            return record
        subject = Subject.of(event)
        with LOCK:
            late = self._before.get(subject)
            if late is not None and event.timestamp <= self._erased[late].at:
                self._kept[event.id] = _Kept(subject, position, late, None)
                return record
            data_key = self._current.get(subject)
            if data_key is None:
                data_key = self._new_id()
                self._current[subject] = data_key
                self._wrapped_by[data_key] = self._newest().id
            self._kept[event.id] = _Kept(subject, position, data_key, content)
        digest = content_digest(secrets.token_bytes(32), msgspec.json.encode(str(content)))
        return msgspec.structs.replace(record, payload_digest=digest)

    def open(self, record: DecisionEvent, *, unredacted: bool = False) -> DecisionEvent:
        """The event of a record, with its content."""
        kept = self._kept.get(record.id)
        if kept is None:
            return record
        if (note := self._erased.get(kept.data_key)) is not None:
            return msgspec.structs.replace(record, payload=Payload(erased=note))
        if (gone := self._expired.get(kept.data_key)) is not None:
            return msgspec.structs.replace(record, payload=Payload(expired=gone))
        if kept.content is None:
            return record
        return put_back(record, kept.content, unredacted=unredacted)

    def reveal(self, record: DecisionEvent, entry: CustodyEntry) -> Payload:
        """The content as it was recorded, and an entry of custody that says so."""
        revealed = revealable(self.open(record, unredacted=True))
        self._custody.add(entry)
        return revealed

    def has_content(self, event_id: str) -> bool:
        """Whether anything of an event's content is left."""
        kept = self._kept.get(event_id)
        return kept is not None and kept.content is not None

    def expire(self, event_ids: Sequence[str], note: ExpiredNote) -> None:
        """Let go of contents at the end of their time."""
        with LOCK:
            for event_id in event_ids:
                kept = self._kept[event_id]
                kept.content, kept.data_key = None, note.run_id
                self._expired[note.run_id] = note

    def drop(self, event_ids: Sequence[str]) -> None:
        """Forget that there ever was content."""
        for event_id in event_ids:
            self._kept.pop(event_id, None)

    # Keys

    def ready(self) -> None:
        self._newest()

    def key_uses(self) -> list[KeyUse]:
        with LOCK:
            uses = list(self._wrapped_by.values())
            newest_first = enumerate(reversed(self._keys))
            return [KeyUse(key, at == 0, uses.count(key.id), False) for at, key in newest_first]

    def rotate(self, *, now: datetime) -> EncryptionKey:
        with LOCK:
            key = EncryptionKey(secrets.token_hex(8), "memory", "", now)
            self._keys.append(key)
        self._announce()
        return key

    def rewrap(self, *, limit: int, now: datetime) -> int:
        with LOCK:
            newest = self._newest().id
            older = [name for name, by in self._wrapped_by.items() if by != newest][:limit]
            for name in older:
                self._wrapped_by[name] = newest
            if not older:
                self._keys = [
                    key
                    if key.id == newest or key.retired_at
                    else msgspec.structs.replace(key, retired_at=now)
                    for key in self._keys
                ]
            return len(older)

    def seal_pending(self, *, limit: int) -> int:  # noqa: ARG002 - nothing ever lies open
        return 0

    def status(self) -> VaultStatus:
        with LOCK:
            newest = self._newest().id
            return VaultStatus(0, sum(by != newest for by in self._wrapped_by.values()))

    # Erasures

    def request(self, job: ErasureJob) -> None:
        with LOCK:
            if job.id in self._jobs:
                raise InvalidInput(f'there is already an erasure "{job.id}"')
            self._jobs[job.id] = (job, job.started_at or job.created_at)
        self._announce()

    def erasure(self, job_id: str) -> ErasureJob:
        try:
            return self._jobs[job_id][0]
        except KeyError:
            raise NotFound(f'there is no erasure "{job_id}"') from None

    def erasures(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ErasureJob], str | None]:
        before = decode_cursor(cursor) if cursor else None
        jobs = sorted(
            (job for job, _ in self._jobs.values()), key=lambda job: (job.created_at, job.id)
        )
        found = [job for job in reversed(jobs) if not before or (job.created_at, job.id) < before]
        return paged(found, limit, lambda one: (one.created_at, one.id))

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ErasureJob | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with LOCK:
            free = [
                job
                for job, progress_at in self._jobs.values()
                if job.state == "queued" or (job.state == "running" and progress_at < stale)
            ]
            if not free:
                return None
            oldest = min(free, key=lambda job: (job.created_at, job.id))
            claimed = msgspec.structs.replace(
                oldest,
                state="running",
                started_at=oldest.started_at or now,
                attempt=oldest.attempt + 1,
            )
            return self._save(claimed, now)

    def update(self, job: ErasureJob, *, now: datetime) -> None:
        with LOCK:
            self._require_own(job)
            self._save(job, now)

    def retry(self, job_id: str, *, now: datetime) -> ErasureJob:
        with LOCK:
            job = self.erasure(job_id)
            if job.state != "failed":
                raise StateConflict(
                    f"erasure {job_id} is {job.state}; only a failed one is retried"
                )
            return self._save(msgspec.structs.replace(job, state="queued", error=""), now)

    def matter(self, subject: Subject, *, ceiling: int) -> int:
        return min(sum(kept.content is not None for _, kept in self._of(subject)), ceiling)

    def destroy(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        subject = Subject.parse(job.subject)
        with LOCK:
            self._require_own(job)
            at = job.destroyed_at or (job.created_at if job.reapplied_at else now)
            own = {kept.data_key for _, kept in self._of(subject)} - self._erased.keys()
            note = ErasedNote(at, job.id)
            for name in (*own, job.id):
                self._erased[name] = note
                self._wrapped_by.pop(name, None)
            self._before[subject] = job.id
            self._current.pop(subject, None)
            done = msgspec.structs.replace(
                job,
                keys=tuple(dict.fromkeys([*job.keys, *sorted(own)])),
                until_position=max((kept.position for kept in self._kept.values()), default=0),
                destroyed_at=at,
                total=self.matter(subject, ceiling=len(self._kept)),
            )
            self._custody.add(destroyed_entry(done, now=now))
            return self._save(done, now)

    def sweep(self, job: ErasureJob, *, limit: int, now: datetime) -> ErasureJob:
        subject = Subject.parse(job.subject)
        with LOCK:
            self._require_own(job)
            found = [
                kept
                for _, kept in self._of(subject)
                if kept.content is not None and kept.position <= job.until_position
            ][:limit]
            if not found:
                return job
            for kept in found:
                kept.content = None
            swept = msgspec.structs.replace(
                job, erased=job.erased + len(found), texts=job.texts + len(found)
            )
            return self._save(swept, now)

    def finish(self, job: ErasureJob, *, now: datetime) -> ErasureJob:
        receipt = Receipt.of(job, finished_at=now)
        leaf = ErasureLeaf(
            job.id, receipt.digest, len(receipt.keys), receipt.events, receipt.destroyed_at, now
        )
        with LOCK:
            self._require_own(job)
            position = self._log.add(leaf, now=now)
            done = msgspec.structs.replace(
                job, state="done", finished_at=now, leaf=position, error=""
            )
            return self._save(done, now)

    def left(self, job: ErasureJob) -> Left:
        subject = Subject.parse(job.subject)
        kept = [one for _, one in self._of(subject) if one.position <= job.until_position]
        contents = sum(one.content is not None for one in kept)
        return Left(sum(name in self._wrapped_by for name in job.keys), contents, contents)

    def destroyed(self, *, after: datetime | None) -> list[Remembered]:
        jobs = [job for job, _ in self._jobs.values() if job.destroyed_at is not None]
        found = [Remembered.of(job) for job in jobs]
        found.sort(key=lambda one: (one.destroyed_at, one.id))
        return [one for one in found if after is None or one.destroyed_at > after]

    def _of(self, subject: Subject) -> Iterator[tuple[str, _Kept]]:
        return ((name, kept) for name, kept in self._kept.items() if kept.subject == subject)

    def _newest(self) -> EncryptionKey:
        return self._keys[-1] if self._keys else self.rotate(now=self._now())

    def _new_id(self) -> str:
        return uuid7(int(self._now().timestamp() * 1000), secrets.token_bytes(10))

    def _require_own(self, job: ErasureJob) -> None:
        stored = self.erasure(job.id)
        if stored.state not in {"queued", "running"} or stored.attempt != job.attempt:
            raise VersionConflict(
                f'erasure "{job.id}" is {stored.state} (attempt {stored.attempt}) by now'
            )

    def _save(self, job: ErasureJob, now: datetime) -> ErasureJob:
        self._jobs[job.id] = (job, now)
        self._announce()
        return job
