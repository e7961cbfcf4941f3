"""What has to be there before an incident may be closed, by severity.

What stands in the incident's own record is read from it; what stands elsewhere the server finds in
its stores (``GateFacts``). Where nothing computes a gate, a person vouches for it and names
where the proof lies. Nobody vouches for the learning gate: it is passed by proofs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from kintsugi.incidents.severity import duties_of
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import CausePart, Gate, Incident, Waiver

CAUSE_PARTS: Final[tuple[CausePart, ...]] = (
    *("trigger", "propagation", "mechanism", "missed_detection", "systemic_factors"),
)
# What a person may vouch for.
ATTESTABLE: Final[frozenset[Gate]] = frozenset({"review"})


class GateFacts(msgspec.Struct, frozen=True):
    """What is missing of the gates that an incident's own record does not tell of, as the server
    finds it in its stores: empty where nothing is, None where nothing computes it."""

    evidence: tuple[str, ...] = ("no evidence is frozen",)
    actions: tuple[str, ...] | None = None
    review: tuple[str, ...] | None = None
    learning: tuple[str, ...] | None = None


Missing = Callable[[Incident, GateFacts, datetime], list[str]]


class GateStatus(msgspec.Struct, frozen=True):
    """One gate of one incident.

    Attributes:
        status: ``relaxed`` while a waiver stands in for what is missing.
    """

    gate: Gate
    status: str
    missing: tuple[str, ...]
    waiver: Waiver | None = None


def _commander(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    held = any(term.role == "commander" for term in incident.roles)
    return [] if held else ["nobody has commanded it"]


def _roles(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    held = {term.role for term in incident.roles}
    wanted = duties_of(incident.severity).roles
    return [f"nobody has been {role}" for role in wanted if role not in held]


def _severity(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    return [] if incident.severity else ["it has no severity"]


def _verdicts(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    missing = []
    if incident.verdicts.enforcement is None:
        missing.append("nobody has said whether enforcement was right")
    if incident.verdicts.harm is None:
        missing.append("nobody has said whether there was harm")
    return missing


def _category(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    return [] if incident.categories else ["it has no category"]


def _evidence(incident: Incident, facts: GateFacts, _now: datetime) -> list[str]:
    missing = [] if incident.event_count else ["no decision event is tied to it"]
    return [*missing, *facts.evidence]


def _decision(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    return [] if incident.decision else ["the decision is not recorded: what was decided, and why"]


def _cause(incident: Incident, _facts: GateFacts, _now: datetime) -> list[str]:
    missing = [f"the cause lacks: {part}" for part in CAUSE_PARTS if part not in incident.cause]
    for part in CAUSE_PARTS:
        given = incident.cause.get(part)
        if given is None:
            continue
        if given.confidence == "known" and not given.evidence:
            missing.append(f"the cause says it knows the {part}, and names no evidence of it")
        elif not given.evidence and not given.hypotheses:
            missing.append(f"the cause names no evidence and no hypothesis for: {part}")
    return missing


def _actions(incident: Incident, facts: GateFacts, _now: datetime) -> list[str]:
    otherwise = "nobody vouches that actions are owned and dated"
    return _computed_or_vouched(incident, "actions", facts.actions, otherwise)


def _clocks(incident: Incident, _facts: GateFacts, now: datetime) -> list[str]:
    return [
        f"{one.rule} is {one.status(now)}" for one in incident.obligations if not one.terminal(now)
    ]


def _review(incident: Incident, facts: GateFacts, _now: datetime) -> list[str]:
    otherwise = "the review is not published"
    return _computed_or_vouched(incident, "review", facts.review, otherwise)


def _learning(_incident: Incident, facts: GateFacts, _now: datetime) -> list[str]:
    if facts.learning is not None:
        return [*facts.learning]
    return ["no regression case is proven red on the old configuration and green on the new"]


def _computed_or_vouched(
    incident: Incident, gate: Gate, computed: tuple[str, ...] | None, otherwise: str
) -> list[str]:
    if computed is not None:
        return [*computed]
    return [] if any(one.gate == gate for one in incident.attestations) else [otherwise]


MISSING: Final[Mapping[Gate, Missing]] = MappingProxyType(
    {
        "commander": _commander,
        "roles": _roles,
        "severity": _severity,
        "verdicts": _verdicts,
        "category": _category,
        "evidence": _evidence,
        "decision": _decision,
        "cause": _cause,
        "actions": _actions,
        "clocks": _clocks,
        "review": _review,
        "learning": _learning,
    }
)
HELP: Final[Mapping[Gate, str]] = MappingProxyType(
    {
        "commander": "assign a commander",
        "roles": "assign the roles that this severity asks for",
        "severity": "assess it, or override",
        "verdicts": "judge it",
        "category": "classify it",
        "evidence": "freeze the events (kt incidents freeze), and verify what is frozen",
        "decision": "describe it with a decision",
        "cause": "explain each of the five parts, naming evidence or a hypothesis",
        "actions": "agree on actions, give each to somebody; or say why none is needed",
        "clocks": "meet each clock, or set it aside with a reason",
        "review": "publish it; or attest, naming where it is published",
        "learning": "add a case and have it approved (kt regressions), mend the configuration, "
        "kt prove",
    }
)


def gates_of(incident: Incident, facts: GateFacts, *, now: datetime) -> list[GateStatus]:
    """Every gate that applies, and how it stands."""
    return [_status(incident, facts, gate, now) for gate in duties_of(incident.severity).gates]


def waived_now(incident: Incident, *, now: datetime) -> tuple[Waiver, ...]:
    """The waivers in force of gates that apply, the newest of each gate."""
    newest = {one.gate: one for one in incident.waivers if one.expires_at > now}
    return tuple(newest[gate] for gate in duties_of(incident.severity).gates if gate in newest)


def unmet_gates(incident: Incident, facts: GateFacts, *, now: datetime) -> list[Blocker]:
    """Everything that is missing from gates that apply and are not waived."""
    return [
        Blocker(f"gate.{one.gate}", "gate", missing, HELP[one.gate])
        for one in gates_of(incident, facts, now=now)
        if one.status == "missing"
        for missing in one.missing
    ]


def _status(incident: Incident, facts: GateFacts, gate: Gate, now: datetime) -> GateStatus:
    missing = tuple(MISSING[gate](incident, facts, now))
    if not missing:
        return GateStatus(gate, "passed", ())
    waiver = next((one for one in waived_now(incident, now=now) if one.gate == gate), None)
    return GateStatus(gate, "missing" if waiver is None else "relaxed", missing, waiver)
