"""Who sent a request, by its headers. CONTRACT §4 names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from kintsugi.gateway.events import Headers
from kintsugi.model.content import Identity

# W3C Trace Context §3.2: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_VALUE_CHARS_MAX = 256
_FIELDS = {
    b"x-user-id": "user_id",
    b"x-team-id": "team_id",
    b"x-tenant-id": "tenant_id",
    b"x-session-id": "session_id",
    b"x-agent-id": "agent_id",
    b"x-workflow": "workflow",
    b"x-request-id": "request_id",
}
_NAMED = frozenset((*_FIELDS, b"x-conversation-id", b"traceparent"))


def identify(headers: Headers, key_name: str) -> Identity:
    """Read the headers that say who is asking, and on whose behalf."""
    told = {name: value for name, value in headers if name in _NAMED}
    said = {_FIELDS[name]: _text(value) for name, value in told.items() if name in _FIELDS}
    if b"x-conversation-id" in told and not said.get("session_id"):
        said["session_id"] = _text(told[b"x-conversation-id"])
    if b"traceparent" in told and (trace := _TRACEPARENT.fullmatch(told[b"traceparent"])):
        said["trace_id"], said["parent_span_id"] = trace[1].decode(), trace[2].decode()
    return Identity(**said, key_name=key_name)


def key_name_of(headers: Headers, names: Mapping[str, str]) -> str | None:
    """The name of the gateway key that was presented; None when it is none of ours.

    Args:
        names: SHA-256 (hex) of each key to its name. Looking up a hash takes the same time for a
            near miss as for any other, so timing gives nothing away.
    """
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() != b"bearer":
                continue
        elif name == b"x-api-key":
            key = value
        else:
            continue
        found = names.get(hashlib.sha256(key.strip()).hexdigest())
        if found is not None:
            return found
    return None


def _text(value: bytes) -> str:
    text = value.decode("utf-8", errors="replace")[:_VALUE_CHARS_MAX].strip()
    return text if text.isprintable() else "".join(filter(str.isprintable, text))
