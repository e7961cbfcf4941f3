"""``kt escalations bulk|overrides|proposals|load|reveal``: what reviewers decide together, and what
has become of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group

from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing, table
from kintsugi.errors import InvalidInput

ClassificationOption = Annotated[
    str,
    typer.Option(
        "--classify",
        help="false_positive (proposes an allow case), confirmed (a block case) or other.",
    ),
]
IncidentOption = Annotated[str, typer.Option(help="The incident that it belongs to: INC-000042.")]
_OVERRIDES = ("at", "outcome", "by", "policy_name", "reason_code", "reason", "escalation_id")
_PROPOSALS = ("at", "proposes", "policy_name", "reason_code", "by", "event_id", "reason")
_ITEMS = ("outcome", "id", "created_at", "policy_name", "reason_code", "user_id", "why")
_REVIEWERS = (
    *("by", "decided", "approved", "rejected", "late", "in_bulk", "unseen", "override_rate"),
    "waited_seconds_median",
)
_POLICIES = (
    *("policy_name", "reason_code", "decided", "approved", "expired", "false_positives"),
    *("confirmed", "override_rate"),
)


def add_to(app: typer.Typer) -> None:
    """Put these commands into the group ``kt escalations``."""
    for name, command in (
        ("bulk", bulk),
        ("overrides", overrides),
        ("proposals", proposals),
        ("load", load),
        ("reveal", reveal),
    ):
        app.command(name)(command)


@online
def bulk(
    kt: Invocation,
    decision: Annotated[str, typer.Argument(help="approve or reject.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with each decision.", show_default=False)
    ],
    policy: Annotated[str, typer.Option(help="Only of this policy.")] = "",
    reason_code: Annotated[str, typer.Option(help="Only with this reason code.")] = "",
    config_version: Annotated[
        str, typer.Option(help="Only of this version of a configuration: support@7.")
    ] = "",
    workflow: Annotated[str, typer.Option(help="Only of this workflow.")] = "",
    gateway: Annotated[str, typer.Option(help="Only of this gateway.")] = "",
    user: Annotated[str, typer.Option(help="Only of this user.")] = "",
    classification: ClassificationOption = "",
    incident: IncidentOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be decided, and decide nothing.")
    ] = False,
) -> None:
    """Decide about all open escalations with one cause; each gets its own record."""
    if decision not in ("approve", "reject"):
        raise InvalidInput(f'"{decision}" is no decision; write approve or reject')
    cause = {
        "policy_name": policy,
        "reason_code": reason_code,
        "config_version": config_version,
        "workflow": workflow,
        "gateway_id": gateway,
        "user_id": user,
    }
    body: dict[str, Any] = {
        "cause": {name: value for name, value in cause.items() if value},
        "decision": decision,
        "reason": reason,
        "classification": classification,
        "incident": incident,
    }
    with kt.client() as client:
        done = client.post("/v1/escalations/resolve", body, dry_run=dry_run, timeout_seconds=120)
    rows = [
        [{**item["escalation"], **item}.get(column) for column in _ITEMS] for item in done["items"]
    ]
    kt.output.result(done, lambda: table(_ITEMS, rows, empty="none"))
    would = "would be decided" if dry_run else "decided"
    kt.output.say(f"{done['decided']} {would}, {done['refused']} refused.")


@online
def overrides(
    kt: Invocation,
    by: Annotated[str, typer.Option(help="Only of this reviewer.")] = "",
    outcome: Annotated[str, typer.Option(help="approved, rejected or expired.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show who decided what in place of a policy, and why; newest first."""
    with kt.client() as client:
        found = list(client.all("/v1/overrides", {"by": by, "outcome": outcome}, limit=limit))
    kt.output.result(found, lambda: listing(_OVERRIDES, found))


@online
def proposals(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show the regression cases that decisions ask for."""
    with kt.client() as client:
        found = list(client.all("/v1/overrides/proposals", {}, limit=limit))
    kt.output.result(found, lambda: listing(_PROPOSALS, found))


@online
def load(kt: Invocation, since: Annotated[str, typer.Option(help="7d, or a time.")] = "7d") -> None:
    """Show how much each reviewer decided, and how often each policy was overridden."""
    with kt.client() as client:
        found = client.get("/v1/overrides/load", {"since": since})
    people = ([one.get(column) for column in _REVIEWERS] for one in found["reviewers"])
    policies = ([one.get(column) for column in _POLICIES] for one in found["policies"])

    def told() -> Group:
        return Group(
            table(_REVIEWERS, people, empty="nobody decided anything"),
            table(_POLICIES, policies, empty="no policy asked"),
        )

    kt.output.result(found, told)


@online
def reveal(
    kt: Invocation,
    escalation_id: Annotated[str, typer.Argument(help="As `kt escalations list` shows it.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept in custody.", show_default=False)
    ],
) -> None:
    """See what a held answer says without redaction, on record."""
    with kt.client() as client:
        found = client.post(f"/v1/escalations/{escalation_id}/reveal", {"reason": reason})
    kt.output.result(found, lambda: facts(flat(dict(found))))
