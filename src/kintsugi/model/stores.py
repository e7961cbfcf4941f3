"""What the control plane asks of its store: one protocol per concern, a few methods each.

Implemented twice, by ``store/memory.py`` for unit tests and by PostgreSQL; both pass the same
contract tests. Times are aware UTC and are passed in. Lists are newest first.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.affected import AffectedStore
from kintsugi.model.archive import ArchiveStore
from kintsugi.model.audit import AuditStore
from kintsugi.model.containment import ContainmentStore
from kintsugi.model.custody import CustodyEntry, CustodyStore
from kintsugi.model.erasure import ErasureStore
from kintsugi.model.event import NO_PAYLOAD, DecisionEvent, ExpiredNote, Payload
from kintsugi.model.event_filter import EventFilter as EventFilter
from kintsugi.model.followup import FollowupStore
from kintsugi.model.freeze import FreezeStore
from kintsugi.model.holds import HoldStore
from kintsugi.model.incident import IncidentStore
from kintsugi.model.journal import CheckedRange, JournalHead, MissingLines
from kintsugi.model.notice import NoticeStore
from kintsugi.model.notify import NotifyStore
from kintsugi.model.overrides import Judgement, OverrideStore
from kintsugi.model.oversight import Escalation, EscalationReport, QuarantineRecord
from kintsugi.model.packages import PackageStore
from kintsugi.model.proof import ProofStore
from kintsugi.model.query import QueryResult as QueryResult
from kintsugi.model.query import QueryRunner as QueryRunner
from kintsugi.model.reach import ReachStore
from kintsugi.model.regression import RegressionStore
from kintsugi.model.regression_ledger import RegressionLedger
from kintsugi.model.report import ReportStore
from kintsugi.model.report_doors import ReportDoorStore
from kintsugi.model.retention import RetentionStore
from kintsugi.model.signal import SignalStore
from kintsugi.model.span import SpanStore
from kintsugi.model.trajectory import TrajectoryRules
from kintsugi.model.user import SessionStore, UserStore
from kintsugi.model.vault import KeyStore
from kintsugi.model.verdict import Verdict
from kintsugi.model.workflow import WorkflowStore


class StoredEvent(msgspec.Struct, frozen=True):
    """An event and its place in the store's total order."""

    position: int
    event: DecisionEvent


class Ingested(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a batch: each event was stored or was there already.

    Attributes:
        missing: of the journals that it came from. Whoever still has these lines sends them again.
    """

    stored: int
    duplicates: int
    missing: tuple[MissingLines, ...] = ()


class EventPage(msgspec.Struct, frozen=True):
    """One page, newest first; ``next_cursor`` is None on the last one.

    Attributes:
        from_archive: months that some of it was read from an archive for.
        not_searched: archived months within the asked time that ``EventFilter.q`` says nothing
            about, because the index of their words is gone.
    """

    events: tuple[DecisionEvent, ...]
    next_cursor: str | None
    from_archive: tuple[str, ...] = ()
    not_searched: tuple[str, ...] = ()


class MinuteCount(msgspec.Struct, frozen=True):
    """Decisions of one minute by verdict."""

    minute: datetime
    verdict: Verdict
    count: int


class EventStore(Protocol):
    """Append-only, totally ordered record of decisions."""

    def append(
        self, events: Sequence[DecisionEvent], journals: Sequence[CheckedRange] = ()
    ) -> Ingested:
        """Store what is not there yet, all or nothing; idempotent by event id.

        Raises:
            InvalidInput: an id is not a UUIDv7 whose time is the timestamp's, or a timestamp lies
                before 2020 or more than a day ahead.
        """

    def get(self, event_id: str) -> DecisionEvent:
        """One event with evaluations and payload, redacted.

        Raises:
            NotFound: there is none with this id.
        """

    def reveal(self, event_id: str, entry: CustodyEntry) -> Payload:
        """What was recorded, unredacted, and the custody entry of who was shown it, or neither.

        Raises:
            NotFound: there is no such event, or nothing of it was recorded.
            StateConflict: its content was erased.
            KeyUnavailable: its content cannot be opened.
        """

    def page(self, where: EventFilter, *, limit: int, cursor: str | None = None) -> EventPage:
        """At most ``limit`` events, newest first by (timestamp, id), without payload.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, where: EventFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling`` so that cost does not grow with history."""

    def tail(self, *, after: int, where: EventFilter, limit: int) -> list[StoredEvent]:
        """At most ``limit`` events with position > ``after``, oldest first.

        A position once passed never gains an event later, so a reader that keeps its last
        position misses nothing.
        """

    def last_position(self) -> int:
        """The newest position; 0 when empty."""

    def scan(self, where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        """Every matching event, oldest first, in constant memory."""

    def per_minute(self, *, since: datetime, until: datetime) -> list[MinuteCount]:
        """Counts for a chart, oldest first; read from rollups, whatever the traffic."""

    def stored_by_gateway(self) -> dict[str, int]:
        """Decision events stored, by gateway id; for reconciliation."""

    def behind(self, heads: Sequence[JournalHead]) -> tuple[MissingLines, ...]:
        """What is missing of these journals. Lines that a gateway saw acknowledged and that are not
        known here, as after a restore of an older state, count as missing from now on."""

    def index_pending(self, *, limit: int) -> int:
        """Make at most ``limit`` more events findable by ``EventFilter.q``.

        Called again and again by a background thread of the control plane, so that ingest does not
        pay for it; an event that it has not reached yet is not found by ``q``.

        Returns:
            How many events it worked through; 0 when none is pending or another process does it.
        """


class ConfigurationVersion(msgspec.Struct, frozen=True):
    """One immutable version; versions of an id count up from 1."""

    id: str
    version: int
    content: str
    revision: str
    author: str
    note: str
    created_at: datetime
    pack_version: str = ""


class ConfigurationStore(Protocol):
    """Versioned configurations; a version is never changed."""

    def list(self) -> list[ConfigurationVersion]:
        """The newest version of every id."""

    def get(self, config_id: str, version: int | None = None) -> ConfigurationVersion:
        """One version; the newest when ``version`` is None.

        Raises:
            NotFound: there is none.
        """

    def versions(self, config_id: str) -> builtins.list[ConfigurationVersion]:
        """Every version of one id, newest first; empty when there is none."""

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
        """Add a version; the newest is returned unchanged when its content is the same.

        Args:
            guard: called before anything is stored, when no regression case can come to bind any
                more until it is; what it raises keeps the version from being stored.

        Raises:
            VersionConflict: ``expected_version`` is given and is not the newest.
        """


class WorkerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one gateway worker says of itself.

    Attributes:
        contained: ids of the containments that it judges by.
    """

    worker_id: str
    pid: int
    config_version: str
    revision: str
    in_force_since: datetime
    admitted: int = 0
    decided: int = 0
    in_flight: int = 0
    error: str = ""
    contained: tuple[str, ...] = ()


class GatewayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a gateway says of itself: posted at registration, on change and every few seconds.

    Attributes:
        config_id: the configuration it follows.
        shipped, waiting: decision records acknowledged by the control plane, and not yet.
        unjournaled: decisions that its workers counted and that stand in no journal (yet, while
            the disk refuses).
        refused: records that the control plane refused for what is in them; kept at the gateway.
        journals: how far each of its journals was acknowledged.
        load_error: why the newest version is not in force; empty when it is.
    """

    id: str
    config_id: str
    listen: str
    version: str
    workers: tuple[WorkerReport, ...] = ()
    shipped: int = 0
    waiting: int = 0
    load_error: str = ""
    started_at: datetime | None = None
    unjournaled: int = 0
    refused: int = 0
    journals: tuple[JournalHead, ...] = ()


class GatewayRecord(msgspec.Struct, frozen=True):
    """A gateway as the control plane last heard of it.

    Attributes:
        differs: which of its counters do not agree, and since when.
    """

    report: GatewayReport
    registered_at: datetime
    last_seen_at: datetime
    differs: dict[str, datetime] = {}


class GatewayStore(Protocol):
    """The gateways that registered."""

    def put(
        self, report: GatewayReport, *, differs: Collection[str] = (), now: datetime
    ) -> GatewayRecord:
        """Register or refresh one.

        Args:
            differs: names of counters that do not agree now; each is kept with when that began.
        """

    def get(self, gateway_id: str) -> GatewayRecord:
        """One gateway.

        Raises:
            NotFound: it never registered.
        """

    def list(self) -> list[GatewayRecord]:
        """All, last seen first."""


class Token(msgspec.Struct, frozen=True):
    """An access token without its secret; only a SHA-256 of that is kept.

    Routes know a person with a session as one too, with the person's id.

    Attributes:
        scopes: of its own; in a request, all that it may do now.
        roles: whose scopes it has besides.
        user: id of the person that it belongs to, whose name and rights it then carries; with no
            scopes of its own, all of them.
        owner: who answers for the token of a service.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    roles: tuple[str, ...] = ()
    user: str = ""
    owner: str = ""


class TokenStore(Protocol):
    """Access tokens, found by the hash of their secret."""

    def add(self, token: Token, *, secret_sha256: str) -> None:
        """Keep a new token.

        Raises:
            InvalidInput: its id or its secret is taken.
        """

    def find(self, secret_sha256: str) -> Token | None:
        """The token with this secret, expired and revoked ones included; None when unknown."""

    def list(self) -> list[Token]:
        """All, newest first."""

    def revoke(self, token_id: str, *, now: datetime) -> Token:
        """End one; again is no error.

        Raises:
            NotFound: there is none with this id.
        """

    def expire(self, token_id: str, *, at: datetime) -> Token:
        """Let one end at a time, or sooner where it does so already.

        Raises:
            NotFound: there is none with this id.
        """

    def touch(self, token_id: str, *, now: datetime) -> None:
        """Note that it was used; callers do this at most once a minute."""


JobState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]


class ExportJob(msgspec.Struct, frozen=True):
    """A running or finished export.

    Attributes:
        actor: the token that asked, as custody names it; ``created_by`` is its name alone.
        reason: in the words of who asked, for custody.
        trajectories: when a run is finished and when it was no success, for exports of that type.
        unredacted, recipients: of packages: whether content is shown as it was, and whom the file
            is encrypted to.
        attempt: how often it was claimed; set by ``ExportStore.claim``.
        total: events to write as counted at the start; None until counted.
        path: the finished file, below the state folder; empty until done.
        sha256: digest of the finished file.
        withdrawn: the erasure that removed the finished file.
        expired: where the finished file went away at the end of its time.
    """

    id: str
    type: str
    format: str
    where: EventFilter
    state: JobState
    created_at: datetime
    created_by: str
    actor: str = ""
    reason: str = ""
    trajectories: TrajectoryRules | None = None
    unredacted: bool = False
    recipients: tuple[str, ...] = ()
    attempt: int = 0
    total: int | None = None
    written: int = 0
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    withdrawn: str = ""
    expired: ExpiredNote | None = None


def expired(job: ExportJob, note: ExpiredNote) -> ExportJob:
    """An export whose finished file has reached its end."""
    return msgspec.structs.replace(job, state="expired", expired=note)


def withdrawn(job: ExportJob, *, erasure_id: str) -> ExportJob:
    """An export whose content was erased: its file is gone, or what is being written begins again
    without it."""
    if job.state == "running":
        return msgspec.structs.replace(job, state="queued", attempt=job.attempt + 1, written=0)
    return msgspec.structs.replace(job, withdrawn=erasure_id) if job.state == "done" else job


class ExportStore(Protocol):
    """Export jobs; a job is claimed by one worker at a time and survives a restart."""

    def add(self, job: ExportJob) -> None:
        """Queue one.

        Raises:
            InvalidInput: its id is taken.
        """

    def get(self, job_id: str) -> ExportJob:
        """One job.

        Raises:
            NotFound: there is none with this id.
        """

    def page(self, *, limit: int, cursor: str | None = None) -> tuple[list[ExportJob], str | None]:
        """Newest first, and the cursor of the next page."""

    def claim(self, *, now: datetime, stale_after_seconds: float) -> ExportJob | None:
        """Take the oldest queued job, or a running one that showed no progress for so long."""

    def update(self, job: ExportJob, *, now: datetime, custody: CustodyEntry | None = None) -> None:
        """Save progress or the end of a claimed job, or cancel one.

        Args:
            custody: kept in the same transaction.

        Raises:
            NotFound: there is none with this id.
            VersionConflict: it ended meanwhile (cancelled, say), or ``job.attempt`` is not the
                newest because somebody else claimed it; stop working on it.
        """

    def withdraw(self, job_id: str, *, erasure_id: str, now: datetime) -> ExportJob:
        """See ``withdrawn``; the job as it was before.

        Raises:
            NotFound: there is none with this id.
        """


ANSWER_LIFETIME: Final = timedelta(days=1)


class SavedAnswer(msgspec.Struct, frozen=True):
    """The answer that an Idempotency-Key got the first time."""

    request_sha256: str
    status: int
    body: bytes


class StoredLeaf(msgspec.Struct, frozen=True):
    """A leaf of the Merkle log.

    Attributes:
        position: counts from 0.
        kind: ``events``, ``configuration``, ``custody``, ``erasure`` or ``containment``.
        data: what its hash is of, see ``ledger/leaves.py``.
    """

    position: int
    recorded_at: datetime
    kind: str
    data: str


class EventInLog(msgspec.Struct, frozen=True):
    """Where an event stands in the log.

    Attributes:
        leaf: position of the leaf of its batch.
        index: place in the batch, from 0.
        records: every record of the batch as stored, in order; of one that went away at the end
            of its time, the hash.
    """

    leaf: int
    index: int
    records: tuple[str | bytes, ...]


class RecordedBatch(msgspec.Struct, frozen=True):
    """The records of a stretch of positions, as they are stored now.

    Attributes:
        rows: position, event id and record of each that is there; an empty record where only that
            is gone.
        hashes: of each record when it was stored; empty where nobody kept them.
        expired: positions of those that went away at the end of their time.
    """

    rows: tuple[tuple[int, str, str], ...]
    hashes: tuple[bytes, ...] = ()
    expired: tuple[int, ...] = ()


class Witnessed(msgspec.Struct, frozen=True):
    """What this log has seen of another one.

    Attributes:
        keys: verifier keys of the other log, as text.
    """

    origin: str
    size: int
    root: bytes
    keys: tuple[str, ...]
    seen_at: datetime


WITNESSES_MAX: Final = 100
"""Of one log; and of other logs, so many are listed."""


class Cosigned(msgspec.Struct, frozen=True):
    """The newest checkpoint of this log that a witness has cosigned.

    Attributes:
        witness: its name; ``key``: the verifier key that checks its signature.
        cosigned_at: the time that the witness signed with the checkpoint.
    """

    witness: str
    key: str
    size: int
    root: bytes
    cosigned_at: datetime


class LogStore(Protocol):
    """The Merkle log, to be read. Leaves are added by the stores that record what they tell of."""

    def witnessed(self, origin: str) -> Witnessed | None:
        """The newest checkpoint of another log that was cosigned here; None for the first."""

    def witness(self, seen: Witnessed, *, after: Witnessed | None) -> None:
        """Note a newer one.

        Raises:
            VersionConflict: another one was noted since ``after`` was read.
        """

    def all_witnessed(self) -> list[Witnessed]:
        """The newest checkpoints of other logs, the latest first."""

    def cosigned(self) -> list[Cosigned]:
        """What witnesses have cosigned of this log, the latest first."""

    def keep_cosigned(self, one: Cosigned) -> None:
        """Note what a witness cosigned; an older one than is known changes nothing.

        Raises:
            InvalidInput: there are ``WITNESSES_MAX`` others already.
        """

    def edge(self) -> tuple[int, tuple[bytes, ...]]:
        """Size, and the hashes of the right edge; see ``ledger.merkle.Edge``."""

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The hashes of complete subtrees by level and position, in the order asked for.

        Raises:
            NotFound: one of them is not complete yet, or was lost.
        """

    def leaf(self, position: int) -> StoredLeaf:
        """One leaf.

        Raises:
            NotFound: the log is not that long.
        """

    def leaves(self, *, before: int | None, limit: int) -> list[StoredLeaf]:
        """At most ``limit`` leaves, newest first, from before a position on."""

    def stretch(self, *, first: int, limit: int) -> list[StoredLeaf]:
        """At most ``limit`` leaves from this position on, oldest first."""

    def nodes_there(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Those of these nodes that are stored."""

    def batch(self, first_event: int, last_event: int) -> RecordedBatch:
        """What is stored now of the events of these positions, and the hashes they had."""

    def named(self, identifier: str) -> int:
        """The position of the leaf of a proof, or of an entry of the regression ledger.

        Raises:
            NotFound: there is none of this id.
        """

    def event(self, event_id: str) -> EventInLog:
        """Where an event stands.

        Raises:
            NotFound: it is not stored.
        """


class IdempotencyStore(Protocol):
    """Answers by (token, key), kept for ``ANSWER_LIFETIME``."""

    def find(self, token_id: str, key: str, *, now: datetime) -> SavedAnswer | None:
        """The saved answer, or None."""

    def save(self, token_id: str, key: str, answer: SavedAnswer, *, now: datetime) -> None:
        """Keep an answer; the first one saved stays."""


class OversightStore(Protocol):
    """Escalations and quarantines. Those that decision events tell of are kept with the events."""

    def raise_escalation(
        self, report: EscalationReport, payload: Payload = NO_PAYLOAD
    ) -> Escalation:
        """Keep one that a gateway tells of before its event; again is no error.

        Args:
            payload: what is held; kept sealed, until its event is stored or for a week.
        """

    def held_payload(self, escalation_id: str, entry: CustodyEntry | None = None) -> Payload | None:
        """What is held, redacted; as it was where it is revealed, which the entry keeps. None where
        nothing is kept (any more)."""

    def escalation(self, escalation_id: str) -> Escalation:
        """One escalation.

        Raises:
            NotFound: there is none with this id.
        """

    def escalations(
        self, status: str | None, *, now: datetime, limit: int, cursor: str | None = None
    ) -> tuple[list[Escalation], str | None]:
        """Newest first, and the cursor of the next page.

        Args:
            status: as ``Escalation.at`` gives it, or ``open`` (pending or claimed) or
                ``resolved`` (approved or rejected); None for all.
        """

    def count_escalations(self, status: str | None, *, now: datetime) -> int:
        """How many have this status now."""

    def claim(self, escalation_id: str, *, by: str, now: datetime) -> Escalation:
        """See ``store.oversight_moves.claim``; ``resolve`` and ``use`` likewise."""

    def resolve(self, escalation_id: str, said: Judgement, *, now: datetime) -> Escalation:
        """Approve or reject one; the override and its leaf are stored with it."""

    def expire(self, *, now: datetime, limit: int) -> int:
        """End at most ``limit`` of those that nobody decided in time, each with its override; how
        many those were."""

    def use(
        self, escalation_id: str, *, action_digest: str, revision: str, by: str, now: datetime
    ) -> Escalation:
        """Use an approval up, once, for the exchange ``by``."""

    def usable(self, *, now: datetime, limit: int) -> list[Escalation]:
        """Those that are resolved, not used and not expired; the newest ones."""

    def quarantines(
        self, *, in_force: bool | None, limit: int, cursor: str | None = None
    ) -> tuple[list[QuarantineRecord], str | None]:
        """Newest first, and the cursor of the next page; ``in_force`` None for all."""

    def count_quarantines(self, *, in_force: bool | None) -> int:
        """How many there are; None for all."""

    def quarantine(self, quarantine_id: str) -> QuarantineRecord:
        """One quarantine.

        Raises:
            NotFound: there is none with this id.
        """

    def release(
        self, quarantine_id: str, *, by: str, reason: str, now: datetime
    ) -> QuarantineRecord:
        """End one; again is no error, and the first time counts.

        Raises:
            NotFound: there is none with this id.
        """

    def released_since(self, moment: datetime) -> list[str]:
        """Ids of those that were released since then."""


class Changes(Protocol):
    """Tells this process what other processes committed (LISTEN/NOTIFY)."""

    def wait(self, *, timeout_seconds: float) -> frozenset[str]:
        """Block until something changed; the channels that did: ``events``, ``configurations``,
        ``gateways``, ``exports``, ``oversight``, ``signals``, ``vault``, ``incidents``,
        ``notices``; none after the timeout."""

    def close(self) -> None:
        """Stop listening; a blocked ``wait`` returns."""


class Stores(msgspec.Struct, frozen=True):
    """Everything the control plane keeps, wired in ``app.py``."""

    events: EventStore
    configurations: ConfigurationStore
    gateways: GatewayStore
    tokens: TokenStore
    users: UserStore
    sessions: SessionStore
    exports: ExportStore
    log: LogStore
    idempotency: IdempotencyStore
    oversight: OversightStore
    spans: SpanStore
    signals: SignalStore
    custody: CustodyStore
    audit: AuditStore
    vault: KeyStore
    erasures: ErasureStore
    packages: PackageStore
    containments: ContainmentStore
    holds: HoldStore
    retention: RetentionStore
    incidents: IncidentStore
    freezes: FreezeStore
    archives: ArchiveStore
    affected: AffectedStore
    reach: ReachStore
    notices: NoticeStore
    notify: NotifyStore
    overrides: OverrideStore
    followups: FollowupStore
    workflows: WorkflowStore
    reports: ReportStore
    report_doors: ReportDoorStore
    regressions: RegressionStore
    proofs: ProofStore
    ledger: RegressionLedger
    query: QueryRunner
    changes: Changes
