"""The error body that Anthropic's endpoints send, and that its SDKs raise as typed exceptions."""

from __future__ import annotations

from typing import Any

import msgspec

from kintsugi.gateway.dialects.dialect import Problem

_encode = msgspec.json.Encoder().encode

# Anthropic's own words for what goes wrong; its clients ask for them.
_TYPES = {
    "upstream_error": "api_error",
    "server_error": "api_error",
    "rate_limit": "rate_limit_error",
}
_TYPES_BY_CODE = {
    "model_not_found": "not_found_error",
    "unknown_url": "not_found_error",
    "request.too_large": "request_too_large",
    "request.timeout": "timeout_error",
    "upstream.timeout": "timeout_error",
    "overloaded": "overloaded_error",
    "draining": "overloaded_error",
}


def error_document(problem: Problem) -> dict[str, Any]:
    """The body of an error answer, and the data of an ``error`` event.

    ``details.error_code`` is where the SDKs look for a stable code.
    """
    error: dict[str, Any] = {
        "type": _TYPES_BY_CODE.get(problem.code) or _TYPES.get(problem.type, problem.type),
        "message": problem.message,
        "details": {"error_code": problem.code},
        "code": problem.code,
    }
    for key in ("param", "policy", "reason_code", "event_id", "escalation_id"):
        if value := getattr(problem, key):
            error[key] = value
    document: dict[str, Any] = {"type": "error", "error": error}
    if problem.event_id:
        document["request_id"] = problem.event_id
    return document


def error_body(problem: Problem) -> bytes:
    """The same as bytes."""
    return _encode(error_document(problem))
