"""``kt users``: people, what they may do, how they come in, and where they are signed in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="People who use the control plane.", no_args_is_help=True)

_COLUMNS = ("name", "roles", "active", "email", "last_sign_in_at", "created_at", "id")
_SESSION_COLUMNS = ("created_at", "last_seen_at", "ends_at", "address", "agent")

UserArgument = Annotated[str, typer.Argument(metavar="USER", help="A name, or an id.")]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help="viewer, reporter, reviewer, responder, commander, privacy or admin; may be given "
        "again.",
    ),
]


@app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As people are named in incidents.")],
    role: RoleOption = None,
    email: Annotated[str, typer.Option(help="Where the person is reached.")] = "",
    issuer: Annotated[str, typer.Option(help="Of the OpenID provider, with --subject.")] = "",
    subject: Annotated[str, typer.Option(help="What the provider calls the person.")] = "",
    invite: Annotated[bool, typer.Option(help="Show a code that lets the person in once.")] = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let a person in."""
    body = {
        "name": name,
        "roles": role or [],
        "email": email,
        "issuer": issuer,
        "subject": subject,
        "invite": invite,
    }
    settings = program(context).settings(state=state, api_url=api_url)
    with Client(settings) as client:
        made = client.post("/v1/users", body)
    _show(made, settings.api_url, as_json=as_json)


@app.command("list")
def list_users(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="active, deactivated or all.")] = "active",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show people, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/users", {"status": status}, limit=limit))
    rows = ([user.get(column) for column in _COLUMNS] for user in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one person."""
    settings = program(context).settings(state=state, api_url=api_url)
    with Client(settings) as client:
        found = client.get(f"/v1/users/{quote(user, safe='')}")
    _show(found, settings.api_url, as_json=as_json)


@app.command("set-roles")
def set_roles(
    context: typer.Context,
    user: UserArgument,
    role: RoleOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Give a person these roles and no others; without --role, none."""
    _verb(context, user, "set-roles", {"roles": role or []}, as_json, state, api_url)


@app.command("invite")
def invite(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Make a code that lets a person in once."""
    _verb(context, user, "invite", {}, as_json, state, api_url)


@app.command("deactivate")
def deactivate(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let a person in no more."""
    _verb(context, user, "deactivate", {}, as_json, state, api_url)


@app.command("activate")
def activate(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Let a person in again."""
    _verb(context, user, "activate", {}, as_json, state, api_url)


@app.command("sessions")
def sessions(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show where a person is signed in."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/users/{quote(user, safe='')}/sessions")
    rows = ([session.get(column) for column in _SESSION_COLUMNS] for session in found)
    Output(json=as_json).result(found, lambda: table(_SESSION_COLUMNS, rows, empty="nowhere"))


@app.command("sign-out")
def sign_out(
    context: typer.Context,
    user: UserArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """End every session of a person."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        ended = client.post(f"/v1/users/{quote(user, safe='')}/sign-out")
    Output(json=as_json).result(ended, lambda: facts(ended.items()))


def _verb(
    context: typer.Context,
    user: str,
    verb: str,
    body: Mapping[str, Any],
    as_json: bool,
    state: Path | None,
    api_url: str | None,
) -> None:
    settings = program(context).settings(state=state, api_url=api_url)
    with Client(settings) as client:
        found = client.post(f"/v1/users/{quote(user, safe='')}/{verb}", body or None)
    _show(found, settings.api_url, as_json=as_json)


def _show(user: Mapping[str, Any], address: str, *, as_json: bool) -> None:
    output = Output(json=as_json)
    shown = {key: value for key, value in user.items() if key not in ("scopes", "invitation")}
    if invitation := user.get("invitation"):
        shown["invitation"] = f"{address}{invitation['path']}#{invitation['code']}"
        shown["invitation_expires_at"] = invitation["expires_at"]
    output.result(user, lambda: facts(shown.items()))
    if invitation:
        output.say("The invitation works once; keep it from everybody else.")
