"""Drafts of reports: the fields that a rule asks for, each had, missing, unknown or not applicable.

What the incident itself knows is filled in; a person's word comes before it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from kintsugi.incidents.gates import CAUSE_PARTS
from kintsugi.incidents.rules import REMINDER, fields, rule_of
from kintsugi.model.incident import Incident
from kintsugi.model.obligation import Obligation


class DraftField(msgspec.Struct, frozen=True):
    """One field of a report.

    Attributes:
        origin: ``incident`` where the record knows it, else ``NAME/ID`` of who said it.
    """

    name: str
    title: str
    status: Literal["have", "missing", "unknown", "not_applicable"]
    value: str = ""
    origin: str = ""


def draft(incident: Incident, clock: Obligation) -> tuple[DraftField, ...]:
    """The fields of one report, in the order of its rule."""
    return tuple(field_of(incident, name, fields()[name]) for name in rule_of(clock.rule).fields)


def draft_text(incident: Incident, clock: Obligation) -> str:
    """The same as Markdown, gaps included."""
    rule = rule_of(clock.rule)
    due = "not running" if clock.due_at is None else f"{clock.due_at:%Y-%m-%d %H:%M} UTC"
    lines = [
        f"# {incident.reference}: {clock.regime} {clock.article}",
        "",
        f"*{REMINDER}*",
        "",
        f"To: {clock.recipient}. Due: {due}. Legal status: {rule.legal_status}.",
        f"Source: <{rule.source}>",
        "",
    ]
    for field in draft(incident, clock):
        lines += [f"## {field.title}", "", field.value or f"[{field.status}]", ""]
    return "\n".join(lines)


def field_of(incident: Incident, name: str, title: str) -> DraftField:
    """A field as the incident knows it."""
    if (said := incident.facts.get(name)) is not None:
        return DraftField(name, title, said.status, said.value, said.by)
    known = _known(incident).get(name, "")
    if known:
        return DraftField(name, title, "have", known, "incident")
    return DraftField(name, title, "missing")


def _known(incident: Incident) -> dict[str, str]:
    moments = {
        f"{kind}_at": _shown(found.at if (found := incident.moment(kind)) else None)
        for kind in ("aware", "discovered", "determined", "classified", "resolved")
    }
    resolved = moments["resolved_at"] or _shown(incident.reached.get("monitoring"))
    return moments | {
        "resolved_at": resolved,
        "description_plain": incident.summary,
        "first_occurred_at": _shown(incident.first_occurred_at),
        "detected_at": _shown(incident.detected_at),
        "root_cause": _cause(incident),
        "measures_planned": incident.decision,
    }


def _cause(incident: Incident) -> str:
    """Only whole: half a cause is none."""
    if any(part not in incident.cause for part in CAUSE_PARTS):
        return ""
    return "\n".join(
        f"- {part.replace('_', ' ')} ({incident.cause[part].confidence}): "
        f"{incident.cause[part].text}"
        for part in CAUSE_PARTS
    )


def _shown(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
