"""``kt hold``: evidence that may not go away."""

from __future__ import annotations

from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.gateways import flat
from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Legal holds: evidence that may not go away.", no_args_is_help=True)

_COLUMNS = ("id", "name", "placed_at", "placed_by", "covers", "reason", "released_at")

HoldArgument = Annotated[str, typer.Argument(metavar="ID", help="As `kt hold list` shows it.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; kept with it.", show_default=False)
]


@app.command("place")
@event_filters
def place(
    context: typer.Context,
    where: Where,
    name: Annotated[str, typer.Argument(help="What people call it; refusals name it.")],
    reason: ReasonOption,
    everything: Annotated[
        bool, typer.Option("--everything", help="Needed where no filter restricts it.")
    ] = False,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Keep everything that the filters cover, now and later, from being erased or deleted."""
    body = {"name": name, "reason": reason, "filter": dict(where), "everything": everything}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        placed = client.post("/v1/holds", body)
    Output(json=as_json).result(placed, lambda: facts(flat(placed)))


@app.command("list")
def list_holds(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="in_force, released or all.")] = "in_force",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show holds, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
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
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    hold_id: HoldArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one hold, and how many events it covers now."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/holds/{hold_id}")
    Output(json=as_json).result(found, lambda: facts(flat(found)))


@app.command("release")
def release(
    context: typer.Context,
    hold_id: HoldArgument,
    reason: ReasonOption,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """End a hold: what it covered goes away when its time comes."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        ended = client.post(f"/v1/holds/{hold_id}/release", {"reason": reason})
    Output(json=as_json).result(ended, lambda: facts(flat(ended)))
