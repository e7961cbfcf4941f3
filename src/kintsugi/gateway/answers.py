"""What the gateway itself says to a client: headers on every answer, and every refusal it knows."""

from __future__ import annotations

from math import ceil

import msgspec

from kintsugi.gateway.commands import Reply
from kintsugi.gateway.dialects.dialect import Dialect, Problem
from kintsugi.gateway.events import Headers
from kintsugi.model.containment import CONTAINMENT
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.verdict import Verdict

_JSON = (b"content-type", b"application/json")
# The SDKs repeat a 409 by themselves; a block would be asked for, and recorded, three times.
_NO_RETRY = (b"x-should-retry", b"false")

# Of upstream's headers, what a client has use for. Cookies and connection matters stay here.
_FROM_UPSTREAM = frozenset(
    (
        b"content-type",
        b"x-request-id",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"openai-model",
        b"openai-processing-ms",
        b"openai-version",
    )
)
_LIMITS_FROM_UPSTREAM = (b"x-ratelimit-", b"anthropic-ratelimit-")
# Of the client's headers, what upstream gets. Never a credential: those come from configuration.
_TO_UPSTREAM = frozenset(
    (
        b"content-type",
        b"accept",
        b"user-agent",
        b"openai-beta",
        b"anthropic-version",
        b"anthropic-beta",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b"idempotency-key",
    )
)


class Refusal(msgspec.Struct, frozen=True):
    """One way in which the gateway says no."""

    status: int
    type: str
    message: str
    retry_after_seconds: int = 0


_UPSTREAM = "upstream_error"
_CLOSED = "The gateway cannot serve this now; try again."

REFUSALS: dict[str, Refusal] = {
    "invalid_api_key": Refusal(401, "authentication_error", "No valid gateway key was presented."),
    "unknown_url": Refusal(404, "invalid_request_error", "The gateway serves no such path."),
    "method_not_allowed": Refusal(405, "invalid_request_error", "Use POST here."),
    "model_not_found": Refusal(404, "invalid_request_error", "This model is not configured."),
    "request.malformed": Refusal(400, "invalid_request_error", "This is not valid HTTP."),
    "request.invalid": Refusal(422, "invalid_request_error", "The body cannot be read."),
    "request.timeout": Refusal(
        408, "invalid_request_error", "The request took too long to arrive."
    ),
    "request.too_large": Refusal(413, "invalid_request_error", "The request is too large."),
    "pack.disabled": Refusal(
        503, "server_error", "This configuration is switched off (pack.enabled: false)."
    ),
    "overloaded": Refusal(503, "server_error", _CLOSED, 1),
    "draining": Refusal(503, "server_error", "This gateway is shutting down; try again.", 1),
    "evidence_unavailable": Refusal(
        503, "server_error", "The decision could not be recorded, so nothing is answered.", 1
    ),
    "gateway.internal": Refusal(
        500, "server_error", "The gateway failed; nothing was let through."
    ),
    "upstream.connect_failed": Refusal(502, _UPSTREAM, "The model provider cannot be reached."),
    "upstream.timeout": Refusal(502, _UPSTREAM, "The model provider took too long."),
    "upstream.reset": Refusal(502, _UPSTREAM, "The model provider cut the connection."),
    "upstream.invalid_response": Refusal(502, _UPSTREAM, "The model provider broke HTTP's rules."),
    "upstream.too_large": Refusal(502, _UPSTREAM, "The model provider's answer is too large."),
    "upstream.encoded": Refusal(
        502, _UPSTREAM, "The model provider compressed its answer, so it cannot be judged."
    ),
    "upstream.unreadable": Refusal(
        502, _UPSTREAM, "The model provider's answer cannot be read, so it cannot be judged."
    ),
    "upstream.secret_missing": Refusal(
        502, _UPSTREAM, "The secret for this model provider is not in the gateway's environment."
    ),
    "upstream.circuit_open": Refusal(
        503, _UPSTREAM, "Every target for this model has failed of late; try again.", 1
    ),
    "upstream.none_allowed": Refusal(
        502, _UPSTREAM, "No target is left that the policies allow for this request."
    ),
    "upstream.not_configured": Refusal(502, _UPSTREAM, "This target has no address."),
}
_UNFORESEEN = Refusal(502, _UPSTREAM, "The model provider gave no usable answer.")


def refusal(code: str) -> Refusal:
    """The refusal with this code; an upstream failure where the code is not in the table."""
    return REFUSALS.get(code, _UNFORESEEN)


def refuse(
    dialect: Dialect,
    code: str,
    *,
    event_id: str,
    message: str = "",
    param: str = "",
) -> Reply:
    """Status, headers and body of a refusal in the words of a dialect."""
    refused = refusal(code)
    headers = [_JSON]
    if refused.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % refused.retry_after_seconds))
    elif refused.status < 500:
        headers.append(_NO_RETRY)
    text = message or refused.message
    problem = Problem(refused.type, code, text, param=param, event_id=event_id)
    return refused.status, headers, dialect.problem_body(problem)


_CODES = {
    Phase.ROUTE: "input_blocked",
    Phase.INPUT: "input_blocked",
    Phase.TOOL: "tool_blocked",
    Phase.OUTPUT: "output_blocked",
    Phase.AUDIT: "output_blocked",
}


# What passes again when time has gone by: 429 instead of 409.
_LIMITED = {"rate_limit.exceeded": "rate_limited", "spend_limit.exceeded": "budget_exceeded"}
# Longer than this no SDK waits; it would try again at once instead.
_RETRY_SECONDS_MAX = 60


def stopped(decision: Decision, phase: Phase, *, event_id: str, rejected: bool = False) -> Problem:
    """Why a policy stopped the exchange, for the client. Free of the exchange's content.

    Args:
        rejected: a reviewer was asked, and said no.
    """
    code = _LIMITED.get(decision.reason_code, _CODES[phase])
    escalation_id = ""
    if decision.verdict is Verdict.ESCALATE:
        code = "escalation_rejected" if rejected else "escalation_required"
        escalation_id = event_id
    elif decision.verdict is Verdict.QUARANTINE or (
        decision.policy_name.startswith(CONTAINMENT) and code not in _LIMITED.values()
    ):
        code = "contained"
    return Problem(
        "rate_limit" if code in _LIMITED.values() else "policy_violation",
        code,
        decision.message or f"Stopped by policy {decision.policy_name}: {decision.reason_code}.",
        policy=decision.policy_name,
        reason_code=decision.reason_code,
        event_id=event_id,
        escalation_id=escalation_id,
    )


def block(dialect: Dialect, problem: Problem, retry_after_seconds: float = 0.0) -> Reply:
    """Status, headers and body of an answer that a policy put in the place of the model's."""
    if problem.type != "rate_limit":
        return 409, [_JSON, _NO_RETRY], dialect.problem_body(problem)
    headers = [_JSON]
    if retry_after_seconds:
        headers.append((b"retry-after", b"%d" % ceil(retry_after_seconds)))
    if not 0 < retry_after_seconds <= _RETRY_SECONDS_MAX:
        headers.append(_NO_RETRY)
    return 429, headers, dialect.problem_body(problem)


_DECISIONS = {verdict: (b"x-kt-decision", verdict.value.encode()) for verdict in Verdict}


def own_headers(
    *, event_id: str, verdict: Verdict, config_version: str, overhead_ms: float
) -> Headers:
    """The headers that stand on every answer."""
    return [
        (b"x-kt-event-id", event_id.encode()),
        _DECISIONS[verdict],
        (b"x-kt-config-version", config_version.encode()),
        (b"x-kt-overhead-ms", b"%.3f" % overhead_ms),
    ]


def from_upstream(headers: Headers, *, encoded: bool = False) -> Headers:
    """Upstream's headers that the client gets.

    Args:
        encoded: the body passes as upstream compressed it.
    """
    return [
        header
        for header in headers
        if header[0] in _FROM_UPSTREAM
        or header[0].startswith(_LIMITS_FROM_UPSTREAM)
        or (encoded and header[0] == b"content-encoding")
    ]


def to_upstream(
    headers: Headers, credential: str | None, credential_header: bytes = b"authorization"
) -> Headers:
    """The client's headers that upstream gets, and the target's own credential."""
    forwarded = [header for header in headers if header[0] in _TO_UPSTREAM]
    # A compressed answer could not be judged.
    forwarded.append((b"accept-encoding", b"identity"))
    if credential is not None:
        forwarded.append((credential_header, credential.encode()))
    return forwarded
