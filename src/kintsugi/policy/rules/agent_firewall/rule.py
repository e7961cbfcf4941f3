"""What an agent may do with its tools.

Calls are judged once, where they appear: in the model's answer, or on their way to a tool server.
The calls in a request's history were judged when they appeared and are never judged again; they
count as what came before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self, cast

from kintsugi.model.config import Config
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts, Need
from kintsugi.model.verdict import Verdict
from kintsugi.policy.egress import EgressRules
from kintsugi.policy.names import Names
from kintsugi.policy.offered import Offered, denied_offers
from kintsugi.policy.probe import Probe
from kintsugi.policy.recogniser import RecogniserRule
from kintsugi.policy.roles import RoleBook
from kintsugi.policy.rule import Observation, OptionInvalid, OptionNote, Rule, RuleKind
from kintsugi.policy.rules.agent_firewall.bindings import EntityBinding
from kintsugi.policy.rules.agent_firewall.checks import (
    APPROVAL,
    BINDING,
    EGRESS,
    HALTED,
    HIJACK,
    LIMIT,
    LIMIT_NEAR,
    REPEATED,
    TOOL_DENIED,
    TRANSACTION,
    UNREADABLE,
    Check,
    Turn,
    about,
)
from kintsugi.policy.rules.agent_firewall.hijack import HijackCheck
from kintsugi.policy.rules.agent_firewall.limits import CallLimit, TransactionLimit
from kintsugi.policy.rules.agent_firewall.options import Options
from kintsugi.policy.rules.agent_firewall.repeats import RepeatedCall
from kintsugi.policy.rules.agent_firewall.signals import CATEGORIES, CONFIRM, DANGEROUS
from kintsugi.policy.rules.pii_detector.rule import Options as PiiOptions
from kintsugi.policy.rules.pii_detector.rule import build as build_pii
from kintsugi.policy.tool_calls import ToolCall, same_name, texts
from kintsugi.policy.tool_failures import tool_failures


class Permissions:
    """Which tools a caller may call."""

    def __init__(self, options: Options) -> None:
        roles = options.tools.roles
        self.book = RoleBook(roles, header=options.role_header, default=options.default_role)
        self._allowed = Names(options.allowed_tools)
        self._blocked = Names((*options.blocked_tools, *options.denied_tools), loose=True)
        self._roles = {
            name: (Names(role.allowed), Names(role.denied, loose=True))
            for name, role in roles.items()
        }

    @property
    def restrict(self) -> bool:
        """Whether there is any tool that some caller may not call."""
        return bool(self._allowed or self._blocked or self._roles)

    def may_call(self, tool: str, facts: Facts) -> bool:
        """Whether this caller may call this tool."""
        if tool in self._blocked or (self._allowed and tool not in self._allowed):
            return False
        if not self._roles:
            return True
        lists = self._roles.get(self.book.role_of(facts))
        if lists is None:
            return False
        allowed, denied = lists
        return tool not in denied and (not allowed or tool in allowed)


class PermissionCheck(Check):
    """Tools that the caller may not call, or not without a person."""

    def __init__(self, options: Options, permissions: Permissions) -> None:
        self._permissions = permissions
        self._approved = Names(options.require_approval_for, loose=True)

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        for call in turn.calls:
            if not self._permissions.may_call(call.name, turn.facts):
                role = self._permissions.book.role_of(turn.facts)
                yield about(call, "tool", TOOL_DENIED, f'role "{role}"' if role else "")
            elif call.name in self._approved:
                yield about(call, "tool", APPROVAL, verdict=Verdict.ESCALATE)


class EgressCheck(Check):
    """Addresses in arguments."""

    def __init__(self, options: Options) -> None:
        self._rules = EgressRules(options.egress)

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        for call in turn.calls:
            for rule in sorted(self._rules.problems(texts(call))):
                yield about(call, rule, EGRESS)


class DangerCheck(Check):
    """Commands, statements and paths."""

    def __init__(self, options: Options) -> None:
        chosen = options.dangerous
        recognisers = [one for name in chosen.categories for one in CATEGORIES[name]]
        for at, word in enumerate(chosen.allow):
            known = sorted({one.pattern.name for one in recognisers})
            if word not in known:
                raise OptionInvalid(
                    f"dangerous.allow.{at}", f'no finding is called "{word}"', ", ".join(known)
                )
        self._probe = Probe(
            RecogniserRule([one for one in recognisers if one.pattern.name not in chosen.allow]),
            CONFIRM,
        )
        self._tools = Names(chosen.tools)
        self._ignored = frozenset(same_name(name) for name in chosen.ignored_arguments)
        halts = options.kill_switches.halt_on_suspicious_pattern
        self._verdict = Verdict.QUARANTINE if halts else None

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        for call in turn.calls:
            if call.name in self._tools:
                for rule in self._probe.found_in(_texts(call, self._ignored)):
                    yield about(call, rule, DANGEROUS, verdict=self._verdict)


class KillSwitch(Check):
    """What stops a session until somebody releases it."""

    def __init__(self, options: Options) -> None:
        self._errors_max = options.kill_switches.max_errors_before_halt
        finds = options.kill_switches.halt_on_pii_in_action
        self._probe = (
            Probe(cast("RecogniserRule", build_pii(PiiOptions(), Phase.INPUT))) if finds else None
        )

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        if self._errors_max is not None:
            failures = len(tool_failures(turn.exchange.request))
            if failures >= self._errors_max:
                detail = f"{failures} tool failures"
                yield about(turn.calls[0], "errors", HALTED, detail, Verdict.QUARANTINE)
        if self._probe is not None:
            for call in turn.calls:
                for entity in self._probe.found_in(_texts(call, frozenset())):
                    yield about(call, "pii", HALTED, entity, Verdict.QUARANTINE)


def _texts(call: ToolCall, ignored: frozenset[str]) -> list[str]:
    return [str(leaf.value) for leaf in texts(call) if same_name(leaf.name) not in ignored]


class CallRule(Rule):
    """Judges the calls of an answer."""

    judges = True

    def __init__(self, options: Options) -> None:
        self._permissions = Permissions(options)
        binding = EntityBinding(options.bindings)
        self._halts = KillSwitch(options)
        transactions = TransactionLimit(options)
        self._checks: list[Check] = [
            PermissionCheck(options, self._permissions),
            binding,
            CallLimit(options),
            RepeatedCall(options.repeats),
        ]
        if transactions.limits_anything:
            self._checks.append(transactions)
        if options.egress.enabled:
            self._checks.append(EgressCheck(options))
        if options.dangerous.enabled and options.dangerous.categories:
            self._checks.append(DangerCheck(options))
        if options.provenance.enabled:
            self._checks.append(HijackCheck(options.provenance))
        header = self._permissions.book.header
        self.claim_names = tuple(filter(None, (*binding.claim_names, header)))

    def bind(self, config: Config) -> Self:
        """See ``Rule``."""
        self._permissions.book.bind(config, "tools.roles")
        return self

    def needs(self, exchange: ExchangeView, facts: Facts) -> Sequence[Need]:
        """See ``Rule``."""
        turn = Turn(exchange, facts)
        return [need for check in self._checks for need in check.needs(turn)] if turn.calls else ()

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""
        turn = Turn(exchange, facts)
        if not turn.calls:
            return ()
        # Refusing one call would hide from the decision that the whole session is to stop.
        if halted := list(self._halts.judge(turn)):
            return halted
        return [seen for check in self._checks for seen in check.judge(turn)]


class RequestRule(Rule):
    """Judges the tools that a request offers, and what the results that it brings reveal."""

    def __init__(self, options: Options) -> None:
        self._permissions = Permissions(options)
        self._how: Offered = options.offered_tools if self._permissions.restrict else "ignore"
        chosen = options.provenance
        looks = chosen.enabled and chosen.afterwards != "ignore"
        self._hijack = HijackCheck(chosen) if looks else None
        self._afterwards = Verdict.FLAG if chosen.afterwards == "flag" else None
        self.judges = looks or self._how != "ignore"
        self.claim_names = tuple(filter(None, (self._permissions.book.header,)))

    def bind(self, config: Config) -> Self:
        """See ``Rule``."""
        self._permissions.book.bind(config, "tools.roles")
        return self

    def judge(self, exchange: ExchangeView, facts: Facts) -> Sequence[Observation]:
        """See ``Rule``."""

        def may_call(tool: str) -> bool:
            return self._permissions.may_call(tool, facts)

        seen = denied_offers(exchange.parts, self._how, may_call, TOOL_DENIED)
        if self._hijack is not None:
            seen += self._hijack.judge_afterwards(exchange.parts, self._afterwards)
        return seen


def _notes(options: Options) -> Sequence[OptionNote]:
    monitoring = options.monitoring
    return [
        OptionNote(f"monitoring.{name}", "cannot be turned off: every finding is on the record")
        for name, given in (
            ("alert_on_denied_action", monitoring.alert_on_denied_action),
            ("alert_on_rate_limit", monitoring.alert_on_rate_limit),
        )
        if not given
    ]


def build(options: Options, phase: Phase) -> Rule:
    """The rule for what a request brings (input), or for what is called (tool).

    Raises:
        OptionInvalid: an option that contradicts itself, or a host that takes strangers in.
    """
    return CallRule(options) if phase is Phase.TOOL else RequestRule(options)


KIND = RuleKind(
    name="agent-firewall",
    title="Agent firewall",
    options=Options,
    phases=(Phase.INPUT, Phase.TOOL),
    default_action=Verdict.BLOCK,
    actions=(
        Verdict.ALLOW,
        Verdict.FLAG,
        Verdict.TRANSFORM,
        Verdict.ESCALATE,
        Verdict.QUARANTINE,
        Verdict.BLOCK,
    ),
    reasons=(
        TOOL_DENIED,
        UNREADABLE,
        BINDING,
        REPEATED,
        LIMIT,
        LIMIT_NEAR,
        TRANSACTION,
        APPROVAL,
        EGRESS,
        DANGEROUS,
        HIJACK,
        HALTED,
    ),
    detector_version=4,
    message="This tool call is not allowed.",
    method="Lists, counters, comparison with the conversation, URL Standard, certain patterns.",
    cost="Tens of microseconds per call.",
    limits=(
        "Headers are the application's word; only a gateway key proves anything.",
        "Names are judged, not what they resolve to.",
        "Patterns of dangerous arguments are certain, not complete.",
    ),
    build=build,
    notes=_notes,
)
