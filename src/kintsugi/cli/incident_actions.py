"""``kt actions``: what was promised because of incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption, show_one
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, table

app = typer.Typer(help="Actions: owned, dated, chased until they end.", no_args_is_help=True)

_COLUMNS = ("due_at", "state", "owner", "kind", "title", "incidents", "id")

ActionArgument = Annotated[
    str, typer.Argument(metavar="ACTION", help="As `kt actions list` shows it.")
]
DueOption = Annotated[str, typer.Option("--due", help="2026-05-01, RFC 3339, or +3d from now.")]
TicketOption = Annotated[str, typer.Option("--ticket", help="Its address in another tracker.")]


@app.command("list")
@online
def list_actions(
    kt: Invocation,
    incident: Annotated[str, typer.Option(help="Of this incident only.")] = "",
    owner: Annotated[str, typer.Option(help="Of this person only.")] = "",
    in_state: Annotated[
        str, typer.Option("--in", help="open, overdue, done, dropped or all.")
    ] = "open",
    limit: LimitOption = 50,
) -> None:
    """Show actions, the soonest due first."""
    asked = {"state": in_state, "owner": owner, "incident": incident}
    with kt.client() as client:
        found = list(client.all("/v1/actions", asked, limit=limit))
    rows = (
        [
            *("overdue" if one["overdue"] and name == "state" else one[name] for name in _COLUMNS),
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(kt: Invocation, action: ActionArgument) -> None:
    """Show one action with everything that is known."""
    with kt.client() as client:
        found = client.get(f"/v1/actions/{action}")
    kt.output.result(found, lambda: facts(flat(found)))


@app.command("add")
@online
def add(
    kt: Invocation,
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
    _post(kt, "", body, dry_run=dry_run)


@app.command("none")
@online
def none_needed(
    kt: Invocation,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Decide that an incident needs no actions, and say why."""
    with kt.client() as client:
        found = client.post(
            f"/v1/incidents/{incident}/no-actions", {"reason": reason}, dry_run=dry_run
        )
    show_one(kt.output, found)


@app.command("assign")
@online
def assign(
    kt: Invocation,
    action: ActionArgument,
    owner: Annotated[str, typer.Argument(help="Who has it from now on.")],
    reason: ReasonOption = "",
) -> None:
    """Give it to somebody."""
    body = {"owner": owner, "reason": reason}
    _post(kt, f"/{action}/assign", body)


@app.command("reschedule")
@online
def reschedule(
    kt: Invocation,
    action: ActionArgument,
    due: Annotated[str, typer.Argument(help="2026-05-01, RFC 3339, or +3d from now.")],
    reason: ReasonOption = "",
) -> None:
    """Give it another date, and say why."""
    body = {"due_at": due, "reason": reason}
    _post(kt, f"/{action}/reschedule", body)


@app.command("done")
@online
def done(
    kt: Invocation,
    action: ActionArgument,
    evidence: Annotated[
        list[str] | None,
        typer.Option("--evidence", help="What shows it: a digest, an id, an address; again."),
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """It is done; say what shows it."""
    body = {"evidence": evidence, "reason": reason}
    _post(kt, f"/{action}/done", body)


@app.command("drop")
@online
def drop(kt: Invocation, action: ActionArgument, reason: ReasonOption = "") -> None:
    """It will not be done; say why."""
    body = {"reason": reason}
    _post(kt, f"/{action}/drop", body)


@app.command("reopen")
@online
def reopen(kt: Invocation, action: ActionArgument, reason: ReasonOption = "") -> None:
    """It is not over after all; say why."""
    body = {"reason": reason}
    _post(kt, f"/{action}/reopen", body)


@app.command("link")
@online
def link(
    kt: Invocation,
    action: ActionArgument,
    incident: Annotated[
        list[str] | None, typer.Option("--incident", help="One more incident; again for more.")
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", help='Its address; "" takes it away.')
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Tie it to more incidents, or to a ticket in another tracker."""
    body = {"incidents": incident, "ticket": ticket, "reason": reason}
    _post(kt, f"/{action}/link", body, keep=() if ticket is None else ("ticket",))


def _post(
    kt: Invocation,
    path: str,
    body: Mapping[str, Any],
    *,
    dry_run: bool = False,
    keep: Sequence[str] = (),
) -> None:
    found = kt.post(f"/v1/actions{path}", body, dry_run=dry_run, keep=keep)
    kt.output.result(found, lambda: facts(flat(found)))
