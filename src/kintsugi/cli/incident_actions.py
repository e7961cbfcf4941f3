"""``kt actions``: what was promised because of incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption, show_one
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Actions: owned, dated, chased until they end.", no_args_is_help=True)

_COLUMNS = ("due_at", "state", "owner", "kind", "title", "incidents", "id")

ActionArgument = Annotated[
    str, typer.Argument(metavar="ACTION", help="As `kt actions list` shows it.")
]
DueOption = Annotated[str, typer.Option("--due", help="2026-05-01, RFC 3339, or +3d from now.")]
TicketOption = Annotated[str, typer.Option("--ticket", help="Its address in another tracker.")]


@app.command("list")
def list_actions(
    context: typer.Context,
    incident: Annotated[str, typer.Option(help="Of this incident only.")] = "",
    owner: Annotated[str, typer.Option(help="Of this person only.")] = "",
    in_state: Annotated[
        str, typer.Option("--in", help="open, overdue, done, dropped or all.")
    ] = "open",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show actions, the soonest due first."""
    asked = {"state": in_state, "owner": owner, "incident": incident}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/actions", asked, limit=limit))
    rows = (
        [
            *("overdue" if one["overdue"] and name == "state" else one[name] for name in _COLUMNS),
        ]
        for one in found
    )
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    action: ActionArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one action with everything that is known."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/actions/{action}")
    Output(json=as_json).result(found, lambda: facts(flat(found)))


@app.command("add")
def add(
    context: typer.Context,
    incident: IncidentArgument,
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    kind: Annotated[
        str, typer.Option(help="fix, mitigate, detect, prevent, test, process or policy.")
    ],
    owner: Annotated[str, typer.Option(help="Who has it.")] = "",
    due: DueOption = "",
    detail: Annotated[str, typer.Option(help="What there is to know.")] = "",
    ticket: TicketOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Agree on an action; the date follows from the severity where none is given."""
    body = {
        "incident": incident,
        "title": title,
        "kind": kind,
        "owner": owner,
        "due_at": due,
        "detail": detail,
        "ticket": ticket,
    }
    _post(context, "", body, as_json=as_json, dry_run=dry_run, state=state, api_url=api_url)


@app.command("none")
def none_needed(
    context: typer.Context,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Decide that an incident needs no actions, and say why."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(
            f"/v1/incidents/{incident}/no-actions",
            {"reason": reason},
            {"dry_run": "true"} if dry_run else None,
        )
    show_one(found, as_json=as_json)


@app.command("assign")
def assign(
    context: typer.Context,
    action: ActionArgument,
    owner: Annotated[str, typer.Argument(help="Who has it from now on.")],
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Give it to somebody."""
    body = {"owner": owner, "reason": reason}
    _post(context, f"/{action}/assign", body, as_json=as_json, state=state, api_url=api_url)


@app.command("reschedule")
def reschedule(
    context: typer.Context,
    action: ActionArgument,
    due: Annotated[str, typer.Argument(help="2026-05-01, RFC 3339, or +3d from now.")],
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Give it another date, and say why."""
    body = {"due_at": due, "reason": reason}
    _post(context, f"/{action}/reschedule", body, as_json=as_json, state=state, api_url=api_url)


@app.command("done")
def done(
    context: typer.Context,
    action: ActionArgument,
    evidence: Annotated[
        list[str] | None,
        typer.Option("--evidence", help="What shows it: a digest, an id, an address; again."),
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """It is done; say what shows it."""
    body = {"evidence": evidence, "reason": reason}
    _post(context, f"/{action}/done", body, as_json=as_json, state=state, api_url=api_url)


@app.command("drop")
def drop(
    context: typer.Context,
    action: ActionArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """It will not be done; say why."""
    body = {"reason": reason}
    _post(context, f"/{action}/drop", body, as_json=as_json, state=state, api_url=api_url)


@app.command("reopen")
def reopen(
    context: typer.Context,
    action: ActionArgument,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """It is not over after all; say why."""
    body = {"reason": reason}
    _post(context, f"/{action}/reopen", body, as_json=as_json, state=state, api_url=api_url)


@app.command("link")
def link(
    context: typer.Context,
    action: ActionArgument,
    incident: Annotated[
        list[str] | None, typer.Option("--incident", help="One more incident; again for more.")
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", help='Its address; "" takes it away.')
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Tie it to more incidents, or to a ticket in another tracker."""
    body = {"incidents": incident, "ticket": ticket, "reason": reason}
    _post(
        context,
        f"/{action}/link",
        body,
        as_json=as_json,
        keep=() if ticket is None else ("ticket",),
        state=state,
        api_url=api_url,
    )


def _post(
    context: typer.Context,
    path: str,
    body: Mapping[str, Any],
    *,
    as_json: bool,
    dry_run: bool = False,
    keep: Sequence[str] = (),
    state: Path | None,
    api_url: str | None,
) -> None:
    said = {name: value for name, value in body.items() if name in keep or value not in (None, "")}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/actions{path}", said, {"dry_run": "true"} if dry_run else None)
    Output(json=as_json).result(found, lambda: facts(flat(found)))
