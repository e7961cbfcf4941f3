"""Reports: what people and machines send in. A report never changes; what becomes of it does.

Implemented by ``store/reports.py`` on PostgreSQL and by ``store/memory_reports.py``; both pass the
same contract tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.incident import Change, Incident
from kintsugi.model.signal import Severity
from kintsugi.model.vault import Subject

Channel = Literal[
    "internal",
    "support",
    "sales",
    "public",
    "email",
    "alertmanager",
    "pagerduty",
    "generic",
]
#: Channels on which the same thing comes again and again; the others are people's words.
MACHINES: Final[frozenset[Channel]] = frozenset({"alertmanager", "pagerduty", "generic"})
ReportStatus = Literal[
    "joined",  # an incident has it
    "recorded",  # an alert that was over and that no open incident knew
    "unmapped",  # it could not be read; somebody has to look at it
    "set_aside",  # a person, or the form's trap, says that it is nothing
]
AlertState = Literal["", "firing", "resolved"]
AboutKind = Literal["event", "trace", "session"]


class About(msgspec.Struct, frozen=True):
    """A decision, a trace or a conversation that a report is about."""

    kind: AboutKind
    id: str


class File(msgspec.Struct, frozen=True):
    """Something that came with a report, or the bytes as they came.

    Attributes:
        digest: ``sha256:...`` of the bytes.
        media_type: as the sender says; nobody opens it.
    """

    digest: str
    name: str
    media_type: str
    size_bytes: int


class Fingerprint(msgspec.Struct, frozen=True):
    """What makes two reports the same thing.

    Attributes:
        fields: names and values, in the order of names.
    """

    fields: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """``sha256:...`` of the fields."""
        return f"sha256:{sha256(msgspec.json.encode(self.fields)).hexdigest()}"


class Report(msgspec.Struct, frozen=True):
    """What came in.

    Attributes:
        id: UUIDv7.
        at: when it came.
        happened_at: when it happened, as it says itself.
        sender: ``NAME/ID`` of the token, or ``link:ID``.
        severity: as the sender suspects.
        labels: of an alert, or tags such as the number of a ticket.
        contact: how an outside reporter can be reached; empty where none was given.
        state: of an alert.
        why_unmapped: what could not be read, and why; empty where all could.
        files: evidence kept beside it; the first one of a machine's or a mail's report is what
            came, byte for byte.
    """

    id: str
    at: datetime
    channel: Channel
    sender: str
    title: str
    fingerprint: Fingerprint
    text: str = ""
    happened_at: datetime | None = None
    category: str = ""
    severity: Severity | None = None
    workflow: str = ""
    labels: dict[str, str] = {}
    about: tuple[About, ...] = ()
    contact: str = ""
    state: AlertState = ""
    why_unmapped: str = ""
    files: tuple[File, ...] = ()


class Standing(msgspec.Struct, frozen=True):
    """What became of a report.

    Attributes:
        by: who decided it, ``NAME/ID``; empty where its fingerprint did.
    """

    status: ReportStatus
    incident_id: str = ""
    by: str = ""
    at: datetime | None = None
    reason: str = ""


class KeptReport(msgspec.Struct, frozen=True):
    """A report as it is stored.

    Attributes:
        digest: ``sha256:...`` of its record.
        leaf: position of the leaf that proves it.
    """

    report: Report
    standing: Standing
    digest: str
    leaf: int


class Recurrence(msgspec.Struct, frozen=True):
    """How often the same thing came to one incident.

    Attributes:
        resolved: how many of them said that it was over.
        firing: whether the newest one said that it goes on.
    """

    incident_id: str
    fingerprint: str
    reports: int
    resolved: int
    first_at: datetime
    last_at: datetime
    firing: bool


class ReportFilter(msgspec.Struct, frozen=True):
    """Which reports; an empty field does not restrict."""

    status: ReportStatus | Literal[""] = ""
    channel: Channel | Literal[""] = ""
    incident_id: str = ""
    sender: str = ""


class Arrival(msgspec.Struct, frozen=True):
    """A report, with the bytes of its files by digest."""

    report: Report
    contents: dict[str, bytes] = {}


class Taken(msgspec.Struct, frozen=True):
    """What is decided about a report: what becomes of it, and of the incident that gets it.

    Attributes:
        change: of a new incident, or of the one that it joins; None where none changes.
    """

    status: ReportStatus
    change: Change | None = None
    reason: str = ""


Take = Callable[[Report, Incident | None, Recurrence | None], Taken]


class ReportStore(Protocol):
    """Reports, what became of them, and their files."""

    def receive(
        self, arrivals: Sequence[Arrival], take: Take, *, now: datetime
    ) -> list[KeptReport]:
        """Keep what came, in one transaction with the incidents that it opens or joins, its leaves
        in the log and its notices.

        ``take`` is asked about each in turn, with the open incident that has reports of the same
        fingerprint, and how often they came; None where there is none.

        Raises:
            InvalidInput: an event that a change ties is not stored.
        """

    def joins(self, fingerprint: str) -> tuple[Incident, Recurrence | None] | None:
        """The open incident that a report of this fingerprint would join."""

    def get(self, report_id: str) -> KeptReport:
        """One report.

        Raises:
            NotFound: there is none with this id.
        """

    def page(
        self, where: ReportFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[KeptReport], str | None]:
        """Newest first, and the cursor of the next page."""

    def count(self, where: ReportFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling``."""

    def recurrences(self, incident_id: str) -> list[Recurrence]:
        """The fingerprints that came to an incident, those that came last first; 100 at most."""

    def settle(
        self,
        report_id: str,
        incident: str,
        decide: Callable[[KeptReport, Incident | None], Taken],
        *,
        by: str,
        now: datetime,
    ) -> KeptReport:
        """A person decides about a report that no incident has.

        Args:
            incident: id or reference of the one that gets it; empty for none or a new one.

        Raises:
            NotFound: there is no such report, or no such incident.
            StateConflict: an incident has it already.
        """

    def file(self, report_id: str, digest: str, entry: CustodyEntry) -> bytes:
        """The bytes of a file, with an entry in custody in the same transaction.

        Raises:
            NotFound: the report has no such file, or its content was erased.
            KeyUnavailable: it cannot be opened now.
        """

    def files_of(self, report_id: str) -> int:
        """How many files of a report there are that were not erased."""

    def erase_files(self, report_id: str) -> int:
        """Erase what is in the files of a report; of how many. The report stays."""


def report_of_subject(subject: Subject) -> str:
    """The id of the report whose files an erasure is about; empty where it is about none."""
    kind, _, report_id = subject.id.partition(":")
    return report_id if subject.kind == "session" and kind == "report" else ""


def report_record(report: Report) -> bytes:
    """As it is stored and digested: canonical JSON."""
    return msgspec.json.encode(report, order="deterministic")


def report_digest(report: Report) -> str:
    """What the receipt and the log tell of a report."""
    return f"sha256:{sha256(report_record(report)).hexdigest()}"


def content_name(content: bytes) -> str:
    """The digest of a file."""
    return f"sha256:{sha256(content).hexdigest()}"


def counted(before: Recurrence | None, report: Report, incident_id: str) -> Recurrence:
    """With one more report."""
    resolved = int(report.state == "resolved")
    if before is None:
        return Recurrence(
            incident_id,
            report.fingerprint.digest,
            1,
            resolved,
            report.at,
            report.at,
            report.state == "firing",
        )
    return Recurrence(
        incident_id,
        before.fingerprint,
        before.reports + 1,
        before.resolved + resolved,
        before.first_at,
        max(before.last_at, report.at),
        report.state == "firing",
    )
