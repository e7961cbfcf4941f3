"""The options of agent-firewall, in every form that its documents print."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kintsugi.policy.amounts import AMOUNT_ARGUMENTS
from kintsugi.policy.egress import Egress
from kintsugi.policy.offered import Offered
from kintsugi.policy.provenance import HIJACKED
from kintsugi.policy.roles import Members
from kintsugi.policy.rule import ActionOptions

Count = Annotated[int, msgspec.Meta(ge=1)]
Money = Annotated[float, msgspec.Meta(gt=0)]


class RoleTools(Members, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one role may call, and who has it.

    Attributes:
        allowed: nothing else. Empty: everything.
        denied: goes before what is allowed.
    """

    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


class Tools(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tools by role. Where there are roles, callers without one may call nothing."""

    roles: dict[str, RoleTools] = msgspec.field(default_factory=dict)


class CallLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls of all tools together; what is left out is not limited."""

    max_calls_per_minute: Count | None = None
    max_calls_per_session: Count | None = None


class TransactionLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts in arguments; what is left out is not limited.

    Attributes:
        max_single_transaction: in one call.
        max_daily_total: of one user in the last 24 hours.
        max_session_total: in one session.
        require_approval_above: in one call, without a person's approval.
        amount_arguments: the arguments that are amounts.
        tools: which tools' amounts count.
    """

    max_single_transaction: Money | None = None
    max_daily_total: Money | None = None
    max_session_total: Money | None = None
    require_approval_above: Annotated[float, msgspec.Meta(ge=0)] | None = None
    amount_arguments: tuple[str, ...] = AMOUNT_ARGUMENTS
    tools: tuple[str, ...] = ("*",)


class TransactionLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The short form: ``max_cost_per_session`` is ``max_session_total``."""

    max_cost_per_session: Money | None = None


class KillSwitches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stops a session until somebody releases it (verdict ``quarantine``).

    Attributes:
        max_errors_before_halt: so many tool failures in the conversation.
        halt_on_pii_in_action: personal data in arguments.
        halt_on_suspicious_pattern: dangerous arguments, which otherwise are refused.
    """

    max_errors_before_halt: Count | None = None
    halt_on_pii_in_action: bool = False
    halt_on_suspicious_pattern: bool = False


class Monitoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is worth a flag.

    Attributes:
        alert_threshold_percent: flag from so much of a limit on; 0 never does.
        alert_on_denied_action, alert_on_rate_limit: always so: each is a finding on the record.
    """

    alert_on_denied_action: bool = True
    alert_on_rate_limit: bool = True
    alert_threshold_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0


class Binding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An argument that must be what the session is about.

    Attributes:
        argument: its name, at any depth; case, ``_`` and ``-`` make no difference.
        claim: the header whose value it must equal.
        identity: the part of the identity that it must equal.
        first_use: it must equal what the first call in the conversation had there.
        tools: whose calls are bound.
        required: refuse calls that leave the argument out.
    """

    argument: str
    claim: str = ""
    identity: Literal["", "user_id", "team_id", "session_id", "agent_id", "workflow"] = ""
    first_use: bool = False
    tools: tuple[str, ...] = ("*",)
    required: bool = False


class Repeats(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls that go round in circles.

    Attributes:
        max_identical: of one call with the same arguments in a conversation; 0 for no limit.
        max_identical_per_session: the same, counted over all requests of a session.
        max_cycles: of the same sequence of up to four calls, one after the other; 0 for no limit.
        once_tools: tools of which the same call succeeds once in a session, such as payments.
        once_seconds: how long such a call is remembered besides the conversation.
    """

    max_identical: Annotated[int, msgspec.Meta(ge=0)] = 10
    max_identical_per_session: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_cycles: Annotated[int, msgspec.Meta(ge=0)] = 5
    once_tools: tuple[str, ...] = ()
    once_seconds: Count = 86_400


class Dangerous(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments that destroy, or read what no tool should.

    Attributes:
        categories: ``shell``, ``sql``, ``path``.
        tools: whose arguments are looked at.
        ignored_arguments: arguments that may hold anything, such as the text of a document.
        allow: names of findings that are fine, such as ``rewrite_history``.
    """

    enabled: bool = True
    categories: tuple[Literal["shell", "sql", "path"], ...] = ("shell", "sql", "path")
    tools: tuple[str, ...] = ("*",)
    ignored_arguments: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls that content asked for and the user did not.

    Attributes:
        threshold: from this score on, 0 to 1.
        afterwards: what becomes of a request whose last calls turn out so only by the results that
            it brings: ``flag``, ``act`` as the policy does, or ``ignore``.
    """

    enabled: bool = False
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] = HIJACKED
    afterwards: Literal["flag", "act", "ignore"] = "flag"


class Options(ActionOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:
    allowed_tools: nothing else, whatever the role. Empty: everything.
    blocked_tools, denied_tools: never, whatever the role.
    tools: per role.
    role_header: in which the application names the caller's role; empty for none.
    default_role: of everybody without another one.
    offered_tools: what becomes of tools that the request offers and the caller may not use:
        ``strip`` takes them out, ``block`` refuses the request, ``ignore`` waits for a call.
    require_approval_for: tools whose calls a person must approve.
    max_actions_per_session: calls of all tools together.
    rate_limits: calls per minute and session, by tool, or ``default`` for each other one.
    """

    allowed_tools: tuple[str, ...] = ()
    blocked_tools: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    tools: Tools = Tools()
    role_header: str = "X-User-Role"
    default_role: str = ""
    offered_tools: Offered = "strip"
    require_approval_for: tuple[str, ...] = ()
    max_actions_per_session: Count | None = None
    rate_limits: dict[str, Count] = msgspec.field(default_factory=dict)
    rate_limit: CallLimits = CallLimits()
    transaction_limits: TransactionLimits = TransactionLimits()
    transaction_limit: TransactionLimit = TransactionLimit()
    kill_switches: KillSwitches = KillSwitches()
    monitoring: Monitoring = Monitoring()
    bindings: tuple[Binding, ...] = ()
    repeats: Repeats = Repeats()
    egress: Egress = Egress()
    dangerous: Dangerous = Dangerous()
    provenance: Provenance = Provenance()
