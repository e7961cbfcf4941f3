"""One exchange from request to record: decides everything and performs nothing.

The shell feeds events and carries out the commands it gets back, in order. The order of truth:

* upstream is called only after the input was judged, and never when it was stopped;
* the Admission is appended before upstream is called; its commit overlaps the call;
* no byte of a stream leaves before the Admission is durable, and its end not before the
  DecisionEvent is; a whole answer leaves only after the DecisionEvent is durable;
* every admitted exchange is recorded exactly once, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.answers import (
    block,
    from_upstream,
    own_headers,
    refuse,
    stopped,
    to_upstream,
)
from kintsugi.gateway.attempts import Attempts
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    CallUpstream,
    Command,
    Correct,
    DropClient,
    EndStream,
    Freeze,
    Hold,
    Pause,
    Record,
    Redeem,
    Reply,
    SendData,
    StartStream,
)
from kintsugi.gateway.dialects import BY_PATH, OPENAI_CHAT
from kintsugi.gateway.dialects.changes import CannotChange
from kintsugi.gateway.dialects.dialect import Dialect
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.models import MODELS_PATH, answer_models, model_names
from kintsugi.gateway.dialects.splice import splice
from kintsugi.gateway.events import (
    AdmissionDurable,
    AdmissionFailed,
    ClientAborted,
    Event,
    GatewayFailed,
    Gathered,
    Headers,
    HoldOver,
    PauseOver,
    RecordDurable,
    RecordFailed,
    Redeemed,
    RequestReceived,
    RequestRefused,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.facts import claims_in, settle, take, wish
from kintsugi.gateway.identity import identify, key_name_of
from kintsugi.gateway.in_force import InForce, Upstream
from kintsugi.gateway.judgement import (
    answer_body,
    answer_views,
    confirmation_of,
    judge_answer,
    judge_audit,
    judge_request,
    judge_route,
    judge_stream,
    note_confirmation,
    open_session,
    phase_of,
    read_answer,
    request_body,
    request_view,
)
from kintsugi.gateway.oversight import action_digest, quarantine_for
from kintsugi.gateway.streaming import StreamSession
from kintsugi.gateway.transforms import confirmation_text
from kintsugi.model.content import Edit
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Quarantine, RaisedEscalation
from kintsugi.model.oversight import EscalationReport
from kintsugi.model.transform import Escalation
from kintsugi.model.verdict import Verdict

# How often a route may be chosen anew because a policy asked for another model.
_ROUTES_MAX = 3
# Answered without a record: an overload must not be able to fill the journal.
_OVERLOAD = frozenset(("overloaded", "draining"))


class Ending(msgspec.Struct, frozen=True):
    """The last bytes of a started stream; cut off without an end when it broke."""

    data: bytes = b""
    broken: bool = False


class _Asked(msgspec.Struct, frozen=True):
    """A decision that a person may lift.

    Attributes:
        resume: what follows where they do.
    """

    decision: Decision
    phase: Phase
    raised: RaisedEscalation
    resume: Callable[[Decision, int], list[Command]]


class State(Enum):
    """Where an exchange stands."""

    WAITING = "waiting"  # for the request
    GATHERING = "gathering"  # counters and other machines were asked before a decision
    HOLDING = "holding"  # a reviewer was asked
    CALLING = "calling"  # upstream was called; its head has not come
    PAUSING = "pausing"  # an attempt failed; the next one begins after a pause
    READING = "reading"  # upstream's answer is coming
    RECORDING = "recording"  # the record was handed over; the end of the answer waits for it
    FINISHED = "finished"


_UNDER_WAY = (State.CALLING, State.PAUSING, State.READING, State.GATHERING, State.HOLDING)


class Exchange:
    """One exchange. It finishes on the ``InForce`` it began with, whatever is loaded meanwhile."""

    # What holds until something happens; most of it never does in most exchanges.
    state = State.WAITING
    _account: Account | None = None
    _admitted = False
    _durable = False  # the Admission is
    _started = False  # the head of a stream left
    _head: UpstreamHead | None = None
    _chunks: list[bytes] | None = None  # of an answer that is not streamed
    _outbox: list[bytes] | None = None  # stream bytes that wait for the Admission
    _last: Reply | Ending | None = None  # what leaves once the record is durable
    _headers: Headers  # of the request
    _body = b""  # of the request, as upstream may get it
    _next: Upstream | None = None  # who is called after the pause
    _since_ns = 0  # when the present wait for facts or a reviewer began
    _gathered: Callable[[int], list[Command]] | None = None  # what follows once facts are there
    _asked: _Asked | None = None  # a person was

    def __init__(self, in_force: InForce) -> None:
        self._in_force = in_force

    @property
    def finished(self) -> bool:
        """Whether no command will follow any more."""
        return self.state is State.FINISHED

    def step(self, event: Event) -> list[Command]:
        """Take one event in; return what is to be done about it, in order.

        An event that has no meaning in the present state (the rest of an answer whose client
        left) is passed over.
        """
        return _STEPS[type(event)](self, event)

    def _on_request(self, event: RequestReceived) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        path = event.target.partition(b"?")[0]
        dialect = BY_PATH.get(path)
        if dialect is None:
            return self._answer_ungoverned(event, path)
        in_force = self._in_force
        account = self._account = self._open(event, dialect, event.body)
        key_name: str | None = ""
        if in_force.key_names:
            key_name = key_name_of(event.headers, in_force.key_names)
        account.identity = identify(event.headers, key_name or "")
        if event.method != b"POST":
            return self._reject("method_not_allowed", event.at_ns)
        if not in_force.config.pack.enabled:
            return self._reject("pack.disabled", event.at_ns)
        if key_name is None:
            return self._reject("invalid_api_key", event.at_ns)
        try:
            request = account.request = dialect.read_request(event.body)
        except MalformedDocument as error:
            return self._reject("request.invalid", event.at_ns, message=f"{error}.")
        if request.unread and in_force.has_input_rules:
            if in_force.gateway.fail_mode == "block":
                return self._reject("request.invalid", event.at_ns, message=f"{request.unread}.")
            account.failed_open = True
        account.source = event.source
        oversight = in_force.oversight
        if oversight.frozen and (frozen := oversight.stops(account.identity, event.source)):
            return self._stay_frozen(frozen, event.at_ns)
        upstreams = in_force.candidates(request.model, dialect.name)
        if not upstreams:
            return self._reject(
                "model_not_found", event.at_ns, message=self._models_there_are(), param="model"
            )
        account.upstream = upstreams[0]
        self._headers = event.headers
        if in_force.plan.claim_names:
            account.claims = claims_in(event.headers, in_force.plan.claim_names)
        if in_force.asks_before:
            return self._gather((Phase.INPUT,), self._judge_request, event.at_ns)
        return self._judge_request(event.at_ns)

    def _judge_request(self, at_ns: int) -> list[Command]:
        """Judge a request, all facts at hand."""
        decision = judge_request(self._known())
        if decision.verdict.stops:
            return self._halt(decision, Phase.INPUT, at_ns, self._let_request_go)
        return self._let_request_go(decision, at_ns)

    def _let_request_go(self, decision: Decision, at_ns: int) -> list[Command]:
        """Redact and change a request as decided, and route it."""
        account = self._known()
        self._body = account.body
        if decision.edits or decision.transforms:
            decision, self._body = request_body(account, decision, account.body, Phase.INPUT)
            if decision.verdict.stops:
                return self._stop(decision, Phase.INPUT, at_ns)
        return self._route(at_ns, _ROUTES_MAX)

    def _route(self, at_ns: int, routes_left: int) -> list[Command]:
        """Choose who may answer, and call the first of them."""
        account = self._known()
        in_force = self._in_force
        upstreams = in_force.candidates(self._model, account.dialect.name)
        if not upstreams:  # a policy asked for a model that nobody configured
            return self._fail("upstream.not_configured", at_ns)
        account.upstream = upstreams[0]
        if not in_force.has_route_rules:
            return self._call_first(upstreams, at_ns)
        if in_force.plan.asks(Phase.ROUTE) and routes_left == _ROUTES_MAX:
            return self._gather(
                (Phase.ROUTE,), lambda at: self._judge_route(upstreams, at, routes_left), at_ns
            )
        return self._judge_route(upstreams, at_ns, routes_left)

    def _judge_route(
        self, upstreams: Sequence[Upstream], at_ns: int, routes_left: int
    ) -> list[Command]:
        ids = tuple(upstream.target.id for upstream in upstreams)
        decision = judge_route(self._known(), ids)

        def go(decision: Decision, at_ns: int) -> list[Command]:
            return self._let_route_go(decision, upstreams, at_ns, routes_left)

        if decision.verdict.stops:
            return self._halt(decision, Phase.ROUTE, at_ns, go)
        return go(decision, at_ns)

    def _let_route_go(
        self, decision: Decision, upstreams: Sequence[Upstream], at_ns: int, routes_left: int
    ) -> list[Command]:
        account = self._known()
        model = self._model
        if decision.transforms:
            changes = msgspec.structs.replace(decision, edits=())
            changes, self._body = request_body(account, changes, self._body, Phase.ROUTE)
            if changes.verdict.stops:
                return self._stop(changes, Phase.ROUTE, at_ns)
        if self._model != model:
            if routes_left <= 1:
                return self._fail("upstream.none_allowed", at_ns)
            return self._route(at_ns, routes_left - 1)
        allowed = decision.target_ids
        if allowed is not None:
            upstreams = [one for one in upstreams if one.target.id in allowed]
            if not upstreams:
                return self._fail("upstream.none_allowed", at_ns)
        return self._call_first(upstreams, at_ns)

    @property
    def _model(self) -> str:
        """The model that is asked: the client's choice, unless a policy changed it."""
        account = self._known()
        return account.sent_model or (account.request.model if account.request else "")

    def _call_first(self, upstreams: Sequence[Upstream], at_ns: int) -> list[Command]:
        account = self._known()
        account.upstream = upstreams[0]
        if upstreams[0].lacks_secret:
            return self._fail("upstream.secret_missing", at_ns)
        if not upstreams[0].origin:
            return self._fail("upstream.not_configured", at_ns)
        attempts = Attempts(
            self._in_force.board,
            self._in_force.config.routing,
            upstreams,
            event_id=account.event_id,
            at_ns=at_ns,
        )
        upstream = attempts.first()
        if upstream is None:
            return self._fail("upstream.circuit_open", at_ns)
        account.attempts = attempts
        return [*self._admit(), self._call(upstream, at_ns)]

    def _admit(self) -> list[Command]:
        """The record that comes before anybody else hears of the exchange; once."""
        if self._admitted:
            return []
        self._admitted = True
        return [Admit(self._known().admission())]

    # Facts

    def _gather(
        self, phases: tuple[Phase, ...], then: Callable[[int], list[Command]], at_ns: int
    ) -> list[Command]:
        """Count and ask what these phases need, then go on; at once where they need nothing."""
        account = self._known()
        of_answer = Phase.OUTPUT in phases
        views = answer_views(account) if of_answer else dict.fromkeys(phases, request_view(account))
        gather = wish(account, views.items())
        if gather is None:
            return then(at_ns)
        self._gathered = then
        self._since_ns = at_ns
        self.state = State.GATHERING
        return [*self._admit(), gather]

    def _on_gathered(self, event: Gathered) -> list[Command]:
        account = self._account
        then = self._gathered
        if self.state is not State.GATHERING or account is None or then is None:
            return []
        self._gathered = None
        take(account, event, of_answer=self._head is not None)
        if event.remote:  # others were waited for; counting is our own time
            account.waited_ns += max(event.at_ns - self._since_ns, 0)
        return then(event.at_ns)

    # People

    def _halt(
        self,
        decision: Decision,
        phase: Phase,
        at_ns: int,
        resume: Callable[[Decision, int], list[Command]],
    ) -> list[Command]:
        """Stop, freeze, or ask a person, as the verdict says."""
        if decision.verdict is Verdict.ESCALATE:
            return self._ask(decision, phase, at_ns, resume)
        return self._stop(decision, phase, at_ns)

    def _ask(
        self,
        decision: Decision,
        phase: Phase,
        at_ns: int,
        resume: Callable[[Decision, int], list[Command]],
    ) -> list[Command]:
        """Use an approval of exactly this up, or ask for one."""
        account = self._known()
        terms = decision.escalation or Escalation()
        now = self._now(at_ns)
        digest = self._digest_of_action(phase)
        raised = RaisedEscalation(
            account.event_id, phase, digest, now + timedelta(seconds=terms.expires_seconds)
        )
        self._asked = _Asked(decision, phase, raised, resume)
        self._since_ns = at_ns
        revision = self._in_force.plan.revision
        approval = self._in_force.oversight.approval_for(digest, revision, now)
        if approval is not None:
            self.state = State.HOLDING
            return [
                *self._admit(),
                Redeem(approval.escalation_id, digest, revision, account.event_id),
            ]
        return self._hold(at_ns)

    def _digest_of_action(self, phase: Phase) -> str:
        """What exactly a person would approve of."""
        account = self._known()
        views = answer_views(account) if phase in (Phase.TOOL, Phase.OUTPUT) else {}
        return action_digest(
            dialect=account.dialect.name,
            phase=phase.value,
            identity=account.identity,
            request_digest=account.request_digest,
            parts=views[phase].parts if phase in views else (),
        )

    def _hold(self, at_ns: int) -> list[Command]:
        """Hold the answer for a reviewer, or say at once that one is needed."""
        asked = self._known_asked()
        terms = asked.decision.escalation or Escalation()
        if not terms.hold_seconds or not self._in_force.oversight.may_hold:
            return self._give_up(at_ns)
        account = self._known()
        in_force = self._in_force
        self.state = State.HOLDING
        now = self._now(at_ns)
        report = EscalationReport(
            id=account.event_id,
            created_at=now,
            expires_at=asked.raised.expires_at,
            action_digest=asked.raised.action_digest,
            revision=in_force.plan.revision,
            phase=asked.phase,
            policy_name=asked.decision.policy_name,
            reason_code=asked.decision.reason_code,
            gateway_id=in_force.gateway_id,
            config_version=in_force.config_version,
            model=account.request.model if account.request is not None else "",
            identity=account.identity,
            held_until=now + timedelta(seconds=terms.hold_seconds),
        )
        self._asked = msgspec.structs.replace(
            asked, raised=msgspec.structs.replace(asked.raised, held=True)
        )
        return [*self._admit(), Hold(report, terms.hold_seconds)]

    def _give_up(self, at_ns: int, *, rejected: bool = False) -> list[Command]:
        asked = self._known_asked()
        account = self._known()
        account.escalation = asked.raised
        if account.session is not None:
            return self._stop_stream(asked.decision, asked.phase, at_ns, rejected=rejected)
        return self._stop(asked.decision, asked.phase, at_ns, rejected=rejected)

    def _on_hold_over(self, event: HoldOver) -> list[Command]:
        account = self._account
        if self.state is not State.HOLDING or account is None:
            return []
        asked = self._known_asked()
        if event.approved:
            return [
                Redeem(
                    asked.raised.id,
                    asked.raised.action_digest,
                    self._in_force.plan.revision,
                    account.event_id,
                )
            ]
        self._waited(event.at_ns)
        return self._give_up(event.at_ns, rejected=event.approved is False)

    def _on_redeemed(self, event: Redeemed) -> list[Command]:
        account = self._account
        if self.state is not State.HOLDING or account is None:
            return []
        self._waited(event.at_ns)
        asked = self._known_asked()
        if event.approval is None:  # used, expired or withdrawn meanwhile
            return self._give_up(event.at_ns) if asked.raised.held else self._hold(event.at_ns)
        decision = account.approve(asked.decision, event.approval)
        return asked.resume(decision, event.at_ns)

    def _waited(self, at_ns: int) -> None:
        """A person's time is none of ours."""
        self._known().waited_ns += max(at_ns - self._since_ns, 0)
        self._since_ns = at_ns

    def _now(self, at_ns: int) -> datetime:
        account = self._known()
        return account.now + timedelta(microseconds=(at_ns - account.received_at_ns) / 1000)

    def _known_asked(self) -> _Asked:
        if self._asked is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has asked nobody")
        return self._asked

    def _stay_frozen(self, frozen: Quarantine, at_ns: int) -> list[Command]:
        """Refuse what is in quarantine, before anybody looks at it."""
        account = self._known()
        account.quarantine = frozen
        decision = Decision(
            Verdict.QUARANTINE,
            "quarantine.in_force",
            message=f"This {frozen.scope} is in quarantine until a person releases it.",
        )
        account.decisions.append(decision)
        return self._stop(decision, Phase.INPUT, at_ns)

    # Upstream

    def _call(self, upstream: Upstream, at_ns: int) -> CallUpstream:
        account = self._known()
        account.upstream = upstream
        if account.attempts is not None:
            account.attempts.begin(upstream, at_ns)
        # Until the shell says otherwise; it tells later when the request was written.
        account.called_at_ns = account.heard_at_ns = at_ns
        self.state = State.CALLING
        credential = upstream.credential
        target = upstream.target
        return CallUpstream(
            target_id=target.id,
            origin=upstream.origin,
            path=upstream.base_path + account.dialect.upstream_path,
            headers=to_upstream(
                self._headers,
                credential.reveal() if credential else None,
                upstream.credential_header,
            ),
            body=self._body_for(upstream),
            allow_private_network=upstream.reaches_private_network,
            first_byte_timeout_seconds=target.first_byte_timeout_seconds,
            total_timeout_seconds=target.total_timeout_seconds,
        )

    def _body_for(self, upstream: Upstream) -> bytes:
        """The request under the name that this target knows the model by."""
        asked = self._model
        name = upstream.target.upstream_model or upstream.target.model or asked
        if name == asked:
            return self._body
        return splice(self._body, [Edit("/model", 0, len(asked), name)])

    def _another(
        self, at_ns: int, called_at_ns: int, headers: Headers, *, ended: bool
    ) -> list[Command] | None:
        """Try again, or elsewhere, after a failed attempt; None when that shall not be.

        Args:
            headers: of the answer that failed, if there was one.
            ended: nothing more comes of it.
        """
        account = self._known()
        again = account.attempts.another(headers) if account.attempts is not None else None
        if again is None:
            return None
        account.waited_ns += max(at_ns - (called_at_ns or account.called_at_ns), 0)
        account.heard_at_ns = account.called_at_ns = at_ns
        commands: list[Command] = [] if ended else [AbortUpstream()]
        if again.pause_seconds:
            self.state = State.PAUSING
            self._next = again.upstream
            return [*commands, Pause(again.pause_seconds)]
        return [*commands, self._call(again.upstream, at_ns)]

    def _on_pause_over(self, event: PauseOver) -> list[Command]:
        account = self._account
        if self.state is not State.PAUSING or account is None or self._next is None:
            return []
        account.waited_ns += event.at_ns - account.called_at_ns
        return [self._call(self._next, event.at_ns)]

    def _on_head(self, event: UpstreamHead) -> list[Command]:
        account = self._account
        if self.state is not State.CALLING or account is None:
            return []
        attempts = account.attempts
        if attempts is not None and attempts.ended(event.at_ns, status=event.status):
            again = self._another(event.at_ns, event.called_at_ns, event.headers, ended=event.ended)
            if again is not None:
                return again
        self.state = State.READING
        self._head = event
        account.heard_at_ns = event.at_ns
        account.called_at_ns = event.called_at_ns or account.called_at_ns
        account.upstream_status = event.status
        account.upstream_ended = event.ended
        account.encoded = any(
            name == b"content-encoding" and value.strip().lower() not in (b"", b"identity")
            for name, value in event.headers
        )
        if account.encoded and self._in_force.has_output_rules:
            return self._fail("upstream.encoded", event.at_ns)
        if 200 <= event.status < 300 and not account.encoded and _is_event_stream(event.headers):
            account.session = open_session(account)
        return self._take(account, event.data, event.at_ns, ended=event.ended)

    def _on_data(self, event: UpstreamData) -> list[Command]:
        account = self._account
        if self.state is not State.READING or account is None:
            return []
        account.heard_at_ns = event.at_ns
        account.upstream_ended = event.ended
        return self._take(account, event.data, event.at_ns, ended=event.ended)

    def _take(self, account: Account, data: bytes, at_ns: int, *, ended: bool) -> list[Command]:
        """Take in what one read brought of the body, and the end if it brought that too."""
        session = account.session
        if session is None:
            if self._chunks is None:
                self._chunks = []
            self._chunks.append(data)
            return self._finish(account, at_ns) if ended else []
        out = session.feed(data) if data else b""
        if session.ended_early:
            return self._conclude_stream(session, at_ns, "")
        commands = self._send(out, at_ns) if out else []
        return commands + self._finish(account, at_ns) if ended else commands

    def _on_end(self, event: UpstreamEnd) -> list[Command]:
        account = self._account
        if self.state is State.CALLING:
            return self._no_answer("upstream.invalid_response", event.at_ns)
        if self.state is not State.READING or account is None:
            return []
        account.heard_at_ns = event.at_ns
        account.upstream_ended = True
        return self._finish(account, event.at_ns)

    def _finish(self, account: Account, at_ns: int) -> list[Command]:
        """Judge and record an answer that is complete."""
        account.answer_whole = True
        if account.session is not None:
            account.session.take_last()
            if account.session.unreadable:
                return self._conclude_stream(account.session, at_ns, "")
        else:
            account.answer_body = b"".join(self._chunks or ())
            try:
                read_answer(account)
            except MalformedDocument:
                return self._fail("upstream.unreadable", at_ns)
        if self._in_force.asks_of_answers:
            return self._gather((Phase.TOOL, Phase.OUTPUT), self._conclude, at_ns)
        return self._conclude(at_ns)

    def _conclude(self, at_ns: int) -> list[Command]:
        """Judge a complete answer, all facts at hand."""
        account = self._known()
        if account.session is not None:
            return self._conclude_stream(account.session, at_ns, "")
        decision = judge_answer(account)
        if decision.verdict.stops:
            return self._halt(decision, phase_of(decision), at_ns, self._let_answer_go)
        return self._let_answer_go(decision, at_ns)

    def _let_answer_go(self, decision: Decision, at_ns: int) -> list[Command]:
        account = self._known()
        decision, body = answer_body(account, decision)
        if decision.verdict.stops:
            return self._stop(decision, Phase.OUTPUT, at_ns)
        head = self._known_head()
        reply = (head.status, from_upstream(head.headers, encoded=account.encoded), body)
        return self._record(ExchangeStatus.ANSWERED, reply, at_ns)

    def _conclude_stream(self, session: StreamSession, at_ns: int, broken: str) -> list[Command]:
        """End a streamed answer: whole, stopped, unreadable, or broken for the reason given."""
        account = self._known()
        broken = broken or ("upstream.unreadable" if session.unreadable else "")
        decision = judge_stream(account, session)
        if broken:
            if self._started:
                last: Reply | Ending = Ending(broken=True)
            else:
                last = refuse(account.dialect, broken, event_id=account.event_id)
            return self._record(ExchangeStatus.STREAM_BROKEN, last, at_ns, error=broken)
        if decision.verdict is Verdict.ESCALATE and account.answer_whole:
            return self._halt(decision, phase_of(decision), at_ns, self._let_stream_go)
        if decision.verdict.stops:
            return self._stop_stream(decision, phase_of(decision), at_ns)
        return self._let_stream_go(decision, at_ns)

    def _let_stream_go(self, decision: Decision, at_ns: int) -> list[Command]:
        account = self._known()
        session = self._known_session()
        confirmation = confirmation_of(account, decision)
        if confirmation and session.mode != "observe":
            try:
                rest, count = session.rest_confirmed(
                    lambda calls: confirmation_text(confirmation, calls)
                )
            except CannotChange:
                decision = account.cannot_change(decision)
                return self._stop_stream(decision, Phase.TOOL, at_ns)
            if count:
                note_confirmation(account, decision, count)
        else:
            rest = session.rest()
        if session.cannot_redact:
            return self._stop_stream(account.cannot_redact(decision), Phase.OUTPUT, at_ns)
        error = "stream.inconsistent" if session.inconsistent else ""
        return self._record(ExchangeStatus.ANSWERED, Ending(rest), at_ns, error=error)

    def _stop_stream(
        self, decision: Decision, phase: Phase, at_ns: int, *, rejected: bool = False
    ) -> list[Command]:
        """Stop a streamed answer: with an error while nothing has left, else with an ending."""
        account = self._known()
        if not self._started:
            return self._stop(decision, phase, at_ns, rejected=rejected)
        session = self._known_session()
        problem = stopped(decision, phase, event_id=account.event_id, rejected=rejected)
        frames = session.reader.stop_frames(problem, session.finished_choices)
        commands = self._freeze(decision)
        return commands + self._record(ExchangeStatus.BLOCKED, Ending(frames), at_ns)

    def _on_admission_durable(self, event: AdmissionDurable) -> list[Command]:
        self._durable = True
        if self.state is not State.READING or not self._outbox:
            return []
        out, self._outbox = b"".join(self._outbox), None
        return self._send(out, event.at_ns)

    def _send(self, out: bytes, at_ns: int) -> list[Command]:
        """Send bytes of a stream; they wait while the Admission is not durable."""
        if not self._durable:
            self._outbox = self._outbox or []
            self._outbox.append(out)
            return []
        if self._started:
            return [SendData(out)]
        self._started = True
        status, headers = self._stream_head()
        return [StartStream(status, headers + self._own_headers(at_ns)), SendData(out)]

    def _on_record_durable(self, event: RecordDurable) -> list[Command]:
        if self.state is not State.RECORDING:
            return []
        commands = self._say_last(event.at_ns)
        self.state = State.FINISHED
        return commands

    def _say_last(self, at_ns: int) -> list[Command]:
        last = self._last
        if last is None:
            return []
        if isinstance(last, tuple):
            status, headers, body = last
            return [Answer(status, headers + self._own_headers(at_ns), body)]
        if last.broken:
            return [DropClient()]
        if not self._started:
            # All of it was held, so it has a length and leaves like any other answer.
            status, headers = self._stream_head()
            body = b"".join([*(self._outbox or ()), last.data])
            return [Answer(status, headers + self._own_headers(at_ns), body)]
        return [SendData(last.data + self._comment(at_ns)), EndStream()]

    def _on_upstream_failed(self, event: UpstreamFailed) -> list[Command]:
        account = self._account
        if self.state is State.CALLING and account is not None:
            if account.attempts is not None:
                account.attempts.ended(event.at_ns, error=event.code)
            again = self._another(event.at_ns, event.called_at_ns, [], ended=True)
            if again is not None:
                return again
            account.called_at_ns = event.called_at_ns or account.called_at_ns
        return self._no_answer(event.code, event.at_ns)

    def _no_answer(self, code: str, at_ns: int) -> list[Command]:
        account = self._account
        if account is None or self.state not in (State.CALLING, State.READING):
            return []
        account.heard_at_ns = at_ns
        account.upstream_ended = True
        if account.session is not None:
            return self._conclude_stream(account.session, at_ns, code)
        return self._fail(code, at_ns)

    def _on_client_aborted(self, event: ClientAborted) -> list[Command]:
        account = self._account
        if self.state is State.RECORDING:
            self._last = None
            return []
        if account is None or self.state not in _UNDER_WAY:
            self.state = State.FINISHED
            return []
        if account.session is not None:
            judge_stream(account, account.session)
        account.answer_body = b"".join(self._chunks or ())
        return self._record(ExchangeStatus.CLIENT_ABORTED, None, event.at_ns)

    def _on_admission_failed(self, event: AdmissionFailed) -> list[Command]:
        if self.state in _UNDER_WAY:
            # The journal writes the Admission once it can, so it must get the record that ends it.
            code = "evidence_unavailable"
            commands = self._record(ExchangeStatus.REJECTED, None, event.at_ns, error=code)
            return commands + self._answer_unrecorded(event.at_ns)
        return self._on_record_failed(event)

    def _on_record_failed(self, event: RecordFailed | AdmissionFailed) -> list[Command]:
        if self.state is not State.RECORDING:
            return []
        if self._last is None:
            self.state = State.FINISHED
            return []
        told = self._account_of_failure(event.at_ns)
        return [Correct(told), *self._answer_unrecorded(event.at_ns)]

    def _account_of_failure(self, at_ns: int) -> DecisionEvent:
        """What became of an exchange whose record failed: its answer never left."""
        status, http_status = ExchangeStatus.REJECTED, 503
        if self._started:
            status, http_status = ExchangeStatus.STREAM_BROKEN, self._stream_head()[0]
        return self._known().event(
            status, at_ns=at_ns, http_status=http_status, error="evidence_unavailable"
        )

    def _answer_unrecorded(self, at_ns: int) -> list[Command]:
        """Say that the evidence failed, and nothing of the answer."""
        account = self._known()
        self.state = State.FINISHED
        if self._started:
            return [DropClient()]
        code = "evidence_unavailable"
        status, headers, body = refuse(account.dialect, code, event_id=account.event_id)
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    def _on_gateway_failed(self, event: GatewayFailed) -> list[Command]:
        account = self._account
        if self.state is State.FINISHED:
            return []
        if account is None or self.state is State.RECORDING:
            self.state = State.FINISHED
            return [DropClient()]
        if self._started:
            last: Reply | Ending = Ending(broken=True)
        else:
            last = refuse(account.dialect, event.code, event_id=account.event_id)
        return self._record(ExchangeStatus.INTERRUPTED, last, event.at_ns, error=event.code)

    def _on_refused(self, event: RequestRefused) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        dialect = BY_PATH.get(event.target.partition(b"?")[0])
        account = self._account = self._open(event, dialect or OPENAI_CHAT, event.body)
        account.identity = identify(event.headers, "")
        if dialect is None or event.code in _OVERLOAD:
            return self._answer_now(refuse(account.dialect, event.code, event_id=event.event_id))
        return self._reject(event.code, event.at_ns)

    def _answer_ungoverned(self, event: RequestReceived, path: bytes) -> list[Command]:
        """The paths that carry no exchange with a model; they leave no record."""
        in_force = self._in_force
        self._account = self._open(event, OPENAI_CHAT, b"")
        code = "unknown_url"
        if path == MODELS_PATH or path.startswith(MODELS_PATH + b"/"):
            if in_force.key_names and key_name_of(event.headers, in_force.key_names) is None:
                code = "invalid_api_key"
            elif event.method != b"GET":
                code = "method_not_allowed"
            elif (reply := answer_models(in_force.config.targets, path)) is not None:
                return self._answer_now(reply)
            else:
                code = "model_not_found"
        return self._answer_now(refuse(OPENAI_CHAT, code, event_id=event.event_id))

    def _answer_now(self, reply: Reply) -> list[Command]:
        self.state = State.FINISHED
        status, headers, body = reply
        at_ns = self._known().received_at_ns
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    def _reject(
        self, code: str, at_ns: int, *, message: str = "", param: str = ""
    ) -> list[Command]:
        account = self._known()
        reply = refuse(
            account.dialect, code, event_id=account.event_id, message=message, param=param
        )
        return self._record(ExchangeStatus.REJECTED, reply, at_ns, error=code)

    def _fail(self, code: str, at_ns: int) -> list[Command]:
        account = self._known()
        account.answer_body = account.answer_body or b"".join(self._chunks or ())
        reply = refuse(account.dialect, code, event_id=account.event_id)
        return self._record(ExchangeStatus.UPSTREAM_FAILED, reply, at_ns, error=code)

    def _stop(
        self, decision: Decision, phase: Phase, at_ns: int, *, rejected: bool = False
    ) -> list[Command]:
        account = self._known()
        if decision.verdict is Verdict.ESCALATE and account.escalation is None:
            account.escalation = self._unapprovable(phase, at_ns)
        commands = self._freeze(decision)
        problem = stopped(decision, phase, event_id=account.event_id, rejected=rejected)
        reply = block(account.dialect, problem, decision.retry_after_seconds)
        return commands + self._record(ExchangeStatus.BLOCKED, reply, at_ns)

    def _unapprovable(self, phase: Phase, at_ns: int) -> RaisedEscalation:
        """An escalation of what is not whole: it can be looked at, and not let through."""
        now = self._now(at_ns)
        seconds = Escalation().expires_seconds
        account = self._known()
        return RaisedEscalation(account.event_id, phase, "", now + timedelta(seconds=seconds))

    def _freeze(self, decision: Decision) -> list[Command]:
        """Freeze whoever the decision is about, if it says so and they are not frozen yet."""
        account = self._known()
        if decision.quarantine is None or account.quarantine is not None:
            return []
        found = quarantine_for(
            account.event_id, decision.quarantine, account.identity, account.source
        )
        if found is None:
            return []
        account.quarantine = found
        version = self._in_force.config_version
        return [Freeze(found, decision.policy_name, decision.reason_code, version)]

    def _record(
        self,
        status: ExchangeStatus,
        last: Reply | Ending | None,
        at_ns: int,
        *,
        error: str = "",
    ) -> list[Command]:
        """Hand over the record; what is left to send waits for it."""
        account = self._known()
        commands: list[Command] = []
        if not self._admitted:
            self._admitted = True
            commands.append(Admit(account.admission()))
        elif not account.upstream_ended:
            commands.append(AbortUpstream())
        if status is not ExchangeStatus.REJECTED:
            judge_audit(account)
        if account.reservations:
            commands += self._settle(status)
        if isinstance(last, tuple):
            http_status = last[0]
        else:
            begun = self._head is not None and (self._started or last is not None)
            http_status = self._head.status if self._head is not None and begun else 0
        event = account.event(status, at_ns=at_ns, http_status=http_status, error=error)
        commands.append(Record(event, at_ns))
        self.state = State.RECORDING
        self._last = last
        return commands

    def _settle(self, status: ExchangeStatus) -> list[Command]:
        """End the reservations on counters."""
        account = self._known()
        answered = 200 <= account.upstream_status < 300
        # A client that left while upstream worked has cost what was reserved.
        left = status is ExchangeStatus.CLIENT_ABORTED and account.called_at_ns > 0
        views = {Phase.INPUT: request_view(account), Phase.ROUTE: request_view(account)}
        if self._head is not None:
            views |= answer_views(account)
        return [
            *settle(
                account,
                views,
                called=answered or left,
                delivered=status is ExchangeStatus.ANSWERED,
            )
        ]

    def _open(
        self, event: RequestReceived | RequestRefused, dialect: Dialect, body: bytes
    ) -> Account:
        return Account(
            self._in_force,
            dialect,
            event_id=event.event_id,
            now=event.now,
            at_ns=event.at_ns,
            body=body,
        )

    def _known(self) -> Account:
        """The account of an exchange that has begun."""
        if self._account is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no account yet")
        return self._account

    def _known_session(self) -> StreamSession:
        """The session of an answer that is streamed."""
        session = self._known().session
        if session is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no stream")
        return session

    def _known_head(self) -> UpstreamHead:
        """The head of an answer that has begun."""
        if self._head is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no answer yet")
        return self._head

    def _stream_head(self) -> tuple[int, Headers]:
        head = self._known_head()
        return head.status, from_upstream(head.headers)

    def _own_headers(self, at_ns: int) -> Headers:
        account = self._known()
        return own_headers(
            event_id=account.event_id,
            verdict=account.decision.verdict,
            config_version=self._in_force.config_version,
            overhead_ms=account.overhead_ms(at_ns),
        )

    def _comment(self, at_ns: int) -> bytes:
        """What only the end of a stream knows, as a comment that clients pass over."""
        account = self._known()
        if account.session is None or not account.session.ended_between_frames:
            return b""  # it would turn upstream's unfinished frame into a finished one
        verdict, overhead_ms = account.decision.verdict.value, account.overhead_ms(at_ns)
        return b": kt decision=%b overhead_ms=%.3f\n\n" % (verdict.encode(), overhead_ms)

    def _models_there_are(self) -> str:
        names = ", ".join(model_names(self._in_force.config.targets)) or "none"
        return f"This model is not configured. Configured models: {names}."


def _is_event_stream(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in headers
    )


_STEPS: dict[type[Event], Callable[[Exchange, Any], list[Command]]] = {
    RequestReceived: Exchange._on_request,
    RequestRefused: Exchange._on_refused,
    AdmissionDurable: Exchange._on_admission_durable,
    AdmissionFailed: Exchange._on_admission_failed,
    UpstreamHead: Exchange._on_head,
    UpstreamData: Exchange._on_data,
    UpstreamEnd: Exchange._on_end,
    UpstreamFailed: Exchange._on_upstream_failed,
    PauseOver: Exchange._on_pause_over,
    Gathered: Exchange._on_gathered,
    Redeemed: Exchange._on_redeemed,
    HoldOver: Exchange._on_hold_over,
    ClientAborted: Exchange._on_client_aborted,
    RecordDurable: Exchange._on_record_durable,
    RecordFailed: Exchange._on_record_failed,
    GatewayFailed: Exchange._on_gateway_failed,
}
