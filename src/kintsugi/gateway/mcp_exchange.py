"""One HTTP exchange with an MCP server, from request to record: decides, and performs nothing.

The order of truth is that of ``exchange.py``: nothing is sent to the server before it was judged,
the Admission is appended before the server is called, no byte of a stream leaves before it is
durable, and the answer to a request leaves only after the DecisionEvent is.

Pings, progress and other notifications leave a record only where a policy had something to say:
they are the greater part of the traffic and carry no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from kintsugi.gateway.answers import own_headers, stopped
from kintsugi.gateway.commands import (
    AbortUpstream,
    Admit,
    Answer,
    CallUpstream,
    Command,
    Correct,
    DropClient,
    EndStream,
    Record,
    Reply,
    SendData,
    StartStream,
)
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.mcp import MCP
from kintsugi.gateway.events import (
    AdmissionDurable,
    AdmissionFailed,
    ClientAborted,
    Event,
    GatewayFailed,
    Headers,
    ListeningOver,
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
from kintsugi.gateway.in_force import InForce, McpUpstream
from kintsugi.gateway.judgement import judge_audit
from kintsugi.gateway.mcp_account import McpAccount
from kintsugi.gateway.mcp_answers import (
    EVENT_STREAM,
    JSON,
    block,
    from_server,
    refuse,
    stopped_document,
    to_server,
)
from kintsugi.gateway.mcp_judgement import (
    Judged,
    ToolGate,
    confirmation_of,
    gate_of,
    judge_asked,
    judge_heard,
    judge_opaque,
)
from kintsugi.gateway.mcp_messages import Message, MessageId, read_body
from kintsugi.gateway.mcp_requests import BATCH_VERSION, Head, server_in
from kintsugi.gateway.mcp_session import Session, SessionSeal, usable
from kintsugi.gateway.mcp_stream import McpStream
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.verdict import Verdict

_METHODS = (b"POST", b"GET", b"DELETE")
# Answered without a record: an overload must not be able to fill the journal.
_OVERLOAD = frozenset(("overloaded", "draining"))
# Requests whose answer says nothing, and the one that keeps its stream open for whatever comes.
_SMALL_TALK = frozenset(("ping", "logging/setLevel"))
_LISTENS = "subscriptions/listen"


class Ending(msgspec.Struct, frozen=True):
    """The last bytes of a started stream; cut off without an end when it broke."""

    data: bytes = b""
    broken: bool = False


class State(Enum):
    """Where an exchange stands; see ``exchange.State``."""

    WAITING = "waiting"
    CALLING = "calling"
    READING = "reading"
    RECORDING = "recording"
    FINISHED = "finished"


_UNDER_WAY = (State.CALLING, State.READING)


class McpExchange:
    """One exchange. It finishes on the ``InForce`` it began with, whatever is loaded meanwhile.

    Args:
        listeners: how many streams for server-sent notifications the worker holds open.
    """

    state = State.WAITING
    _account: McpAccount | None = None
    _server: McpUpstream | None = None
    _session: Session | None = None
    _stream: McpStream | None = None
    _head: UpstreamHead | None = None
    _admitted = False
    _recorded = True  # whether this exchange leaves a record
    _durable = False
    _started = False
    _listens = False
    _opens_session = False
    _last: Reply | Ending | None = None

    def __init__(self, in_force: InForce, listeners: Callable[[], int]) -> None:
        self._in_force = in_force
        self._listeners = listeners
        self._chunks: list[bytes] = []
        self._outbox: list[bytes] = []
        self._requests: Sequence[Message] = ()

    @property
    def finished(self) -> bool:
        """Whether no command will follow any more."""
        return self.state is State.FINISHED

    def step(self, event: Event) -> list[Command]:
        """Take one event in; return what is to be done about it, in order.

        An event that has no meaning in the present state is passed over.
        """
        handler = _STEPS.get(type(event))
        return handler(self, event) if handler is not None else []

    # The request

    def _on_request(self, event: RequestReceived) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        in_force = self._in_force
        account = self._account = self._open(event)
        head = Head(event.headers)
        key_name: str | None = ""
        if in_force.key_names:
            key_name = key_name_of(event.headers, in_force.key_names)
        account.identity = identify(event.headers, key_name or "")
        server = self._server = in_force.mcp_servers.get(server_in(event.target) or b"")
        if server is None:
            return self._answer_now(refuse("mcp_server_not_found", event_id=event.event_id))
        account.upstream = server.upstream
        refused = self._refused(event, head, key_name)
        if refused:
            return self._reject(refused, event.at_ns)
        if not self._open_session(head, server):
            return self._reject("session_not_found", event.at_ns)
        if event.method == b"POST":
            return self._on_post(event, head, server, account)
        self._listens = account.streamed = event.method == b"GET"
        if self._listens and self._listeners() >= in_force.config.mcp.streams_max:
            return self._reject("overloaded", event.at_ns)
        return self._call(event.method, head, b"", event.at_ns)

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
        account = self._known()
        seal = _seal(self._in_force.fingerprint_key)
        session = seal.open(sealed, server_id=server.server.id, caller=account.identity)
        if session is None:
            return False
        self._session = session
        if not account.identity.session_id:
            named = session.label
            account.identity = msgspec.structs.replace(account.identity, session_id=named)
        return True

    def _on_post(
        self, event: RequestReceived, head: Head, server: McpUpstream, account: McpAccount
    ) -> list[Command]:
        try:
            asked = read_body(event.body, "client")
        except MalformedDocument as error:
            return self._reject("request.invalid", event.at_ns, message=f"{error}.")
        account.ask(asked)
        self._requests = [one for one in asked.messages if one.kind == "request"]
        if asked.is_batch and head.version not in ("", BATCH_VERSION):
            return self._reject(
                "request.invalid", event.at_ns, message="This protocol version knows no batches."
            )
        self._opens_session = any(one.method == "initialize" for one in asked.messages)
        if self._opens_session:
            if asked.is_batch:
                message = "initialize cannot be part of a batch."
                return self._reject("request.invalid", event.at_ns, message=message)
            self._session = None  # it begins one; a session that was brought along would be fixed
        if not head.agrees_with(asked):
            return self._reject("header_mismatch", event.at_ns)
        judged = judge_asked(account, asked, event.body, gate_of(server.server))
        self._recorded = judged.decision.verdict is not Verdict.ALLOW or any(
            one.kind == "response" or (one.kind == "request" and one.method not in _SMALL_TALK)
            for one in asked.messages
        )
        if judged.stopped_in is not None:
            return self._stop_asked(judged, judged.stopped_in, event.at_ns)
        self._listens = any(one.method == _LISTENS for one in asked.messages)
        return self._call(b"POST", head, judged.data, event.at_ns)

    def _stop_asked(self, judged: Judged, phase: Phase, at_ns: int) -> list[Command]:
        account = self._known()
        problem = stopped(judged.decision, phase, event_id=account.event_id)
        if confirmation := confirmation_of(judged.decision):
            problem = msgspec.structs.replace(problem, message=confirmation)
        reply = block(judged.body.messages, problem, is_batch=judged.body.is_batch)
        return self._record(ExchangeStatus.BLOCKED, reply, at_ns)

    def _call(self, method: bytes, head: Head, body: bytes, at_ns: int) -> list[Command]:
        account, server = self._known(), self._server
        if server is None:
            raise RuntimeError("no server to call")
        upstream = server.upstream
        if upstream.lacks_secret:
            return self._fail("upstream.secret_missing", at_ns)
        if not upstream.origin:
            return self._fail("upstream.not_configured", at_ns)
        credential = upstream.credential
        headers = to_server(
            head.all,
            credential=credential.reveal() if credential is not None else None,
            session_id=self._session.upstream_id if self._session is not None else "",
            mirrored=head.mirrored(account.asked) if account.asked is not None else [],
        )
        if method == b"POST":
            headers.append(JSON)
        account.called_at_ns = account.heard_at_ns = at_ns
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
        self._admitted = True
        return [Admit(account.admission()), call]

    # The answer

    def _on_head(self, event: UpstreamHead) -> list[Command]:
        account = self._account
        if self.state is not State.CALLING or account is None:
            return []
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
        if any(
            name == b"content-encoding" and value.strip().lower() not in (b"", b"identity")
            for name, value in event.headers
        ):
            return self._fail("upstream.encoded", event.at_ns)
        commands: list[Command] = []
        if 200 <= event.status < 300 and _is_event_stream(event.headers):
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
        return commands + self._take(account, event.data, event.at_ns, ended=event.ended)

    def _on_data(self, event: UpstreamData) -> list[Command]:
        account = self._account
        if self.state is not State.READING or account is None:
            return []
        account.heard_at_ns = event.at_ns
        account.upstream_ended = event.ended
        return self._take(account, event.data, event.at_ns, ended=event.ended)

    def _take(self, account: McpAccount, data: bytes, at_ns: int, *, ended: bool) -> list[Command]:
        stream = self._stream
        if stream is None:
            account.heard(data)
            self._chunks.append(data)
            return self._finish(account, at_ns) if ended else []
        out = stream.feed(data)
        commands = self._send(out, at_ns) if out else []
        if stream.concluded:
            return commands + self._conclude(stream, at_ns)
        return commands + self._finish(account, at_ns) if ended else commands

    def _on_end(self, event: UpstreamEnd) -> list[Command]:
        account = self._account
        if account is None or self.state not in _UNDER_WAY:
            return []
        account.upstream_ended = True
        if self.state is State.CALLING:
            return self._fail("upstream.invalid_response", event.at_ns)
        account.heard_at_ns = event.at_ns
        return self._finish(account, event.at_ns)

    def _finish(self, account: McpAccount, at_ns: int) -> list[Command]:
        """Judge and record an answer that is complete."""
        stream = self._stream
        if stream is not None:
            out = stream.finish()
            commands = self._send(out, at_ns) if out else []
            return commands + self._conclude(stream, at_ns)
        head = self._known_head()
        body = b"".join(self._chunks)
        if not body.strip():
            if head.status < 300 and self._requests:
                return self._fail("upstream.unreadable", at_ns)
            return self._answered(account, body, at_ns)
        if head.status == 404 and self._session is not None:
            # What else a server says to that is for people; clients act on the status.
            reply = refuse("session_not_found", event_id=account.event_id, message_id=self._id())
            return self._record(ExchangeStatus.ANSWERED, reply, at_ns)
        try:
            judged = judge_heard(account, body, self._gate())
        except MalformedDocument:
            return self._finish_opaque(account, head.status, body, at_ns)
        if judged.stopped_in is None:
            return self._answered(account, judged.data, at_ns)
        problem = stopped(judged.decision, judged.stopped_in, event_id=account.event_id)
        tools = {message.id: message.tool for message in self._requests}
        answers = [
            stopped_document(problem, one.id, is_tool=bool(tools.get(one.id)))
            for one in judged.body.messages
            if one.kind == "response"
        ]
        if not answers:
            return self._record(ExchangeStatus.BLOCKED, block((), problem, is_batch=False), at_ns)
        out = msgspec.json.encode(answers if judged.body.is_batch else answers[0])
        return self._record(ExchangeStatus.BLOCKED, (200, [JSON], out), at_ns)

    def _finish_opaque(
        self, account: McpAccount, status: int, body: bytes, at_ns: int
    ) -> list[Command]:
        """An answer that is no message: what a server says of an error may be any text."""
        fails_open = self._in_force.gateway.fail_mode == "allow"
        if status < 400 and not fails_open:
            return self._fail("upstream.unreadable", at_ns)
        account.failed_open = status < 400
        decision = judge_opaque(account, body.decode(errors="replace"))
        if decision.verdict.stops or decision.edits:
            problem = stopped(decision, Phase.OUTPUT, event_id=account.event_id)
            return self._record(
                ExchangeStatus.BLOCKED, block(self._requests, problem, is_batch=False), at_ns
            )
        account.keep(body, ())
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

    def _conclude(self, stream: McpStream, at_ns: int) -> list[Command]:
        """End a stream: answered, stopped by a policy, or unreadable."""
        account = self._known()
        if stream.unreadable:
            problem = Problem(
                "upstream_error",
                stream.unreadable,
                "The MCP server sent what cannot be read, so it cannot be judged.",
                event_id=account.event_id,
            )
            last = Ending(stream.failed(problem), broken=not self._requests)
            return self._record(ExchangeStatus.STREAM_BROKEN, last, at_ns, error=stream.unreadable)
        stops = account.decision.verdict.stops
        status = ExchangeStatus.BLOCKED if stops else ExchangeStatus.ANSWERED
        return self._record(status, Ending(stream.final), at_ns)

    def _session_header(self, head: UpstreamHead) -> Headers:
        """The session id for the client, where this answer opens a session."""
        if not self._opens_session or head.status >= 300 or self._server is None:
            return []
        account = self._known()
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

    # Sending

    def _on_admission_durable(self, event: AdmissionDurable) -> list[Command]:
        self._durable = True
        if self.state is not State.READING or not self._outbox:
            return []
        out, self._outbox = b"".join(self._outbox), []
        return self._send(out, event.at_ns)

    def _send(self, out: bytes, at_ns: int) -> list[Command]:
        """Send bytes of a stream; they wait while the Admission is not durable."""
        if not self._durable:
            self._outbox.append(out)
            return []
        if self._started:
            return [SendData(out)] if out else []
        self._started = True
        start = StartStream(200, self._stream_headers(at_ns))
        return [start, SendData(out)] if out else [start]

    def _stream_headers(self, at_ns: int) -> Headers:
        head = self._known_head()
        named = [header for header in from_server(head.headers) if header[0] != b"content-type"]
        return EVENT_STREAM + named + self._session_header(head) + self._own_headers(at_ns)

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
            body = b"".join([*self._outbox, last.data])
            return [Answer(200, self._stream_headers(at_ns), body)]
        return [SendData(last.data), EndStream()] if last.data else [EndStream()]

    # What can go wrong

    def _on_upstream_failed(self, event: UpstreamFailed) -> list[Command]:
        account = self._account
        if account is None or self.state not in _UNDER_WAY:
            return []
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

    def _on_client_aborted(self, event: ClientAborted) -> list[Command]:
        if self.state is State.RECORDING:
            self._last = None
            return []
        if self.state not in _UNDER_WAY:
            self.state = State.FINISHED
            return []
        # Nothing but the client ends a stream that listens: leaving is its proper end.
        left = ExchangeStatus.ANSWERED if self._listens else ExchangeStatus.CLIENT_ABORTED
        return self._record(left, None, event.at_ns)

    def _on_admission_failed(self, event: AdmissionFailed) -> list[Command]:
        if self.state in _UNDER_WAY:
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
        return [Correct(self._failed_event(event.at_ns)), *self._answer_unrecorded(event.at_ns)]

    def _failed_event(self, at_ns: int) -> DecisionEvent:
        status = ExchangeStatus.STREAM_BROKEN if self._started else ExchangeStatus.REJECTED
        return self._known().event(
            status,
            at_ns=at_ns,
            http_status=200 if self._started else 503,
            error="evidence_unavailable",
        )

    def _answer_unrecorded(self, at_ns: int) -> list[Command]:
        """Say that the evidence failed, and nothing of the answer."""
        self.state = State.FINISHED
        if self._started:
            return [DropClient()]
        event_id = self._known().event_id
        status, headers, body = refuse(
            "evidence_unavailable", event_id=event_id, message_id=self._id()
        )
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    def _on_gateway_failed(self, event: GatewayFailed) -> list[Command]:
        account = self._account
        if self.state is State.FINISHED:
            return []
        if account is None or self.state is State.RECORDING:
            self.state = State.FINISHED
            return [DropClient()]
        self._recorded = True
        last: Reply | Ending = Ending(broken=True)
        if not self._started:
            last = refuse(event.code, event_id=account.event_id, message_id=self._id())
        return self._record(ExchangeStatus.INTERRUPTED, last, event.at_ns, error=event.code)

    def _on_refused(self, event: RequestRefused) -> list[Command]:
        if self.state is not State.WAITING:
            return []
        account = self._account = self._open(event)
        account.identity = identify(event.headers, "")
        known = self._in_force.mcp_servers.get(server_in(event.target) or b"")
        if known is None or event.code in _OVERLOAD:
            return self._answer_now(refuse(event.code, event_id=event.event_id))
        account.upstream = known.upstream
        return self._reject(event.code, event.at_ns)

    # Ends

    def _answer_now(self, reply: Reply) -> list[Command]:
        self.state = State.FINISHED
        status, headers, body = reply
        at_ns = self._known().received_at_ns
        return [Answer(status, headers + self._own_headers(at_ns), body)]

    def _reject(self, code: str, at_ns: int, *, message: str = "") -> list[Command]:
        account = self._known()
        reply = refuse(code, event_id=account.event_id, message=message, message_id=self._id())
        if code in _OVERLOAD:
            return self._answer_now(reply)
        return self._record(ExchangeStatus.REJECTED, reply, at_ns, error=code)

    def _fail(self, code: str, at_ns: int) -> list[Command]:
        account = self._known()
        self._recorded = True
        reply = refuse(code, event_id=account.event_id, message_id=self._id())
        return self._record(ExchangeStatus.UPSTREAM_FAILED, reply, at_ns, error=code)

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
        self._last = last
        commands: list[Command] = []
        if self.state in _UNDER_WAY and not account.upstream_ended:
            commands.append(AbortUpstream())
        recorded = self._recorded or account.decision.verdict is not Verdict.ALLOW
        if not recorded:
            commands += self._say_last(at_ns)
            self.state = State.FINISHED
            return commands
        if not self._admitted:
            self._admitted = True
            commands.insert(0, Admit(account.admission()))
        if status is not ExchangeStatus.REJECTED:
            judge_audit(account)
        http_status = last[0] if isinstance(last, tuple) else 0
        if not isinstance(last, tuple) and self._head is not None:
            http_status = 200 if self._started or last is not None else 0
        event = account.event(status, at_ns=at_ns, http_status=http_status, error=error)
        commands.append(Record(event, at_ns))
        self.state = State.RECORDING
        return commands

    def _open(self, event: RequestReceived | RequestRefused) -> McpAccount:
        account = McpAccount(
            self._in_force,
            MCP,
            event_id=event.event_id,
            now=event.now,
            at_ns=event.at_ns,
            body=event.body,
        )
        account.begin()
        return account

    def _known(self) -> McpAccount:
        if self._account is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no account yet")
        return self._account

    def _known_head(self) -> UpstreamHead:
        if self._head is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has no answer yet")
        return self._head

    def _gate(self) -> ToolGate | None:
        return gate_of(self._server.server) if self._server is not None else None

    def _id(self) -> MessageId:
        """The request that a refusal answers, where there is exactly one."""
        return self._requests[0].id if len(self._requests) == 1 else None

    def _own_headers(self, at_ns: int) -> Headers:
        account = self._known()
        return own_headers(
            event_id=account.event_id,
            verdict=account.decision.verdict,
            config_version=self._in_force.config_version,
            overhead_ms=account.overhead_ms(at_ns),
        )


@lru_cache(maxsize=8)
def _seal(secret: bytes) -> SessionSeal:
    return SessionSeal(secret)


def _is_event_stream(headers: Headers) -> bool:
    return any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in headers
    )


_STEPS: dict[type, Callable[[McpExchange, Any], list[Command]]] = {
    RequestReceived: McpExchange._on_request,
    RequestRefused: McpExchange._on_refused,
    AdmissionDurable: McpExchange._on_admission_durable,
    AdmissionFailed: McpExchange._on_admission_failed,
    UpstreamHead: McpExchange._on_head,
    UpstreamData: McpExchange._on_data,
    UpstreamEnd: McpExchange._on_end,
    UpstreamFailed: McpExchange._on_upstream_failed,
    ListeningOver: McpExchange._on_listening_over,
    ClientAborted: McpExchange._on_client_aborted,
    RecordDurable: McpExchange._on_record_durable,
    RecordFailed: McpExchange._on_record_failed,
    GatewayFailed: McpExchange._on_gateway_failed,
}
