"""``kt signals``: observations that somebody should look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Observations that somebody should look at.", no_args_is_help=True)

_COLUMNS = ("id", "at", "status", "severity", "kind", "summary")

SignalArgument = Annotated[str, typer.Argument(help="As `kt signals list` shows it.")]


@app.command("list")
def list_signals(
    context: typer.Context,
    status: Annotated[
        str, typer.Option(help="unresolved, open, acknowledged, resolved or all.")
    ] = "unresolved",
    kind: Annotated[str, typer.Option(help="Only this kind, such as journal_gap.")] = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show signals, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        asked = {"status": status, "kind": kind}
        found = list(client.all("/v1/signals", asked, limit=limit))
    rows = ([one.get(column) for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    signal_id: SignalArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one signal with everything that is known."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        _say(client.get(f"/v1/signals/{signal_id}"), as_json=as_json)


@app.command("acknowledge")
def acknowledge(
    context: typer.Context,
    signal_id: SignalArgument,
    note: Annotated[str, typer.Option(help="What you have to say; kept with it.")] = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Say that you look into it."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/signals/{signal_id}/acknowledge", {"note": note})
        _say(found, as_json=as_json)


@app.command("resolve")
def resolve(
    context: typer.Context,
    signal_id: SignalArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the signal.", show_default=False)
    ],
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Say that it is over. The same thing is not raised again."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/signals/{signal_id}/resolve", {"reason": reason})
        _say(found, as_json=as_json)


def _say(found: Mapping[str, Any], *, as_json: bool) -> None:
    Output(json=as_json).result(found, lambda: facts(flat(dict(found))))
