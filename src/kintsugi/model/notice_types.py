"""Every type of notice, with what its data holds. The manual's table is made from this."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kintsugi.model.signal import Severity


class NoticeType(msgspec.Struct, frozen=True):
    """A type of notice.

    Attributes:
        severity: where the thing itself has none.
        fields: of ``data``, each with what it is; one that does not apply is left out.
    """

    text: str
    severity: Severity
    fields: dict[str, str]


_INCIDENT: Final = {
    "incident_id": "id of the incident",
    "reference": "how people name it: INC-000042",
    "title": "its title",
    "state": "the state that it is in now",
    "severity": "its severity; null while nobody assessed it",
    "actor": "who did it, NAME/ID",
    "entry_id": "id of the timeline entry that tells of it",
}
_OBLIGATION: Final = {
    "incident_id": "id of the incident that it belongs to",
    "reference": "how people name that: INC-000042",
    "obligation_id": "id of the obligation",
    "regime": "the rule that asks for it",
    "due_at": "when it is due",
}
_ACTION: Final = {
    "action_id": "id of the action",
    "title": "what is to be done",
    "owner": "who has it; empty while nobody does",
    "due_at": "when it is due",
    "incidents": "ids of its incidents",
}
_CONTAINMENT: Final = {
    "containment_id": "id of the containment",
    "lever": "what is done",
    "scope": "whose exchanges, by field; empty for everybody's",
    "owner": "who answers for it",
    "expires_at": "when it ends by itself",
    "incident_id": "the incident that it belongs to; empty for none",
    "actor": "who did it",
}
_LOOSENING: Final = {
    **_CONTAINMENT,
    "breaks": "how many regression cases of closed incidents do not hold under it; left out for "
    "none",
}
_ESCALATION: Final = {
    "escalation_id": "id of the escalation and of its event",
    "policy_name": "the policy that asked for a person",
    "reason_code": "why it asked",
    "gateway_id": "where it was raised",
    "workflow": "the workflow that it came from; empty when none was named",
    "config_version": "the version of the configuration that asked",
    "expires_at": "until when somebody may decide",
    "actor": "who did it",
}
_QUARANTINE: Final = {
    "quarantine_id": "id of the quarantine and of the event that began it",
    "scope": "what kind of thing is frozen",
    "policy_name": "the policy that froze it",
    "reason_code": "why",
    "gateway_id": "where it began",
    "actor": "who released it",
}
_SIGNAL: Final = {
    "signal_id": "id of the signal",
    "kind": "what kind of signal",
    "severity": "how bad",
    "about": "what it is about: gateway:ID",
    "summary": "one sentence",
    "resolution": "why it is over",
    "actor": "who acted; empty when it was over by itself",
}
_REPORT: Final = {
    "report_id": "id of the report",
    "channel": "how it came: internal, public, alertmanager and the like",
    "status": "what became of it: joined, recorded, unmapped or set_aside",
    "state": "of an alert: firing or resolved; empty for others",
    "category": "the category that its sender suspects; empty for none",
    "workflow": "the workflow that it is about; empty when none was named",
    "incident_id": "the incident that has it; empty for none",
    "reference": "how people name that: INC-000042; empty for none",
}
_HOLD: Final = {
    "hold_id": "id of the hold",
    "name": "its name",
    "actor": "who did it",
}
_REGRESSION: Final = {
    "regression_id": "id of the case; of several the first",
    "version": "number of its version",
    "kind": "case, variant or twin",
    "incident_id": "id of the incident that it is locked to",
    "config_id": "name of the configuration that it tests",
    "actor": "who did it, NAME/ID",
}

NOTICE_TYPES: Final[Mapping[str, NoticeType]] = MappingProxyType(
    {
        "incident.reported": NoticeType("An incident was reported.", "medium", _INCIDENT),
        "incident.declared": NoticeType("An incident was declared.", "high", _INCIDENT),
        "incident.moved": NoticeType(
            "An incident came into another state, closing and reopening apart.",
            "medium",
            {**_INCIDENT, "from": "the state it was in", "to": "the state it came into"},
        ),
        "incident.closed": NoticeType(
            "An incident was closed, dismissed or merged into another.",
            "low",
            {**_INCIDENT, "from": "the state it was in", "to": "the state it came into"},
        ),
        "incident.reopened": NoticeType(
            "An incident that had ended goes on.",
            "high",
            {**_INCIDENT, "from": "the state it was in", "to": "the state it came into"},
        ),
        "incident.severity_changed": NoticeType(
            "An incident was assessed, or its severity overridden.", "medium", _INCIDENT
        ),
        "incident.role_changed": NoticeType(
            "Somebody assumed or left a role.", "medium", _INCIDENT
        ),
        "incident.verdict_recorded": NoticeType(
            "Somebody recorded whether enforcement was right, or whether there was harm.",
            "low",
            _INCIDENT,
        ),
        "incident.cause_recorded": NoticeType(
            "A part of the cause was recorded.", "low", _INCIDENT
        ),
        "incident.evidence_changed": NoticeType(
            "Events were tied to an incident, or untied.", "low", _INCIDENT
        ),
        "incident.gate_attested": NoticeType("Somebody vouched for a gate.", "low", _INCIDENT),
        "incident.gate_waived": NoticeType("A gate was relaxed for a time.", "medium", _INCIDENT),
        "incident.linked": NoticeType("An incident was tied to another.", "low", _INCIDENT),
        "incident.updated": NoticeType("Somebody told where things stand.", "medium", _INCIDENT),
        "incident.obligation_changed": NoticeType(
            "A reporting obligation began, was met, or changed.", "medium", _INCIDENT
        ),
        "incident.action_changed": NoticeType(
            "An action was agreed, given to somebody, moved or ended.", "low", _INCIDENT
        ),
        "incident.communication_changed": NoticeType(
            "A message to an audience was drafted, approved, sent or withdrawn.", "low", _INCIDENT
        ),
        "incident.review_changed": NoticeType(
            "Somebody wrote in a review, or published it.", "low", _INCIDENT
        ),
        "incident.playbook_changed": NoticeType(
            "A playbook was attached, or a step of it ended.", "low", _INCIDENT
        ),
        "action.due_soon": NoticeType(
            "An action falls due within two days and is not done. One that is overdue is a signal.",
            "medium",
            _ACTION,
        ),
        "obligation.due_soon": NoticeType(
            "A reporting obligation falls due within a quarter of its time, three days at most.",
            "high",
            _OBLIGATION,
        ),
        "obligation.overdue": NoticeType(
            "A reporting obligation was not met in time.", "critical", _OBLIGATION
        ),
        "containment.requested": NoticeType(
            "Somebody asks a second person to loosen control.", "high", _LOOSENING
        ),
        "containment.judged": NoticeType(
            "What a bypass let through was judged.",
            "high",
            {
                **_CONTAINMENT,
                "exchanges": "how many went through under it",
                "acted_on": "how many of them policies would have acted on",
            },
        ),
        "containment.applied": NoticeType("A containment was armed.", "high", _LOOSENING),
        "containment.released": NoticeType(
            "A containment was released.",
            "medium",
            {**_CONTAINMENT, "reason": "why, in the words of who released it"},
        ),
        "containment.expired": NoticeType(
            "A containment ended because its time was over.", "medium", _CONTAINMENT
        ),
        "escalation.created": NoticeType(
            "A policy handed a decision to a person.", "medium", _ESCALATION
        ),
        "escalation.claimed": NoticeType(
            "A reviewer looks into an escalation.", "low", _ESCALATION
        ),
        "escalation.approved": NoticeType("An escalation was approved.", "medium", _ESCALATION),
        "escalation.rejected": NoticeType("An escalation was rejected.", "low", _ESCALATION),
        "escalation.expired": NoticeType(
            "Nobody decided about an escalation in time; what it held stays refused.",
            "medium",
            _ESCALATION,
        ),
        "quarantine.began": NoticeType("A policy froze something.", "high", _QUARANTINE),
        "quarantine.released": NoticeType("A quarantine was ended.", "medium", _QUARANTINE),
        "signal.raised": NoticeType("A signal was raised.", "medium", _SIGNAL),
        "signal.acknowledged": NoticeType("Somebody looks into a signal.", "low", _SIGNAL),
        "signal.resolved": NoticeType("A signal is over.", "low", _SIGNAL),
        "configuration.published": NoticeType(
            "A version of a configuration was published.",
            "medium",
            {
                "config_id": "name of the configuration",
                "version": "number of the version",
                "revision": "digest of what it comes to",
                "author": "who published it",
            },
        ),
        "notify.test": NoticeType(
            "Somebody tries whether this arrives.", "low", {"actor": "who tries, NAME/ID"}
        ),
        "report.received": NoticeType(
            "A report came in. The same alert once more is only counted.", "medium", _REPORT
        ),
        "workflow.changed": NoticeType(
            "A workflow was registered, changed or retired.",
            "low",
            {
                "name": "name of the workflow",
                "version": "number of the version of its registration",
                "status": "active or retired",
                "tier": "its risk tier",
                "actor": "who did it",
            },
        ),
        "regression.proposed": NoticeType(
            "Somebody proposed regression cases.",
            "low",
            {**_REGRESSION, "cases": "how many at once"},
        ),
        "regression.changed": NoticeType("Somebody edited a regression case.", "low", _REGRESSION),
        "regression.approved": NoticeType("A regression case was approved.", "low", _REGRESSION),
        "regression.rejected": NoticeType("A regression case was rejected.", "low", _REGRESSION),
        "regression.replaced": NoticeType(
            "A regression case was replaced by another.",
            "medium",
            {**_REGRESSION, "replaced_by": "id of what stands in for it"},
        ),
        "regression.erased": NoticeType(
            "The content of a regression case was erased with a person's data; its incident wants "
            "another one.",
            "high",
            _REGRESSION,
        ),
        "regression.proved": NoticeType(
            "The cases of an incident were tried on the configuration of its time and on another.",
            "medium",
            {
                "proof_id": "id of the proof",
                "incident_id": "id of the incident",
                "passed": "whether every case failed then and holds now",
                "cases": "how many cases",
                "results": "how many cases came to what",
                "actor": "who did it, NAME/ID",
            },
        ),
        "regression.refused_publish": NoticeType(
            "A version of a configuration was refused, because cases that bind do not hold on it.",
            "high",
            {
                "config_id": "name of the configuration",
                "cases": "how many cases",
                "regression_ids": "ids of the cases, the first hundred",
                "incidents": "ids of the closed incidents that they come from",
                "actor": "who wanted to publish it, NAME/ID",
            },
        ),
        "hold.placed": NoticeType("A legal hold was placed.", "medium", _HOLD),
        "hold.released": NoticeType("A legal hold was released.", "high", _HOLD),
        "gateway.switched": NoticeType(
            "All workers of a gateway run another version of their configuration.",
            "low",
            {
                "gateway_id": "id of the gateway",
                "config_version": "the version that they run now",
                "before": "the version before; left out when nothing ran",
            },
        ),
        "gateway.upgraded": NoticeType(
            "A gateway runs another version of the program.",
            "low",
            {
                "gateway_id": "id of the gateway",
                "version": "the version of the program that it runs now",
                "before": "the version before",
            },
        ),
        "deployment.reported": NoticeType(
            "Somebody reported that something was deployed.",
            "low",
            {
                "what": "application, model, prompt, data_source, tool or gateway",
                "name": "what was deployed",
                "version": "the version that runs from then on",
                "before": "the version before; left out when nobody said",
                "workflow": "the workflow that it belongs to; left out for all",
                "note": "in the words of who reported it",
                "actor": "who reported it",
            },
        ),
        "evidence.exported": NoticeType(
            "Evidence of an incident was written to a file.",
            "low",
            {
                "export_id": "id of the export",
                "type": "what was written: events, package and the like",
                "events": "how many events",
                "sha256": "digest of the file",
                "incident_id": "the incident that it is about",
                "actor": "who asked for it",
            },
        ),
    }
)
