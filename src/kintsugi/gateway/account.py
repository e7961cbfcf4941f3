"""Everything that is known about one exchange, and the two records that are made of it.

Each field is set by the code that did the thing, where it did it; nothing here guesses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from kintsugi.gateway.attempts import Attempts
from kintsugi.gateway.dialects.dialect import Dialect, RequestView
from kintsugi.gateway.dialects.splice import CannotSplice, apply_edits, splice
from kintsugi.gateway.facts import recorded
from kintsugi.gateway.in_force import InForce, Upstream
from kintsugi.gateway.repeated import Repeated
from kintsugi.gateway.streaming import StreamSession
from kintsugi.model.content import Edit, Identity, Part
from kintsugi.model.decision import Decision, Evaluation
from kintsugi.model.event import (
    Admission,
    Attempt,
    Change,
    Chunking,
    DecisionEvent,
    ExchangeStatus,
    Payload,
    Quarantine,
    RaisedEscalation,
    ToolFailure,
    Unfinished,
    Unredacted,
    UsedApproval,
)
from kintsugi.model.facts import Counter, Facts, RemoteAnswer
from kintsugi.model.verdict import Verdict

# The reason code of a request that no policy saw: malformed, too large, without a valid key.
UNJUDGED = "exchange.rejected"
PASSED = Decision(Verdict.ALLOW, "policy.passed")
_NONE: Mapping[str, Any] = MappingProxyType({})


class Account(msgspec.Struct, kw_only=True, eq=False):
    """What happened so far in one exchange.

    Attributes:
        received_at_ns, called_at_ns, heard_at_ns: when the request was complete, when it was
            written to upstream, when upstream was last heard of; 0 while not yet.
        request: None when the body could not be read or was not looked at.
        decisions: one per phase that ran, in order.
        request_edits: made in the request by its first decision.
        repeated: what the answer may repeat of it; made when it is first asked for.
        request_masks, answer_masks: what evidence must not show; None where nothing was judged.
        answer_body: upstream's answer as far as it came, when it is not streamed.
        answer_text: the same as text, where it was judged as that: errors and the like.
        answer_parts: what it says, once it was read.
        answer_whole: upstream's answer came to its end.
        source: the client's address.
        sent_body: the request as it was last sent on; None while it was not.
        sent_model: the model that is asked in place of the one that was asked for.
        confirmation: what the user is asked in place of tool calls; empty where nothing.
        claims, counters, remote, found: see ``Facts``.
        reservations: numbers of open reservations on counters, and whether each was made for the
            answer.
    """

    in_force: InForce
    dialect: Dialect
    event_id: str
    now: datetime
    received_at_ns: int
    body: bytes
    request_digest: str = ""
    decisions: list[Decision] = []

    # What holds until something happens.
    identity: Identity = Identity()
    request: RequestView | None = None
    upstream: Upstream | None = None
    upstream_status: int = 0
    request_edits: Sequence[Edit] = ()
    request_masks: Sequence[Edit] | None = None
    repeated: Repeated | None = None
    answer_masks: Sequence[Edit] | None = None
    answer_body: bytes = b""
    answer_text: str | None = None
    session: StreamSession | None = None
    response_model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    failed_open: bool = False
    audited: bool = False
    audit: Decision = PASSED
    encoded: bool = False
    upstream_ended: bool = False
    called_at_ns: int = 0
    heard_at_ns: int = 0
    waited_ns: int = 0  # for attempts that failed, and for the pauses after them
    attempts: Attempts | None = None
    answer_parts: Sequence[Part] = ()
    answer_whole: bool = False
    source: str = ""
    sent_body: bytes | None = None
    sent_model: str = ""
    confirmation: str = ""
    claims: Mapping[str, str] = _NONE
    counters: Mapping[str, Counter] = _NONE
    remote: Mapping[str, RemoteAnswer] = _NONE
    found: tuple[str, ...] = ()
    reservations: tuple[tuple[int, bool], ...] = ()
    changes: tuple[Change, ...] = ()
    tool_failures: tuple[ToolFailure, ...] = ()
    escalation: RaisedEscalation | None = None
    approval: UsedApproval | None = None
    quarantine: Quarantine | None = None
    containments: tuple[str, ...] = ()
    unfinished: Unfinished | None = None

    def __post_init__(self) -> None:
        self.request_digest = digest_of(self.body)

    @property
    def decision(self) -> Decision:
        """The strictest decision so far; the earliest of equals."""
        found = PASSED
        for decision in (*self.decisions, self.audit):
            if decision.verdict is not Verdict.ALLOW and (
                decision.verdict.strictness > found.verdict.strictness
            ):
                found = decision
        return found

    @property
    def was_judged(self) -> bool:
        """Whether the request came before its policies; one that was rejected did not."""
        return self.request_masks is not None

    def cannot_redact(self, decision: Decision) -> Decision:
        """Turn the last decision into a block, because its edits cannot be made."""
        return self._blocked_instead(
            decision, "What had to be redacted cannot be taken out of this document."
        )

    def cannot_change(self, decision: Decision) -> Decision:
        """Turn the last decision into a block, because its changes cannot be made."""
        return self._blocked_instead(
            decision, "What had to be changed cannot be changed in this document."
        )

    def _blocked_instead(self, decision: Decision, message: str) -> Decision:
        blocked = msgspec.structs.replace(decision, verdict=Verdict.BLOCK, message=message)
        self.decisions[-1] = blocked
        return blocked

    def approve(self, decision: Decision, approval: UsedApproval) -> Decision:
        """A person agreed: what was escalated goes on, as far as the other policies let it. Every
        evaluation stays as it was."""
        others = [
            evaluation.effective
            for evaluation in decision.evaluations
            if evaluation.effective is not Verdict.ESCALATE
        ]
        verdict = max([Verdict.FLAG, *others], key=lambda verdict: verdict.strictness)
        approved = msgspec.structs.replace(decision, verdict=verdict)
        self.approval = approval
        self.decisions[-1] = approved
        return approved

    def facts(self) -> Facts:
        """What rules may use besides the texts."""
        return Facts(
            self.now,
            self.identity,
            self.in_force.fingerprint_key,
            self.claims,
            self.counters,
            self.remote,
            self.found,
        )

    def overhead_ms(self, at_ns: int) -> float:
        """Time spent in the gateway until ``at_ns``: total less waiting for upstream."""
        waited_ns = max(self.heard_at_ns - self.called_at_ns, 0) if self.called_at_ns else 0
        return milliseconds(at_ns - self.received_at_ns - waited_ns - self.waited_ns)

    def admission(self) -> Admission:
        """The record that is made before upstream is called."""
        in_force = self.in_force
        return Admission(
            id=self.event_id,
            timestamp=self.now,
            gateway_id=in_force.gateway_id,
            worker_id=in_force.worker_id,
            dialect=self.dialect.name,
            config_version=in_force.config_version,
            revision=in_force.plan.revision,
            request_digest=self.request_digest,
            model=self.request.model if self.request is not None else "",
            identity=self.identity,
        )

    def event(
        self, status: ExchangeStatus, *, at_ns: int, http_status: int, error: str = ""
    ) -> DecisionEvent:
        """The record that is made before the end of the answer leaves.

        Args:
            http_status: what the client is answered; 0 when nothing.
        """
        in_force = self.in_force
        identity = self.identity
        decision = self.decision
        session = self.session
        target = self.upstream.target if self.upstream is not None else None
        reader = session.reader if session is not None else None
        if session is not None:
            response_bytes = session.byte_count
            response_digest = "sha256:" + session.digest.hexdigest()
        else:
            response_bytes = len(self.answer_body)
            response_digest = digest_of(self.answer_body) if self.upstream_status else ""
        return DecisionEvent(
            id=self.event_id,
            timestamp=self.now,
            gateway_id=in_force.gateway_id,
            worker_id=in_force.worker_id,
            dialect=self.dialect.name,
            config_version=in_force.config_version,
            revision=in_force.plan.revision,
            engine_version=in_force.engine_version,
            verdict=decision.verdict,
            reason_code=decision.reason_code if self.was_judged or self.quarantine else UNJUDGED,
            status=status,
            policy_name=decision.policy_name,
            http_status=http_status,
            streamed=session is not None,
            streaming_mode=session.mode if session is not None else "",
            model=self.request.model if self.request is not None else "",
            response_model=reader.model if reader is not None else self.response_model,
            provider=target.provider if target is not None else "",
            target_id=target.id if target is not None else "",
            upstream_status=self.upstream_status,
            user_id=identity.user_id,
            team_id=identity.team_id,
            tenant_id=identity.tenant_id,
            session_id=identity.session_id,
            agent_id=identity.agent_id,
            workflow=identity.workflow,
            request_id=identity.request_id,
            trace_id=identity.trace_id,
            parent_span_id=identity.parent_span_id,
            key_name=identity.key_name,
            error=error,
            input_tokens=reader.input_tokens if reader is not None else self.input_tokens,
            output_tokens=reader.output_tokens if reader is not None else self.output_tokens,
            latency_ms=milliseconds(at_ns - self.received_at_ns),
            overhead_ms=self.overhead_ms(at_ns),
            request_bytes=len(self.body),
            response_bytes=response_bytes,
            request_digest=self.request_digest,
            response_digest=response_digest,
            fail_open=self.failed_open or (session is not None and session.failed_open),
            evaluations=self._evaluations(),
            attempts=self._attempts(),
            changes=self.changes,
            tool_failures=self.tool_failures,
            escalation=self.escalation,
            approval=self.approval,
            quarantine=self.quarantine,
            containments=self.containments,
            pinned_from=in_force.pinned_from,
            facts=recorded(self),
            payload=self.payload(),
            unfinished=self.unfinished,
        )

    def _attempts(self) -> tuple[Attempt, ...]:
        return tuple(self.attempts.made) if self.attempts is not None else ()

    def _evaluations(self) -> tuple[Evaluation, ...]:
        found: tuple[Evaluation, ...] = ()
        for decision in (*self.decisions, self.audit):
            found += decision.evaluations
        return found

    def payload(self) -> Payload:
        """Both directions as evidence keeps them: redacted, and where the configuration asks for
        everything and it differs, as they were as well. What was never judged was never masked,
        so nothing of it is in the redacted form."""
        capture = self.in_force.gateway.payload
        if capture == "none":
            return Payload()
        limit = self.in_force.gateway.payload_bytes_max
        request_masks, answer_masks = self.request_masks, self.answer_masks
        request = b"" if request_masks is None else masked(self.body, request_masks)
        answer = b"" if answer_masks is None else self._masked_answer(answer_masks)
        chunking = self._chunking()
        payload = Payload(
            request=_text(request, limit),
            response=_text(answer, limit),
            masked=len(request_masks or ()) + len(answer_masks or ()),
            truncated=len(request) > limit or len(answer) > limit,
            sent_digest=self._sent_digest(),
            chunking=chunking if answer and self._answer_is_shown() else None,
        )
        if capture != "full":
            return payload
        whole = (self.body, self._masked_answer(None))
        if whole == (request, answer):
            return payload
        hidden = None if payload.chunking is not None else chunking
        unredacted = Unredacted(_text(whole[0], limit), _text(whole[1], limit), hidden)
        cut = any(len(side) > limit for side in whole)
        return msgspec.structs.replace(
            payload, unredacted=unredacted, truncated=payload.truncated or cut
        )

    def _sent_digest(self) -> str:
        """Of what upstream was sent, where that is something else than came in."""
        sent = self.sent_body
        if sent is None or sent is self.body or sent == self.body:
            return ""
        return digest_of(sent)

    def _answer_is_shown(self) -> bool:
        """Whether everybody who may read the evidence sees the answer as it came."""
        return not self.answer_masks

    def _chunking(self) -> Chunking | None:
        """In which pieces a streamed answer came."""
        session = self.session
        if session is None or session.chunks is None:
            return None
        return session.chunks.told(session.reader.channels, whole=self.answer_whole)

    def _masked_answer(self, masks: Sequence[Edit] | None) -> bytes:
        """The answer with these spans masked; as it was for None."""
        if self.session is not None:
            return self.session.reader.whole(masks or ())
        if not masks:
            return self.answer_body
        if self.answer_text is not None:
            return apply_edits(self.answer_text, masks).encode()
        return masked(self.answer_body, masks, self.dialect.clears(masks))


def masked(body: bytes, masks: Sequence[Edit], clear: Iterable[str] = ()) -> bytes:
    """A document as evidence may show it; nothing at all where it cannot be masked."""
    if not masks:
        return body
    try:
        return splice(body, masks, clear=clear, break_structures=True)
    except CannotSplice:
        return b""


def digest_of(body: bytes) -> str:
    """SHA-256 as events carry it."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _text(body: bytes, limit: int) -> str:
    return body[:limit].decode(errors="ignore" if len(body) > limit else "replace")


def milliseconds(nanoseconds: int) -> float:
    """As records and headers carry a time: to the microsecond. Several are told of each exchange,
    and rounding a float to three places takes fifteen times as long."""
    return (nanoseconds + 500) // 1000 / 1000
