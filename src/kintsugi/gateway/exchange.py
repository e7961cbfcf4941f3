"""One exchange with a model, from request to record: decides everything and performs nothing.

The shell feeds events and carries out the commands it gets back, in order. Upstream is called only
after the input was judged, and never when it was stopped; ``recorded_exchange.py`` says what leaves
when, and ``overseen_exchange.py`` who is asked before.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.answers import block, from_upstream, refuse, stopped, to_upstream
from kintsugi.gateway.attempts import Attempts
from kintsugi.gateway.commands import AbortUpstream, CallUpstream, Command, Pause, Reply
from kintsugi.gateway.dialects import BY_PATH, OPENAI_CHAT
from kintsugi.gateway.dialects.changes import CannotChange
from kintsugi.gateway.dialects.dialect import Dialect
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.models import MODELS_PATH, answer_models, model_names
from kintsugi.gateway.dialects.splice import splice
from kintsugi.gateway.events import (
    Headers,
    PauseOver,
    RequestReceived,
    RequestRefused,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.facts import claims_in
from kintsugi.gateway.identity import identify, key_name_of
from kintsugi.gateway.in_force import Upstream
from kintsugi.gateway.judgement import (
    answer_body,
    answer_views,
    confirmation_of,
    judge_answer,
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
from kintsugi.gateway.overseen_exchange import OVERSEEN_STEPS, OverseenExchange
from kintsugi.gateway.oversight import action_digest
from kintsugi.gateway.recorded_exchange import OVERLOAD, Ending, State
from kintsugi.gateway.streaming import StreamSession
from kintsugi.gateway.transforms import confirmation_text
from kintsugi.model.content import Edit, ExchangeView
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict

# How often a route may be chosen anew because a policy asked for another model.
_ROUTES_MAX = 3


class Exchange(OverseenExchange):
    """One exchange with a model, in any dialect but MCP."""

    _headers: Headers  # of the request
    _body = b""  # of the request, as upstream may get it
    _next: Upstream | None = None  # who is called after the pause

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
        if oversight.contained:
            self._contain(account, event.headers)
            in_force = self._in_force
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
        decision = judge_request(self._account)
        if decision.verdict.stops:
            return self._halt(decision, Phase.INPUT, at_ns, self._let_request_go)
        return self._let_request_go(decision, at_ns)

    def _let_request_go(self, decision: Decision, at_ns: int) -> list[Command]:
        """Redact and change a request as decided, and route it."""
        account = self._account
        self._body = account.body
        if decision.edits or decision.transforms:
            decision, self._body = request_body(account, decision, account.body, Phase.INPUT)
            if decision.verdict.stops:
                return self._stop(decision, Phase.INPUT, at_ns)
        return self._route(at_ns, _ROUTES_MAX)

    def _route(self, at_ns: int, routes_left: int) -> list[Command]:
        """Choose who may answer, and call the first of them."""
        account = self._account
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
        decision = judge_route(self._account, ids)

        def go(decision: Decision, at_ns: int) -> list[Command]:
            return self._let_route_go(decision, upstreams, at_ns, routes_left)

        if decision.verdict.stops:
            return self._halt(decision, Phase.ROUTE, at_ns, go)
        return go(decision, at_ns)

    def _let_route_go(
        self, decision: Decision, upstreams: Sequence[Upstream], at_ns: int, routes_left: int
    ) -> list[Command]:
        account = self._account
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
        account = self._account
        return account.sent_model or (account.request.model if account.request else "")

    def _call_first(self, upstreams: Sequence[Upstream], at_ns: int) -> list[Command]:
        account = self._account
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

    def _digest_of_action(self, phase: Phase) -> str:
        account = self._account
        views = answer_views(account) if phase in (Phase.TOOL, Phase.OUTPUT) else {}
        return action_digest(
            dialect=account.dialect.name,
            phase=phase.value,
            identity=account.identity,
            request_digest=account.request_digest,
            parts=views[phase].parts if phase in views else (),
        )

    # Upstream

    def _call(self, upstream: Upstream, at_ns: int) -> CallUpstream:
        account = self._account
        account.upstream = upstream
        if account.attempts is not None:
            account.attempts.begin(upstream, at_ns)
        # Until the shell says otherwise; it tells later when the request was written.
        account.called_at_ns = account.heard_at_ns = at_ns
        self._waits = 0
        self.state = State.CALLING
        credential = upstream.credential
        target = upstream.target
        account.sent_body = self._body_for(upstream)
        return CallUpstream(
            target_id=target.id,
            origin=upstream.origin,
            path=upstream.base_path + account.dialect.upstream_path,
            headers=to_upstream(
                self._headers,
                credential.reveal() if credential else None,
                upstream.credential_header,
            ),
            body=account.sent_body,
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
        account = self._account
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
        if self.state is not State.PAUSING or self._next is None:
            return []
        account = self._account
        account.waited_ns += event.at_ns - account.called_at_ns
        return [self._call(self._next, event.at_ns)]

    def _on_head(self, event: UpstreamHead) -> list[Command]:
        if self.state is not State.CALLING:
            return []
        account = self._account
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
        account.encoded = event.is_encoded
        if account.encoded and self._in_force.has_output_rules:
            return self._fail("upstream.encoded", event.at_ns)
        if 200 <= event.status < 300 and not account.encoded and event.is_event_stream:
            account.session = open_session(account)
        return self._take(account, event.data, event.at_ns, ended=event.ended)

    def _on_data(self, event: UpstreamData) -> list[Command]:
        if self.state is not State.READING:
            return []
        account = self._account
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
        if self.state is State.CALLING:
            return self._no_answer("upstream.invalid_response", event.at_ns)
        if self.state is not State.READING:
            return []
        account = self._account
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
        account = self._account
        if account.session is not None:
            return self._conclude_stream(account.session, at_ns, "")
        decision = judge_answer(account)
        if decision.verdict.stops:
            return self._halt(decision, phase_of(decision), at_ns, self._let_answer_go)
        return self._let_answer_go(decision, at_ns)

    def _let_answer_go(self, decision: Decision, at_ns: int) -> list[Command]:
        account = self._account
        decision, body = answer_body(account, decision)
        if decision.verdict.stops:
            return self._stop(decision, Phase.OUTPUT, at_ns)
        head = self._known_head()
        reply = (head.status, from_upstream(head.headers, encoded=account.encoded), body)
        return self._record(ExchangeStatus.ANSWERED, reply, at_ns)

    def _conclude_stream(self, session: StreamSession, at_ns: int, broken: str) -> list[Command]:
        """End a streamed answer: whole, stopped, unreadable, or broken for the reason given."""
        account = self._account
        broken = broken or ("upstream.unreadable" if session.unreadable else "")
        decision = judge_stream(account, session)
        if broken:
            if self._started:
                last: Reply | Ending = Ending(broken=True)
            else:
                last = self._refusal(broken)
            return self._record(ExchangeStatus.STREAM_BROKEN, last, at_ns, error=broken)
        if decision.verdict is Verdict.ESCALATE and account.answer_whole:
            return self._halt(decision, phase_of(decision), at_ns, self._let_stream_go)
        if decision.verdict.stops:
            return self._stop(decision, phase_of(decision), at_ns)
        return self._let_stream_go(decision, at_ns)

    def _let_stream_go(self, decision: Decision, at_ns: int) -> list[Command]:
        account = self._account
        session = self._known_session()
        confirmation = confirmation_of(account, decision)
        if confirmation and session.mode != "observe":
            try:
                rest, count = session.rest_confirmed(
                    lambda calls: confirmation_text(confirmation, calls)
                )
            except CannotChange:
                decision = account.cannot_change(decision)
                return self._stop(decision, Phase.TOOL, at_ns)
            if count:
                note_confirmation(account, decision, count)
        else:
            rest = session.rest()
        if session.cannot_redact:
            return self._stop(account.cannot_redact(decision), Phase.OUTPUT, at_ns)
        error = "stream.inconsistent" if session.inconsistent else ""
        return self._record(ExchangeStatus.ANSWERED, Ending(rest), at_ns, error=error)

    def _stop(
        self, decision: Decision, phase: Phase, at_ns: int, *, rejected: bool = False
    ) -> list[Command]:
        """Stop the exchange: with an error, or an ending where a part of its answer has left."""
        account = self._account
        self._note_escalation(decision, phase, at_ns)
        commands = self._freeze(decision)
        problem = stopped(decision, phase, event_id=account.event_id, rejected=rejected)
        if self._started:
            session = self._known_session()
            frames = session.reader.stop_frames(problem, session.finished_choices)
            last: Reply | Ending = Ending(frames)
        else:
            last = block(account.dialect, problem, decision.retry_after_seconds)
        return commands + self._record(ExchangeStatus.BLOCKED, last, at_ns)

    # What can go wrong

    def _on_upstream_failed(self, event: UpstreamFailed) -> list[Command]:
        if self.state is State.CALLING:
            account = self._account
            if account.attempts is not None:
                account.attempts.ended(event.at_ns, error=event.code)
            again = self._another(event.at_ns, event.called_at_ns, [], ended=True)
            if again is not None:
                return again
            account.called_at_ns = event.called_at_ns or account.called_at_ns
        return self._no_answer(event.code, event.at_ns)

    def _no_answer(self, code: str, at_ns: int) -> list[Command]:
        if self.state not in (State.CALLING, State.READING):
            return []
        account = self._account
        account.heard_at_ns = at_ns
        account.upstream_ended = True
        if account.session is not None:
            return self._conclude_stream(account.session, at_ns, code)
        return self._fail(code, at_ns)

    def _left(self, at_ns: int) -> list[Command]:
        account = self._account
        if account.session is not None:
            judge_stream(account, account.session)
        account.answer_body = b"".join(self._chunks or ())
        return self._record(ExchangeStatus.CLIENT_ABORTED, None, at_ns)

    def _on_refused(self, event: RequestRefused) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        dialect = BY_PATH.get(event.target.partition(b"?")[0])
        account = self._account = self._open(event, dialect or OPENAI_CHAT, event.body)
        account.identity = identify(event.headers, "")
        if dialect is None or event.code in OVERLOAD:
            return self._answer_now(self._refusal(event.code))
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
        return self._answer_now(self._refusal(code))

    def _fail(self, code: str, at_ns: int) -> list[Command]:
        account = self._account
        account.answer_body = account.answer_body or b"".join(self._chunks or ())
        return super()._fail(code, at_ns)

    # What only an exchange with a model can say

    def _refusal(self, code: str, *, message: str = "", param: str = "") -> Reply:
        account = self._account
        return refuse(
            account.dialect, code, event_id=account.event_id, message=message, param=param
        )

    def _stream_head(self) -> tuple[int, Headers]:
        head = self._known_head()
        return head.status, from_upstream(head.headers)

    def _settled_views(self) -> dict[Phase, ExchangeView]:
        account = self._account
        views = dict.fromkeys((Phase.INPUT, Phase.ROUTE), request_view(account))
        return views | answer_views(account) if self._head is not None else views

    def _comment(self, at_ns: int) -> bytes:
        """What only the end of a stream knows, as a comment that clients pass over."""
        account = self._account
        if account.session is None or not account.session.ended_between_frames:
            return b""  # it would turn upstream's unfinished frame into a finished one
        verdict, overhead_ms = account.decision.verdict.value, account.overhead_ms(at_ns)
        return b": kt decision=%b overhead_ms=%.3f\n\n" % (verdict.encode(), overhead_ms)

    def _open(
        self, event: RequestReceived | RequestRefused, dialect: Dialect, body: bytes
    ) -> Account:
        return Account(
            in_force=self._in_force,
            dialect=dialect,
            event_id=event.event_id,
            now=event.now,
            received_at_ns=event.at_ns,
            body=body,
        )

    def _known_session(self) -> StreamSession:
        """The session of an answer that is streamed."""
        session = self._account.session
        if session is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no stream")
        return session

    def _models_there_are(self) -> str:
        names = ", ".join(model_names(self._in_force.config.targets)) or "none"
        return f"This model is not configured. Configured models: {names}."


Exchange._steps = {
    **OVERSEEN_STEPS,
    RequestReceived: Exchange._on_request,
    RequestRefused: Exchange._on_refused,
    UpstreamHead: Exchange._on_head,
    UpstreamData: Exchange._on_data,
    UpstreamEnd: Exchange._on_end,
    UpstreamFailed: Exchange._on_upstream_failed,
    PauseOver: Exchange._on_pause_over,
}
