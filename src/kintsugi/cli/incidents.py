"""``kt incidents``: declare, look, and move on. What people find and write stands in
``incident_findings``."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli import (
    incident_access,
    incident_freezes,
    incident_hypotheses,
    incident_impact,
    reviews,
)
from kintsugi.cli.incident_findings import add_to
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
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import listing, table
from kintsugi.cli.similar import similar
from kintsugi.incidents.lifecycle import TRANSITIONS, Transition

app = typer.Typer(help="Incidents: declared, contained, understood, closed.", no_args_is_help=True)

_COLUMNS = ("reference", "state", "severity", "commander", "reported_at", "title")
_ENTRY_COLUMNS = ("at", "kind", "text", "reason", "actor", "id")


@app.command("declare")
@online
def declare(
    kt: Invocation,
    title: Annotated[str, typer.Argument(help="In a few words, what happened.")],
    summary: Annotated[str, typer.Option(help="What is known so far.")] = "",
    event: EventOption = None,
    at: AtOption = None,
) -> None:
    """Declare an incident. A title is enough."""
    body = {"title": title, "summary": summary, "event_ids": event or None, "at": at}
    send(kt, "", body)


@app.command("report")
@online
def report(
    kt: Invocation,
    title: Annotated[str, typer.Argument(help="In a few words, what you saw.")],
    summary: Annotated[str, typer.Option(help="Whatever you know.")] = "",
    source: Annotated[str, typer.Option(help="Where it came from: a ticket, a person.")] = "",
    event: EventOption = None,
    at: AtOption = None,
) -> None:
    """Report something for others to judge."""
    body = {
        "title": title,
        "summary": summary,
        "source": source,
        "state": "reported",
        "event_ids": event or None,
        "at": at,
    }
    send(kt, "", body)


@app.command("list")
@online
def list_incidents(
    kt: Invocation,
    in_state: Annotated[
        str, typer.Option("--in", help="open, all, or a state such as contained.")
    ] = "open",
    severity: Annotated[str, typer.Option(help="low, medium, high, critical or unset.")] = "",
    event: Annotated[str, typer.Option(help="Those that this event is tied to.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show incidents, newest first."""
    asked = {"state": in_state, "severity": severity, "event": event}
    with kt.client() as client:
        found = list(client.all("/v1/incidents", asked, limit=limit))
    rows = ([one.get(column) for column in _COLUMNS] for one in found)
    empty = (
        "no open incident; --in all shows those that have ended" if in_state == "open" else "none"
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty=empty))


@app.command("show")
@online
def show(kt: Invocation, incident: IncidentArgument) -> None:
    """Show one incident with everything that is known."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}")
        other = found["merged_into"]
        into = client.get(f"/v1/incidents/{other}")["reference"] if other else ""
    show_one(kt.output, found, into=into)


@app.command("timeline")
@online
def timeline(
    kt: Invocation,
    incident: IncidentArgument,
    order: Annotated[str, typer.Option(help="at, or recorded_at.")] = "at",
    pinned: Annotated[bool, typer.Option("--pinned", help="Only what is pinned.")] = False,
    limit: LimitOption = 100,
) -> None:
    """Show what happened, newest first."""
    asked = {"order": order, "pinned": "true" if pinned else "false"}
    with kt.client() as client:
        found = list(client.all(f"/v1/incidents/{incident}/timeline", asked, limit=limit))
    kt.output.result(found, lambda: listing(_ENTRY_COLUMNS, found, empty="nothing"))


@app.command("gates")
@online
def gates(kt: Invocation, incident: IncidentArgument) -> None:
    """Show what has to be there to close it, and what is missing."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/gates")
    rows = ([one["gate"], one["status"], "; ".join(one["missing"])] for one in found)
    kt.output.result(found, lambda: table(("gate", "status", "missing"), rows, empty="none"))


def _add_move(transition: Transition) -> None:
    @online
    def move(
        kt: Invocation,
        incident: IncidentArgument,
        reason: ReasonOption = "",
        at: AtOption = None,
        dry_run: DryRunOption = False,
    ) -> None:
        send(kt, f"/{incident}/{transition.verb}", {"reason": reason, "at": at}, dry_run=dry_run)

    move.__doc__ = f"Move it to {transition.target}, from {' or '.join(transition.sources)}."
    # The title of a new one is what "declare" takes; a reported one is accepted.
    app.command("accept" if transition.verb == "declare" else transition.verb)(move)


for _row in TRANSITIONS:
    if _row.verb not in ("triage", "dismiss", "review"):
        _add_move(_row)


add_to(app)
reviews.add_to(app)
incident_access.add_to(app)
app.command("similar")(similar)
incident_freezes.add_to(app)
incident_impact.add_to(app)
incident_hypotheses.add_to(app)
