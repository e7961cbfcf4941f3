"""``kt escalations``: decisions that wait for a person, and a person's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.escalation_reviews import ClassificationOption, IncidentOption, add_to
from kintsugi.cli.gateways import flat
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Decisions that wait for a person.", no_args_is_help=True)
add_to(app)

_COLUMNS = (
    *("id", "status", "tier", "due_at", "overdue", "held_until", "policy_name", "reason_code"),
    "user_id",
)

EscalationArgument = Annotated[str, typer.Argument(help="As `kt escalations list` shows it.")]
SeenOption = Annotated[
    str | None,
    typer.Option(
        "--seen",
        help="shown_digest as `kt escalations show` printed it: the proof of what you looked at.",
    ),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; kept with the decision.", show_default=False)
]


@app.command("list")
def list_escalations(
    context: typer.Context,
    status: Annotated[
        str,
        typer.Option(
            help="pending, claimed, approved, rejected, resolved, expired; all of them: all."
        ),
    ] = "pending",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show escalations, newest first."""
    parameters = {} if status == "all" else {"status": status}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/escalations", parameters, limit=limit))
    rows = ([one.get(column) for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    escalation_id: EscalationArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one escalation with what is said, redacted, also while the answer is held."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/escalations/{escalation_id}")
    _say(found, as_json=as_json)


@app.command("claim")
def claim(
    context: typer.Context,
    escalation_id: EscalationArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Say that you look into it; nobody else may decide then."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        claimed = client.post(f"/v1/escalations/{escalation_id}/claim")
    _say(claimed, as_json=as_json)


@app.command("approve")
def approve(
    context: typer.Context,
    escalation_id: EscalationArgument,
    reason: ReasonOption,
    classification: ClassificationOption = "",
    incident: IncidentOption = "",
    seen: SeenOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let exactly this action through, once: a held answer now, else when it is asked again."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        approved = client.post(
            f"/v1/escalations/{escalation_id}/approve",
            _body(reason, classification, incident, seen),
        )
    _say(approved, as_json=as_json)


@app.command("reject")
def reject(
    context: typer.Context,
    escalation_id: EscalationArgument,
    reason: ReasonOption,
    classification: ClassificationOption = "",
    incident: IncidentOption = "",
    seen: SeenOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Do not let it through."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        rejected = client.post(
            f"/v1/escalations/{escalation_id}/reject",
            _body(reason, classification, incident, seen),
        )
    _say(rejected, as_json=as_json)


def _body(reason: str, classification: str, incident: str, seen: str | None) -> dict[str, Any]:
    body = {"reason": reason, "classification": classification, "incident": incident}
    return {**body, "seen": seen} if seen else body


def _say(found: Mapping[str, Any], *, as_json: bool) -> None:
    Output(json=as_json).result(found, lambda: facts(flat(dict(found))))
