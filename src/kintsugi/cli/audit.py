"""``kt audit``: who called what, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.export_job import ExportRequest, download, run_job
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing

app = typer.Typer(help="Who called what, and what became of it.", no_args_is_help=True)

_COLUMNS = ("at", "actor", "operation", "object", "result", "status", "permission", "address")
SinceOption = Annotated[str, typer.Option(help="RFC 3339, or so long ago: 1h, 7d.")]
UntilOption = Annotated[str, typer.Option(help="RFC 3339, or so long ago.")]


@app.command("list")
@online
def list_audit(
    kt: Invocation,
    actor: Annotated[str, typer.Option(help="NAME/ID, as the list shows it.")] = "",
    operation: Annotated[str, typer.Option(help="Such as declare_incident.")] = "",
    about: Annotated[
        str, typer.Option("--object", help="A path; all below it where it ends in a slash.")
    ] = "",
    result: Annotated[str, typer.Option(help="done, refused or failed.")] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    limit: LimitOption = 50,
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
    with kt.client() as client:
        found = list(client.all("/v1/audit", asked, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("export")
@online
def export(
    kt: Invocation,
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    since: SinceOption = "",
    until: UntilOption = "",
    file_format: Annotated[str, typer.Option("--format", help="jsonl, json or csv.")] = "jsonl",
    reason: Annotated[str, typer.Option(help="Why; kept in custody.")] = "",
) -> None:
    """Write the audit log to a file, newest first, and check its SHA-256."""
    window = {name: text for name, text in (("since", since), ("until", until)) if text}
    request = ExportRequest(type="audit", format=file_format, filter=window, reason=reason)
    with kt.client() as client:
        job = run_job(client, request, kt.output)
        download(client, job, target, kt.output)
    made = {"file": str(target), "bytes": job.bytes, "sha256": job.sha256}
    kt.output.result(made, lambda: facts(made.items()))
