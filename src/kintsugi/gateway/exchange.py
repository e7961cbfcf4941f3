"""One exchange from request to record: decides everything and performs nothing.

The shell feeds events and carries out the commands it gets back, in order. The order of truth:

* upstream is called only after the input was judged, and never when it was stopped;
* the Admission is appended before upstream is called; its commit overlaps the call;
* no byte of a stream leaves before the Admission is durable, and its end not before the
  DecisionEvent is; a whole answer leaves only after the DecisionEvent is durable;
* every admitted exchange is recorded exactly once, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable
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
    Pause,
    Record,
    Reply,
    SendData,
    StartStream,
)
from kintsugi.gateway.dialects import BY_PATH, OPENAI_CHAT
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
    Headers,
    PauseOver,
    RecordDurable,
    RecordFailed,
    RequestReceived,
    RequestRefused,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.identity import identify, key_name_of
from kintsugi.gateway.in_force import InForce, Upstream
from kintsugi.gateway.judgement import (
    judge_answer,
    judge_audit,
    judge_request,
    judge_stream,
    open_session,
)
from kintsugi.gateway.streaming import StreamSession
from kintsugi.model.content import Edit
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus

# Answered without a record: an overload must not be able to fill the journal.
_OVERLOAD = frozenset(("overloaded", "draining"))


class Ending(msgspec.Struct, frozen=True):
    """The last bytes of a started stream; cut off without an end when it broke."""

    data: bytes = b""
    broken: bool = False


class State(Enum):
    """Where an exchange stands."""

    WAITING = "waiting"  # for the request
    CALLING = "calling"  # upstream was called; its head has not come
    PAUSING = "pausing"  # an attempt failed; the next one begins after a pause
    READING = "reading"  # upstream's answer is coming
    RECORDING = "recording"  # the record was handed over; the end of the answer waits for it
    FINISHED = "finished"


_UNDER_WAY = (State.CALLING, State.PAUSING, State.READING)


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
        upstreams = in_force.candidates(request.model)
        if not upstreams:
            return self._reject(
                "model_not_found", event.at_ns, message=self._models_there_are(), param="model"
            )
        account.upstream = upstreams[0]
        decision, body = judge_request(account)
        if decision.verdict.stops:
            return self._stop(decision, Phase.INPUT, event.at_ns)
        if upstreams[0].lacks_secret:
            return self._fail("upstream.secret_missing", event.at_ns)
        if not upstreams[0].origin:
            return self._fail("upstream.not_configured", event.at_ns)
        attempts = Attempts(
            in_force.board,
            in_force.config.routing,
            upstreams,
            event_id=account.event_id,
            at_ns=event.at_ns,
        )
        upstream = attempts.first()
        if upstream is None:
            return self._fail("upstream.circuit_open", event.at_ns)
        account.attempts = attempts
        self._admitted = True
        self._headers, self._body = event.headers, body
        return [Admit(account.admission()), self._call(upstream, event.at_ns)]

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
            headers=to_upstream(self._headers, credential.reveal() if credential else None),
            body=self._body_for(account, upstream),
            allow_private_network=upstream.reaches_private_network,
            first_byte_timeout_seconds=target.first_byte_timeout_seconds,
            total_timeout_seconds=target.total_timeout_seconds,
        )

    def _body_for(self, account: Account, upstream: Upstream) -> bytes:
        """The request under the name that this target knows the model by."""
        asked = account.request.model if account.request is not None else ""
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
        if account.session is not None:
            account.session.finish()
            return self._conclude_stream(account.session, at_ns, "")
        account.answer_body = b"".join(self._chunks or ())
        try:
            decision, body = judge_answer(account)
        except MalformedDocument:
            return self._fail("upstream.unreadable", at_ns)
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
        rest = b"" if decision.verdict.stops else session.rest()
        if session.cannot_redact:
            decision = account.cannot_redact(decision)
        if decision.verdict.stops:
            if not self._started:
                return self._stop(decision, Phase.OUTPUT, at_ns)
            problem = stopped(decision, Phase.OUTPUT, event_id=account.event_id)
            frames = session.reader.stop_frames(problem, session.finished_choices)
            return self._record(ExchangeStatus.BLOCKED, Ending(frames), at_ns)
        error = "stream.inconsistent" if session.inconsistent else ""
        return self._record(ExchangeStatus.ANSWERED, Ending(rest), at_ns, error=error)

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

    def _stop(self, decision: Decision, phase: Phase, at_ns: int) -> list[Command]:
        account = self._known()
        problem = stopped(decision, phase, event_id=account.event_id)
        return self._record(ExchangeStatus.BLOCKED, block(account.dialect, problem), at_ns)

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
    ClientAborted: Exchange._on_client_aborted,
    RecordDurable: Exchange._on_record_durable,
    RecordFailed: Exchange._on_record_failed,
    GatewayFailed: Exchange._on_gateway_failed,
}
