"""What each change is told as. Pure; the stores write what comes of it with the change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.containment import Containment, ContainmentAct
from kintsugi.model.exports import ExportJob
from kintsugi.model.gateways import GatewayReport
from kintsugi.model.holds import Hold
from kintsugi.model.incident import ENDED, Entry, EntryKind, Incident, OwedObligation
from kintsugi.model.incident_access import RESTRICTED_TITLE, visibility_of
from kintsugi.model.notice import Notice, notice
from kintsugi.model.oversight import Escalation, QuarantineRecord
from kintsugi.model.proof import Proof
from kintsugi.model.regression import Regression
from kintsugi.model.report import Report, Standing
from kintsugi.model.signal import BY_ITSELF, Signal
from kintsugi.model.workflow import Workflow

# Entries of other kinds are told to nobody: notes and pins stay with the incident, and moments and
# facts show in the obligations that they move.
_ENTRIES: Final[dict[EntryKind, str]] = {
    "severity": "incident.severity_changed",
    "role": "incident.role_changed",
    "verdict": "incident.verdict_recorded",
    "cause": "incident.cause_recorded",
    "evidence": "incident.evidence_changed",
    "attestation": "incident.gate_attested",
    "waiver": "incident.gate_waived",
    "link": "incident.linked",
    "update": "incident.updated",
    "obligation": "incident.obligation_changed",
    "action": "incident.action_changed",
    "communication": "incident.communication_changed",
    "review": "incident.review_changed",
    "playbook": "incident.playbook_changed",
}


def of_incident(incident: Incident, entries: Sequence[Entry], *, now: datetime) -> list[Notice]:
    """One notice for each entry that matters; the incident is as it is stored.

    Whoever is told may be anybody: of a restricted incident not what it is about, of a hidden one
    nothing.
    """
    visibility = visibility_of(incident)
    if visibility == "hidden":
        return []
    return [
        notice(
            name,
            f"incident:{incident.reference}",
            {
                "incident_id": incident.id,
                "reference": incident.reference,
                "title": incident.title if visibility == "open" else RESTRICTED_TITLE,
                "state": incident.state,
                "severity": incident.severity,
                "actor": entry.actor,
                "entry_id": entry.id,
                **more,
            },
            now=now,
            severity=incident.severity,
        )
        for entry in entries
        for name, more in _told(entry)
    ]


def _told(entry: Entry) -> list[tuple[str, dict[str, Any]]]:
    if entry.kind != "transition":
        name = _ENTRIES.get(entry.kind)
        return [] if name is None else [(name, {})]
    before, after = entry.detail.get("from"), entry.detail.get("to")
    if before is None:
        return [("incident.declared" if after == "declared" else "incident.reported", {})]
    if after == "declared" and before in ("reported", "triage"):
        return [("incident.declared", {})]
    ways = {"from": before, "to": after}
    if after in ENDED:
        return [("incident.closed", ways)]
    return [("incident.reopened" if before in ENDED else "incident.moved", ways)]


def of_obligation(owed: OwedObligation, *, now: datetime) -> tuple[str, Notice] | None:
    """The notice that a clock asks for by its time alone, with the key under which it is told
    once; None where it is not due soon, or its incident is hidden."""
    incident, clock = owed.incident, owed.obligation
    status = clock.status(now)
    if visibility_of(incident) == "hidden":
        return None
    if status not in ("due_soon", "overdue") or clock.due_at is None:
        return None
    made = notice(
        f"obligation.{status}",
        f"incident:{incident.reference}",
        {
            "incident_id": incident.id,
            "reference": incident.reference,
            "obligation_id": clock.id,
            "regime": f"{clock.regime} {clock.article}",
            "due_at": clock.due_at,
        },
        now=now,
    )
    return f"obligation.{status}:{clock.id}:{clock.due_at.isoformat()}", made


def of_containment(
    containment: Containment,
    act: ContainmentAct | Literal["expired"],
    *,
    now: datetime,
) -> Notice:
    """A containment was asked for, began, ended, or was judged."""
    scope = containment.scope
    data = {
        "containment_id": containment.id,
        "lever": containment.lever.name,
        "scope": {
            name: getattr(scope, name) for name in scope.__struct_fields__ if getattr(scope, name)
        },
        "owner": containment.owner,
        "expires_at": containment.expires_at,
        "incident_id": containment.incident_id,
    }
    if act in ("requested", "applied"):
        data["actor"] = containment.approved_by or containment.created_by
        if containment.breaks is not None:
            data["breaks"] = containment.breaks.count
    if act == "released":
        data |= {"actor": containment.released_by, "reason": containment.release_reason}
    if act == "judged" and containment.bypassed is not None:
        data |= {
            "exchanges": containment.bypassed.exchanges,
            "acted_on": containment.bypassed.acted_on,
        }
    return notice(f"containment.{act}", f"containment:{containment.id}", data, now=now)


def of_escalation(
    escalation: Escalation,
    act: Literal["created", "claimed", "approved", "rejected", "expired"],
    *,
    now: datetime,
) -> Notice:
    """Something became of an escalation."""
    report = escalation.report
    data = {
        "escalation_id": report.id,
        "policy_name": report.policy_name,
        "reason_code": report.reason_code,
        "gateway_id": report.gateway_id,
        "workflow": report.identity.workflow,
        "config_version": report.config_version,
        "expires_at": report.expires_at,
    }
    if act == "claimed":
        data["actor"] = escalation.claimed_by
    if act in ("approved", "rejected"):
        data["actor"] = escalation.resolved_by
    # Who asks decides how grave a question is; an answer is as grave as its type says.
    severity = escalation.tier if act in ("created", "expired") else None
    return notice(f"escalation.{act}", f"escalation:{report.id}", data, now=now, severity=severity)


def of_quarantine(
    record: QuarantineRecord, act: Literal["began", "released"], *, now: datetime
) -> Notice:
    """Something was frozen, or goes on."""
    data = {
        "quarantine_id": record.id,
        "scope": record.scope,
        "policy_name": record.policy_name,
        "reason_code": record.reason_code,
        "gateway_id": record.gateway_id,
    }
    if act == "released":
        data["actor"] = record.released_by
    return notice(f"quarantine.{act}", f"quarantine:{record.id}", data, now=now)


def of_signal(
    signal: Signal, act: Literal["raised", "acknowledged", "resolved"], *, now: datetime
) -> Notice:
    """A signal began, is looked into, or is over."""
    data = {
        "signal_id": signal.id,
        "kind": signal.kind,
        "severity": signal.severity,
        "about": signal.subject,
        "summary": signal.summary,
    }
    if act == "acknowledged":
        data["actor"] = signal.acknowledged_by
    if act == "resolved":
        data |= {"actor": signal.resolved_by, "resolution": signal.resolution}
    # That something is over by itself wakes nobody; what a person did about it keeps its weight.
    severity = "low" if act == "resolved" and signal.resolved_by == BY_ITSELF else signal.severity
    return notice(f"signal.{act}", f"signal:{signal.id}", data, now=now, severity=severity)


def of_configuration(version: ConfigurationVersion, *, now: datetime) -> Notice:
    """A version was published."""
    return notice(
        "configuration.published",
        f"configuration:{version.id}@{version.version}",
        {
            "config_id": version.id,
            "version": version.version,
            "revision": version.revision,
            "author": version.author,
        },
        now=now,
    )


def of_gateway(
    before: GatewayReport | None, after: GatewayReport, *, now: datetime
) -> Notice | None:
    """All workers of a gateway came to run another version; None where they did not."""
    ran = {one.config_version for one in before.workers} if before is not None else set()
    runs = {one.config_version for one in after.workers}
    if runs == ran or len(runs) != 1:
        return None
    [version] = runs
    data: dict[str, Any] = {"gateway_id": after.id, "config_version": version}
    if earlier := sorted(ran - runs):
        data["before"] = ", ".join(earlier)
    return notice("gateway.switched", f"gateway:{after.id}", data, now=now)


def of_gateway_software(
    before: GatewayReport | None, after: GatewayReport, *, now: datetime
) -> Notice | None:
    """A gateway came to run another version of the program; None where it did not."""
    if before is None or before.version == after.version:
        return None
    data = {"gateway_id": after.id, "version": after.version, "before": before.version}
    return notice("gateway.upgraded", f"gateway:{after.id}", data, now=now)


def concerns_incident(job: ExportJob) -> bool:
    """Whether a job is done and wrote evidence of an incident."""
    return job.state == "done" and bool(job.where.incident)


def of_export(job: ExportJob, *, now: datetime) -> Notice:
    """Evidence of an incident was written to a file."""
    data = {
        "export_id": job.id,
        "type": job.type,
        "events": job.written,
        "sha256": job.sha256,
        "incident_id": job.where.incident,
        "actor": job.actor or job.created_by,
    }
    return notice("evidence.exported", f"export:{job.id}", data, now=now)


def of_hold(hold: Hold, act: Literal["placed", "released"], *, now: datetime) -> Notice:
    """A legal hold began or ended."""
    actor = hold.placed_by if act == "placed" else hold.released_by
    return notice(
        f"hold.{act}",
        f"hold:{hold.id}",
        {"hold_id": hold.id, "name": hold.name, "actor": actor},
        now=now,
    )


def of_report(
    report: Report, standing: Standing, incident: Incident | None, *, now: datetime
) -> Notice:
    """Something came in; its words are not told, they may be anybody's."""
    return notice(
        "report.received",
        f"report:{report.id}",
        {
            "report_id": report.id,
            "channel": report.channel,
            "status": standing.status,
            "state": report.state,
            "category": report.category,
            "workflow": report.workflow,
            "incident_id": incident.id if incident is not None else "",
            "reference": incident.reference if incident is not None else "",
        },
        now=now,
        severity=report.severity,
    )


def of_workflow(workflow: Workflow) -> Notice:
    """A registration has a new version."""
    return notice(
        "workflow.changed",
        f"workflow:{workflow.name}",
        {
            "name": workflow.name,
            "version": workflow.version,
            "status": workflow.status,
            "tier": workflow.tier,
            "actor": workflow.by,
        },
        now=workflow.at,
    )


def of_regressions(new: Sequence[Regression]) -> list[Notice]:
    """Cases were proposed together; one notice for each incident."""
    by_incident: dict[str, list[Regression]] = {}
    for one in new:
        by_incident.setdefault(one.incident_id, []).append(one)
    return [
        notice(
            "regression.proposed",
            f"regression:{cases[0].id}",
            {**_of_case(cases[0]), "cases": len(cases)},
            now=cases[0].changed_at,
        )
        for cases in by_incident.values()
    ]


def of_proof(proof: Proof) -> Notice:
    """Cases of an incident were proven, or not."""
    counts = Counter(one.result for one in proof.cases)
    return notice(
        "regression.proved",
        f"proof:{proof.id}",
        {
            "proof_id": proof.id,
            "incident_id": proof.incident_id,
            "passed": proof.passed,
            "cases": len(proof.cases),
            "results": dict(sorted(counts.items())),
            "actor": proof.by,
        },
        now=proof.at,
        severity="low" if proof.passed else "medium",
    )


def of_regression(before: Regression, after: Regression) -> Notice:
    """A case has a new version."""
    act = after.state if after.state != before.state else "changed"
    data = _of_case(after)
    if after.state == "replaced":
        data["replaced_by"] = after.replaced_by
    return notice(f"regression.{act}", f"regression:{after.id}", data, now=after.changed_at)


def _of_case(one: Regression) -> dict[str, Any]:
    """What may be told of a case: not what it is about."""
    return {
        "regression_id": one.id,
        "version": one.version,
        "kind": one.kind,
        "incident_id": one.incident_id,
        "config_id": one.config_id,
        "actor": one.changed_by,
    }
