"""``kt signals``: observations that somebody should look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, listing

app = typer.Typer(help="Observations that somebody should look at.", no_args_is_help=True)

_COLUMNS = ("id", "at", "status", "severity", "kind", "summary")

SignalArgument = Annotated[str, typer.Argument(help="As `kt signals list` shows it.")]


@app.command("list")
@online
def list_signals(
    kt: Invocation,
    status: Annotated[
        str, typer.Option(help="unresolved, open, acknowledged, resolved or all.")
    ] = "unresolved",
    kind: Annotated[str, typer.Option(help="Only this kind, such as journal_gap.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show signals, newest first."""
    with kt.client() as client:
        asked = {"status": status, "kind": kind}
        found = list(client.all("/v1/signals", asked, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("show")
@online
def show(kt: Invocation, signal_id: SignalArgument) -> None:
    """Show one signal with everything that is known."""
    with kt.client() as client:
        _say(kt.output, client.get(f"/v1/signals/{signal_id}"))


@app.command("acknowledge")
@online
def acknowledge(
    kt: Invocation,
    signal_id: SignalArgument,
    note: Annotated[str, typer.Option(help="What you have to say; kept with it.")] = "",
) -> None:
    """Say that you look into it."""
    with kt.client() as client:
        found = client.post(f"/v1/signals/{signal_id}/acknowledge", {"note": note})
        _say(kt.output, found)


@app.command("resolve")
@online
def resolve(
    kt: Invocation,
    signal_id: SignalArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the signal.", show_default=False)
    ],
) -> None:
    """Say that it is over. The same thing is not raised again."""
    with kt.client() as client:
        found = client.post(f"/v1/signals/{signal_id}/resolve", {"reason": reason})
        _say(kt.output, found)


def _say(output: Output, found: Mapping[str, Any]) -> None:
    output.result(found, lambda: facts(flat(dict(found))))
