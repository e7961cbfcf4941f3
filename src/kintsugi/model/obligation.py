"""Obligations: reports that a law may ask for, each with its clock. Reminders, not legal advice.

A clock is never deleted: it is met, tolled, or set aside with a reason.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

Unit = Literal["hours", "calendar_days", "business_days", "months", "immediate"]
MomentKind = Literal[
    "aware",  # the organisation knew, with reasonable certainty
    "discovered",  # known, or would have been with diligence
    "determined",  # somebody decided that it qualifies
    "classified",  # somebody decided its class, such as "major"
    "facts",  # facts were at hand for a reasonable belief
    "fix_available",  # a corrective measure can be had
    "payment",  # an extortion payment was made
    "resolved",  # it is over
    "year_end",  # the end of the calendar year in which it was discovered
]
ObligationStatus = Literal[
    "waiting",  # what starts it has not happened, or nobody has decided when it did
    "running",
    "due_soon",
    "overdue",
    "tolled",
    "met_incomplete",  # submitted, and more is owed
    "met",
    "set_aside",
]

TERMINAL: Final[frozenset[ObligationStatus]] = frozenset({"met", "set_aside"})
# A quarter of the time is left; of long periods, three days.
_SOON_SHARE: Final = 4
_SOON_MOST: Final = timedelta(days=3)


class Moment(msgspec.Struct, frozen=True):
    """When something happened in the sense of a law: a decision, with its author.

    Attributes:
        at: the moment; no later than the decision.
        reason: on what the decision rests.
    """

    kind: MomentKind
    at: datetime
    decided_by: str
    decided_at: datetime
    reason: str


class Toll(msgspec.Struct, frozen=True):
    """A time that does not count.

    Attributes:
        until: None while it lasts.
        evidence: the order or statement that it rests on.
    """

    since: datetime
    reason: str
    evidence: str
    by: str
    until: datetime | None = None


class Submission(msgspec.Struct, frozen=True):
    """A report that went out.

    Attributes:
        at: when it was submitted; chained clocks start here.
        reference: the recipient's number, or where a copy lies.
        incomplete: the law allows it and more follows.
    """

    at: datetime
    reference: str
    by: str
    incomplete: bool = False
    note: str = ""


class SetAside(msgspec.Struct, frozen=True):
    """An authorised person's decision that a clock does not apply."""

    at: datetime
    by: str
    reason: str


class Obligation(msgspec.Struct, frozen=True):
    """One clock of one incident.

    Attributes:
        id: UUIDv7.
        rule: id in the rules' data; what it said when the clock was opened is kept beside it.
        round: counts from 1; repeating reports open the next round when one is met.
        start_at: None until what starts it is known.
        due_at: the strict reading, tolls included; None while it waits or is tolled.
        relief_at: what a lenient reading might allow; never relied upon.
        why: the answers that opened it.
    """

    id: str
    rule: str
    regime: str
    article: str
    amount: int
    unit: Unit
    recipient: str
    opened_at: datetime
    opened_by: str
    why: str
    round: int = 1
    start_at: datetime | None = None
    due_at: datetime | None = None
    relief_at: datetime | None = None
    tolls: tuple[Toll, ...] = ()
    submissions: tuple[Submission, ...] = ()
    set_aside: SetAside | None = None

    @property
    def tolled(self) -> bool:
        """Whether its time stands still."""
        return any(toll.until is None for toll in self.tolls)

    @property
    def submitted_at(self) -> datetime | None:
        """When the newest submission went out."""
        return self.submissions[-1].at if self.submissions else None

    def status(self, now: datetime) -> ObligationStatus:
        """Where it stands."""
        if self.set_aside is not None:
            return "set_aside"
        if self.submissions:
            return "met_incomplete" if self.submissions[-1].incomplete else "met"
        if self.tolled:
            return "tolled"
        if self.start_at is None or self.due_at is None:
            return "waiting"
        if now > self.due_at:
            return "overdue"
        soon = min((self.due_at - self.start_at) / _SOON_SHARE, _SOON_MOST)
        return "due_soon" if self.due_at - now <= soon else "running"

    def terminal(self, now: datetime) -> bool:
        """Whether nothing more is owed."""
        return self.status(now) in TERMINAL


class Fact(msgspec.Struct, frozen=True):
    """What a person said for a field of reports.

    Attributes:
        status: ``unknown`` is an answer too; what nobody said is missing.
        value: text; empty unless ``have``.
    """

    status: Literal["have", "not_applicable", "unknown"]
    by: str
    at: datetime
    value: str = ""
