"""``kt exports``: export jobs, for those who want more than ``kt events export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kintsugi.cli.client import Client
from kintsugi.cli.export_job import ExportRequest, Job, download, run_job
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program
from kintsugi.errors import KintsugiError

app = typer.Typer(help="Exports as jobs.", no_args_is_help=True)

_COLUMNS = ("id", "type", "format", "state", "written", "total", "bytes", "created_at")


@app.command("list")
def list_exports(
    context: typer.Context,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show export jobs, newest first."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        jobs = list(client.all("/v1/exports", limit=limit))
    rows = ([job.get(column) for column in _COLUMNS] for job in jobs)
    Output(json=as_json).result(jobs, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("create")
@event_filters
def create(
    context: typer.Context,
    where: Where,
    export_type: Annotated[str, typer.Option("--type", help="What to export.")] = "events",
    file_format: Annotated[
        str, typer.Option("--format", help="json, jsonl, csv or parquet.")
    ] = "jsonl",
    wait: Annotated[bool, typer.Option(help="Return when it is finished.")] = True,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Queue an export."""
    output = Output(json=as_json)
    request = ExportRequest(type=export_type, format=file_format, filter=dict(where))
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        if wait:
            job = client.get(f"/v1/exports/{run_job(client, request, output).id}")
        else:
            job = client.post("/v1/exports", request)
    output.result(job, lambda: facts(job.items()))


@app.command("show")
def show(
    context: typer.Context,
    export_id: Annotated[str, typer.Argument(help="As `kt exports list` shows it.")],
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one job with its progress."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        job = client.get(f"/v1/exports/{export_id}")
    Output(json=as_json).result(job, lambda: facts(job.items()))


@app.command("download")
def fetch(
    context: typer.Context,
    export_id: Annotated[str, typer.Argument(help="As `kt exports list` shows it.")],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Fetch a finished export and check its SHA-256."""
    output = Output(json=as_json)
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        job = msgspec.convert(client.get(f"/v1/exports/{export_id}"), Job)
        if job.state != "done":
            raise KintsugiError(
                f"export {job.id} is {job.state}; only a finished one can be fetched"
            )
        download(client, job, target, output)
    made = {"file": str(target), "bytes": job.bytes, "sha256": job.sha256}
    output.result(made, lambda: facts(made.items()))
