"""``kt evidence``: everything that exists about some decisions, in one file with its proofs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.export_job import ExportRequest, Job, download, run_job
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts
from kintsugi.errors import InvalidInput
from kintsugi.ledger.package.files import open_package, unpack

app = typer.Typer(help="Evidence packages.", no_args_is_help=True)


@app.callback()
def evidence() -> None:
    """Keeps this a group: more commands than one will stand in it."""


@app.command("package")
@event_filters
@online
def package(
    kt: Invocation,
    where: Where,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE|FOLDER", help="Where to write.")
    ],
    event: Annotated[str, typer.Option(metavar="ID", help="One event.")] = "",
    file_format: Annotated[str, typer.Option("--format", help="zip, tar or folder.")] = "zip",
    reason: Annotated[str, typer.Option(help="Why; kept in custody and in the package.")] = "",
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            metavar="age1...", help="Encrypt to this age or SSH public key. Repeat for several."
        ),
    ] = None,
    reveal: Annotated[
        bool,
        typer.Option(
            "--reveal",
            help="Show prompts and answers as they were recorded; needs the scope payloads:reveal "
            "and --reason.",
        ),
    ] = False,
) -> None:
    """Package an event (--event), a trace (--trace), an incident (--incident) or a window.

    The result is a BagIt bag with the records, their proofs to a signed checkpoint of the log, and
    a table of what is held and what is missing; `kt verify` checks it anywhere. Prompts and answers
    are redacted unless --reveal is given.
    """
    wanted = {**where, "event": event} if event else dict(where)
    if not wanted:
        raise InvalidInput(
            "say what to package: --event ID, --trace ID, --incident ID, or a window with --since"
        )
    folder = file_format == "folder"
    if folder and recipient:
        raise InvalidInput("a folder cannot be encrypted; use --format zip or tar")
    request = ExportRequest(
        type="package",
        format="tar" if folder else file_format,
        filter=wanted,
        reason=reason,
        recipients=tuple(recipient or ()),
        unredacted=reveal,
    )
    with kt.client() as client:
        job = run_job(client, request, kt.output)
        if folder:
            _download_folder(client, job, output, kt.output)
        else:
            download(client, job, output, kt.output)
    made = {
        ("folder" if folder else "file"): str(output),
        "package": job.id,
        "events": job.written,
        "bytes": job.bytes,
        "sha256": job.sha256,
    }
    kt.output.result(made, lambda: facts(made.items()))
    kt.output.say(f"check it with: kt verify {output} --key KEY (kt log keys shows the key)")


def _download_folder(client: Client, job: Job, folder: Path, talk: Output) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".kt-package-") as aside:
        archive = Path(aside) / "package.tar"
        download(client, job, archive, talk)
        files = open_package(archive)
        try:
            unpack(files, folder)
        finally:
            files.close()
