"""Who may do what: identity, and per role models, tools and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Self

import msgspec

from kintsugi.model.config import Config
from kintsugi.model.content import ExchangeView, Identity
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.data_classes import LEVELS, Sensitivity, data_classes, sensitivity
from kintsugi.policy.names import Names
from kintsugi.policy.offered import Offered, denied_offers
from kintsugi.policy.roles import Members, RoleBook, claim_name
from kintsugi.policy.rule import ActionOptions, Observation, OptionInvalid, Rule, RuleKind

_IDENTITY = "rbac.identity_missing"
_MODEL = "rbac.model_denied"
_TOOL = "rbac.tool_denied"
_DATA = "rbac.data_denied"


class Role(Members, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one role may do, and who has it. ``*`` and ``?`` are understood in all lists.

    Attributes:
        allowed_tools, allowed_models: nothing else. Empty: everything.
        denied_tools, denied_models: go before what is allowed.
    """

    allowed_tools: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] = ()
    denied_models: tuple[str, ...] = ()


class DataAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most sensitive data that a role may send."""

    max_sensitivity: Sensitivity


class MinimumNecessary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health data only for those who need it.

    Attributes:
        allowed_phi_roles: the roles that may send it.
    """

    enabled: bool = False
    allowed_phi_roles: tuple[str, ...] = ()


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    deny_if_missing: headers that every request must carry.
    require_auth: every request must show a gateway key (``gateway.keys``).
    roles: what each may do. Where there are roles, callers without one may use no tool.
    role_header: in which the application names the caller's role; empty for none.
    default_role: of everybody without another one.
    data_access: per role, the most sensitive data that may be sent.
    minimum_necessary: who may send health data.
    offered_tools: what becomes of tools that the request offers and the caller may not use:
        ``strip`` takes them out, ``block`` refuses the request, ``ignore`` waits for a call.
    """

    deny_if_missing: tuple[str, ...] = ("X-User-ID",)
    require_auth: bool = False
    roles: dict[str, Role] = msgspec.field(default_factory=dict)
    role_header: str = "X-User-Role"
    default_role: str = ""
    data_access: dict[str, DataAccess] = msgspec.field(default_factory=dict)
    minimum_necessary: MinimumNecessary = MinimumNecessary()
    offered_tools: Offered = "strip"


# Headers that the gateway reads itself.
_IDENTITY_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "x-user-id": "user_id",
        "x-team-id": "team_id",
        "x-tenant-id": "tenant_id",
        "x-session-id": "session_id",
        "x-conversation-id": "session_id",
        "x-agent-id": "agent_id",
        "x-workflow": "workflow",
        "x-request-id": "request_id",
    }
)


class _Rights(NamedTuple):
    """One role's lists, ready to ask."""

    tools: Names
    no_tools: Names
    models: Names
    no_models: Names

    def may_call(self, tool: str) -> bool:
        return tool not in self.no_tools and (not self.tools or tool in self.tools)

    def may_ask(self, model: str) -> bool:
        return model not in self.no_models and (not self.models or model in self.models)


class AccessRule(Rule):
    """One phase's questions: who and which model, which data, which tools."""

    def __init__(self, options: Options, phase: Phase) -> None:
        self._options = options
        self._phase = phase
        others = (*options.data_access, *options.minimum_necessary.allowed_phi_roles)
        members: dict[str, Members] = {name: Members() for name in others}
        members |= options.roles
        self._book = RoleBook(members, header=options.role_header, default=options.default_role)
        self._rights = {
            name: _Rights(
                Names(role.allowed_tools),
                Names(role.denied_tools, loose=True),
                Names(role.allowed_models),
                Names(role.denied_models, loose=True),
            )
            for name, role in options.roles.items()
        }
        self._required = [
            claim_name(header, f"deny_if_missing.{at}")
            for at, header in enumerate(options.deny_if_missing)
        ]
        claims = [name for name in self._required if name not in _IDENTITY_FIELDS]
        self.claim_names = tuple(filter(None, (*claims, self._book.header)))
        self.judges = {
            Phase.INPUT: bool(self._required or options.require_auth or self._rights),
            Phase.ROUTE: bool(options.data_access or options.minimum_necessary.enabled),
            Phase.TOOL: bool(self._rights),
        }[phase]

    def bind(self, config: Config) -> Self:
        """See ``Rule``."""
        self._book.bind(config, "roles")
        if self._options.require_auth and not config.gateway.keys:
            raise OptionInvalid(
                "require_auth",
                "there are no gateway keys, so nobody could ever show one",
                "add gateway: {keys: [{name: ..., sha256: ...}]}",
            )
        return self

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        if self._phase is Phase.INPUT:
            return [
                *self._who(facts),
                *self._model(exchange, facts),
                *self._offers(exchange, facts),
            ]
        if self._phase is Phase.ROUTE:
            return self._data(facts)
        return self._tools(exchange, facts)

    def _who(self, facts: Facts) -> list[Observation]:
        seen = [
            Observation(rule="missing_header", reason_code=_IDENTITY, detail=name)
            for name in self._required
            if not _told(name, facts)
        ]
        if self._options.require_auth and not facts.identity.key_name:
            seen.append(Observation(rule="missing_key", reason_code=_IDENTITY))
        return seen

    def _model(self, exchange: ExchangeView, facts: Facts) -> list[Observation]:
        restricted = any(right.models or right.no_models for right in self._rights.values())
        if not restricted:
            return []
        role = self._book.role_of(facts)
        rights = self._rights.get(role)
        if rights is not None and rights.may_ask(exchange.model):
            return []
        return [Observation(rule="model", reason_code=_MODEL, detail=_as(role))]

    def _tools(self, exchange: ExchangeView, facts: Facts) -> list[Observation]:
        if not self._rights:
            return []
        role = self._book.role_of(facts)
        rights = self._rights.get(role)
        return [
            Observation(rule="tool", reason_code=_TOOL, path=part.path, detail=_as(role))
            for part in exchange.parts
            if part.kind == "tool_call" and (rights is None or not rights.may_call(part.name))
        ]

    def _offers(self, exchange: ExchangeView, facts: Facts) -> list[Observation]:
        if not self._rights:
            return []
        rights = self._rights.get(self._book.role_of(facts))
        return denied_offers(
            exchange.parts,
            self._options.offered_tools,
            lambda tool: rights is not None and rights.may_call(tool),
            _TOOL,
        )

    def _data(self, facts: Facts) -> list[Observation]:
        role = self._book.role_of(facts)
        seen: list[Observation] = []
        if self._options.data_access:
            access = self._options.data_access.get(role)
            most = access.max_sensitivity if access is not None else "public"
            held = sensitivity(facts.found)
            if LEVELS[held] > LEVELS[most]:
                detail = f"{held} data, {_as(role)} may send {most}"
                seen.append(Observation(rule="sensitivity", reason_code=_DATA, detail=detail))
        necessary = self._options.minimum_necessary
        if (
            necessary.enabled
            and role not in necessary.allowed_phi_roles
            and "phi" in data_classes(facts.found)
        ):
            seen.append(Observation(rule="minimum_necessary", reason_code=_DATA, detail=_as(role)))
        return seen


def _as(role: str) -> str:
    return f'role "{role}"' if role else "no role"


def _told(header: str, facts: Facts) -> bool:
    field = _IDENTITY_FIELDS.get(header)
    if field is None:
        return bool(facts.claims.get(header, "").strip())
    identity: Identity = facts.identity
    return bool(getattr(identity, field))


def build(options: Options, phase: Phase) -> Rule:
    """The rule for one phase.

    Raises:
        OptionInvalid: a role is named that does not exist, or a header that cannot be used.
    """
    for role in options.data_access:
        _known(role, f"data_access.{role}", options)
    for at, role in enumerate(options.minimum_necessary.allowed_phi_roles):
        _known(role, f"minimum_necessary.allowed_phi_roles.{at}", options)
    return AccessRule(options, phase)


def _known(role: str, path: str, options: Options) -> None:
    if options.roles and role not in options.roles:
        known = ", ".join(options.roles)
        raise OptionInvalid(path, f'there is no role "{role}"', f"roles: {known}")


KIND = RuleKind(
    name="rbac",
    title="Roles",
    options=Options,
    phases=(Phase.INPUT, Phase.ROUTE, Phase.TOOL),
    default_action=Verdict.BLOCK,
    actions=(
        Verdict.ALLOW,
        Verdict.FLAG,
        Verdict.TRANSFORM,
        Verdict.ESCALATE,
        Verdict.BLOCK,
    ),
    reasons=(_IDENTITY, _MODEL, _TOOL, _DATA),
    detector_version=1,
    message="This caller may not do that.",
    method="Lists per role; roles from gateway keys, lists of callers, or a header.",
    cost="A few microseconds per exchange.",
    limits=(
        "Headers are the application's word; only a gateway key proves anything.",
        "How sensitive data is follows from what other policies found.",
    ),
    build=build,
)
