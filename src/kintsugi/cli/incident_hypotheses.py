"""``kt incidents hypothesis``, ``changes`` and ``controls``: the investigation of an incident."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption, send
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import listing, table

_COLUMNS = ("hypothesis", "state", "for", "against", "text", "reason")
_CHANGES = ("rank", "kind", "name", "score", "why", "told_by")
_CONTROLS = ("phase", "policy", "word", "matched", "monitored", "clear", "skipped", "errors")

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="1 for H1.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("hypotheses")(hypotheses)
    app.command("propose")(propose)
    app.command("link-evidence")(link_evidence)
    app.command("settle-hypothesis")(settle_hypothesis)
    app.command("changes")(changes)
    app.command("controls")(controls)


@online
def hypotheses(kt: Invocation, incident: IncidentArgument) -> None:
    """Show what may have been the cause, with what speaks for and against each."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}")["hypotheses"]
    rows = (
        [
            f"H{one['number']}",
            one["state"],
            _links(one, "supports"),
            _links(one, "contradicts"),
            one["text"],
            one["reason"],
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@online
def propose(
    kt: Invocation,
    incident: IncidentArgument,
    text: Annotated[str, typer.Argument(help="What may have been the cause.")],
) -> None:
    """Put a hypothesis forward."""
    send(kt, f"/{incident}/hypotheses", {"text": text})


@online
def link_evidence(
    kt: Invocation,
    incident: IncidentArgument,
    number: NumberArgument,
    reference: Annotated[
        str, typer.Argument(help="event:ID, trace:ID, freeze:ID, entry:ID, a digest, an address.")
    ],
    contradicts: Annotated[
        bool, typer.Option("--contradicts", help="It speaks against it.")
    ] = False,
    note: Annotated[str, typer.Option(help="What it shows.")] = "",
) -> None:
    """Say what speaks for a hypothesis, or against it."""
    stance = "contradicts" if contradicts else "supports"
    body = {"reference": reference, "stance": stance, "note": note}
    send(kt, f"/{incident}/hypotheses/{number}/link", body)


@online
def settle_hypothesis(
    kt: Invocation,
    incident: IncidentArgument,
    number: NumberArgument,
    as_state: Annotated[str, typer.Option("--as", help="confirmed, rejected or open.")],
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Confirm or reject a hypothesis, or open it again."""
    body = {"state": as_state, "reason": reason}
    send(kt, f"/{incident}/hypotheses/{number}/settle", body, dry_run=dry_run)


@online
def changes(kt: Invocation, incident: IncidentArgument) -> None:
    """Show what changed in the day before it began, the likeliest first."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/changes")
    kt.output.say(f"onset {found['onset']} ({found['onset_by']})")
    rows = ([_of(one, column) for column in _CHANGES] for one in found["changes"])
    kt.output.result(found, lambda: table(_CHANGES, rows, empty="nothing changed that is known"))


@online
def controls(kt: Invocation, incident: IncidentArgument) -> None:
    """Show which policies caught its events, which let them pass, and which failed."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/controls")
    kt.output.result(found, lambda: listing(_CONTROLS, found["controls"], empty="no events"))


def _links(one: dict[str, Any], stance: str) -> str:
    return ", ".join(link["reference"] for link in one["links"] if link["stance"] == stance)


def _of(one: dict[str, Any], column: str) -> Any:
    return one[column] if column in one else one["change"].get(column)
