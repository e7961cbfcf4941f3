"""What callers may do: scopes that routes ask for, and roles that bundle them for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class Scope(Enum):
    """A permission that tokens and roles carry; ``admin`` contains all others.

    A new one belongs into the ``ROLES`` of the people who need it, or into ``MACHINE_SCOPES``.
    """

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
    RETENTION_READ = "retention:read"
    RETENTION_WRITE = "retention:write"
    RETENTION_RUN = "retention:run"
    CONTAINMENTS_READ = "containments:read"
    CONTAINMENTS_APPLY = "containments:apply"
    CONTAINMENTS_RELEASE = "containments:release"
    CONTAINMENTS_APPROVE = "containments:approve"
    REPLAYS_RUN = "replays:run"
    REGRESSIONS_READ = "regressions:read"
    REGRESSIONS_PROVE = "regressions:prove"
    REGRESSIONS_WRITE = "regressions:write"
    REGRESSIONS_APPROVE = "regressions:approve"
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
    # Sees restricted incidents without a part in them.
    INCIDENTS_RESTRICTED = "incidents:restricted"
    # One's own; with the permission to read incidents, all.
    REPORTS_READ = "reports:read"
    # Sources of alerts and links for people outside.
    REPORTS_MANAGE = "reports:manage"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    STATUS_READ = "status:read"
    PAYLOADS_REVEAL = "payloads:reveal"
    ARCHIVES_READ = "archives:read"
    ARCHIVES_WRITE = "archives:write"
    ERASURES_READ = "erasures:read"
    ERASURES_WRITE = "erasures:write"
    KEYS_READ = "keys:read"
    KEYS_ROTATE = "keys:rotate"
    TOKENS_ADMIN = "tokens:admin"
    USERS_ADMIN = "users:admin"
    AUDIT_READ = "audit:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
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


# What only programs do; of people, admins alone.
MACHINE_SCOPES: Final = frozenset(
    {Scope.EVENTS_WRITE, Scope.GATEWAYS_WRITE, Scope.TRACES_WRITE, Scope.LOG_WITNESS}
)
# What gives access to everything else, and so is for admins alone.
ADMIN_SCOPES: Final = frozenset(
    {Scope.ADMIN, Scope.TOKENS_ADMIN, Scope.USERS_ADMIN, Scope.KEYS_ROTATE}
)


class Role(Enum):
    """What a person is here to do. Somebody may have several."""

    VIEWER = "viewer"
    REPORTER = "reporter"
    REVIEWER = "reviewer"
    RESPONDER = "responder"
    COMMANDER = "commander"
    PRIVACY = "privacy"
    ADMIN = "admin"


_LOOK: Final = frozenset(
    {
        Scope.EVENTS_READ,
        Scope.TRACES_READ,
        Scope.ESCALATIONS_READ,
        Scope.QUARANTINES_READ,
        Scope.HOLDS_READ,
        Scope.RETENTION_READ,
        Scope.CONTAINMENTS_READ,
        Scope.REGRESSIONS_READ,
        Scope.CONFIGURATIONS_READ,
        Scope.GATEWAYS_READ,
        Scope.CUSTODY_READ,
        Scope.LOG_READ,
        Scope.ARCHIVES_READ,
        Scope.SIGNALS_READ,
        Scope.INCIDENTS_READ,
        Scope.REPORTS_READ,
        Scope.WORKFLOWS_READ,
        Scope.STATUS_READ,
    }
)
_REVIEW: Final = _LOOK | {
    Scope.INCIDENTS_REPORT,
    Scope.ESCALATIONS_RESOLVE,
    Scope.REPLAYS_RUN,
    Scope.REGRESSIONS_WRITE,
}
# Many may stop; few may release.
_RESPOND: Final = _REVIEW | {
    Scope.REGRESSIONS_PROVE,
    Scope.REGRESSIONS_APPROVE,
    Scope.INCIDENTS_RESPOND,
    Scope.CONTAINMENTS_APPLY,
    Scope.SIGNALS_WRITE,
    Scope.HOLDS_WRITE,
    Scope.WEBHOOKS_READ,
    Scope.CUSTODY_WRITE,
    Scope.EXPORTS_READ,
    Scope.EXPORTS_WRITE,
    Scope.SQL_READ,
}
_COMMAND: Final = _RESPOND | {
    Scope.WEBHOOKS_WRITE,
    Scope.INCIDENTS_COMMAND,
    Scope.CONTAINMENTS_RELEASE,
    Scope.CONTAINMENTS_APPROVE,
    Scope.QUARANTINES_RELEASE,
    Scope.CONFIGURATIONS_WRITE,
    Scope.WORKFLOWS_WRITE,
    Scope.REPORTS_MANAGE,
    Scope.PAYLOADS_REVEAL,
}
_PRIVACY: Final = _LOOK | {
    Scope.INCIDENTS_REPORT,
    Scope.INCIDENTS_RESTRICTED,
    Scope.HOLDS_WRITE,
    Scope.HOLDS_RELEASE,
    Scope.RETENTION_WRITE,
    Scope.RETENTION_RUN,
    Scope.PAYLOADS_REVEAL,
    Scope.ERASURES_READ,
    Scope.ERASURES_WRITE,
    Scope.ARCHIVES_WRITE,
    Scope.KEYS_READ,
    Scope.CUSTODY_WRITE,
    Scope.EXPORTS_READ,
    Scope.EXPORTS_WRITE,
    Scope.AUDIT_READ,
    Scope.SQL_READ,
}

ROLES: Final[Mapping[Role, frozenset[Scope]]] = MappingProxyType(
    {
        Role.VIEWER: _LOOK,
        Role.REPORTER: frozenset({Scope.INCIDENTS_REPORT, Scope.REPORTS_READ}),
        Role.REVIEWER: _REVIEW,
        Role.RESPONDER: _RESPOND,
        Role.COMMANDER: _COMMAND,
        Role.PRIVACY: _PRIVACY,
        Role.ADMIN: frozenset({Scope.ADMIN}),
    }
)


def scopes_of(roles: Iterable[str]) -> tuple[str, ...]:
    """The scopes of all these roles, in the order in which scopes are declared.

    A role that is not known (any more) gives nothing.
    """
    named = set(roles)
    held = {scope for role in Role if role.value in named for scope in ROLES[role]}
    return tuple(scope.value for scope in Scope if scope in held)


def allows(scopes: Iterable[str], permission: Permission) -> bool:
    """Whether a valid token with these scopes may do what needs ``permission``."""
    if isinstance(permission, Access):
        return True
    held = set(scopes)
    return permission.value in held or Scope.ADMIN.value in held
