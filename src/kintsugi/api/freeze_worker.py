"""The thread that freezes evidence and checks what is frozen: one task at a time, with progress.

A task whose worker died is claimed again. What was pinned stays pinned; a freeze that is taken up
again reads that part once more, for its digest and its table, and goes on behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

import msgspec
import structlog

from kintsugi.api.background import Background
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.freeze_check import check_freeze
from kintsugi.api.package_job import version_named
from kintsugi.errors import KintsugiError, NotFound, StoreUnavailable, VersionConflict
from kintsugi.incidents.blast import call_in, people_in, records_in
from kintsugi.incidents.freezing import SYSTEM, Names, told_frozen, told_verified
from kintsugi.ledger.completeness import Tally
from kintsugi.ledger.leaves import EventsLeaf, Leaf
from kintsugi.ledger.merkle import leaf_hash
from kintsugi.model.affected import Affected
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent
from kintsugi.model.evidence import Evidence
from kintsugi.model.freeze import Freeze, Pinned, chained, manifest_digest
from kintsugi.model.span import Span
from kintsugi.model.stores import Stores

log = structlog.get_logger(__name__)

STALE_AFTER_SECONDS: Final = 15.0
_LOOK_EVERY_SECONDS: Final = 5.0
_PINNED_AT_ONCE: Final = 2_000
_TRACES_AT_ONCE: Final = 1_000
_SPANS_MAX: Final = 5_000
_STEPS_MAX: Final = 100_000
_COUNT_CEILING: Final = 10_000_000

_leaf = msgspec.json.Decoder(Leaf)
T = TypeVar("T")


class _Stopped(Exception):
    """The server stops; the task goes back to the queue."""


class FreezeWorker(Background):
    """Works in the background until it is closed."""

    def __init__(self, stores: Stores, feed: ChangeFeed, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._clock = clock
        super().__init__(
            "freezes",
            (self.work_once,),
            feed,
            channel="incidents",
            look_every_seconds=_LOOK_EVERY_SECONDS,
        )

    def work_once(self) -> bool:
        """Do one task, if there is any; whether there was."""
        found = self._stores.freezes.claim(
            now=self._clock(), stale_after_seconds=STALE_AFTER_SECONDS
        )
        if found is None:
            return False
        try:
            if found.task == "verify":
                self._verify(found)
            else:
                self._freeze(found)
        except _Stopped:
            current = self._stores.freezes.get(found.id)
            self._stores.freezes.save(
                msgspec.structs.replace(current, state="queued"), now=self._clock()
            )
        except VersionConflict:
            log.info("freeze.taken_over", freeze_id=found.id)
        except StoreUnavailable:
            raise  # nothing can be saved now; the task is claimed again when it is stale
        except Exception as error:
            log.exception("freeze.failed", freeze_id=found.id)
            self._fail(found, error)
        return True

    def _freeze(self, freeze: Freeze) -> None:
        stores = self._stores
        total = stores.events.count(freeze.where, ceiling=_COUNT_CEILING)
        freeze = msgspec.structs.replace(freeze, total=total)
        reading = _Reading(freeze, self._clock)
        for some in _in_chunks(self._pinned_of(freeze, reading), _PINNED_AT_ONCE):
            new = [one for one in some if one.position > freeze.after]
            freeze = msgspec.structs.replace(
                freeze,
                after=max(freeze.after, some[-1].position),
                progress=reading.events,
                frozen=max(freeze.frozen, reading.events),
            )
            self._go_on()
            stores.freezes.save(freeze, pinned=new, now=self._clock())
            stores.affected.add(reading.take_affected(), now=self._clock())
        done = msgspec.structs.replace(
            freeze,
            state="done",
            total=reading.events,
            frozen=reading.events,
            progress=reading.events,
            chain=reading.chain,
            scope=reading.names.scope(),
            evidence=self._table(freeze, reading),
            affected=reading.affected,
            error="",
        )
        now = self._clock()
        done = msgspec.structs.replace(done, frozen_at=now, digest=manifest_digest(done))
        custody = custody_entry(
            "freeze",
            f"freeze:{done.id}",
            actor=done.asked_by,
            now=now,
            reason=done.reason,
            digest_after=done.digest,
        )
        incident = stores.incidents.get(done.incident_id)
        told = told_frozen(incident, done, now=now)
        stores.freezes.finish(done, custody=custody, told=told, now=now)
        stores.reach.extent(done.incident_id)  # so that whoever looks first need not wait for it

    def _pinned_of(self, freeze: Freeze, reading: _Reading) -> Iterator[Pinned]:
        found = self._stores.packages.batches(freeze.where, unredacted=False, up_to=freeze.bound)
        for batch in found:
            leaf = _leaf.decode(batch.data)
            assert isinstance(leaf, EventsLeaf)  # noqa: S101  (a batch is one of events)
            for one in batch.chosen:
                reading.events += 1
                reading.chain = chained(reading.chain, leaf_hash(one.record.encode()))
                reading.tally.add_event(one.event)
                reading.names.add(one.event)
                reading.affect(one.event)
                if one.event.config_version:
                    reading.configurations[one.event.config_version] = None
                if one.event.trace_id:
                    reading.traces[one.event.trace_id] = None
                if one.event.escalation is not None:
                    reading.escalated.append(one.event.id)
                yield Pinned(leaf.first_position + one.index, one.event.id)

    def _table(self, freeze: Freeze, reading: _Reading) -> tuple[Evidence, ...]:
        stores = self._stores
        for some in _in_chunks(iter(reading.traces), _TRACES_AT_ONCE):
            self._go_on()
            stores.freezes.save(freeze, now=self._clock())
            for trace_id in stores.packages.reported(some):
                for span in stores.spans.spans(trace_id, limit=_SPANS_MAX):
                    reading.tally.add_span(span)
            for step in stores.reach.changing_steps(some, limit=_STEPS_MAX):
                reading.change(step)
            stores.affected.add(reading.take_affected(), now=self._clock())
        at_hand = [one for one in reading.configurations if version_named(one, stores)]
        resolved = [one for one in reading.escalated if self._is_resolved(one)]
        return reading.tally.table(configurations=at_hand, resolved=resolved)

    def _is_resolved(self, escalation_id: str) -> bool:
        try:
            return self._stores.oversight.escalation(escalation_id).resolved_at is not None
        except NotFound:
            return False

    def _verify(self, freeze: Freeze) -> None:
        def progress(done: int) -> None:
            self._go_on()
            self._stores.freezes.save(
                msgspec.structs.replace(freeze, progress=done), now=self._clock()
            )

        found = check_freeze(freeze, self._stores, now=self._clock(), progress=progress)
        now = self._clock()
        done = msgspec.structs.replace(
            freeze, state="done", progress=freeze.frozen, verification=found, error=""
        )
        custody = custody_entry(
            "verify",
            f"freeze:{done.id}",
            actor=done.verify_by or SYSTEM,
            now=now,
            reason=found.problems[0] if found.problems else "as it was recorded",
            digest_before=done.digest,
            digest_after=done.digest if not found.problems else "",
        )
        incident = self._stores.incidents.get(done.incident_id)
        told = told_verified(incident, done, now=now)
        self._stores.freezes.finish(done, custody=custody, told=told, now=now)

    def _fail(self, freeze: Freeze, error: Exception) -> None:
        said = str(error) if isinstance(error, KintsugiError) else type(error).__name__
        current = self._stores.freezes.get(freeze.id)
        failed = msgspec.structs.replace(current, state="failed", error=said)
        self._stores.freezes.finish(failed, custody=None, told=None, now=self._clock())

    def _go_on(self) -> None:
        if self.stopping:
            raise _Stopped


class _Reading:
    """What is found out while a freeze reads its events."""

    def __init__(self, freeze: Freeze, clock: Callable[[], datetime]) -> None:
        self._incident_id = freeze.incident_id
        self._found_by = f"freeze:{freeze.id}"
        self._clock = clock
        self._affected: dict[tuple[str, str], Affected] = {}
        self._people: set[tuple[str, str]] = set()
        self.events = 0
        self.chain = ""
        self.tally = Tally()
        self.names = Names()
        self.configurations: dict[str, None] = {}
        self.traces: dict[str, None] = {}
        self.escalated: list[str] = []
        self.affected = 0

    def affect(self, event: DecisionEvent) -> None:
        """Note whom and what an event affected."""
        named = ("user", event.user_id), ("team", event.team_id), ("tenant", event.tenant_id)
        for person in named:
            if person in self._people:
                continue
            self._people.add(person)
            self._note(people_in(event, self._incident_id, found_by=self._found_by, now=self._now))
        call = call_in(event, self._incident_id, found_by=self._found_by, now=self._now)
        if call is not None:
            self._note([call])

    def change(self, step: Span) -> None:
        """Note the records that a step changed."""
        found = records_in(step, self._incident_id, found_by=self._found_by, now=self._now)
        self._note(found)

    def take_affected(self) -> list[Affected]:
        """What was noted since it was last asked."""
        found, self._affected = list(self._affected.values()), {}
        self.affected += len(found)
        return found

    def _note(self, found: Iterable[Affected]) -> None:
        for one in found:
            self._affected.setdefault((one.kind, one.key), one)

    @property
    def _now(self) -> datetime:
        return self._clock()


def _in_chunks(items: Iterator[T], size: int) -> Iterator[Sequence[T]]:
    while some := list(islice(items, size)):
        yield some
