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
from kintsugi.cli.client import Client
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
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, table
from kintsugi.cli.parts import program
from kintsugi.cli.similar import similar
from kintsugi.incidents.lifecycle import TRANSITIONS, Transition

app = typer.Typer(help="Incidents: declared, contained, understood, closed.", no_args_is_help=True)

_COLUMNS = ("reference", "state", "severity", "commander", "reported_at", "title")
_ENTRY_COLUMNS = ("at", "kind", "text", "reason", "actor", "id")


@app.command("declare")
def declare(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="In a few words, what happened.")],
    summary: Annotated[str, typer.Option(help="What is known so far.")] = "",
    event: EventOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Declare an incident. A title is enough."""
    body = {"title": title, "summary": summary, "event_ids": event or None, "at": at}
    send(context, "", body, as_json=as_json, state=state, api_url=api_url)


@app.command("report")
def report(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="In a few words, what you saw.")],
    summary: Annotated[str, typer.Option(help="Whatever you know.")] = "",
    source: Annotated[str, typer.Option(help="Where it came from: a ticket, a person.")] = "",
    event: EventOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
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
    send(context, "", body, as_json=as_json, state=state, api_url=api_url)


@app.command("list")
def list_incidents(
    context: typer.Context,
    in_state: Annotated[
        str, typer.Option("--in", help="open, all, or a state such as contained.")
    ] = "open",
    severity: Annotated[str, typer.Option(help="low, medium, high, critical or unset.")] = "",
    event: Annotated[str, typer.Option(help="Those that this event is tied to.")] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show incidents, newest first."""
    asked = {"state": in_state, "severity": severity, "event": event}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/incidents", asked, limit=limit))
    rows = ([one.get(column) for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    incident: IncidentArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one incident with everything that is known."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        show_one(client.get(f"/v1/incidents/{incident}"), as_json=as_json)


@app.command("timeline")
def timeline(
    context: typer.Context,
    incident: IncidentArgument,
    order: Annotated[str, typer.Option(help="at, or recorded_at.")] = "at",
    pinned: Annotated[bool, typer.Option("--pinned", help="Only what is pinned.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what happened, newest first."""
    asked = {"order": order, "pinned": "true" if pinned else "false"}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all(f"/v1/incidents/{incident}/timeline", asked, limit=limit))
    rows = ([one.get(column) for column in _ENTRY_COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_ENTRY_COLUMNS, rows, empty="nothing"))


@app.command("gates")
def gates(
    context: typer.Context,
    incident: IncidentArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what has to be there to close it, and what is missing."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/incidents/{incident}/gates")
    rows = ([one["gate"], one["status"], "; ".join(one["missing"])] for one in found)
    Output(json=as_json).result(
        found, lambda: table(("gate", "status", "missing"), rows, empty="none")
    )


def _add_move(transition: Transition) -> None:
    def move(
        context: typer.Context,
        incident: IncidentArgument,
        reason: ReasonOption = "",
        at: AtOption = None,
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
        state: StateOption = None,
        api_url: ApiUrlOption = None,
    ) -> None:
        send(
            context,
            f"/{incident}/{transition.verb}",
            {"reason": reason, "at": at},
            as_json=as_json,
            dry_run=dry_run,
            state=state,
            api_url=api_url,
        )

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
