"""``kt users``: people, what they may do, how they come in, and where they are signed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing

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
@online
def add(
    kt: Invocation,
    name: Annotated[str, typer.Argument(help="As people are named in incidents.")],
    role: RoleOption = None,
    email: Annotated[str, typer.Option(help="Where the person is reached.")] = "",
    issuer: Annotated[str, typer.Option(help="Of the OpenID provider, with --subject.")] = "",
    subject: Annotated[str, typer.Option(help="What the provider calls the person.")] = "",
    invite: Annotated[bool, typer.Option(help="Show a code that lets the person in once.")] = False,
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
    with kt.client() as client:
        made = client.post("/v1/users", body)
    _show(kt, made)


@app.command("list")
@online
def list_users(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="active, deactivated or all.")] = "active",
    limit: LimitOption = 50,
) -> None:
    """Show people, newest first."""
    with kt.client() as client:
        found = list(client.all("/v1/users", {"status": status}, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("show")
@online
def show(kt: Invocation, user: UserArgument) -> None:
    """Show one person."""
    with kt.client() as client:
        found = client.get(f"/v1/users/{quote(user, safe='')}")
    _show(kt, found)


@app.command("set-roles")
@online
def set_roles(kt: Invocation, user: UserArgument, role: RoleOption = None) -> None:
    """Give a person these roles and no others; without --role, none."""
    _verb(kt, user, "set-roles", {"roles": role or []})


@app.command("invite")
@online
def invite(kt: Invocation, user: UserArgument) -> None:
    """Make a code that lets a person in once."""
    _verb(kt, user, "invite", {})


@app.command("deactivate")
@online
def deactivate(kt: Invocation, user: UserArgument) -> None:
    """Let a person in no more."""
    _verb(kt, user, "deactivate", {})


@app.command("activate")
@online
def activate(kt: Invocation, user: UserArgument) -> None:
    """Let a person in again."""
    _verb(kt, user, "activate", {})


@app.command("sessions")
@online
def sessions(kt: Invocation, user: UserArgument) -> None:
    """Show where a person is signed in."""
    with kt.client() as client:
        found = client.get(f"/v1/users/{quote(user, safe='')}/sessions")
    kt.output.result(found, lambda: listing(_SESSION_COLUMNS, found, empty="nowhere"))


@app.command("sign-out")
@online
def sign_out(kt: Invocation, user: UserArgument) -> None:
    """End every session of a person."""
    with kt.client() as client:
        ended = client.post(f"/v1/users/{quote(user, safe='')}/sign-out")
    kt.output.result(ended, lambda: facts(ended.items()))


def _verb(kt: Invocation, user: str, verb: str, body: Mapping[str, Any]) -> None:
    with kt.client() as client:
        found = client.post(f"/v1/users/{quote(user, safe='')}/{verb}", body or None)
    _show(kt, found)


def _show(kt: Invocation, user: Mapping[str, Any]) -> None:
    shown = {key: value for key, value in user.items() if key not in ("scopes", "invitation")}
    if invitation := user.get("invitation"):
        shown["invitation"] = f"{kt.settings.api_url}{invitation['path']}#{invitation['code']}"
        shown["invitation_expires_at"] = invitation["expires_at"]
    kt.output.result(user, lambda: facts(shown.items()))
    if invitation:
        kt.output.say("The invitation works once; keep it from everybody else.")
