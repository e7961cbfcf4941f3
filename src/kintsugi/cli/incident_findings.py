"""``kt incidents``: what people find, write and decide about an incident."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.incident_options import (
    AtOption,
    DryRunOption,
    EventOption,
    IncidentArgument,
    ReasonOption,
    send,
    show_one,
)
from kintsugi.cli.invocation import Invocation, online
from kintsugi.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group."""
    for name, command in COMMANDS.items():
        app.command(name)(command)


@online
def triage(
    kt: Invocation,
    incident: IncidentArgument,
    systematic: Annotated[
        str | None, typer.Option(help="A systematic failure mode? yes, no or unknown.")
    ] = None,
    regulated_or_vulnerable: Annotated[
        str | None, typer.Option(help="Regulated workflows or vulnerable people?")
    ] = None,
    scales_silently: Annotated[
        str | None, typer.Option(help="Could it grow unseen if nobody acts?")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What there is to say.")] = None,
    at: AtOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Take it up, and answer the three questions."""
    body = {
        "systematic": systematic,
        "regulated_or_vulnerable": regulated_or_vulnerable,
        "scales_silently": scales_silently,
        "note": note,
        "at": at,
    }
    send(kt, f"/{incident}/triage", body, dry_run=dry_run)


@online
def dismiss(
    kt: Invocation,
    incident: IncidentArgument,
    outcome: Annotated[str, typer.Option(help="near_miss, quality_issue or not_an_incident.")],
    reason: ReasonOption = "",
    caught_by: Annotated[
        str, typer.Option(help="Of a near miss: designed_control, unplanned_human or chance.")
    ] = "",
    caught_how: Annotated[str, typer.Option(help="Of a near miss: in a sentence.")] = "",
    at: AtOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Say that it is not an incident, and what it is."""
    body = {
        "outcome": outcome,
        "reason": reason,
        "caught_by": caught_by,
        "caught_how": caught_how,
        "at": at,
    }
    send(kt, f"/{incident}/dismiss", body, dry_run=dry_run)


@online
def assess(
    kt: Invocation,
    incident: IncidentArgument,
    factor: Annotated[
        list[str], typer.Option("--factor", help="impact=2; scores 0 to 3; may be given again.")
    ],
    reason: ReasonOption = "",
) -> None:
    """Score the factors; the severity follows."""
    factors: dict[str, int] = {}
    for word in factor:
        name, _, score = word.partition("=")
        if not score.isdecimal():
            raise InvalidInput(f'--factor {word}: write NAME=SCORE, such as "impact=2"')
        factors[name.strip().replace("-", "_")] = int(score)
    body = {"factors": factors, "reason": reason}
    send(kt, f"/{incident}/assess", body)


@online
def override_severity(
    kt: Invocation,
    incident: IncidentArgument,
    severity: Annotated[
        str, typer.Argument(help="low, medium, high, critical; computed takes it back.")
    ],
    reason: ReasonOption = "",
) -> None:
    """Put another severity in place of the computed one."""
    body: dict[str, Any] = {"severity": severity, "reason": reason}
    if severity == "computed":
        body["severity"] = None
    send(kt, f"/{incident}/override-severity", body, keep=("severity",))


@online
def judge(
    kt: Invocation,
    incident: IncidentArgument,
    enforcement: Annotated[
        str | None, typer.Option(help="correct, over_block, missed or not_applicable.")
    ] = None,
    harm: Annotated[str | None, typer.Option(help="none, near_miss or harm.")] = None,
    caught_by: Annotated[
        str | None, typer.Option(help="designed_control, unplanned_human or chance.")
    ] = None,
    caught_how: Annotated[str, typer.Option(help="In a sentence.")] = "",
    reason: ReasonOption = "",
) -> None:
    """Give the two verdicts: was enforcement right, was there harm."""
    body = {
        "enforcement": enforcement,
        "harm": harm,
        "caught_by": caught_by,
        "caught_how": caught_how,
        "reason": reason,
    }
    send(kt, f"/{incident}/judge", body)


@online
def classify(
    kt: Invocation,
    incident: IncidentArgument,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Again for more.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="owasp_llm:LLM01:2025; again for more.")
    ] = None,
) -> None:
    """Give all its categories and labels."""
    body = {"categories": category or [], "labels": label or []}
    send(kt, f"/{incident}/classify", body)


@online
def describe(
    kt: Invocation,
    incident: IncidentArgument,
    title: Annotated[str | None, typer.Option(help="A better title.")] = None,
    summary: Annotated[str | None, typer.Option(help="What happened, who was affected.")] = None,
    decision: Annotated[str | None, typer.Option(help="What was decided, and why.")] = None,
    first_occurred_at: Annotated[str | None, typer.Option(help="RFC 3339, or 5m ago.")] = None,
    detected_at: Annotated[str | None, typer.Option(help="RFC 3339, or 5m ago.")] = None,
) -> None:
    """Correct title, summary, decision or times."""
    body = {
        "title": title,
        "summary": summary,
        "decision": decision,
        "first_occurred_at": first_occurred_at,
        "detected_at": detected_at,
    }
    send(kt, f"/{incident}/describe", body)


_ROLES = "commander, risk_owner, domain_expert, ai_lead or communications."


@online
def assign(
    kt: Invocation,
    incident: IncidentArgument,
    role: Annotated[str, typer.Argument(help=_ROLES)],
    person: Annotated[str, typer.Argument(help="The name of that person's token.")],
    handover: Annotated[str, typer.Option(help="What the one before has to say.")] = "",
    at: AtOption = None,
) -> None:
    """Give a role to a person; whoever had it hands over."""
    body = {"role": role, "person": person, "handover": handover, "at": at}
    send(kt, f"/{incident}/assign", body)


@online
def renounce(
    kt: Invocation,
    incident: IncidentArgument,
    role: Annotated[str, typer.Argument(help=_ROLES)],
    person: Annotated[str, typer.Argument(help="Who has it.")],
    handover: Annotated[str, typer.Option(help="What there is to say to the next.")] = "",
    at: AtOption = None,
) -> None:
    """End a person's time in a role."""
    body = {"role": role, "person": person, "handover": handover, "at": at}
    send(kt, f"/{incident}/renounce", body)


@online
def explain(
    kt: Invocation,
    incident: IncidentArgument,
    part: Annotated[
        str,
        typer.Argument(
            help="trigger, propagation, mechanism, missed_detection or systemic_factors."
        ),
    ],
    text: Annotated[str, typer.Argument(help="The cause, not what happened.")],
    confidence: Annotated[str, typer.Option(help="known or potential.")] = "potential",
    evidence: Annotated[
        list[str] | None,
        typer.Option(help="What shows it: event:ID, trace:ID, an address; may be given again."),
    ] = None,
    hypothesis: Annotated[
        list[int] | None, typer.Option(help="Number of one that it rests on; may be given again.")
    ] = None,
) -> None:
    """Give one of the five parts of the cause."""
    body = {
        "part": part,
        "text": text,
        "confidence": confidence,
        "evidence": evidence,
        "hypotheses": hypothesis,
    }
    send(kt, f"/{incident}/explain", body)


@online
def attest(
    kt: Invocation,
    incident: IncidentArgument,
    gate: Annotated[str, typer.Argument(help="evidence, actions or review.")],
    reference: Annotated[str, typer.Argument(help="A digest, an id or an address.")],
    reason: ReasonOption = "",
) -> None:
    """Vouch for a gate, naming where the proof lies."""
    body = {"gate": gate, "reference": reference, "reason": reason}
    send(kt, f"/{incident}/attest", body)


@online
def waive(
    kt: Invocation,
    incident: IncidentArgument,
    gate: Annotated[str, typer.Argument(help="As `kt incidents gates` shows it.")],
    owner: Annotated[str, typer.Option(help="Who answers for what is missing; not you.")],
    expires_at: Annotated[str, typer.Option(help="Until when; RFC 3339.")],
    reason: ReasonOption = "",
) -> None:
    """Relax a gate for a time."""
    body = {"gate": gate, "owner": owner, "expires_at": expires_at, "reason": reason}
    send(kt, f"/{incident}/waive", body)


@online
def merge(
    kt: Invocation,
    incident: IncidentArgument,
    into: Annotated[str, typer.Option(help="The incident that it is a duplicate of.")],
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Make it a duplicate of another; can be taken back."""
    body = {"into": into, "reason": reason}
    found = kt.post(f"/v1/incidents/{incident}/merge", body, dry_run=dry_run)
    show_one(kt.output, found, into=into)


@online
def unmerge(kt: Invocation, incident: IncidentArgument, reason: ReasonOption = "") -> None:
    """Take a merge back."""
    body = {"reason": reason}
    send(kt, f"/{incident}/unmerge", body)


@online
def split(
    kt: Invocation,
    incident: IncidentArgument,
    title: Annotated[str, typer.Argument(help="Of the new incident.")],
    event: EventOption = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Make a part of it an incident of its own; its events move there."""
    body = {"title": title, "event_ids": event or None, "reason": reason}
    send(kt, f"/{incident}/split", body, dry_run=dry_run)


@online
def link(
    kt: Invocation,
    incident: IncidentArgument,
    to: Annotated[str, typer.Option(help="The other incident.")],
    kind: Annotated[
        str, typer.Option(help="related, recurrence_of, recurred_in or not_similar.")
    ] = "related",
    reason: ReasonOption = "",
) -> None:
    """Tie it to another incident; both tell of it."""
    body = {"to": to, "kind": kind, "reason": reason}
    send(kt, f"/{incident}/link", body)


@online
def tie(
    kt: Invocation,
    incident: IncidentArgument,
    event: EventOption = None,
    since: Annotated[str | None, typer.Option(help="All events since then.")] = None,
    until: Annotated[str | None, typer.Option(help="All events until then.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user.")] = None,
    workflow: Annotated[str | None, typer.Option(help="Of this workflow.")] = None,
    verdict: Annotated[str | None, typer.Option(help="With this verdict.")] = None,
    policy: Annotated[str | None, typer.Option(help="Of this policy.")] = None,
    config_version: Annotated[str | None, typer.Option(help="Under this version.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Tie decision events to it: those named, and those that pass the filter."""
    given = {
        "since": since,
        "until": until,
        "user": user,
        "workflow": workflow,
        "verdict": verdict,
        "policy": policy,
        "config_version": config_version,
    }
    wanted = {name: value for name, value in given.items() if value}
    body = {"event_ids": event or None, "filter": wanted or None}
    send(kt, f"/{incident}/tie-events", body, dry_run=dry_run)


@online
def untie(
    kt: Invocation, incident: IncidentArgument, event: EventOption = None, reason: ReasonOption = ""
) -> None:
    """Untie decision events, with a reason."""
    body = {"event_ids": event or [], "reason": reason}
    send(kt, f"/{incident}/untie-events", body)


@online
def note(
    kt: Invocation,
    incident: IncidentArgument,
    text: Annotated[str, typer.Argument(help="What to write down.")],
    update: Annotated[bool, typer.Option("--update", help="It tells where things stand.")] = False,
    at: AtOption = None,
) -> None:
    """Write something into the timeline."""
    body = {"text": text, "update": update, "at": at}
    send(kt, f"/{incident}/timeline", body)


@online
def promote(
    kt: Invocation,
    incident: IncidentArgument,
    event: Annotated[str, typer.Argument(help="A decision event.")],
    text: Annotated[str, typer.Option(help="In place of what the event says.")] = "",
) -> None:
    """Make a decision event an entry of the timeline, where it happened."""
    body = {"event_id": event, "text": text}
    send(kt, f"/{incident}/timeline", body)


_ENTRY = "As `kt incidents timeline` shows it."


@online
def annotate(
    kt: Invocation,
    incident: IncidentArgument,
    entry: Annotated[str, typer.Argument(help=_ENTRY)],
    text: Annotated[str, typer.Argument(help="What there is to say about it.")],
) -> None:
    """Say something about an entry, which itself stays."""
    path = f"/{incident}/timeline/{entry}/annotate"
    send(kt, path, {"text": text})


@online
def pin(
    kt: Invocation, incident: IncidentArgument, entry: Annotated[str, typer.Argument(help=_ENTRY)]
) -> None:
    """Pin an entry."""
    path = f"/{incident}/timeline/{entry}/pin"
    send(kt, path, {})


@online
def unpin(
    kt: Invocation, incident: IncidentArgument, entry: Annotated[str, typer.Argument(help=_ENTRY)]
) -> None:
    """Unpin an entry."""
    path = f"/{incident}/timeline/{entry}/unpin"
    send(kt, path, {})


COMMANDS: Mapping[str, Callable[..., None]] = {
    "triage": triage,
    "dismiss": dismiss,
    "assess": assess,
    "override-severity": override_severity,
    "judge": judge,
    "classify": classify,
    "describe": describe,
    "assign": assign,
    "renounce": renounce,
    "explain": explain,
    "attest": attest,
    "waive": waive,
    "merge": merge,
    "unmerge": unmerge,
    "split": split,
    "link": link,
    "tie": tie,
    "untie": untie,
    "note": note,
    "promote": promote,
    "annotate": annotate,
    "pin": pin,
    "unpin": unpin,
}
