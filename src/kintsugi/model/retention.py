"""How long evidence is kept, by class, and the runs that remove what is older.

Implemented by ``store/retention.py`` on PostgreSQL and by ``store/memory_retention.py``; both pass
the same contract tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry, custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.span import TraceSummary

FLOOR_DAYS: Final = 183
"""Regulation (EU) 2024/1689, Art. 19(1) and 26(6): logs are kept for at least six months."""
_FIVE_YEARS: Final = 1827
"""GPAI Code of Practice, measure 9.4: documentation of serious incidents, five years."""
DAYS_MAX: Final = 36_500

ClassName = Literal[
    "events",
    "payloads",
    "traces",
    "trajectories",
    "exports",
    "packages",
    "signals",
    "idempotency",
    "incidents",
    "custody",
    "log",
]
State = Literal["in_time", "overdue"]
Outcome = Literal["not attempted", "under way", "done", "failed"]
RunState = Literal["queued", "running", "done", "failed"]


class RetentionClass(msgspec.Struct, frozen=True):
    """A kind of evidence that shares one period.

    Attributes:
        what: what goes away, and what counts as its age.
        days: how long it is kept unless somebody decides otherwise; None is for ever.
        floor_days: less is refused, unless it is relaxed; None where the period is not to be set.
    """

    name: ClassName
    what: str
    days: int | None
    floor_days: int | None = FLOOR_DAYS


# In the order in which a run works: contents before the records that tell of them.
CLASSES: Final = (
    RetentionClass("payloads", "prompts and answers, with their full text", FLOOR_DAYS),
    RetentionClass("traces", "what applications reported of a trace, since its end", FLOOR_DAYS),
    RetentionClass("trajectories", "files of exported trajectories", FLOOR_DAYS),
    RetentionClass("exports", "files of exported events", FLOOR_DAYS),
    RetentionClass("packages", "files of evidence packages", _FIVE_YEARS),
    RetentionClass("signals", "signals, since they were resolved", _FIVE_YEARS),
    RetentionClass("events", "records of decisions, by whole months", _FIVE_YEARS),
    RetentionClass("idempotency", "answers to repeated requests", 1, None),
    RetentionClass("incidents", "incidents and their timelines", None, None),
    RetentionClass("custody", "who did what with evidence", None, None),
    RetentionClass("log", "the Merkle log and its proofs", None, None),
)
BY_NAME: Final[Mapping[str, RetentionClass]] = {one.name: one for one in CLASSES}
SETTABLE: Final = tuple(one.name for one in CLASSES if one.floor_days is not None)
# Those that a run removes.
REMOVABLE: Final = tuple(one.name for one in CLASSES if one.days is not None)


class Relaxation(msgspec.Struct, frozen=True):
    """Who answers for a period below the floor, why, and its last day (UTC). After that day the
    floor holds again: nobody has to remember to raise it."""

    owner: str
    reason: str
    expires: date


class RetentionPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long one class is kept; None is for ever."""

    name: ClassName
    days: int | None
    relaxed: Relaxation | None = None

    def state(self, today: date) -> State | None:
        """How it stands with a period below the floor; None where it is not below."""
        if self.relaxed is None or not self.below_floor:
            return None
        return "overdue" if self.relaxed.expires < today else "in_time"

    @property
    def below_floor(self) -> bool:
        floor = BY_NAME[self.name].floor_days
        return self.days is not None and floor is not None and self.days < floor

    def in_force(self, today: date) -> int | None:
        """The days that count on this day: the floor, where a relaxation has ended."""
        if self.below_floor and self.state(today) != "in_time":
            return BY_NAME[self.name].floor_days
        return self.days


class RetentionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided for all classes at one time.

    Attributes:
        version: counts decisions; 0 is what holds before the first.
        policies: of the classes that can be set, in the order of ``CLASSES``.
    """

    version: int
    policies: tuple[RetentionPolicy, ...]
    changed_at: datetime | None = None
    changed_by: str = ""
    reason: str = ""

    def of(self, name: str) -> RetentionPolicy:
        """The policy of a class; the class's own where it cannot be set."""
        for one in self.policies:
            if one.name == name:
                return one
        known = BY_NAME[name]
        return RetentionPolicy(known.name, known.days)

    def in_force(self, name: str, today: date) -> int | None:
        """The days that count on this day; None is for ever. Records stay as long as their contents
        also where a relaxation of those has ended."""
        days = self.of(name).in_force(today)
        if name != "events" or days is None:
            return days
        contents = self.of("payloads").in_force(today)
        return None if contents is None else max(days, contents)

    def before(self, name: str, now: datetime) -> datetime | None:
        """What is older than this moment has reached its end; None where nothing ever does."""
        days = self.in_force(name, now.astimezone(UTC).date())
        return None if days is None else now - timedelta(days=days)


DEFAULTS: Final = RetentionSettings(
    0, tuple(RetentionPolicy(one.name, one.days) for one in CLASSES if one.floor_days is not None)
)


def changed(
    settings: RetentionSettings,
    policies: Iterable[RetentionPolicy],
    *,
    by: str,
    reason: str,
    now: datetime,
) -> RetentionSettings:
    """The settings with these policies in place of those of the same classes."""
    new = {one.name: one for one in policies}
    return RetentionSettings(
        version=settings.version + 1,
        policies=tuple(new.get(one.name, one) for one in settings.policies),
        changed_at=now,
        changed_by=by,
        reason=reason,
    )


def objections(settings: RetentionSettings, *, today: date) -> Iterator[tuple[ClassName, str]]:
    """Everything that is wrong with settings that somebody wants, by class."""
    for one in settings.policies:
        floor = BY_NAME[one.name].floor_days or 1
        if one.days is not None and not 1 <= one.days <= DAYS_MAX:
            yield one.name, f"{one.days} days: use 1 to {DAYS_MAX}, or never"
        elif one.relaxed is None and one.below_floor:
            said = f"{one.days} days is below the floor of {floor} (six months: EU AI Act, "
            said += "Art. 19 and 26(6)); name who answers for it: owner, reason and expires"
            yield one.name, said
        elif one.relaxed is not None and not one.below_floor:
            yield one.name, f"{one.days} days is not below the floor; nothing is relaxed by it"
        elif one.relaxed is not None and not (
            one.relaxed.owner.strip() and one.relaxed.reason.strip()
        ):
            yield one.name, "below the floor somebody answers for it: name owner and reason"
        elif one.relaxed is not None and one.relaxed.expires < today:
            yield one.name, f"relaxed until {one.relaxed.expires}, which is over; name a later day"
    records, contents = settings.of("events").days, settings.of("payloads").days
    if records is not None and (contents is None or contents > records):
        yield (
            "events",
            "records go away with their contents: keep them at least as long as payloads",
        )


class Keeper(msgspec.Struct, frozen=True, order=True):
    """What keeps something that has reached its end.

    Attributes:
        by: ``hold:ID``, ``incident:ID``, ``archive:ID`` or ``log``.
        name: what people call it.
        things: how many; of months, how many events of it, at most ``COUNT_MAX``.
    """

    by: str
    name: str
    things: int = 1


COUNT_MAX: Final = 100_000


class ClassOutcome(msgspec.Struct, frozen=True):
    """What a run did with one class, so far.

    Attributes:
        days: the period that it went by; ``before``: what is older was to go.
        removed, kept: events for payloads and events, traces, files, signals, answers.
        kept_by: who kept how many; one thing may have several keepers.
        digest: a hash chain over what was removed, in order; empty where nothing was.
        cursor: where it goes on after an interruption.
    """

    name: ClassName
    days: int | None
    before: datetime | None
    outcome: Outcome = "not attempted"
    removed: int = 0
    kept: int = 0
    kept_by: tuple[Keeper, ...] = ()
    digest: str = ""
    cursor: str = ""
    detail: str = ""


class RetentionRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """One pass over all classes.

    Attributes:
        requested_by: ``NAME/ID`` of a token; ``system/retention`` for the daily one.
        version: of the settings that it went by.
        attempt: how often it was claimed.
        leaf: position of the log's leaf; None before the end, and where nothing was removed.
    """

    id: str
    state: RunState
    requested_by: str
    reason: str
    created_at: datetime
    version: int = 0
    attempt: int = 0
    classes: tuple[ClassOutcome, ...] = ()
    error: str = ""
    leaf: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def of(self, name: str) -> ClassOutcome:
        """How far a class is."""
        return next(one for one in self.classes if one.name == name)

    def saying(self, outcome: ClassOutcome) -> RetentionRun:
        """The run with this in place of what it said about the class."""
        classes = tuple(outcome if one.name == outcome.name else one for one in self.classes)
        return msgspec.structs.replace(self, classes=classes)

    @property
    def removed(self) -> int:
        """Things of all classes."""
        return sum(one.removed for one in self.classes)

    @property
    def digest(self) -> str:
        """``sha256:...`` of what it did; the log's leaf holds it."""
        told = msgspec.json.encode(self.classes, order="deterministic")
        return f"sha256:{sha256(told).hexdigest()}"


def begun(run: RetentionRun, settings: RetentionSettings, *, now: datetime) -> RetentionRun:
    """A run that was claimed for the first time: from here on it goes by these settings."""
    today = now.astimezone(UTC).date()
    return msgspec.structs.replace(
        run,
        version=settings.version,
        classes=tuple(
            ClassOutcome(name, settings.in_force(name, today), settings.before(name, now))
            for name in REMOVABLE
        ),
    )


def ended(run: RetentionRun, *, leaf: int | None, now: datetime) -> RetentionRun:
    """A run that has worked through all classes; failed where one of them did."""
    failed = [one.name for one in run.classes if one.outcome == "failed"]
    return msgspec.structs.replace(
        run,
        state="failed" if failed else "done",
        error=f"not everything was worked through: {', '.join(failed)}" if failed else "",
        leaf=leaf,
        finished_at=now,
    )


class Step(msgspec.Struct, frozen=True):
    """Some things past their end, in order.

    Attributes:
        free: those that nothing keeps.
        removed, kept: how many things these are; a month is as many as it has events.
        kept_by: what keeps the others.
        cursor: behind the last of them; empty where there is nothing more.
    """

    free: tuple[str, ...]
    removed: int
    kept: int
    kept_by: tuple[Keeper, ...]
    cursor: str


def advanced(outcome: ClassOutcome, step: Step) -> ClassOutcome:
    """The outcome once a step was done."""
    digest = outcome.digest
    if step.free:
        told = "\n".join((digest, *step.free))
        digest = f"sha256:{sha256(told.encode()).hexdigest()}"
    return msgspec.structs.replace(
        outcome,
        outcome="under way" if step.cursor else "done",
        removed=outcome.removed + step.removed,
        kept=outcome.kept + step.kept,
        kept_by=added_up((*outcome.kept_by, *step.kept_by)),
        digest=digest,
        cursor=step.cursor,
    )


def added_up(keepers: Iterable[Keeper]) -> tuple[Keeper, ...]:
    """One line for each keeper."""
    found: dict[tuple[str, str], int] = {}
    for one in keepers:
        found[one.by, one.name] = found.get((one.by, one.name), 0) + one.things
    return tuple(Keeper(by, name, things) for (by, name), things in sorted(found.items()))


def policy_text(outcome: ClassOutcome) -> str:
    """The policy in words, as it stands where something is gone: ``payloads: 183 days``."""
    return f"{outcome.name}: {outcome.days} day{'' if outcome.days == 1 else 's'}"


def class_entry(run: RetentionRun, outcome: ClassOutcome, *, now: datetime) -> CustodyEntry:
    """What custody says when a class is through."""
    return custody_entry(
        "delete",
        f"retention:{outcome.name}",
        actor=run.requested_by,
        now=now,
        reason=f"{policy_text(outcome)}, run {run.id}: removed {outcome.removed}, "
        f"kept {outcome.kept}. {run.reason}".strip(),
        digest_before=outcome.digest,
    )


def changed_entry(settings: RetentionSettings, *, now: datetime) -> CustodyEntry:
    """What custody says when the periods were changed."""
    told = msgspec.json.encode(settings, order="deterministic")
    return custody_entry(
        "retention",
        f"retention:settings@{settings.version}",
        actor=settings.changed_by,
        now=now,
        reason=settings.reason,
        digest_after=f"sha256:{sha256(told).hexdigest()}",
    )


# What a trace tells of itself, without its decisions.
_TOLD_BY_TRACES: Final = frozenset({"since", "until", "trace", "user", "session", "agent", "q"})


def covers_trace(where: EventFilter, trace: TraceSummary) -> bool:
    """Whether a hold covers what applications reported of a trace, whatever its decisions are.

    Only a hold that asks for nothing but what a trace tells can; any other covers a trace through
    the decisions in it.
    """
    asked = {name for name in where.__struct_fields__ if getattr(where, name)}
    if asked - _TOLD_BY_TRACES or (where.trace and where.trace != trace.trace_id):
        return False
    if where.since is not None and trace.ended_at < where.since:
        return False
    if where.until is not None and trace.started_at > where.until:
        return False
    told = {"user": where.user, "session": where.session, "agent": where.agent}
    return all(f"{name}:{value}" in trace.labels for name, value in told.items() if value)


class ExpiredMonth(msgspec.Struct, frozen=True):
    """A month whose records were removed.

    Attributes:
        policy: in words, see ``policy_text``.
    """

    first_day: datetime
    expired_at: datetime
    policy: str
    events: int
    run_id: str

    @property
    def until(self) -> datetime:
        """The first moment of the next month."""
        return next_month(self.first_day)


def next_month(first_day: datetime) -> datetime:
    """The first moment of the month after this one."""
    return datetime.combine(
        (first_day.date().replace(day=1) + timedelta(days=32)).replace(day=1), time(), UTC
    )


class RetentionStore(Protocol):
    """Settings, runs, and the removal itself."""

    def settings(self) -> RetentionSettings:
        """The newest ones; ``DEFAULTS`` before anybody decided."""

    def change(self, settings: RetentionSettings, *, expected_version: int | None) -> None:
        """Keep a new version, its custody entry and its leaf.

        Raises:
            VersionConflict: it is not one more than the newest, or that is not the expected one.
        """

    def request(self, run: RetentionRun) -> None:
        """Queue a run.

        Raises:
            InvalidInput: its id is taken, or is no UUID.
            StateConflict: another one is queued or runs.
        """

    def request_unless(self, run: RetentionRun, *, since: datetime) -> bool:
        """Queue a run unless one was asked for since then or is not through; whether it was."""

    def run(self, run_id: str) -> RetentionRun:
        """One run.

        Raises:
            NotFound: there is none with this id.
        """

    def runs(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[RetentionRun], str | None]:
        """Newest first, and the cursor of the next page."""

    def claim(self, *, now: datetime, stale_after_seconds: float) -> RetentionRun | None:
        """Take the queued run, or a running one that showed no progress for so long."""

    def update(self, run: RetentionRun, *, now: datetime) -> None:
        """Save a claimed run.

        Raises:
            NotFound: there is none with this id.
            VersionConflict: it ended meanwhile, or somebody else claimed it.
        """

    def look(self, name: ClassName, *, before: datetime, after: str, limit: int) -> Step:
        """What of at most ``limit`` things that are past their end would go; nothing does."""

    def remove(
        self, run: RetentionRun, name: ClassName, *, limit: int, now: datetime
    ) -> RetentionRun:
        """Remove at most ``limit`` things more, and say so in the run, all in one transaction.
        When the class is through, custody says what was removed.

        Raises:
            VersionConflict: see ``update``.
        """

    def finish(self, run: RetentionRun, *, now: datetime) -> RetentionRun:
        """End the run, and write its leaf into the log where anything was removed, in one
        transaction."""

    def expired_months(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[ExpiredMonth]:
        """Months of a stretch of time whose records were removed, oldest first."""
