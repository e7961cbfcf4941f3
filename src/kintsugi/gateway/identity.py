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
_NAMED = frozenset(
    (
        b"x-user-id",
        b"x-team-id",
        b"x-tenant-id",
        b"x-session-id",
        b"x-conversation-id",
        b"x-agent-id",
        b"x-workflow",
        b"x-request-id",
        b"traceparent",
    )
)


def identify(headers: Headers, key_name: str) -> Identity:
    """Read the headers that say who is asking, and on whose behalf."""
    told = {name: value for name, value in headers if name in _NAMED}
    if not told:
        return Identity(key_name=key_name) if key_name else _NOBODY
    trace = _TRACEPARENT.fullmatch(told.get(b"traceparent", b""))
    return Identity(
        user_id=_value(told, b"x-user-id"),
        team_id=_value(told, b"x-team-id"),
        session_id=_value(told, b"x-session-id") or _value(told, b"x-conversation-id"),
        agent_id=_value(told, b"x-agent-id"),
        workflow=_value(told, b"x-workflow"),
        request_id=_value(told, b"x-request-id"),
        trace_id=trace[1].decode() if trace else "",
        parent_span_id=trace[2].decode() if trace else "",
        key_name=key_name,
        tenant_id=_value(told, b"x-tenant-id"),
    )


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


_NOBODY = Identity()


def _value(told: dict[bytes, bytes], name: bytes) -> str:
    value = told.get(name)
    if value is None:
        return ""
    text = value.decode("utf-8", errors="replace")[:_VALUE_CHARS_MAX].strip()
    return text if text.isprintable() else "".join(filter(str.isprintable, text))
