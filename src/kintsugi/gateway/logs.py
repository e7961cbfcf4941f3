"""Log lines of gateway processes: JSON, one event a line, on standard error."""

from __future__ import annotations

import sys
from typing import cast

import structlog
from structlog.typing import WrappedLogger


def configure_logs(**bound: object) -> None:
    """Set structlog up once per process; ``bound`` is on every line, such as ``worker="w0"``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=_stderr,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)


def _stderr(*_names: object) -> WrappedLogger:
    return cast("WrappedLogger", structlog.WriteLogger(sys.stderr))
