"""``kt audit``: who called what, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.export_job import ExportRequest, download, run_job
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Who called what, and what became of it.", no_args_is_help=True)

_COLUMNS = ("at", "actor", "operation", "object", "result", "status", "permission", "address")
SinceOption = Annotated[str, typer.Option(help="RFC 3339, or so long ago: 1h, 7d.")]
UntilOption = Annotated[str, typer.Option(help="RFC 3339, or so long ago.")]


@app.command("list")
def list_audit(
    context: typer.Context,
    actor: Annotated[str, typer.Option(help="NAME/ID, as the list shows it.")] = "",
    operation: Annotated[str, typer.Option(help="Such as declare_incident.")] = "",
    about: Annotated[
        str, typer.Option("--object", help="A path; all below it where it ends in a slash.")
    ] = "",
    result: Annotated[str, typer.Option(help="done, refused or failed.")] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show calls, newest first."""
    given = {
        "actor": actor,
        "operation": operation,
        "object": about,
        "result": result,
        "since": since,
        "until": until,
    }
    asked = {name: value for name, value in given.items() if value}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = list(client.all("/v1/audit", asked, limit=limit))
    rows = ([entry.get(column) for column in _COLUMNS] for entry in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("export")
def export(
    context: typer.Context,
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    since: SinceOption = "",
    until: UntilOption = "",
    file_format: Annotated[str, typer.Option("--format", help="jsonl, json or csv.")] = "jsonl",
    reason: Annotated[str, typer.Option(help="Why; kept in custody.")] = "",
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Write the audit log to a file, newest first, and check its SHA-256."""
    output = Output(json=as_json)
    window = {name: text for name, text in (("since", since), ("until", until)) if text}
    request = ExportRequest(type="audit", format=file_format, filter=window, reason=reason)
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        job = run_job(client, request, output)
        download(client, job, target, output)
    made = {"file": str(target), "bytes": job.bytes, "sha256": job.sha256}
    output.result(made, lambda: facts(made.items()))
