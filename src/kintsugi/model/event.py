"""The two records of an exchange: admitted, then decided."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

import msgspec

from kintsugi.model.content import Identity
from kintsugi.model.decision import Evaluation, Phase
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.model.transform import QuarantineScope
from kintsugi.model.verdict import Verdict


class ExchangeStatus(Enum):
    """How an exchange ended, as seen by the process that ended it."""

    ANSWERED = "answered"  # the whole upstream answer went out, whatever its HTTP status
    BLOCKED = "blocked"  # a policy stopped it
    REJECTED = "rejected"  # malformed, too large or without a valid key; never judged
    UPSTREAM_FAILED = "upstream_failed"  # no usable answer: refused, reset, timed out, garbage
    STREAM_BROKEN = "stream_broken"  # upstream ended in the middle of a stream
    CLIENT_ABORTED = "client_aborted"  # the client left before the answer was complete
    INTERRUPTED = "interrupted"  # the gateway stopped; if it was killed, written at the next start


class Admission(msgspec.Struct, frozen=True, tag_field="kind", tag="admitted", omit_defaults=True):
    """Appended before upstream is called, so that no call is without a trace."""

    id: str
    timestamp: datetime
    gateway_id: str
    worker_id: str
    dialect: str
    config_version: str
    revision: str
    request_digest: str
    model: str = ""
    identity: Identity = Identity()


class Chunking(msgspec.Struct, frozen=True, omit_defaults=True):
    """In which pieces an answer came that was streamed: lengths, and no word of it.

    Attributes:
        texts: JSON pointers of the answer's texts, numbered from 0.
        reads: what each read brought, separated by spaces. In a read the frames that carry text
            are separated by commas, and the pieces of one frame by ``+``. A piece is ``1:7``, seven
            characters of text 1, or ``7``, of the text before it (at first of text 0). ``7*3`` is
            three such reads. Of MCP, each read is one message, in bytes.
        whole: the answer came to its end.
    """

    texts: tuple[str, ...] = ()
    reads: str = ""
    whole: bool = False


class Unredacted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wire text of both directions as it was; see ``Payload.unredacted``."""

    request: str = ""
    response: str = ""
    chunking: Chunking | None = None


class ErasedNote(msgspec.Struct, frozen=True):
    """Content was here and was erased: when, and by which job."""

    at: datetime
    erasure_id: str


class ExpiredNote(msgspec.Struct, frozen=True):
    """Something was here and went away at the end of its time: when, by which run, and under which
    policy (``payloads: 183 days``)."""

    at: datetime
    run_id: str
    policy: str

    def __str__(self) -> str:
        return f"expired on {self.at.date()} under policy {self.policy}"


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """The wire text of both directions, redacted: what any reader may see.

    Attributes:
        masked: number of spans replaced by a marker.
        truncated: whether a part longer than ``gateway.payload_bytes_max`` was cut; the digests
            on the event are always of the whole.
        unredacted: what the markers replaced stands here, where ``gateway.payload`` is ``full``
            and it differs. From gateways to the vault only: nothing reads it but ``reveal``.
        erased: where nothing is left to read. Said by the control plane, like ``unreadable``.
        expired: where it went away at the end of its time.
        unreadable: why the content cannot be opened, though it was not erased.
        chunking: of a streamed answer of which nothing is masked; otherwise it stands under
            ``unredacted``, because lengths would tell of what the markers replaced.
        sent_digest: ``sha256:...`` of the request as it was last sent on; empty where it was sent
            as it came, or not at all.
    """

    request: str = ""
    response: str = ""
    masked: int = 0
    truncated: bool = False
    unredacted: Unredacted | None = None
    erased: ErasedNote | None = None
    expired: ExpiredNote | None = None
    unreadable: str = ""
    chunking: Chunking | None = None
    sent_digest: str = ""


NO_PAYLOAD: Final = Payload()


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a target, where an exchange took more than one or its only one failed.

    Attributes:
        started_ms: since the request was received.
        duration_ms: until the head of an answer, or until it was clear that none would come.
        status: of the answer; 0 when there was none.
        error: stable code of what went wrong; empty when there was an answer.
    """

    target_id: str
    started_ms: float
    duration_ms: float
    status: int = 0
    error: str = ""


class GatheredFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was counted, asked and vouched for before the decision: what replay needs besides the
    payload. The fields are those of ``Facts``."""

    claims: dict[str, str] = {}
    counters: dict[str, Counter] = {}
    remote: dict[str, RemoteAnswer] = {}


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a policy changed in an exchange that went on.

    Attributes:
        kind: the field of ``Transform`` that asked for it.
        detail: ``stripped: run_shell``, ``left out: 3 messages``; never a word of the exchange's
            own text.
    """

    policy_name: str
    phase: Phase
    kind: str
    detail: str = ""


class ToolFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool that did not do what it was asked, as its result in the request says.

    Attributes:
        tool: its name; empty where nothing tells it.
        kind: ``exit``, ``full``, ``http``, ``timeout``, ``exception``, ``refused`` or ``error``.
        path: JSON pointer of the result.
    """

    tool: str
    kind: str
    detail: str = ""
    path: str = ""


class RaisedEscalation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person was asked about exactly this action.

    Attributes:
        id: the event's own.
        action_digest: ``sha256:...`` of what would be done and for whom; an approval is for
            nothing else.
        expires_at: until when an approval may be given and used.
        held: the answer was held for a while before it was given up.
    """

    id: str
    phase: Phase
    action_digest: str
    expires_at: datetime
    held: bool = False


class UsedApproval(msgspec.Struct, frozen=True, omit_defaults=True):
    """The approval that let an escalated exchange go on, once."""

    escalation_id: str
    approved_by: str = ""
    approved_at: datetime | None = None


class Quarantine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody or something may not go on until it is released.

    Attributes:
        id: of the event whose decision froze it.
        scope, subject: what is frozen: ``session`` and its id, say. ``source`` is the client's
            address.
    """

    id: str
    scope: QuarantineScope
    subject: str


class Unfinished(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an exchange stood when its client left, or the gateway or its journal ended it.

    Attributes:
        state: ``gathering`` facts or ``holding`` for a person, ``calling`` upstream, ``pausing``
            before the next attempt, or ``reading`` the answer.
        waits: how often it had waited for facts or for a person since it came, or since upstream
            was last called; the last of them was in vain where it stood gathering or holding.
    """

    state: str
    waits: int = 0

    @property
    def waiting(self) -> bool:
        """Whether it stood waiting for facts or for a person."""
        return self.state in ("gathering", "holding")

    @property
    def doing(self) -> str:
        """What was going on, as people read it."""
        return _DOING.get(self.state, self.state)


_DOING = {
    "gathering": "gathering facts",
    "holding": "waiting for a person",
    "calling": "calling upstream",
    "pausing": "pausing before the next attempt",
    "reading": "reading the answer",
}


class DecisionEvent(
    msgspec.Struct, frozen=True, tag_field="kind", tag="decision", omit_defaults=True
):
    """One exchange, decided. Its JSON is the journal's, the API's and the export's form.

    Attributes:
        id: UUIDv7; its time is ``timestamp`` to the millisecond.
        timestamp: when the request was admitted, aware UTC.
        config_version: ``ID@V``: V is the control plane's version number, or ``pack.version``
            when the gateway runs from a file.
        revision: content hash of the plan in force, ``sha256:...``.
        error: stable code of what went wrong (``upstream.timeout``), empty when nothing did.
        overhead_ms: time spent in the gateway itself: total less waiting for upstream.
        attempts: every call of a target, where there was more than one or the only one failed;
            ``target_id`` and ``upstream_status`` tell of the last.
        request_digest, response_digest: ``sha256:...`` of the exact bytes received from the
            client and from upstream.
        changes: what policies that act with ``transform`` changed, in order.
        tool_failures: among the tool results that the request carries.
        escalation: where a person was asked; ``approval`` where one had agreed before.
        mcp_method, tool_name: what was asked of an MCP server: ``tools/call`` and the tool.
        quarantine: what this decision froze, or the quarantine that stopped the exchange.
        containments: ids of those that the exchange was under.
        pinned_from: the version in force, where a containment had the policies of another one
            decide; ``config_version`` and ``revision`` are then of what decided.
        facts: None where nothing had to be gathered.
        payload_digest: ``sha256:...`` of the payload and a salt that is sealed with it, written
            by the control plane: it proves what was recorded, and tells nothing once that is
            erased.
        tenant_id: for whom the application works.
        unfinished: where it stood, if it ended before everything was judged; the youngest field
            stands last.
    """

    id: str
    timestamp: datetime
    gateway_id: str
    worker_id: str
    dialect: str
    config_version: str
    revision: str
    engine_version: str
    verdict: Verdict
    reason_code: str
    status: ExchangeStatus
    policy_name: str = ""
    http_status: int = 0
    streamed: bool = False
    streaming_mode: str = ""
    model: str = ""
    response_model: str = ""
    provider: str = ""
    target_id: str = ""
    upstream_status: int = 0
    user_id: str = ""
    team_id: str = ""
    session_id: str = ""
    agent_id: str = ""
    workflow: str = ""
    request_id: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    key_name: str = ""
    incident_id: str = ""
    error: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: float = 0.0
    overhead_ms: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    request_digest: str = ""
    response_digest: str = ""
    fail_open: bool = False
    evaluations: tuple[Evaluation, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    changes: tuple[Change, ...] = ()
    tool_failures: tuple[ToolFailure, ...] = ()
    escalation: RaisedEscalation | None = None
    approval: UsedApproval | None = None
    quarantine: Quarantine | None = None
    containments: tuple[str, ...] = ()
    pinned_from: str = ""
    facts: GatheredFacts | None = None
    mcp_method: str = ""
    tool_name: str = ""
    payload_digest: str = ""
    payload: Payload = Payload()
    tenant_id: str = ""
    unfinished: Unfinished | None = None
