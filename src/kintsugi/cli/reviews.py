"""``kt incidents review``: the review of an incident, read, written on, checked, published."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.incident_options import (
    AtOption,
    DryRunOption,
    IncidentArgument,
    ReasonOption,
    send,
)
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, listing, table
from kintsugi.errors import InvalidInput

_FORMATS = ("md", "html", "pdf")
_REMARK_COLUMNS = ("line", "column", "words", "why", "instead")
_EDITION_COLUMNS = ("number", "audience", "published_at", "published_by", "remarks", "digest")


def add_to(app: typer.Typer) -> None:
    """Add the command to the group."""
    app.command("review")(review)


@online
def review(
    kt: Invocation,
    incident: IncidentArgument,
    form: Annotated[str, typer.Option("--format", help="Print it: md, html or pdf.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there instead.")
    ] = None,
    redacted: Annotated[
        bool, typer.Option("--redacted", help="With --format: as strangers may read it.")
    ] = False,
    edition: Annotated[
        int, typer.Option("--edition", help="With --format: this edition, as it was published.")
    ] = 0,
    import_file: Annotated[
        str,
        typer.Option(
            "--import", metavar="FILE", help="Take people's parts from it; - is standard input."
        ),
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="What in it puts the blame on people.")
    ] = False,
    publish: Annotated[
        str, typer.Option("--publish", metavar="AUDIENCE", help="internal or redacted.")
    ] = "",
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", help="A further word that no stranger may read; again."),
    ] = None,
    editions: Annotated[bool, typer.Option("--editions", help="What was published.")] = False,
    reason: ReasonOption = "",
    at: AtOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Print its review, take one in, check or publish it; without any of these options, move the
    incident from monitoring to review."""
    asked = [bool(form), bool(import_file), check, bool(publish), editions]
    if sum(asked) > 1:
        raise InvalidInput("use one of --format, --import, --check, --publish and --editions")
    if not any(asked):
        body = {"reason": reason, "at": at}
        path = f"/{incident}/review"
        send(kt, path, body, dry_run=dry_run)
        return
    base = f"/v1/incidents/{incident}/review"
    with kt.client() as client:
        if form:
            _print(client, base, form, output, redacted=redacted, edition=edition)
        elif import_file:
            found = client.post(f"{base}/import", {"text": _read(import_file)}, dry_run=dry_run)
            kt.output.result(found, lambda: facts(_imported(found)))
        elif check:
            remarks = client.get(f"{base}/wording")["wording"]
            rows = ([one[column] for column in _REMARK_COLUMNS] for one in remarks)
            kt.output.result(
                remarks, lambda: table(_REMARK_COLUMNS, rows, empty="nothing to remark")
            )
        elif publish:
            given = {"audience": publish, "reason": reason, "redact": redact or []}
            made = client.post(f"{base}/publish", given, dry_run=dry_run)
            kt.output.result(made, lambda: facts(made.items()))
        else:
            found = client.get(f"{base}/editions")
            kt.output.result(found, lambda: listing(_EDITION_COLUMNS, found))


def _print(
    client: Client, base: str, form: str, output: Path | None, *, redacted: bool, edition: int
) -> None:
    if form not in _FORMATS:
        raise InvalidInput(f"--format {form}: use one of {', '.join(_FORMATS)}")
    if edition and redacted:
        raise InvalidInput("--redacted: an edition is as it was published")
    if form == "pdf" and output is None and sys.stdout.isatty():
        raise InvalidInput("--format pdf: name a file with --output")
    path = f"{base}/editions/{edition}?format={form}" if edition else f"{base}?format={form}"
    document = io.BytesIO()
    client.download(path + ("&redacted=true" if redacted else ""), document, lambda _: None)
    if output is not None:
        output.write_bytes(document.getvalue())
        Output().say(f"wrote {output}")
    elif form == "pdf":
        sys.stdout.buffer.write(document.getvalue())
        sys.stdout.flush()
    else:
        Output().text(document.getvalue().decode())


def _read(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")


def _imported(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("taken over", found["changed"] or "nothing: no part of people's was changed"),
        *((f"line {one['line']}", one["message"]) for one in found["findings"]),
        ("remarks on the wording", len(found["wording"]) or None),
    ]
