"""``kt tokens``: access to the control plane, handed out and taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, table

app = typer.Typer(help="Access tokens of the control plane.", no_args_is_help=True)


@app.command("create")
@online
def create(
    kt: Invocation,
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do, such as events:read; repeat for several."),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="Whose scopes it has, such as responder.")
    ] = None,
    user: Annotated[
        str, typer.Option(help="The person that it belongs to, whose name and roles it carries.")
    ] = "",
    owner: Annotated[str, typer.Option(help="Who answers for a service; you if left out.")] = "",
    expires_in_days: Annotated[
        int | None, typer.Option(min=1, help="Without it the token lasts until it is revoked.")
    ] = None,
) -> None:
    """Make a token. Its text is shown once, on stdout, and kept nowhere."""
    given = {"scopes": scope, "roles": role, "user": user, "owner": owner}
    body: dict[str, Any] = {"name": name, **{key: said for key, said in given.items() if said}}
    if expires_in_days:
        body["expires_at"] = datetime.now(UTC) + timedelta(days=expires_in_days)
    with kt.client() as client:
        made = client.post("/v1/tokens", body)
    kt.output.result(made, lambda: facts((key, made.get(key)) for key in made))
    kt.output.say("Keep the token now; it is not shown again.")


@app.command("list")
@online
def list_tokens(kt: Invocation) -> None:
    """Show all tokens, without their texts."""
    with kt.client() as client:
        tokens = client.get("/v1/tokens")
    columns = (
        *("id", "name", "scopes", "roles", "user", "owner"),
        *("created_at", "expires_at", "revoked_at", "last_used_at"),
    )
    kt.output.result(
        tokens,
        lambda: table(
            columns, ([token.get(column) for column in columns] for token in tokens), empty="none"
        ),
    )


@app.command("rotate")
@online
def rotate(
    kt: Invocation,
    token_id: Annotated[str, typer.Argument(help="As `kt tokens list` shows it.")],
    overlap_seconds: Annotated[
        int, typer.Option(min=0, help="How long the old one works beside the new one.")
    ] = 0,
) -> None:
    """Make a token in place of another, with the same rights; the other one ends."""
    body = {"overlap_seconds": overlap_seconds}
    with kt.client() as client:
        made = client.post(f"/v1/tokens/{token_id}/rotate", body)
    kt.output.result(made, lambda: facts((key, made.get(key)) for key in made))
    kt.output.say("Keep the token now; it is not shown again.")


@app.command("revoke")
@online
def revoke(
    kt: Invocation, token_id: Annotated[str, typer.Argument(help="As `kt tokens list` shows it.")]
) -> None:
    """End a token, for good."""
    with kt.client() as client:
        token = client.post(f"/v1/tokens/{token_id}/revoke")
    kt.output.result(token, lambda: facts((key, token.get(key)) for key in token))
