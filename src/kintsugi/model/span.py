"""What applications report of their own steps: spans, and the traces that they make up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.vault import Subject
from kintsugi.model.verdict import Verdict


class Step(Enum):
    """What a span did, in the words of the evidence that a decision must leave (CONTRACT §6)."""

    MODEL = "model"
    EMBEDDING = "embedding"
    RETRIEVAL = "retrieval"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    VALIDATION = "validation"
    PERMISSION = "permission"
    APPROVAL = "approval"
    WRITE = "write"
    OTHER = "other"


SpanStatus = Literal["unset", "ok", "error"]
SpanKind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
Held = Literal[
    "input_messages",
    "output_messages",
    "system_instructions",
    "tool_definitions",
    "tool_arguments",
    "tool_result",
    "retrieval_query",
    "retrieval_filters",
    "documents",
    "document_scores",
    "document_times",
]
"""A kind of content under its canonical name."""


class SpanEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened at one moment of a span."""

    name: str
    at: datetime | None = None
    attributes: dict[str, Any] = {}


class SpanLink(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another span that this one has to do with."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class SpanContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A span as it was received: everything that may be personal, kept apart from the structure.

    Attributes:
        attributes: under the names that the sender used; bytes as Base64.
        resource, scope: attributes of what sent it, and of the library that made it.
        dropped: attributes, events and links that the sender says it left out.
    """

    attributes: dict[str, Any] = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    resource: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    status_message: str = ""
    trace_state: str = ""
    dropped: int = 0


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that an application reported.

    Attributes:
        trace_id, span_id, parent_span_id: hex in lower case (W3C); the parent is empty at a root.
        kind: in OpenTelemetry's sense.
        service: ``service.name`` of the sender.
        scope: the library that made it, as ``name version``.
        convention: the naming it follows, with its version where the sender told one
            (``otel-genai 1.37.0``, ``openinference``, ``openllmetry 0.62.4``); empty for none.
        mapping: version of the table that read it, see ``traces/conventions.py``.
        attributes: what is known of it besides content, under canonical names (``gen_ai.*``).
        holds: the kinds of content that ``content`` has, so that completeness can be told
            without opening it.
        reported_by: name of the token that it came with.
        content: None where it was not asked for, or is erased.
    """

    trace_id: str
    span_id: str
    name: str
    step: Step
    started_at: datetime
    ended_at: datetime
    parent_span_id: str = ""
    kind: SpanKind = "unspecified"
    status: SpanStatus = "unset"
    service: str = ""
    scope: str = ""
    convention: str = ""
    mapping: int = 0
    attributes: dict[str, Any] = {}
    holds: tuple[Held, ...] = ()
    reported_by: str = ""
    content: SpanContent | None = None


class TraceSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a trace without reading it.

    Attributes:
        started_at, ended_at: of the earliest beginning and the latest end that were told.
        spans, decisions: how many of each are stored.
        failed: spans that ended in an error.
        verdict: the strictest of its decisions; None while it has none.
        labels: ``service:checkout``, ``session:s1``, ``user:ada``, ``agent:a``, ``step:tool``,
            sorted; the first 64 that were told, and of users and sessions all.
        expired_at, expired_under: when the steps went away at the end of their time, and under
            which policy; ``spans`` and ``failed`` are 0 from then on.
    """

    trace_id: str
    started_at: datetime
    ended_at: datetime
    spans: int = 0
    decisions: int = 0
    failed: int = 0
    verdict: Verdict | None = None
    labels: tuple[str, ...] = ()
    expired_at: datetime | None = None
    expired_under: str = ""


class TraceFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which traces; an empty field does not restrict.

    Attributes:
        since, until: on the beginning, both inclusive.
        verdict: the strictest one.
        failed: those with, or without, a span that ended in an error.
    """

    since: datetime | None = None
    until: datetime | None = None
    service: str = ""
    session: str = ""
    user: str = ""
    agent: str = ""
    step: Step | None = None
    verdict: Verdict | None = None
    failed: bool | None = None

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """What the labels of a trace must contain, as name and value."""
        wanted = {
            "service": self.service,
            "session": self.session,
            "user": self.user,
            "agent": self.agent,
            "step": self.step.value if self.step else "",
        }
        return tuple((name, value) for name, value in wanted.items() if value)


class SpansStored(msgspec.Struct, frozen=True):
    """What became of a batch: each span was stored or was there already."""

    stored: int
    duplicates: int


class SpanStore(Protocol):
    """Spans as applications report them, and what is known of each trace."""

    def append(self, spans: Sequence[Span]) -> SpansStored:
        """Store what is not there yet, all or nothing; the first one of a span id stays.

        The times must be admissible, see ``traces.otlp``.
        """

    def trace(self, trace_id: str) -> TraceSummary | None:
        """What is known of a trace; None where nothing is."""

    def spans(self, trace_id: str, *, limit: int, content: bool = False) -> list[Span]:
        """The spans of a trace, earliest first, at most ``limit``; empty where there is none."""

    def span(self, trace_id: str, span_id: str) -> Span:
        """One span with its content.

        Raises:
            NotFound: it was not reported.
        """

    def reveal(self, trace_id: str, span_id: str, entry: CustodyEntry) -> Span:
        """One span with its content, and an entry of custody that says so.

        Raises:
            NotFound: it was not reported, or nothing of its content is left.
        """

    def page(
        self, where: TraceFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[TraceSummary], str | None]:
        """Traces, newest first by their beginning, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, where: TraceFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling`` so that cost does not grow with history."""

    def contents_of(self, subject: Subject, *, until: datetime | None = None) -> int:
        """How many spans, begun ``until`` then, hold content in traces that tell of the subject."""

    def erase_contents(self, subject: Subject, *, until: datetime | None = None) -> int:
        """Remove that content; the spans stay and say that they hold nothing. How many held
        some."""
