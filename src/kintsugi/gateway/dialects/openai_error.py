"""The error body that every OpenAI endpoint sends, and that its SDKs raise as typed exceptions."""

from __future__ import annotations

from typing import Any

import msgspec

from kintsugi.gateway.dialects.dialect import Problem

_encode = msgspec.json.Encoder().encode


def error_object(problem: Problem) -> dict[str, Any]:
    """What stands under ``error``. ``param`` is null rather than absent: the SDK's type asks for
    it."""
    error: dict[str, Any] = {
        "message": problem.message,
        "type": problem.type,
        "param": problem.param or None,
        "code": problem.code,
    }
    if problem.policy:
        error["policy"] = problem.policy
    if problem.reason_code:
        error["reason_code"] = problem.reason_code
    if problem.event_id:
        error["event_id"] = problem.event_id
    if problem.escalation_id:
        error["escalation_id"] = problem.escalation_id
    return error


def error_body(problem: Problem) -> bytes:
    """The body of an error answer."""
    return _encode({"error": error_object(problem)})
