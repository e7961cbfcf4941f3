"""``kt incidents restrict|open-up|grant|revoke``: who may see an incident."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.incident_options import (
    DryRunOption,
    IncidentArgument,
    ReasonOption,
    send,
)
from kintsugi.cli.invocation import Invocation, online

PersonArgument = Annotated[str, typer.Argument(help="As people are named in roles.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group."""
    for name, command in (
        ("restrict", restrict),
        ("open-up", open_up),
        ("grant", grant),
        ("revoke", revoke),
    ):
        app.command(name)(command)


@online
def restrict(
    kt: Invocation,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Others do not learn that it exists.")
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Let only those who work on it see it; others see that it exists."""
    send(
        kt,
        f"/{incident}/restrict",
        {"visibility": "hidden" if hidden else "reference", "reason": reason},
        dry_run=dry_run,
    )


@online
def open_up(
    kt: Invocation,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Let everybody see it who may look at incidents."""
    send(kt, f"/{incident}/open-up", {"reason": reason}, dry_run=dry_run)


@online
def grant(
    kt: Invocation,
    incident: IncidentArgument,
    person: PersonArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Let a person see it who has no role in it."""
    send(kt, f"/{incident}/grant", {"person": person, "reason": reason}, dry_run=dry_run)


@online
def revoke(
    kt: Invocation,
    incident: IncidentArgument,
    person: PersonArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Take a grant back."""
    send(kt, f"/{incident}/revoke", {"person": person, "reason": reason}, dry_run=dry_run)
