"""One HTTP exchange with an MCP server, from request to record: decides, and performs nothing.

The order of truth is that of ``exchange.py``: nothing is sent to the server before it was judged,
the Admission is appended before the server is called, no byte of a stream leaves before it is
durable, and the answer to a request leaves only after the DecisionEvent is.

Pings, progress and other notifications leave a record only where a policy had something to say:
they are the greater part of the traffic and carry no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec

from kintsugi.gateway.answers import stopped
from kintsugi.gateway.commands import (
    CallUpstream,
    Command,
    Reply,
)
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.mcp import MCP
from kintsugi.gateway.events import (
    Headers,
    ListeningOver,
    RequestReceived,
    RequestRefused,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from kintsugi.gateway.facts import claims_in
from kintsugi.gateway.identity import identify, key_name_of
from kintsugi.gateway.in_force import InForce, McpUpstream
from kintsugi.gateway.judgement import calls_of, judge_audit, request_view
from kintsugi.gateway.mcp_account import McpAccount
from kintsugi.gateway.mcp_answers import (
    EVENT_STREAM,
    JSON,
    block,
    from_server,
    no_answer,
    refuse,
    stopped_document,
    to_server,
)
from kintsugi.gateway.mcp_judgement import (
    ToolGate,
    confirmation_of,
    gate_of,
    judge_asked,
    judge_heard,
    judge_opaque,
    judge_wordless,
    looks,
    merged,
    redact_asked,
)
from kintsugi.gateway.mcp_messages import Message, read_body
from kintsugi.gateway.mcp_requests import BATCH_VERSION, Head, server_in
from kintsugi.gateway.mcp_session import Session, SessionSeal, usable
from kintsugi.gateway.mcp_stream import McpStream
from kintsugi.gateway.overseen_exchange import OVERSEEN_STEPS, OverseenExchange
from kintsugi.gateway.oversight import action_digest
from kintsugi.gateway.recorded_exchange import CALLED, OVERLOAD, Ending, State
from kintsugi.model.content import Edit, ExchangeView, Part
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict

_METHODS = (b"POST", b"GET", b"DELETE")
# Requests whose answer says nothing, and the one that keeps its stream open for whatever comes.
_SMALL_TALK = frozenset(("ping", "logging/setLevel"))
_LISTENS = "subscriptions/listen"


class McpExchange(OverseenExchange):
    """One exchange. It finishes on the ``InForce`` it began with, whatever is loaded meanwhile.

    Args:
        listeners: how many streams for server-sent notifications the worker holds open.
    """

    _account: McpAccount
    _server: McpUpstream | None = None
    _session: Session | None = None
    _stream: McpStream | None = None
    _recorded = True  # whether this exchange leaves a record
    _listens = False
    _opens_session = False
    _calls: tuple[Part, ...] = ()
    _edits: Sequence[Edit] = ()
    _instead: Reply | None = None  # what the client gets whatever the server says
    _request: Head

    def __init__(self, in_force: InForce, listeners: Callable[[], int]) -> None:
        super().__init__(in_force)
        self._listeners = listeners
        self._requests: Sequence[Message] = ()

    # The request

    def _on_request(self, event: RequestReceived) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        in_force = self._in_force
        account = self._account = self._begin(event)
        head = Head(event.headers)
        key_name: str | None = ""
        if in_force.key_names:
            key_name = key_name_of(event.headers, in_force.key_names)
        account.identity = identify(event.headers, key_name or "")
        server = self._server = in_force.mcp_servers.get(server_in(event.target) or b"")
        if server is None:
            return self._answer_now(self._refusal("mcp_server_not_found"))
        account.upstream = server.upstream
        refused = self._refused(event, head, key_name)
        if refused:
            return self._reject(refused, event.at_ns)
        if not self._open_session(head, server):
            return self._reject("session_not_found", event.at_ns)
        account.source = event.source
        oversight = in_force.oversight
        if oversight.frozen and (frozen := oversight.stops(account.identity, event.source)):
            return self._stay_frozen(frozen, event.at_ns)
        self._request = head
        if event.method == b"POST":
            return self._on_post(event, head, account)
        self._listens = account.streamed = event.method == b"GET"
        if self._listens:
            if self._too_many_listen():
                return self._answer_now(self._refusal("overloaded"))
            if oversight.contained:
                self._contain(account, event.headers)
                decision = judge_wordless(account)
                if decision.verdict.stops:
                    return self._stop(decision, Phase.INPUT, event.at_ns)
        return self._call_server(event.method, b"", event.at_ns)

    def _too_many_listen(self) -> bool:
        return self._listeners() >= self._in_force.config.mcp.streams_max

    def _refused(self, event: RequestReceived, head: Head, key_name: str | None) -> str:
        """Why the request is not even looked at; empty when it is."""
        in_force = self._in_force
        if not head.origin_allowed(in_force.config.mcp.allowed_origins):
            return "origin_denied"
        if event.method not in _METHODS:
            return "method_not_allowed"
        if not in_force.config.pack.enabled:
            return "pack.disabled"
        if key_name is None:
            return "invalid_api_key"
        if head.repeated:
            return "header_mismatch"
        if head.version is None:
            return "protocol_version"
        if event.method == b"POST" and not head.sends_json:
            return "media_type"
        if event.method == b"GET" and not head.takes_events:
            return "not_acceptable"
        return ""

    def _open_session(self, head: Head, server: McpUpstream) -> bool:
        """Take in the session that the request names; False where it is not the caller's."""
        sealed = head.value(b"mcp-session-id")
        if not sealed:
            return True
        account = self._account
        seal = _seal(self._in_force.fingerprint_key)
        session = seal.open(sealed, server_id=server.server.id, caller=account.identity)
        if session is None:
            return False
        self._session = session
        if not account.identity.session_id:
            named = session.label
            account.identity = msgspec.structs.replace(account.identity, session_id=named)
        return True

    def _on_post(self, event: RequestReceived, head: Head, account: McpAccount) -> list[Command]:
        try:
            asked = read_body(event.body, "client")
        except MalformedDocument as error:
            return self._reject("request.invalid", event.at_ns, message=f"{error}.")
        account.ask(asked)
        self._requests = [one for one in asked.messages if one.kind == "request"]
        self._opens_session = any(one.method == "initialize" for one in asked.messages)
        if asked.is_batch and (head.version not in ("", BATCH_VERSION) or self._opens_session):
            message = "These messages cannot be sent as a batch."
            return self._reject("request.invalid", event.at_ns, message=message)
        if self._opens_session:
            self._session = None  # it begins one; a session that was brought along would be fixed
        if not head.agrees_with(asked):
            return self._reject("header_mismatch", event.at_ns)
        self._listens = any(one.method == _LISTENS for one in asked.messages)
        if self._listens and self._too_many_listen():
            return self._answer_now(self._refusal("overloaded"))
        self._calls = calls_of(account.request.parts) if account.request is not None else ()
        if self._in_force.oversight.contained:
            self._contain(account, event.headers)
        in_force = self._in_force
        if in_force.plan.claim_names:
            account.claims = claims_in(event.headers, in_force.plan.claim_names)
        self._recorded = any(
            one.kind == "response" or (one.kind == "request" and one.method not in _SMALL_TALK)
            for one in asked.messages
        )
        asks_of_calls = bool(self._calls) and in_force.plan.asks(Phase.TOOL)
        if (in_force.asks_before and self._recorded) or asks_of_calls:
            phases = (Phase.INPUT, Phase.TOOL) if self._calls else (Phase.INPUT,)
            return self._gather(phases, self._judge_input, event.at_ns)
        return self._judge_input(event.at_ns)

    def _judge_input(self, at_ns: int) -> list[Command]:
        """Judge what the client sent, all facts at hand."""
        account = self._account
        # Small talk is not counted, and so not judged by what counts.
        whole = self._recorded or not self._in_force.asks_before
        decision = judge_asked(account, Phase.INPUT, None, complete=whole)
        if decision.verdict.stops or confirmation_of(decision):
            return self._halt(decision, Phase.INPUT, at_ns, self._judge_calls)
        return self._judge_calls(decision, at_ns)

    def _judge_calls(self, decision: Decision, at_ns: int) -> list[Command]:
        """Judge the tools that are called; the input phase let them go on."""
        self._edits = decision.edits
        if not self._calls:
            return self._let_go(decision, at_ns)
        decision = judge_asked(self._account, Phase.TOOL, self._gate())
        if decision.verdict.stops or confirmation_of(decision):
            return self._halt(decision, Phase.TOOL, at_ns, self._let_go)
        return self._let_go(decision, at_ns)

    def _let_go(self, decision: Decision, at_ns: int) -> list[Command]:
        account = self._account
        body = account.body
        edits = decision.edits
        if edits is not self._edits:
            edits = tuple(merged(self._edits, edits))
        if edits:
            whole = msgspec.structs.replace(decision, edits=edits)
            blocked, body = redact_asked(account, whole)
            if blocked.verdict.stops and not whole.verdict.stops:
                return self._stop(blocked, Phase.INPUT, at_ns)
        if account.decision.verdict is not Verdict.ALLOW:
            self._recorded = True
        return self._call_server(b"POST", body, at_ns)

    def _digest_of_action(self, phase: Phase) -> str:
        """The same call again has another message id, so the bytes of its body say too much."""
        account = self._account
        server = self._server.server.id if self._server is not None else ""
        return action_digest(
            dialect=f"{account.dialect.name}/{server}/{account.method}",
            phase=phase.value,
            identity=account.identity,
            request_digest="",
            parts=account.request.parts if account.request is not None else (),
        )

    def _stop(
        self, decision: Decision, phase: Phase, at_ns: int, *, rejected: bool = False
    ) -> list[Command]:
        """Answer what was asked with why it is stopped."""
        account = self._account
        self._note_escalation(decision, phase, at_ns)
        commands = self._freeze(decision)
        problem = stopped(decision, phase, event_id=account.event_id, rejected=rejected)
        if not decision.verdict.stops:
            problem = msgspec.structs.replace(problem, message=confirmation_of(decision))
        batch = account.asked is not None and account.asked.is_batch
        reply = block(self._requests, problem, is_batch=batch)
        answers = [one for one in self._messages() if one.kind == "response"]
        if answers and len(answers) == len(self._messages()):
            # The server waits for it: it is told that there is none, and nothing of why.
            self._instead = reply
            return commands + self._call_server(b"POST", no_answer(answers, batch), at_ns)
        return commands + self._record(ExchangeStatus.BLOCKED, reply, at_ns)

    def _messages(self) -> Sequence[Message]:
        account = self._account
        return account.asked.messages if account.asked is not None else ()

    def _call_server(self, method: bytes, body: bytes, at_ns: int) -> list[Command]:
        account, server = self._account, self._server
        head = self._request
        if server is None:
            raise RuntimeError("no server to call")
        upstream = server.upstream
        if upstream.lacks_secret:
            return self._fail("upstream.secret_missing", at_ns)
        if not upstream.origin:
            return self._fail("upstream.not_configured", at_ns)
        credential = upstream.credential
        asked = account.asked
        if asked is not None and body is not account.body:
            asked = read_body(body, "client")  # as the server gets it
        headers = to_server(
            head.all if asked is None else head.still_true(asked),
            credential=credential.reveal() if credential is not None else None,
            session_id=self._session.upstream_id if self._session is not None else "",
        )
        if method == b"POST":
            headers.append(JSON)
        account.called_at_ns = account.heard_at_ns = at_ns
        account.sent_body = body
        self._waits = 0
        self.state = State.CALLING
        seconds_max = self._in_force.config.mcp.stream_seconds_max
        timeouts = server.server
        call = CallUpstream(
            target_id=upstream.target.id,
            origin=upstream.origin,
            path=upstream.base_path,
            headers=headers,
            body=body,
            allow_private_network=upstream.reaches_private_network,
            first_byte_timeout_seconds=timeouts.first_byte_timeout_seconds,
            total_timeout_seconds=seconds_max if self._listens else timeouts.total_timeout_seconds,
            method=method,
            idle_timeout_seconds=seconds_max if self._listens else timeouts.idle_timeout_seconds,
            listens=self._listens,
        )
        if not self._recorded:
            self._durable = True
            return [call]
        return [*self._admit(), call]

    # The answer

    def _on_head(self, event: UpstreamHead) -> list[Command]:
        if self.state is not State.CALLING:
            return []
        account = self._account
        self.state = State.READING
        self._head = event
        account.heard_at_ns = event.at_ns
        account.called_at_ns = event.called_at_ns or account.called_at_ns
        account.upstream_status = event.status
        account.upstream_ended = event.ended
        if event.status in (401, 403, 407):
            return self._fail("upstream.unauthorized", event.at_ns)
        if 300 <= event.status < 400:
            return self._fail("upstream.invalid_response", event.at_ns)
        if event.is_encoded:
            return self._fail("upstream.encoded", event.at_ns)
        commands: list[Command] = []
        if 200 <= event.status < 300 and event.is_event_stream:
            account.streamed = True
            self._stream = McpStream(
                account,
                self._gate(),
                self._requests,
                listens=self._listens,
                frame_bytes_max=self._in_force.gateway.response_body_bytes_max,
            )
            # Whoever listens waits for the head first: there may be nothing to hear for long.
            commands += self._send(b"", event.at_ns) if self._listens else []
        return commands + self._read_on(account, event.data, event.at_ns, ended=event.ended)

    def _on_data(self, event: UpstreamData) -> list[Command]:
        if self.state is not State.READING:
            return []
        account = self._account
        account.heard_at_ns = event.at_ns
        account.upstream_ended = event.ended
        return self._read_on(account, event.data, event.at_ns, ended=event.ended)

    def _read_on(
        self, account: McpAccount, data: bytes, at_ns: int, *, ended: bool
    ) -> list[Command]:
        stream = self._stream
        if stream is None:
            account.heard(data)
            self._chunks = self._chunks or []
            self._chunks.append(data)
            return self._complete(account, at_ns) if ended else []
        out = stream.feed(data)
        commands = self._send(out, at_ns) if out else []
        if stream.concluded:
            return commands + self._end_events(stream, at_ns)
        return commands + self._complete(account, at_ns) if ended else commands

    def _on_end(self, event: UpstreamEnd) -> list[Command]:
        if self.state not in CALLED:
            return []
        account = self._account
        account.upstream_ended = True
        if self.state is State.CALLING:
            return self._fail("upstream.invalid_response", event.at_ns)
        account.heard_at_ns = event.at_ns
        return self._complete(account, event.at_ns)

    def _complete(self, account: McpAccount, at_ns: int) -> list[Command]:
        """Judge and record an answer that is complete."""
        account.answer_whole = True
        stream = self._stream
        if stream is not None:
            out = stream.finish()
            commands = self._send(out, at_ns) if out else []
            return commands + self._end_events(stream, at_ns)
        head = self._known_head()
        body = b"".join(self._chunks or ())
        if not body.strip():
            if head.status < 300 and self._requests:
                return self._fail("upstream.unreadable", at_ns)
            return self._answered(account, body, at_ns)
        if head.status == 404 and self._session is not None:
            # What else a server says to that is for people; clients act on the status.
            return self._record(ExchangeStatus.ANSWERED, self._refusal("session_not_found"), at_ns)
        try:
            judged = judge_heard(account, body, self._gate())
        except MalformedDocument:
            return self._finish_opaque(account, head.status, body, at_ns)
        if judged.stopped_in is None:
            return self._answered(account, judged.data, at_ns)
        frozen = self._freeze(judged.decision)
        problem = stopped(judged.decision, judged.stopped_in, event_id=account.event_id)
        tools = {message.id: message.tool for message in self._requests}
        answers = [
            stopped_document(problem, one.id, is_tool=bool(tools.get(one.id)))
            for one in judged.body.messages
            if one.kind == "response"
        ]
        reply = block((), problem, is_batch=False)
        if answers:
            out = msgspec.json.encode(answers if judged.body.is_batch else answers[0])
            reply = (200, [JSON], out)
        return frozen + self._record(ExchangeStatus.BLOCKED, reply, at_ns)

    def _finish_opaque(
        self, account: McpAccount, status: int, body: bytes, at_ns: int
    ) -> list[Command]:
        """An answer that is no message: what a server says of an error may be any text."""
        fails_open = self._in_force.gateway.fail_mode == "allow"
        answers = bool(self._requests) and status < 400 and looks(account, self._gate())
        if answers and not fails_open:
            return self._fail("upstream.unreadable", at_ns)
        account.failed_open = answers
        decision = judge_opaque(account, body)
        if decision.verdict.stops or decision.edits:
            problem = stopped(decision, Phase.OUTPUT, event_id=account.event_id)
            return self._record(
                ExchangeStatus.BLOCKED, block(self._requests, problem, is_batch=False), at_ns
            )
        return self._answered(account, body, at_ns)

    def _answered(self, account: McpAccount, body: bytes, at_ns: int) -> list[Command]:
        audit = self._audit(account)
        if audit.verdict.stops:
            problem = stopped(audit, Phase.OUTPUT, event_id=account.event_id)
            return self._record(
                ExchangeStatus.BLOCKED, block(self._requests, problem, is_batch=False), at_ns
            )
        head = self._known_head()
        headers = from_server(head.headers) + self._session_header(head)
        return self._record(ExchangeStatus.ANSWERED, (head.status, headers, body), at_ns)

    def _audit(self, account: McpAccount) -> Decision:
        recorded = self._recorded or account.decision.verdict is not Verdict.ALLOW
        return judge_audit(account) if recorded else account.audit

    def _end_events(self, stream: McpStream, at_ns: int) -> list[Command]:
        """End a stream: answered, stopped by a policy, or unreadable."""
        account = self._account
        if stream.unreadable:
            problem = Problem(
                "upstream_error",
                stream.unreadable,
                "The MCP server sent what cannot be read, so it cannot be judged.",
                event_id=account.event_id,
            )
            last = Ending(stream.failed(problem), broken=not self._requests)
            return self._record(ExchangeStatus.STREAM_BROKEN, last, at_ns, error=stream.unreadable)
        decision = account.decision
        status = ExchangeStatus.BLOCKED if decision.verdict.stops else ExchangeStatus.ANSWERED
        return self._freeze(decision) + self._record(status, Ending(stream.final), at_ns)

    def _session_header(self, head: UpstreamHead) -> Headers:
        """The session id for the client, where this answer opens a session."""
        if not self._opens_session or head.status >= 300 or self._server is None:
            return []
        account = self._account
        for name, value in head.headers:
            if name == b"mcp-session-id" and usable(value.strip()):
                sealed = _seal(self._in_force.fingerprint_key).seal(
                    Session(value.strip().decode("ascii")),
                    server_id=self._server.server.id,
                    caller=account.identity,
                    event_id=account.event_id,
                )
                return [(b"mcp-session-id", sealed)]
        return []

    def _stream_head(self) -> tuple[int, Headers]:
        head = self._known_head()
        named = [header for header in from_server(head.headers) if header[0] != b"content-type"]
        return 200, EVENT_STREAM + named + self._session_header(head)

    # What can go wrong

    def _on_upstream_failed(self, event: UpstreamFailed) -> list[Command]:
        if self.state not in CALLED:
            return []
        account = self._account
        account.called_at_ns = event.called_at_ns or account.called_at_ns
        account.heard_at_ns = event.at_ns
        account.upstream_ended = True
        if self._stream is None or not (self._started or self._outbox):
            return self._fail(event.code, event.at_ns)
        if self._listens and event.code == "upstream.timeout":
            return self._record(ExchangeStatus.ANSWERED, Ending(), event.at_ns)
        return self._record(
            ExchangeStatus.STREAM_BROKEN, Ending(broken=True), event.at_ns, error=event.code
        )

    def _on_listening_over(self, event: ListeningOver) -> list[Command]:
        """The gateway wants this stream to end: clients come back and are judged by what is in
        force then."""
        if not self._listens or self.state is not State.READING or not self._started:
            return []
        return self._record(ExchangeStatus.ANSWERED, Ending(), event.at_ns)

    def _left(self, at_ns: int) -> list[Command]:
        # Nothing but the client ends a stream that listens: leaving is its proper end.
        left = ExchangeStatus.ANSWERED if self._listens else ExchangeStatus.CLIENT_ABORTED
        return self._record(left, None, at_ns)

    def _on_refused(self, event: RequestRefused) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        account = self._account = self._begin(event)
        account.identity = identify(event.headers, "")
        known = self._in_force.mcp_servers.get(server_in(event.target) or b"")
        if known is None or event.code in OVERLOAD:
            return self._answer_now(self._refusal(event.code))
        account.upstream = known.upstream
        return self._reject(event.code, event.at_ns)

    def _record(
        self,
        status: ExchangeStatus,
        last: Reply | Ending | None,
        at_ns: int,
        *,
        error: str = "",
    ) -> list[Command]:
        if self._instead is not None and last is not None:
            status, last = ExchangeStatus.BLOCKED, self._instead
        return super()._record(status, last, at_ns, error=error)

    def _refusal(self, code: str, *, message: str = "", param: str = "") -> Reply:  # noqa: ARG002
        # A refusal answers the request where there is exactly one.
        message_id = self._requests[0].id if len(self._requests) == 1 else None
        event_id = self._account.event_id
        return refuse(code, event_id=event_id, message=message, message_id=message_id)

    def _settled_views(self) -> dict[Phase, ExchangeView]:
        return dict.fromkeys((Phase.INPUT, Phase.TOOL), request_view(self._account))

    def _begin(self, event: RequestReceived | RequestRefused) -> McpAccount:
        return McpAccount(
            in_force=self._in_force,
            dialect=MCP,
            event_id=event.event_id,
            now=event.now,
            received_at_ns=event.at_ns,
            body=event.body,
        )

    def _gate(self) -> ToolGate | None:
        return gate_of(self._server.server) if self._server is not None else None


@lru_cache(maxsize=8)
def _seal(secret: bytes) -> SessionSeal:
    return SessionSeal(secret)


McpExchange._steps = {
    **OVERSEEN_STEPS,
    RequestReceived: McpExchange._on_request,
    RequestRefused: McpExchange._on_refused,
    UpstreamHead: McpExchange._on_head,
    UpstreamData: McpExchange._on_data,
    UpstreamEnd: McpExchange._on_end,
    UpstreamFailed: McpExchange._on_upstream_failed,
    ListeningOver: McpExchange._on_listening_over,
}
