"""Log lines as JSON on stderr, one event a line, with nothing secret in them.

Events are keys, not sentences with values: ``log.info("token.created", token_id=...)``.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

REDACTED = "[redacted]"

# Our own tokens, bearer values of any kind, and the keys of providers as they are known to look.
_SECRET_TEXT = re.compile(
    r"kt_[0-9a-z]{1,32}_[0-9a-f]{16,}"
    r"|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
_SECRET_NAMES = frozenset(
    {"authorization", "password", "secret", "token", "api_key", "api_token", "x-api-key", "cookie"}
)


def configure(*, service: str) -> None:
    """Send this process's log to stderr; libraries that log the old way are included."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,  # last before the encoder: it sees tracebacks too
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by name and by look, at any depth."""
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def _clean(name: str, value: Any) -> Any:
    if name.lower() in _SECRET_NAMES and value:
        return REDACTED
    match value:
        case str():
            return _SECRET_TEXT.sub(REDACTED, value)
        case Mapping():
            return {key: _clean(str(key), inner) for key, inner in value.items()}
        case list() | tuple():
            return [_clean(name, inner) for inner in value]
        case bytes():
            return f"{len(value)} bytes"
        case _:
            return value


def _named(service: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        event["service"] = service
        return event

    return add
