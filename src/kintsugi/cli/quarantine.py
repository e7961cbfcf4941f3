"""``kt quarantine``: what policies have frozen, and its release."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, listing

app = typer.Typer(help="What policies have frozen.", no_args_is_help=True)

_COLUMNS = ("id", "scope", "subject", "created_at", "policy_name", "reason_code", "released_at")


@app.command("list")
@online
def list_quarantines(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="in_force, released or all.")] = "in_force",
) -> None:
    """Show quarantines, newest first."""
    with kt.client() as client:
        found = client.get("/v1/quarantines", {"status": status})
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("release")
@online
def release(
    kt: Invocation,
    quarantine_id: Annotated[str, typer.Argument(help="As `kt quarantine list` shows it.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the release.", show_default=False)
    ],
) -> None:
    """Let it go on, on every connected gateway within a second."""
    with kt.client() as client:
        released = client.post(f"/v1/quarantines/{quarantine_id}/release", {"reason": reason})
    kt.output.result(released, lambda: facts(flat(released)))
