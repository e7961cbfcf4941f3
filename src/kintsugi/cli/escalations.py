"""``kt escalations``: decisions that wait for a person, and a person's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.escalation_reviews import ClassificationOption, IncidentOption, add_to
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, listing

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
@online
def list_escalations(
    kt: Invocation,
    status: Annotated[
        str,
        typer.Option(
            help="pending, claimed, approved, rejected, resolved, expired; all of them: all."
        ),
    ] = "pending",
    limit: LimitOption = 50,
) -> None:
    """Show escalations, newest first."""
    parameters = {} if status == "all" else {"status": status}
    with kt.client() as client:
        found = list(client.all("/v1/escalations", parameters, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("show")
@online
def show(kt: Invocation, escalation_id: EscalationArgument) -> None:
    """Show one escalation with what is said, redacted, also while the answer is held."""
    with kt.client() as client:
        found = client.get(f"/v1/escalations/{escalation_id}")
    _say(kt.output, found)


@app.command("claim")
@online
def claim(kt: Invocation, escalation_id: EscalationArgument) -> None:
    """Say that you look into it; nobody else may decide then."""
    with kt.client() as client:
        claimed = client.post(f"/v1/escalations/{escalation_id}/claim")
    _say(kt.output, claimed)


@app.command("approve")
@online
def approve(
    kt: Invocation,
    escalation_id: EscalationArgument,
    reason: ReasonOption,
    classification: ClassificationOption = "",
    incident: IncidentOption = "",
    seen: SeenOption = None,
) -> None:
    """Let exactly this action through, once: a held answer now, else when it is asked again."""
    with kt.client() as client:
        approved = client.post(
            f"/v1/escalations/{escalation_id}/approve",
            _body(reason, classification, incident, seen),
        )
    _say(kt.output, approved)


@app.command("reject")
@online
def reject(
    kt: Invocation,
    escalation_id: EscalationArgument,
    reason: ReasonOption,
    classification: ClassificationOption = "",
    incident: IncidentOption = "",
    seen: SeenOption = None,
) -> None:
    """Do not let it through."""
    with kt.client() as client:
        rejected = client.post(
            f"/v1/escalations/{escalation_id}/reject",
            _body(reason, classification, incident, seen),
        )
    _say(kt.output, rejected)


def _body(reason: str, classification: str, incident: str, seen: str | None) -> dict[str, Any]:
    body = {"reason": reason, "classification": classification, "incident": incident}
    return {**body, "seen": seen} if seen else body


def _say(output: Output, found: Mapping[str, Any]) -> None:
    output.result(found, lambda: facts(flat(dict(found))))
