"""``kt events``: decisions as they were recorded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kintsugi.cli.client import Client
from kintsugi.cli.export_job import ExportRequest, download, run_job
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, json_text, table
from kintsugi.errors import ApiUnreachable

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="Decisions: tail, show and export.", no_args_is_help=True)

_RECONNECT_SECONDS = 1.0
_COLUMNS = ("time", "verdict", "reason", "model", "user", "status", "ms", "id")
# Where not all of it fits on a line, what one needs to ask further.
_COLUMNS_NARROW = ("time", "verdict", "reason", "id")
_NARROW_BELOW = 130


@app.command("tail")
@event_filters
@online
def tail(
    kt: Invocation,
    where: Where,
    limit: LimitOption = 50,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with new ones as they are decided.")
    ] = False,
) -> None:
    """Show the newest matching decisions, oldest of them first.

    JSON is one array; with --follow it is one event a line, since the end never comes.
    """
    with kt.client() as client:
        if follow:
            _follow(client, where, limit, kt.output)
        else:
            newest = _newest(client, where, limit)
            kt.output.result(newest, lambda: _rows(newest, kt.output.console().width))


@app.command("show")
@online
def show(
    kt: Invocation,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As x-kt-event-id said.")],
) -> None:
    """Show one decision with every policy's own result and the recorded payload."""
    with kt.client() as client:
        event = client.get(f"/v1/events/{event_id}")
    kt.output.result(event, lambda: facts(flat(event)))


@app.command("reveal")
@online
def reveal(
    kt: Invocation,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="As x-kt-event-id said.")],
    reason: Annotated[
        str,
        typer.Option("--reason", help="Why you have to see it; kept.", show_default=False),
    ],
) -> None:
    """Show what was recorded of one decision without redaction, and leave that on record.

    Needs a token with the scope payloads:reveal.
    """
    with kt.client() as client:
        revealed = client.post(f"/v1/events/{event_id}/reveal", {"reason": reason})
    kt.output.result(revealed, lambda: facts(flat(revealed)))


@app.command("export")
@event_filters
@online
def export(
    kt: Invocation,
    where: Where,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    file_format: Annotated[
        str, typer.Option("--format", help="json, jsonl, csv or parquet.")
    ] = "jsonl",
) -> None:
    """Write all matching decisions to a file, whole or not at all, and check its SHA-256."""
    request = ExportRequest(type="events", format=file_format, filter=dict(where))
    with kt.client() as client:
        job = run_job(client, request, kt.output)
        download(client, job, output, kt.output)
    made = {
        "file": str(output),
        "events": job.written,
        "bytes": job.bytes,
        "sha256": job.sha256,
        "export_id": job.id,
    }
    kt.output.result(made, lambda: facts(made.items()))


def _newest(client: Client, where: Where, limit: int) -> list[dict[str, Any]]:
    return list(client.all("/v1/events", where, limit=limit))[::-1]


def _follow(client: Client, where: Where, limit: int, output: Output) -> None:
    """The newest ones, then new ones for ever, over restarts of the control plane too."""
    live = {name: text for name, text in where.items() if name != "since"}
    seen: set[str] = set()
    position = ""
    while True:
        try:
            with client.events("/v1/events/tail", live, after=position) as messages:
                if not position:
                    # Asked for when the stream stands, so that nothing falls between the two;
                    # what both have is shown once.
                    newest = _newest(client, where, limit)
                    seen = {event["id"] for event in newest}
                    _show(output, newest)
                for message in messages:
                    position = message.id
                    event = msgspec.json.decode(message.data)
                    if event["id"] not in seen:
                        _show(output, [event])
        except ApiUnreachable:
            if not position:
                raise
        output.say("the stream ended; connecting again")
        time.sleep(_RECONNECT_SECONDS)


def _show(output: Output, events: list[dict[str, Any]]) -> None:
    """Some events of a stream that goes on."""
    if output.json:
        for event in events:
            output.line(json_text(event, indent=0))
    else:
        console = output.console()
        console.print(_rows(events, console.width))


def _rows(events: list[dict[str, Any]], width: int) -> RenderableType:
    columns = _COLUMNS if width >= _NARROW_BELOW else _COLUMNS_NARROW
    rows = [_row(event) for event in events]
    if columns is _COLUMNS_NARROW:
        one_day = len({row["time"][:10] for row in rows}) == 1
        for row in rows:
            row["time"] = row["time"][11 if one_day else 5 : 19]
    return table(
        columns,
        ([row[column] for column in columns] for row in rows),
        empty="no decision matches",
        gap=1,
    )


def _row(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": event["timestamp"][:23].replace("T", " "),
        "verdict": event["verdict"],
        "reason": event["reason_code"],
        "model": event.get("model"),
        "user": event.get("user_id"),
        "status": event.get("http_status"),
        "ms": round(event.get("latency_ms", 0.0), 1),
        "id": event["id"],
    }
