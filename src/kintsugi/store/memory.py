"""Every store in memory, for unit tests: the same promises as PostgreSQL, kept by plain lists.

Passes the contract cases of ``tests/contract``. Nothing here is durable.
"""

from __future__ import annotations

import bisect
import builtins
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta

import msgspec

from kintsugi.errors import InvalidInput, NotFound, QueryRefused, VersionConflict
from kintsugi.ledger.journal_continuity import (
    SeriesState,
    catch_up,
    continue_series,
    missing_of,
)
from kintsugi.ledger.leaves import (
    ConfigurationLeaf,
    EventsLeaf,
    Leaf,
    batch_root,
    content_digest,
    kind_of,
    leaf_data,
)
from kintsugi.ledger.merkle import Edge, append, leaf_hash
from kintsugi.ledger.proof import record_hash
from kintsugi.model.archive import month_of
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.events import EventPage, Ingested, MinuteCount, StoredEvent
from kintsugi.model.exports import ExportJob, withdrawn
from kintsugi.model.gateways import GatewayRecord, GatewayReport
from kintsugi.model.idempotency import ANSWER_LIFETIME, SavedAnswer
from kintsugi.model.journal import CheckedRange, JournalHead, JournalSpan, MissingLines
from kintsugi.model.log import (
    WITNESSES_MAX,
    Cosigned,
    EventInLog,
    RecordedBatch,
    StoredLeaf,
    Witnessed,
)
from kintsugi.model.notice_sources import (
    concerns_incident,
    of_configuration,
    of_export,
    of_gateway,
    of_gateway_software,
)
from kintsugi.model.query import QueryResult
from kintsugi.model.retention import ExpiredMonth
from kintsugi.model.seen_parts import of_events
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token
from kintsugi.model.workflow import WorkflowStore
from kintsugi.store.admissible import check_admissible
from kintsugi.store.cursors import decode_cursor, encode_cursor
from kintsugi.store.event_rows import encode
from kintsugi.store.expired import no_event, time_of
from kintsugi.store.memory_affected import MemoryAffected
from kintsugi.store.memory_archives import MemoryArchives, MemoryShelf
from kintsugi.store.memory_audit import MemoryAudit
from kintsugi.store.memory_containments import MemoryContainments
from kintsugi.store.memory_custody import MemoryCustody
from kintsugi.store.memory_followups import MemoryFollowups
from kintsugi.store.memory_freezes import MemoryFreezes
from kintsugi.store.memory_holds import MemoryHolds
from kintsugi.store.memory_incidents import MemoryIncidents
from kintsugi.store.memory_notices import MemoryNotices, Tell
from kintsugi.store.memory_notify import MemoryNotify
from kintsugi.store.memory_overrides import MemoryOverrides
from kintsugi.store.memory_oversight import MemoryOversight
from kintsugi.store.memory_packages import MemoryPackages
from kintsugi.store.memory_proofs import MemoryProofs
from kintsugi.store.memory_reach import MemoryReach
from kintsugi.store.memory_regression_ledger import MemoryRegressionLedger
from kintsugi.store.memory_regressions import MemoryRegressions
from kintsugi.store.memory_report_doors import MemoryReportDoors
from kintsugi.store.memory_reports import MemoryReports
from kintsugi.store.memory_retention import MemoryRetention
from kintsugi.store.memory_signals import MemorySignals
from kintsugi.store.memory_spans import MemorySpans
from kintsugi.store.memory_users import MemorySessions, MemoryUsers
from kintsugi.store.memory_vault import MemoryVault
from kintsugi.store.memory_workflows import MemoryWorkflows
from kintsugi.store.search_text import parse_search, payload_words

_MOMENT = timedelta(microseconds=1)
_NAMED = ("proof", "regression_ledger")


def _utc_now() -> datetime:
    return datetime.now(UTC)


def memory_stores(
    *,
    now: Callable[[], datetime] = _utc_now,
    answers: Mapping[str, QueryResult] | None = None,
) -> Stores:
    """A full set of empty stores that notify one :class:`MemoryChanges`.

    Args:
        now: clock against which far-future events are refused.
        answers: what :class:`MemoryQueryRunner` answers, by statement.
    """
    changes = MemoryChanges()
    log = MemoryLog()
    notices = MemoryNotices(lambda: changes.announce("notices"))
    tell = notices.add
    notices.capture = lambda told: incidents.capture(told)
    notify = MemoryNotify(notices, lambda: changes.announce("notices"))
    notices.delivering = notify.known
    signals = MemorySignals(lambda: changes.announce("signals"), tell)
    custody = MemoryCustody(log.add)
    workflows = MemoryWorkflows(log.add, signals, tell)
    overrides = MemoryOverrides(log.add)
    oversight = MemoryOversight(
        lambda: changes.announce("oversight"),
        tell,
        signals,
        overrides,
        workflows.tier_of,
        custody,
    )
    spans = MemorySpans(custody, workflows, now)
    vault = MemoryVault(log, custody, lambda: changes.announce("vault"), now)
    followups = MemoryFollowups()
    configurations = MemoryConfigurations(changes, log, tell)
    ledger = MemoryRegressionLedger(
        log.add,
        lambda: log.stretch(first=0, limit=log.edge()[0]),
        lambda: {one.id: one.version for one in configurations.list()},
    )
    configurations.holding = ledger.lock
    incidents = MemoryIncidents(
        log.add,
        lambda: changes.announce("incidents"),
        lambda event_id: events.holds(event_id),
        tell,
        followups,
        notices.told_before,
        ledger,
    )
    regressions = MemoryRegressions(incidents, log.add, tell, ledger)
    ledger.case = regressions.get
    shelf = MemoryShelf()
    events = MemoryEvents(
        changes, log, oversight, signals, spans, vault, workflows, incidents.tied, shelf, now=now
    )
    holds = MemoryHolds(custody, tell)
    exports = MemoryExports(changes, custody, tell)
    saved = MemoryIdempotency()
    archives = MemoryArchives(
        shelf, events.all_stored, custody, lambda: changes.announce("archives")
    )
    retention = MemoryRetention(
        log=log,
        custody=custody,
        holds=holds,
        incidents=incidents,
        events=events,
        vault=vault,
        spans=spans,
        exports=exports,
        signals=signals,
        answers=saved,
        archives=archives,
        announce=lambda: changes.announce("retention"),
    )
    events.expired_months = lambda at: retention.expired_months(since=at, until=at + _MOMENT)
    return Stores(
        events=events,
        configurations=configurations,
        gateways=MemoryGateways(changes, tell),
        tokens=MemoryTokens(),
        exports=exports,
        users=MemoryUsers(),
        sessions=MemorySessions(),
        log=log,
        idempotency=saved,
        oversight=oversight,
        spans=spans,
        vault=vault,
        erasures=vault,
        signals=signals,
        custody=custody,
        audit=MemoryAudit(log.add),
        packages=MemoryPackages(events, vault, spans, log),
        containments=MemoryContainments(
            lambda: changes.announce("oversight"), log.add, tell, incidents
        ),
        holds=holds,
        retention=retention,
        incidents=incidents,
        freezes=MemoryFreezes(incidents, holds, custody),
        archives=archives,
        affected=MemoryAffected(incidents),
        reach=MemoryReach(events, spans),
        notices=notices,
        notify=notify,
        overrides=overrides,
        followups=followups,
        workflows=workflows,
        reports=MemoryReports(incidents, custody, log.add, tell),
        report_doors=MemoryReportDoors(),
        regressions=regressions,
        proofs=MemoryProofs(ledger, log.add, tell),
        ledger=ledger,
        query=MemoryQueryRunner(answers or {}),
        changes=changes,
    )


class MemoryChanges:
    """Changes within this process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pending: set[str] = set()
        self._closed = False

    def announce(self, channel: str) -> None:
        """Wake whoever waits."""
        with self._condition:
            self._pending.add(channel)
            self._condition.notify_all()

    def wait(self, *, timeout_seconds: float) -> frozenset[str]:
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._closed, timeout_seconds)
            changed = frozenset(self._pending)
            self._pending.clear()
            return changed

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class MemoryLog:
    """The Merkle log, every node of it in a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._edge = Edge()
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._leaves: list[StoredLeaf] = []
        self._batches: dict[str, EventInLog] = {}
        self._records: list[tuple[str, str]] = []  # by position, from 1
        self._expired: dict[int, bytes] = {}  # hashes, by position
        self._witnessed: dict[str, Witnessed] = {}
        self._cosigned: dict[str, Cosigned] = {}

    def witnessed(self, origin: str) -> Witnessed | None:
        return self._witnessed.get(origin)

    def witness(self, seen: Witnessed, *, after: Witnessed | None) -> None:
        with self._lock:
            if self._witnessed.get(seen.origin) != after:
                raise VersionConflict(f"another checkpoint of {seen.origin} was cosigned meanwhile")
            self._witnessed[seen.origin] = seen

    def all_witnessed(self) -> list[Witnessed]:
        found = sorted(self._witnessed.values(), key=lambda one: one.origin)
        return sorted(found, key=lambda one: one.seen_at, reverse=True)[:WITNESSES_MAX]

    def cosigned(self) -> list[Cosigned]:
        found = sorted(self._cosigned.values(), key=lambda one: one.key)
        return sorted(found, key=lambda one: one.cosigned_at, reverse=True)[:WITNESSES_MAX]

    def keep_cosigned(self, one: Cosigned) -> None:
        with self._lock:
            before = self._cosigned.get(one.key)
            if before is None and len(self._cosigned) >= WITNESSES_MAX:
                raise InvalidInput(f"{WITNESSES_MAX} witnesses are known already")
            if before is None or before.cosigned_at < one.cosigned_at:
                self._cosigned[one.key] = one

    def add(self, leaf: Leaf, *, now: datetime) -> int:
        """Add a leaf; returns its position."""
        data = leaf_data(leaf)
        with self._lock:
            position = self._edge.size
            self._edge, complete = append(self._edge, [leaf_hash(data)])
            self._nodes.update(complete)
            self._leaves.append(StoredLeaf(position, now, kind_of(leaf), data.decode()))
        return position

    def add_events(
        self,
        events: Sequence[DecisionEvent],
        journals: tuple[JournalSpan, ...],
        *,
        after: int,
        now: datetime,
    ) -> None:
        """Add a batch of records that was stored behind this position."""
        records = [encode(event) for event in events]
        root = batch_root(records)
        leaf = EventsLeaf(after + 1, after + len(records), root, now, journals)
        position = self.add(leaf, now=now)
        texts: tuple[str, ...] = tuple(record.decode() for record in records)
        for index, event in enumerate(events):
            self._batches[event.id] = EventInLog(position, index, texts)
            self._records.append((event.id, texts[index]))

    def edge(self) -> tuple[int, tuple[bytes, ...]]:
        return self._edge.size, self._edge.hashes

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        for level, position in places:
            if (level, position) not in self._nodes:
                raise NotFound(f"the log has no node {position} on level {level}")
        return [self._nodes[level, position] for level, position in places]

    def leaf(self, position: int) -> StoredLeaf:
        if not 0 <= position < len(self._leaves):
            raise NotFound(f"the log has no leaf {position}")
        return self._leaves[position]

    def named(self, identifier: str) -> int:
        for leaf in self._leaves:
            if leaf.kind in _NAMED and msgspec.json.decode(leaf.data)["id"] == identifier:
                return leaf.position
        raise NotFound(f'the log has no leaf of "{identifier}"')

    def leaves(self, *, before: int | None, limit: int) -> list[StoredLeaf]:
        found = [leaf for leaf in self._leaves if before is None or leaf.position < before]
        return found[::-1][:limit]

    def stretch(self, *, first: int, limit: int) -> list[StoredLeaf]:
        return self._leaves[first : first + limit]

    def nodes_there(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return {place: self._nodes[place] for place in places if place in self._nodes}

    def batch(self, first_event: int, last_event: int) -> RecordedBatch:
        records = self._records[first_event - 1 : last_event]
        places = list(enumerate(records, start=first_event))
        return RecordedBatch(
            tuple((place, *told) for place, told in places if place not in self._expired),
            tuple(
                self._expired.get(place) or leaf_hash(record.encode())
                for place, (_, record) in places
            ),
            tuple(place for place, _ in places if place in self._expired),
        )

    def drop_records(self, event_ids: Sequence[str]) -> None:
        """Forget records, but not their hashes."""
        gone = set(event_ids)
        for place, (event_id, record) in enumerate(self._records, start=1):
            if event_id in gone:
                self._expired[place] = leaf_hash(record.encode())
                self._records[place - 1] = ("", "")
        for event_id in gone:
            batch, at = self._batches[event_id].leaf, self._batches.pop(event_id).index
            for other, found in self._batches.items():
                if found.leaf == batch:
                    records = list(found.records)
                    records[at] = record_hash(records[at])
                    self._batches[other] = msgspec.structs.replace(found, records=tuple(records))

    def event(self, event_id: str) -> EventInLog:
        try:
            return self._batches[event_id.lower()]
        except KeyError:
            raise NotFound(f'the log has no event "{event_id}"') from None


class MemoryEvents:
    """Events in the order of their arrival; every read walks all of them."""

    def __init__(
        self,
        changes: MemoryChanges,
        log: MemoryLog,
        oversight: MemoryOversight,
        signals: MemorySignals,
        spans: MemorySpans,
        vault: MemoryVault,
        workflows: WorkflowStore,
        tied: Callable[[str], frozenset[str]],
        shelf: MemoryShelf,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._changes = changes
        self._log = log
        self._oversight = oversight
        self._signals = signals
        self._series: dict[str, SeriesState] = {}
        self._spans = spans
        self._vault = vault
        self._tied = tied
        self._workflows = workflows
        self._shelf = shelf
        self._now = now
        self._lock = threading.Lock()
        self.expired_months: Callable[[datetime], list[ExpiredMonth]] = lambda _: []
        self._stored: list[StoredEvent] = []
        self._by_id: dict[str, DecisionEvent] = {}

    def append(
        self, events: Sequence[DecisionEvent], journals: Sequence[CheckedRange] = ()
    ) -> Ingested:
        for event in events:
            check_admissible(event, now=self._now())
        with self._lock:
            new = {event.id: event for event in reversed(events) if event.id not in self._by_id}
            added = []
            for event in reversed(new.values()):
                position = len(self._stored) + 1
                record = self._vault.take(event, position=position)
                self._by_id[event.id] = record
                self._stored.append(StoredEvent(position, record))
                added.append(record)
            if added:
                spans = tuple(one.span for one in journals)
                after = len(self._stored) - len(added)
                self._log.add_events(added, spans, after=after, now=self._now())
            missing = self._take_ranges(journals)
        if new:
            self._oversight.note_events(new.values())
            self._spans.note_events(new.values())
            self._workflows.note(of_events(new.values()), now=self._now())
            self._changes.announce("events")
        return Ingested(len(new), len(events) - len(new), missing)

    def _take_ranges(self, journals: Sequence[CheckedRange]) -> tuple[MissingLines, ...]:
        now = self._now()
        touched: dict[str, SeriesState] = {}
        for one in journals:
            series = one.range.series
            continued = continue_series(self._series.get(series, SeriesState()), one)
            self._series[series] = touched[series] = continued.state
            for seen in continued.seen:
                self._signals.observe(seen, now=now)
            for key, resolution in continued.over:
                self._signals.over(key, resolution=resolution, now=now)
        return missing_of(touched)

    def behind(self, heads: Sequence[JournalHead]) -> tuple[MissingLines, ...]:
        touched: dict[str, SeriesState] = {}
        with self._lock:
            for head in heads:
                before = self._series.get(head.series, SeriesState())
                continued = catch_up(before, head)
                self._series[head.series] = touched[head.series] = continued.state
                for seen in continued.seen:
                    self._signals.observe(seen, now=self._now())
        return missing_of(touched)

    def get(self, event_id: str) -> DecisionEvent:
        try:
            record = self._by_id[event_id.lower()]
        except KeyError:
            raise no_event(event_id, self.months_of(event_id)) from None
        return self._vault.open(self._shelf.read(record))

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        self.get(event_id)
        return self._vault.reveal(self._by_id[event_id.lower()], entry)

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        before = decode_cursor(cursor) if cursor else None
        found = [
            event for event in reversed(self._matching(where)) if not before or _key(event) < before
        ]
        shown = tuple(self._shelf.read(event) for event in found[:limit])
        more = len(found) > limit and bool(shown)
        return EventPage(
            shown,
            encode_cursor(*_key(shown[-1])) if more else None,
            from_archive=tuple(sorted({self._shelf.month(event.id) for event in shown} - {""})),
            not_searched=self._not_searched(where) if where.q else (),
        )

    def _not_searched(self, where: EventFilter) -> tuple[str, ...]:
        first = month_of(where.since) if where.since else ""
        last = month_of(where.until) if where.until else "9999-12"
        archived = {self._shelf.month(event_id) for event_id in self._shelf.held_in}
        return tuple(sorted(month for month in archived if first <= month <= last))

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        return min(len(self._matching(where)), ceiling)

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        found = (
            stored
            for stored in self._stored
            if stored.position > after
            and stored.event.id in self._by_id
            and self._matches(stored.event, where)
        )
        some = [stored for stored, _ in zip(found, range(limit), strict=False)]
        return [StoredEvent(one.position, self._shelf.read(one.event)) for one in some]

    def last_position(self) -> int:
        return len(self._stored)

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        for record in self._matching(where):
            event = self._shelf.read(record)
            yield self._vault.open(event) if payload else event

    def per_minute(self, *, since: datetime, until: datetime) -> list[MinuteCount]:
        counts = Counter(
            (_minute(event.timestamp), event.verdict) for event in self._by_id.values()
        )
        return [
            MinuteCount(minute, verdict, count)
            for (minute, verdict), count in sorted(
                counts.items(), key=lambda item: (item[0][0], item[0][1].strictness)
            )
            if _minute(since) <= minute <= until
        ]

    def stored_by_gateway(self) -> dict[str, int]:
        return dict(Counter(event.gateway_id for event in self._by_id.values()))

    def index_pending(self, *, limit: int) -> int:  # noqa: ARG002 - nothing is ever pending
        """Searches read the payloads themselves."""
        return 0

    def archived_in(self, event_id: str) -> str:
        """The file that an event was moved to; empty where it was not."""
        return self._shelf.held_in.get(event_id, "")

    def all_stored(self) -> list[StoredEvent]:
        """Every event with its position."""
        return list(self._stored)

    def holds(self, event_id: str) -> bool:
        """Whether there is an event with this id."""
        return event_id.lower() in self._by_id

    def months_of(self, event_id: str) -> list[ExpiredMonth]:
        """The months of an id's time that have expired; set where retention is made."""
        at = time_of(event_id)
        return [] if at is None else self.expired_months(at)

    def covered(self, where: EventFilter) -> list[DecisionEvent]:
        """Records that a filter lets through, full text aside."""
        return self._matching(msgspec.structs.replace(where, q=""))

    def drop(self, event_ids: Sequence[str]) -> None:
        """Remove records whose time is over; their places in the log stay."""
        with self._lock:
            for event_id in event_ids:
                del self._by_id[event_id]
        self._vault.drop(event_ids)
        self._log.drop_records(event_ids)

    def _matches(self, event: DecisionEvent, where: EventFilter) -> bool:
        named = not where.incident or event.incident_id == where.incident
        if not named and event.id not in self._tied(where.incident):
            return False
        if where.q and self._shelf.month(event.id):
            return False
        return _matches(self._vault.open(event), where)

    def _matching(self, where: EventFilter) -> list[DecisionEvent]:
        with self._lock:
            found = [event for event in self._by_id.values() if self._matches(event, where)]
        return sorted(found, key=_key)


def _key(event: DecisionEvent) -> tuple[datetime, str]:
    return event.timestamp, event.id


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


_EQUAL = {
    "verdict": "verdict",
    "gateway": "gateway_id",
    "user": "user_id",
    "team": "team_id",
    "tenant": "tenant_id",
    "workflow": "workflow",
    "agent": "agent_id",
    "session": "session_id",
    "model": "model",
    "policy": "policy_name",
    "reason_code": "reason_code",
    "config_version": "config_version",
    "trace": "trace_id",
}


def _matches(event: DecisionEvent, where: EventFilter) -> bool:
    if where.since is not None and event.timestamp < where.since:
        return False
    if where.until is not None and event.timestamp > where.until:
        return False
    for field, attribute in _EQUAL.items():
        wanted = getattr(where, field)
        if wanted and getattr(event, attribute) != wanted:
            return False
    if where.event and event.id != where.event.lower():
        return False
    return not where.q or _says(event.payload, where.q)


def _says(payload: Payload, q: str) -> bool:
    words = payload_words(payload)
    phrases = parse_search(q)
    return bool(phrases) and all(
        any(words[at : at + len(phrase)] == phrase for at in range(len(words)))
        for phrase in phrases
    )


class MemoryConfigurations:
    """Versions of each configuration, oldest first."""

    def __init__(self, changes: MemoryChanges, log: MemoryLog, tell: Tell) -> None:
        self.holding: AbstractContextManager[object] = nullcontext()
        self._changes = changes
        self._log = log
        self._tell = tell
        self._lock = threading.Lock()
        self._versions: dict[str, tuple[ConfigurationVersion, ...]] = {}

    def list(self) -> list[ConfigurationVersion]:
        newest = [versions[-1] for versions in self._versions.values()]
        return sorted(newest, key=lambda version: (version.created_at, version.id), reverse=True)

    def get(self, config_id: str, version: int | None = None) -> ConfigurationVersion:
        for found in self.versions(config_id):
            if version is None or found.version == version:
                return found
        shown = config_id if version is None else f"{config_id}@{version}"
        raise NotFound(f'there is no configuration "{shown}"')

    def versions(self, config_id: str) -> builtins.list[ConfigurationVersion]:
        return [*reversed(self._versions.get(config_id, ()))]

    def put(
        self,
        *,
        config_id: str,
        content: str,
        revision: str,
        author: str,
        note: str,
        pack_version: str,
        now: datetime,
        expected_version: int | None = None,
        guard: Callable[[], None] | None = None,
    ) -> ConfigurationVersion:
        with self._lock, self.holding:
            before = self._versions.get(config_id, ())
            newest = before[-1].version if before else 0
            if expected_version is not None and expected_version != newest:
                raise VersionConflict(
                    f'configuration "{config_id}" is at version {newest}, not {expected_version}'
                )
            if before and before[-1].content == content:
                return before[-1]
            if guard is not None:
                guard()
            added = ConfigurationVersion(
                id=config_id,
                version=newest + 1,
                content=content,
                revision=revision,
                author=author,
                note=note,
                created_at=now,
                pack_version=pack_version,
            )
            self._versions[config_id] = (*before, added)
            self._tell([of_configuration(added, now=now)])
            leaf = ConfigurationLeaf(
                id=added.id,
                version=added.version,
                revision=added.revision,
                content_digest=content_digest(added.content),
                author=added.author,
                recorded_at=now,
            )
            self._log.add(leaf, now=now)
        self._changes.announce("configurations")
        return added


class MemoryGateways:
    """What each gateway last said."""

    def __init__(self, changes: MemoryChanges, tell: Tell) -> None:
        self._changes = changes
        self._tell = tell
        self._records: dict[str, GatewayRecord] = {}

    def put(
        self, report: GatewayReport, *, differs: Collection[str] = (), now: datetime
    ) -> GatewayRecord:
        before = self._records.get(report.id)
        since = before.differs if before else {}
        record = GatewayRecord(
            report,
            before.registered_at if before else now,
            now,
            {name: since.get(name, now) for name in sorted(differs)},
        )
        self._records[report.id] = record
        self._changes.announce("gateways")
        ran = before.report if before else None
        told = (of_gateway(ran, report, now=now), of_gateway_software(ran, report, now=now))
        self._tell([one for one in told if one is not None])
        return record

    def get(self, gateway_id: str) -> GatewayRecord:
        try:
            return self._records[gateway_id]
        except KeyError:
            raise NotFound(f'no gateway "{gateway_id}" ever registered') from None

    def list(self) -> list[GatewayRecord]:
        return sorted(
            self._records.values(),
            key=lambda record: (record.last_seen_at, record.report.id),
            reverse=True,
        )


class MemoryTokens:
    """Tokens by the hash of their secret."""

    def __init__(self) -> None:
        self._by_secret: dict[str, Token] = {}

    def add(self, token: Token, *, secret_sha256: str) -> None:
        if secret_sha256 in self._by_secret or self._secret_of(token.id):
            raise InvalidInput(f'there is already a token "{token.id}"')
        self._by_secret[secret_sha256] = token

    def find(self, secret_sha256: str) -> Token | None:
        return self._by_secret.get(secret_sha256)

    def list(self) -> list[Token]:
        return sorted(
            self._by_secret.values(), key=lambda token: (token.created_at, token.id), reverse=True
        )

    def revoke(self, token_id: str, *, now: datetime) -> Token:
        secret = self._secret_of(token_id)
        if secret is None:
            raise NotFound(f'there is no token "{token_id}"')
        token = self._by_secret[secret]
        if token.revoked_at is None:
            token = msgspec.structs.replace(token, revoked_at=now)
            self._by_secret[secret] = token
        return token

    def expire(self, token_id: str, *, at: datetime) -> Token:
        secret = self._secret_of(token_id)
        if secret is None:
            raise NotFound(f'there is no token "{token_id}"')
        token = self._by_secret[secret]
        ends = min(token.expires_at or at, at)
        self._by_secret[secret] = msgspec.structs.replace(token, expires_at=ends)
        return self._by_secret[secret]

    def touch(self, token_id: str, *, now: datetime) -> None:
        secret = self._secret_of(token_id)
        if secret is not None:
            self._by_secret[secret] = msgspec.structs.replace(
                self._by_secret[secret], last_used_at=now
            )

    def _secret_of(self, token_id: str) -> str | None:
        return next((s for s, token in self._by_secret.items() if token.id == token_id), None)


class MemoryExports:
    """Export jobs with the time of their last progress."""

    def __init__(self, changes: MemoryChanges, custody: MemoryCustody, tell: Tell) -> None:
        self._changes = changes
        self._custody = custody
        self._tell = tell
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[ExportJob, datetime]] = {}

    def add(self, job: ExportJob) -> None:
        with self._lock:
            if job.id in self._jobs:
                raise InvalidInput(f'there is already an export "{job.id}"')
            self._jobs[job.id] = (job, job.created_at)
        self._changes.announce("exports")

    def get(self, job_id: str) -> ExportJob:
        try:
            return self._jobs[job_id][0]
        except KeyError:
            raise NotFound(f'there is no export "{job_id}"') from None

    def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[ExportJob], str | None]:
        keys = sorted((job.created_at, job.id) for job, _ in self._jobs.values())
        if cursor:
            keys = keys[: bisect.bisect_left(keys, decode_cursor(cursor))]
        shown = keys[::-1][:limit]
        more = len(keys) > limit and bool(shown)
        return [self.get(key[1]) for key in shown], encode_cursor(*shown[-1]) if more else None

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ExportJob | None:
        stale = now - timedelta(seconds=stale_after_seconds)
        with self._lock:
            free = [
                job
                for job, progress_at in self._jobs.values()
                if job.state == "queued" or (job.state == "running" and progress_at < stale)
            ]
            if not free:
                return None
            oldest = min(free, key=lambda job: (job.created_at, job.id))
            claimed = msgspec.structs.replace(
                oldest, state="running", started_at=now, attempt=oldest.attempt + 1
            )
            self._jobs[claimed.id] = (claimed, now)
        self._changes.announce("exports")
        return claimed

    def update(self, job: ExportJob, *, now: datetime, custody: CustodyEntry | None = None) -> None:
        with self._lock:
            stored = self.get(job.id)
            if stored.state not in {"queued", "running"} or stored.attempt != job.attempt:
                raise VersionConflict(
                    f'export "{job.id}" is {stored.state} (attempt {stored.attempt}) by now'
                )
            if custody is not None:
                self._custody.add(custody)
            self._jobs[job.id] = (job, now)
            self._tell([of_export(job, now=now)] if concerns_incident(job) else [])
        self._changes.announce("exports")

    def all(self) -> list[ExportJob]:
        """Every job, oldest first."""
        return sorted(
            (job for job, _ in self._jobs.values()), key=lambda job: (job.created_at, job.id)
        )

    def keep(self, job: ExportJob) -> None:
        """Put a job in the place of itself."""
        with self._lock:
            self._jobs[job.id] = (job, self._jobs[job.id][1])
        self._changes.announce("exports")

    def withdraw(self, job_id: str, *, erasure_id: str, now: datetime) -> ExportJob:
        with self._lock:
            before = self.get(job_id)
            self._jobs[job_id] = (withdrawn(before, erasure_id=erasure_id), now)
        self._changes.announce("exports")
        return before


class MemoryIdempotency:
    """Saved answers with the time they were saved."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[SavedAnswer, datetime]] = {}

    def find(self, token_id: str, key: str, *, now: datetime) -> SavedAnswer | None:
        answer, saved_at = self._answers.get((token_id, key), (None, now))
        return answer if now - saved_at < ANSWER_LIFETIME else None

    def save(self, token_id: str, key: str, answer: SavedAnswer, *, now: datetime) -> None:
        if self.find(token_id, key, now=now) is None:
            self._answers[(token_id, key)] = (answer, now)

    def forget(self, *, before: datetime, limit: int, drop: bool) -> list[str]:
        """Names of those that are older; they go with ``drop``."""
        old = [key for key, (_, saved_at) in self._answers.items() if saved_at < before][:limit]
        for key in old if drop else ():
            del self._answers[key]
        return [f"{token_id}/{key}" for token_id, key in old]


class MemoryQueryRunner:
    """Answers statements that were taught to it; it reads no SQL."""

    def __init__(self, answers: Mapping[str, QueryResult]) -> None:
        self._answers = answers

    def run(
        self,
        statement: str,
        *,
        row_limit: int,
        timeout_seconds: float,  # noqa: ARG002 - the protocol's
    ) -> QueryResult:
        try:
            answer = self._answers[statement.strip()]
        except KeyError:
            raise QueryRefused("the query runner in memory was not taught this statement") from None
        rows = answer.rows[:row_limit]
        return QueryResult(answer.columns, rows, truncated=len(answer.rows) > row_limit)
