"""What the gateway itself says to MCP clients and servers: headers that go on, and refusals.

A JSON-RPC answer travels with HTTP status 200 even where it says no: clients hand it to whoever
asked. What is no answer to a request (a notification that was stopped, a body that cannot be
read) has only the HTTP status to say it with; its body is a JSON-RPC error all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kintsugi.gateway.answers import Refusal, refusal
from kintsugi.gateway.commands import Reply
from kintsugi.gateway.dialects.dialect import Problem
from kintsugi.gateway.events import Headers
from kintsugi.gateway.mcp_messages import Message, MessageId
from kintsugi.gateway.mcp_requests import PARAM

JSON = (b"content-type", b"application/json")
EVENT_STREAM: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

# Implementation-defined codes are -32000 to -32019 (specification 2026-07-28, "Error codes").
POLICY_VIOLATION = -32010
GATEWAY_REFUSAL = -32011
INVALID_REQUEST = -32600
HEADER_MISMATCH = -32020

#: Where a tool's result tells programs why it is not the tool's own.
META_KEY = "kintsugi/policy_violation"

# Of the client's headers, what the server gets. Never a credential, nor the session id as sent.
_TO_SERVER = frozenset(
    (
        b"accept",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
    )
)
# Of the server's headers, what a client has use for. No cookies, and no demand for credentials:
# those are between the gateway and the server.
_FROM_SERVER = frozenset((b"content-type", b"mcp-protocol-version", b"retry-after", b"allow"))

_MCP_REFUSALS: dict[str, Refusal] = {
    "origin_denied": Refusal(
        403, "invalid_request_error", "Pages of this origin may not speak to MCP servers."
    ),
    "mcp_server_not_found": Refusal(404, "invalid_request_error", "No such MCP server."),
    "session_not_found": Refusal(404, "invalid_request_error", "No such session."),
    "method_not_allowed": Refusal(405, "invalid_request_error", "Use POST, GET or DELETE here."),
    "not_acceptable": Refusal(
        406, "invalid_request_error", "Accept text/event-stream for server-sent notifications."
    ),
    "media_type": Refusal(415, "invalid_request_error", "Send application/json."),
    "protocol_version": Refusal(
        400, "invalid_request_error", "MCP-Protocol-Version is no protocol version."
    ),
    "header_mismatch": Refusal(
        400, "invalid_request_error", "The request's headers do not say what its body says."
    ),
    "request.invalid": Refusal(400, "invalid_request_error", "The body cannot be read."),
    "upstream.unauthorized": Refusal(
        502, "upstream_error", "The MCP server does not take the gateway's credential."
    ),
}
_CODES = {
    "request.invalid": INVALID_REQUEST,
    "header_mismatch": HEADER_MISMATCH,
    "protocol_version": INVALID_REQUEST,
}

_encode = msgspec.json.Encoder().encode


def refuse(code: str, *, event_id: str, message: str = "", message_id: MessageId = None) -> Reply:
    """Status, headers and body of a refusal.

    Args:
        message_id: of the one request that is refused, where it is known.
    """
    refused = _MCP_REFUSALS.get(code) or refusal(code)
    headers = [JSON]
    if refused.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % refused.retry_after_seconds))
    text = message or refused.message.replace("model provider", "MCP server")
    problem = Problem(refused.type, code, text, event_id=event_id)
    number = _CODES.get(code, GATEWAY_REFUSAL)
    return refused.status, headers, _encode(error_document(problem, message_id, number))


def refusal_body(code: str, message: str, *, kind: str) -> bytes:
    """The body of a refusal of what never became an exchange."""
    return _encode(error_document(Problem(kind, code, message), None, GATEWAY_REFUSAL))


def error_document(
    problem: Problem, message_id: MessageId, code: int = POLICY_VIOLATION
) -> dict[str, Any]:
    """A JSON-RPC error; the id is null where it answers no request."""
    error = {"code": code, "message": problem.message, "data": _data(problem)}
    return {"jsonrpc": "2.0", "id": message_id, "error": error}


def stopped_document(problem: Problem, message_id: MessageId, *, is_tool: bool) -> dict[str, Any]:
    """The answer to a request that a policy stopped.

    For a tool it is a result that says it failed, which agents show to their model; anything else
    is answered with an error.
    """
    if not is_tool:
        return error_document(problem, message_id)
    result = {
        "content": [{"type": "text", "text": problem.message}],
        "isError": True,
        "_meta": {META_KEY: _data(problem)},
    }
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def block(messages: Sequence[Message], problem: Problem, *, is_batch: bool) -> Reply:
    """The answer to a body that a policy stopped: one for each request in it."""
    requests = [message for message in messages if message.kind == "request"]
    if not requests:  # nobody waits for an answer: only the status can say it
        return 409, [JSON], _encode(error_document(problem, None))
    answers = [
        stopped_document(problem, message.id, is_tool=bool(message.tool)) for message in requests
    ]
    return 200, [JSON], _encode(answers if is_batch else answers[0])


def no_answer(answers: Sequence[Message], is_batch: bool) -> bytes:
    """What a server gets in the place of answers that a policy stopped."""
    error = {"code": POLICY_VIOLATION, "message": "The client's answer was stopped."}
    documents = [{"jsonrpc": "2.0", "id": one.id, "error": error} for one in answers]
    return _encode(documents if is_batch else documents[0])


def _data(problem: Problem) -> dict[str, str]:
    """What programs read of a problem."""
    data = {"type": problem.type, "code": problem.code}
    for name in ("policy", "reason_code", "event_id", "escalation_id"):
        if value := getattr(problem, name):
            data[name] = value
    return data


def to_server(headers: Headers, *, credential: str | None, session_id: str) -> Headers:
    """The client's headers that the server gets, and what the gateway adds.

    Args:
        headers: without those that repeat what the body does not say.
        credential: the server's own, from the configuration.
        session_id: the server's own id of the session; empty without one.
    """
    forwarded = [
        header for header in headers if header[0] in _TO_SERVER or header[0].startswith(PARAM)
    ]
    # A compressed answer could not be judged.
    forwarded.append((b"accept-encoding", b"identity"))
    forwarded.append((b"user-agent", b"kintsugi-gateway"))
    if session_id:
        forwarded.append((b"mcp-session-id", session_id.encode()))
    if credential is not None:
        forwarded.append((b"authorization", credential.encode()))
    return forwarded


def from_server(headers: Headers) -> Headers:
    """The server's headers that the client gets."""
    return [header for header in headers if header[0] in _FROM_SERVER]
