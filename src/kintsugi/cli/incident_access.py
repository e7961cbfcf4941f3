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
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption

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


def restrict(
    context: typer.Context,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Others do not learn that it exists.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let only those who work on it see it; others see that it exists."""
    send(
        context,
        f"/{incident}/restrict",
        {"visibility": "hidden" if hidden else "reference", "reason": reason},
        as_json=as_json,
        dry_run=dry_run,
        state=state,
        api_url=api_url,
    )


def open_up(
    context: typer.Context,
    incident: IncidentArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let everybody see it who may look at incidents."""
    send(
        context,
        f"/{incident}/open-up",
        {"reason": reason},
        as_json=as_json,
        dry_run=dry_run,
        state=state,
        api_url=api_url,
    )


def grant(
    context: typer.Context,
    incident: IncidentArgument,
    person: PersonArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let a person see it who has no role in it."""
    send(
        context,
        f"/{incident}/grant",
        {"person": person, "reason": reason},
        as_json=as_json,
        dry_run=dry_run,
        state=state,
        api_url=api_url,
    )


def revoke(
    context: typer.Context,
    incident: IncidentArgument,
    person: PersonArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Take a grant back."""
    send(
        context,
        f"/{incident}/revoke",
        {"person": person, "reason": reason},
        as_json=as_json,
        dry_run=dry_run,
        state=state,
        api_url=api_url,
    )
