"""What a token may do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Scope(Enum):
    """A permission that tokens carry; ``admin`` contains all others."""

    ADMIN = "admin"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    ESCALATIONS_READ = "escalations:read"
    ESCALATIONS_RESOLVE = "escalations:resolve"
    QUARANTINES_READ = "quarantines:read"
    QUARANTINES_RELEASE = "quarantines:release"
    HOLDS_READ = "holds:read"
    HOLDS_WRITE = "holds:write"
    HOLDS_RELEASE = "holds:release"
    CONTAINMENTS_READ = "containments:read"
    CONTAINMENTS_APPLY = "containments:apply"
    CONTAINMENTS_RELEASE = "containments:release"
    CONFIGURATIONS_READ = "configurations:read"
    CONFIGURATIONS_WRITE = "configurations:write"
    GATEWAYS_READ = "gateways:read"
    GATEWAYS_WRITE = "gateways:write"
    EXPORTS_READ = "exports:read"
    EXPORTS_WRITE = "exports:write"
    CUSTODY_READ = "custody:read"
    CUSTODY_WRITE = "custody:write"
    TRACES_READ = "traces:read"
    TRACES_WRITE = "traces:write"
    LOG_READ = "log:read"
    LOG_WITNESS = "log:witness"
    SIGNALS_READ = "signals:read"
    SIGNALS_WRITE = "signals:write"
    INCIDENTS_READ = "incidents:read"
    INCIDENTS_REPORT = "incidents:report"
    INCIDENTS_RESPOND = "incidents:respond"
    # On top of the one above: what is otherwise the commander's.
    INCIDENTS_COMMAND = "incidents:command"
    STATUS_READ = "status:read"
    PAYLOADS_REVEAL = "payloads:reveal"
    ERASURES_READ = "erasures:read"
    ERASURES_WRITE = "erasures:write"
    KEYS_READ = "keys:read"
    KEYS_ROTATE = "keys:rotate"
    TOKENS_ADMIN = "tokens:admin"
    SQL_READ = "sql:read"


class Access(Enum):
    """Who may use a route that asks for no particular scope."""

    PUBLIC = "public"  # no token at all
    SIGNED_IN = "signed-in"  # any valid token


Permission = Scope | Access

GATEWAY_SCOPES = (
    Scope.EVENTS_WRITE,
    Scope.GATEWAYS_READ,
    Scope.GATEWAYS_WRITE,
    Scope.CONFIGURATIONS_READ,
    Scope.CONFIGURATIONS_WRITE,
)


def allows(scopes: Iterable[str], permission: Permission) -> bool:
    """Whether a valid token with these scopes may do what needs ``permission``."""
    if isinstance(permission, Access):
        return True
    held = set(scopes)
    return permission.value in held or Scope.ADMIN.value in held
