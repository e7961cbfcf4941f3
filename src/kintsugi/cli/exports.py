"""``kt exports``: export jobs, for those who want more than ``kt events export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kintsugi.cli.export_job import ExportRequest, Job, download, run_job
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing
from kintsugi.errors import KintsugiError

app = typer.Typer(help="Exports as jobs.", no_args_is_help=True)

_COLUMNS = ("id", "type", "format", "state", "written", "total", "bytes", "created_at")


@app.command("list")
@online
def list_exports(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show export jobs, newest first."""
    with kt.client() as client:
        jobs = list(client.all("/v1/exports", limit=limit))
    kt.output.result(jobs, lambda: listing(_COLUMNS, jobs))


@app.command("create")
@event_filters
@online
def create(
    kt: Invocation,
    where: Where,
    export_type: Annotated[str, typer.Option("--type", help="What to export.")] = "events",
    file_format: Annotated[
        str, typer.Option("--format", help="json, jsonl, csv or parquet.")
    ] = "jsonl",
    wait: Annotated[bool, typer.Option(help="Return when it is finished.")] = True,
) -> None:
    """Queue an export."""
    request = ExportRequest(type=export_type, format=file_format, filter=dict(where))
    with kt.client() as client:
        if wait:
            job = client.get(f"/v1/exports/{run_job(client, request, kt.output).id}")
        else:
            job = client.post("/v1/exports", request)
    kt.output.result(job, lambda: facts(job.items()))


@app.command("show")
@online
def show(
    kt: Invocation, export_id: Annotated[str, typer.Argument(help="As `kt exports list` shows it.")]
) -> None:
    """Show one job with its progress."""
    with kt.client() as client:
        job = client.get(f"/v1/exports/{export_id}")
    kt.output.result(job, lambda: facts(job.items()))


@app.command("download")
@online
def fetch(
    kt: Invocation,
    export_id: Annotated[str, typer.Argument(help="As `kt exports list` shows it.")],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
) -> None:
    """Fetch a finished export and check its SHA-256."""
    with kt.client() as client:
        job = msgspec.convert(client.get(f"/v1/exports/{export_id}"), Job)
        if job.state != "done":
            raise KintsugiError(
                f"export {job.id} is {job.state}; only a finished one can be fetched"
            )
        download(client, job, target, kt.output)
    made = {"file": str(target), "bytes": job.bytes, "sha256": job.sha256}
    kt.output.result(made, lambda: facts(made.items()))
