"""What timelines are told by themselves: which notices concern which incident, and in what words.

Pure. Stores write what comes of it in the transaction of the thing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

from kintsugi.model.incident import Entry, EntryKind, Incident, new_id
from kintsugi.model.incident_keys import number_in
from kintsugi.model.notice import Notice

#: Of the open incidents, so many are told of what nobody said they have to do with.
TOLD_MAX: Final = 200
#: When an incident begins, its timeline is filled in from so long before, with so many at most.
FILLED_BEFORE: Final = timedelta(hours=24)
FILLED_MAX: Final = 1_000

_KINDS: Final[Mapping[str, EntryKind]] = {
    "configuration.published": "change",
    "gateway.switched": "deploy",
    "gateway.upgraded": "deploy",
    "deployment.reported": "deploy",
    "containment.applied": "containment",
    "containment.released": "containment",
    "containment.expired": "containment",
    "signal.raised": "alert",
    "signal.resolved": "alert",
    "quarantine.began": "alert",
    "quarantine.released": "alert",
    "escalation.created": "escalation",
    "escalation.approved": "escalation",
    "escalation.rejected": "escalation",
    "escalation.expired": "escalation",
    "evidence.exported": "evidence",
    "regression.proved": "regression",
    "regression.proposed": "regression",
    "regression.approved": "regression",
    "regression.rejected": "regression",
    "regression.replaced": "regression",
    "regression.erased": "regression",
}
CAPTURED: Final = tuple(_KINDS)
# There may be very many of these: they are told only where the incident is about such traffic.
_POSITIVE: Final[Mapping[str, tuple[str, ...]]] = {"escalation": ("workflow", "policy")}


def captured(told: Notice, incident: Incident, *, now: datetime) -> Entry | None:
    """The entry of an incident's timeline that a notice comes to; None where it does not concern
    the incident."""
    kind = _KINDS.get(told.type)
    if kind is None or not _concerns(told, incident):
        return None
    return Entry(
        id=new_id(now),
        incident_id=incident.id,
        at=told.at,
        recorded_at=now,
        actor=str(told.data.get("actor") or told.data.get("author") or "system/timeline"),
        kind=kind,
        text=_words(told),
        detail={"notice": told.type, "subject": told.subject},
        source=f"notice:{told.id}",
    )


def filled_since(incident: Incident) -> datetime:
    """From when on an incident's timeline is filled in."""
    known = (incident.first_occurred_at, incident.detected_at, incident.reported_at)
    return min(at for at in known if at is not None) - FILLED_BEFORE


def _concerns(told: Notice, incident: Incident) -> bool:
    named = str(told.data.get("incident_id") or "")
    if named or told.type == "evidence.exported":
        return named.lower() == incident.id or number_in(named) == incident.number
    names = _names(told)
    positive = _POSITIVE.get(told.type.partition(".")[0])
    compared = {
        dimension: any(fnmatchcase(value, name) for value in incident.scope[dimension])
        for dimension, name in names.items()
        if name and incident.scope.get(dimension)
    }
    if positive is not None:
        return any(compared.get(dimension, False) for dimension in positive)
    return all(compared.values())


def _names(told: Notice) -> dict[str, str]:
    """What a notice names, by the dimensions of ``Incident.scope``."""
    data = told.data
    scope = data.get("scope")
    names = {
        name: str(data.get(field) or "")
        for name, field in (
            ("workflow", "workflow"),
            ("gateway", "gateway_id"),
            ("policy", "policy_name"),
            ("configuration", "config_id"),
            ("model", "model"),
        )
    }
    if isinstance(scope, dict):
        names |= {
            name: str(scope[name]) for name in ("workflow", "agent", "model") if scope.get(name)
        }
    if version := data.get("config_version"):
        names["configuration"] = str(version).rpartition("@")[0]
    kind, _, name = str(data.get("about") or "").partition(":")
    if kind in ("gateway", "workflow"):
        names[kind] = name
    return names


def _words(told: Notice) -> str:
    data: Mapping[str, Any] = told.data
    match told.type:
        case "configuration.published":
            return f"configuration {data['config_id']}@{data['version']} published"
        case "gateway.switched":
            before = f", before: {data['before']}" if data.get("before") else ""
            return f"gateway {data['gateway_id']} runs {data['config_version']}{before}"
        case "gateway.upgraded":
            return (
                f"gateway {data['gateway_id']} runs kintsugi {data['version']}, "
                f"before: {data['before']}"
            )
        case "deployment.reported":
            before = f", before: {data['before']}" if data.get("before") else ""
            return f"{data['what']} {data['name']} {data['version']} deployed{before}"
        case "signal.raised":
            return str(data["summary"])
        case "signal.resolved":
            return f"over: {data['summary']} ({data.get('resolution', '')})"
        case "evidence.exported":
            return f"{data['type']} written: {data['events']:,} events, sha256:{data['sha256']}"
        case "regression.proved":
            came = ", ".join(f"{count} {name}" for name, count in data["results"].items())
            passed = "proved" if data["passed"] else "not proved"
            return f"{data['proof_id']}: {passed}: {came.replace('_', ' ') or 'no case'}"
    thing, _, act = told.type.partition(".")
    if thing == "regression":
        several = f" and {data['cases'] - 1} more" if data.get("cases", 1) > 1 else ""
        by = f" by {data['replaced_by']}" if data.get("replaced_by") else ""
        return f"regression case {data['regression_id']}{several} {act}{by}"
    if thing == "containment":
        scope = data.get("scope") or {}
        over = ", ".join(f"{name} {value}" for name, value in scope.items()) or "everybody"
        broken = f"; {data['breaks']} regression cases broken" if data.get("breaks") else ""
        return f"containment {data['lever']} {act}: {over}{broken}"
    by = f" by {data['policy_name']}: {data['reason_code']}" if data.get("policy_name") else ""
    return f"{thing} {act}{by}"
