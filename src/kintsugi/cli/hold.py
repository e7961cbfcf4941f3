"""``kt hold``: evidence that may not go away."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, table

app = typer.Typer(help="Legal holds: evidence that may not go away.", no_args_is_help=True)

_COLUMNS = ("id", "name", "placed_at", "placed_by", "covers", "reason", "released_at")

HoldArgument = Annotated[str, typer.Argument(metavar="ID", help="As `kt hold list` shows it.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; kept with it.", show_default=False)
]


@app.command("place")
@event_filters
@online
def place(
    kt: Invocation,
    where: Where,
    name: Annotated[str, typer.Argument(help="What people call it; refusals name it.")],
    reason: ReasonOption,
    everything: Annotated[
        bool, typer.Option("--everything", help="Needed where no filter restricts it.")
    ] = False,
) -> None:
    """Keep everything that the filters cover, now and later, from being erased or deleted."""
    body = {"name": name, "reason": reason, "filter": dict(where), "everything": everything}
    with kt.client() as client:
        placed = client.post("/v1/holds", body)
    kt.output.result(placed, lambda: facts(flat(placed)))


@app.command("list")
@online
def list_holds(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="in_force, released or all.")] = "in_force",
) -> None:
    """Show holds, newest first."""
    with kt.client() as client:
        found = client.get("/v1/holds", {"status": status})
    rows = (
        [
            one["id"],
            one["name"],
            one["placed_at"],
            one["placed_by"],
            " ".join(f"{key}={value}" for key, value in one.get("where", {}).items())
            or "everything",
            one["reason"],
            one.get("released_at"),
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(kt: Invocation, hold_id: HoldArgument) -> None:
    """Show one hold, and how many events it covers now."""
    with kt.client() as client:
        found = client.get(f"/v1/holds/{hold_id}")
    kt.output.result(found, lambda: facts(flat(found)))


@app.command("release")
@online
def release(kt: Invocation, hold_id: HoldArgument, reason: ReasonOption) -> None:
    """End a hold: what it covered goes away when its time comes."""
    with kt.client() as client:
        ended = client.post(f"/v1/holds/{hold_id}/release", {"reason": reason})
    kt.output.result(ended, lambda: facts(flat(ended)))
