"""Tool failures, told from the results that a conversation carries.

Where a result says in a structure that it failed, that counts, and a structure that says all is
well counts just as much. Without one the beginning of the text decides, as agents' own displays
do it (seed 003's ``_detect_tool_failure``): an exit code other than 0 for terminals, a full memory,
``"error"`` or ``"failed"`` as words in quotes, or a text that begins with ``Error``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from kintsugi.model.content import Part
from kintsugi.model.event import ToolFailure as ToolFailure
from kintsugi.policy.tool_calls import history

# ``exit``: a program ended with a code other than 0. ``full``: a store took no more. ``http``: a
# status of 400 or more. ``exception``: a stack trace. ``refused``: for lack of permission.
FailureKind = Literal["exit", "full", "http", "timeout", "exception", "refused", "error"]

_decode = msgspec.json.Decoder().decode
# The beginning of a result says whether it failed; a page of text that mentions errors did not.
_LOOKED_AT_CHARS = 500
# Larger results are data; reading them whole costs more than knowing.
_STRUCTURE_CHARS_MAX = 262_144
_RESULTS_MAX = 256

_QUOTED = ('"error"', '"failed"')
_BEGINNINGS = ("error", "exception", "traceback (most recent call last)", "fatal:", "panic:")
_TIMEOUT = re.compile(r"\b(?:timed out|timeout|deadline exceeded)\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"\b(?:permission denied|access denied|forbidden|unauthori[sz]ed|not allowed)\b", re.IGNORECASE
)
_EXIT_TEXT = re.compile(r"\A.{0,80}?\bexit(?:ed with)?(?: code| status)?[ :=]{1,3}(\d{1,3})\b")
_FAILED_STATES = frozenset(
    ("error", "failed", "failure", "timeout", "timed_out", "cancelled", "denied", "exception")
)
_EXIT_FIELDS = ("exit_code", "exitCode", "returncode", "return_code")
_STATUS_FIELDS = ("status_code", "statusCode", "http_status", "status")
_STATE_FIELDS = ("status", "state", "outcome")
_ERROR_FIELDS = ("error", "errors", "error_message", "errorMessage", "exception")


def tool_failures(parts: Sequence[Part]) -> tuple[ToolFailure, ...]:
    """The failures among the tool results of a conversation, in order; at most 256.

    A result without a name is given that of the call it answers.
    """
    if not any(part.kind == "tool_result" for part in parts):
        return ()
    names = {step.result.path: step.call.name for step in history(parts) if step.result is not None}
    found: list[ToolFailure] = []
    for part in parts:
        if part.kind != "tool_result":
            continue
        name = part.name or names.get(part.path, "")
        if (failure := failure_of(name, part.text)) is not None:
            found.append(msgspec.structs.replace(failure, path=part.path))
            if len(found) == _RESULTS_MAX:
                break
    return tuple(found)


def failure_of(tool: str, result: str) -> ToolFailure | None:
    """What a tool's result says went wrong; None when nothing did.

    Its ``detail`` is ``exit 1`` or ``status 503``, never a word of the result.
    """
    structure = _structure(result)
    if isinstance(structure, dict):
        said = _said_by(structure)
        if said is not None:
            kind, detail = said
            return ToolFailure(tool, kind, detail) if kind else None
    if tool == "terminal":  # its output is whatever the program wrote
        return None
    return _from_text(tool, result)


def _structure(result: str) -> Any:
    text = result.strip()
    if not text.startswith("{") or len(text) > _STRUCTURE_CHARS_MAX:
        return None
    try:
        return _decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _said_by(data: dict[str, Any]) -> tuple[FailureKind | None, str] | None:
    """What a structure says of itself: a failure, that all is well (None first), or nothing."""
    for field in _EXIT_FIELDS:
        code = data.get(field)
        if isinstance(code, int):
            return ("exit", f"exit {code}") if code != 0 else (None, "")
    flag = data.get("isError", data.get("is_error"))
    success = data.get("success", data.get("ok"))
    errors = [data[field] for field in _ERROR_FIELDS if field in data]
    words = next((error for error in errors if isinstance(error, str)), "")
    if success is False and "exceed the limit" in words:
        return "full", ""
    # A bare "code" may be anything; beside a message it is a status.
    numbers = [data.get(field) for field in _STATUS_FIELDS]
    for status in [*numbers, data.get("code") if errors or "message" in data else None]:
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
            return "http", f"status {status}"
    states = (data.get(field) for field in _STATE_FIELDS)
    state = next((word for word in states if isinstance(word, str)), "")
    failed = flag is True or success is False or any(errors)
    if failed or state.strip().lower() in _FAILED_STATES:
        return _kind_of(f"{state} {words}"[:_LOOKED_AT_CHARS]), ""
    if flag is False or success is True or errors:
        return None, ""  # it has a place for errors, and none stands there
    return None


def _from_text(tool: str, result: str) -> ToolFailure | None:
    head = result[:_LOOKED_AT_CHARS].lower().lstrip()
    exited = _EXIT_TEXT.match(head)
    if exited is not None and head.startswith(("exit", "command", "process", "error")):
        code = int(exited[1])
        return ToolFailure(tool, "exit", f"exit {code}") if code else None
    if any(word in head for word in _QUOTED) or head.startswith(_BEGINNINGS):
        return ToolFailure(tool, _kind_of(head))
    return None


def _kind_of(text: str) -> FailureKind:
    if _TIMEOUT.search(text):
        return "timeout"
    if _REFUSED.search(text):
        return "refused"
    if "traceback (most recent call last)" in text.lower():
        return "exception"
    return "error"
