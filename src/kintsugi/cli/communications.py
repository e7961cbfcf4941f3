"""``kt communications``: what is told about incidents, and who stands behind it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kintsugi.cli.incident_options import AtOption, DryRunOption, IncidentArgument, ReasonOption
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, listing, table
from kintsugi.errors import InvalidInput

app = typer.Typer(
    help="Communications: who is told what, approved, sent, published.", no_args_is_help=True
)

_COLUMNS = ("created_at", "incident", "audience", "state", "next_update_at", "subject", "id")
_FIELD_COLUMNS = ("name", "status", "value", "origin")

MessageArgument = Annotated[
    str, typer.Argument(metavar="ID", help="As `kt communications list` shows it.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help='NAME="what there is to say"; may be given again.'),
]
UnknownOption = Annotated[
    list[str] | None,
    typer.Option("--unknown", help="A field of which nothing is known yet; may be given again."),
]
TextFileOption = Annotated[
    str,
    typer.Option(
        "--text-file",
        metavar="FILE",
        help="A text in place of the template's, with fields in braces; - is standard input.",
    ),
]
NextOption = Annotated[
    str, typer.Option("--next-update", help="What is promised: RFC 3339, a day, or +2h.")
]


@app.command("templates")
@online
def templates(kt: Invocation) -> None:
    """Show audiences, who approves what they are told, and how often they are told."""
    with kt.client() as client:
        found = client.get("/v1/communications/templates")
    rows = (
        [
            name,
            one["approvals"],
            one["approvers"],
            ", ".join(f"{word} {minutes}" for word, minutes in one["update_minutes"].items()),
            one["subject"],
        ]
        for name, one in found["audiences"].items()
    )
    columns = ("audience", "approvals", "by", "minutes between updates", "subject")
    kt.output.result(found, lambda: table(columns, rows, empty="none"))


@app.command("list")
@online
def list_messages(
    kt: Invocation,
    incident: Annotated[str, typer.Option(help="Of this incident only.")] = "",
    audience: Annotated[str, typer.Option(help="To this audience only.")] = "",
    in_state: Annotated[
        str, typer.Option("--in", help="draft, sent, withdrawn or published.")
    ] = "",
    limit: LimitOption = 50,
) -> None:
    """Show messages, newest first."""
    asked = {"incident": incident, "audience": audience, "state": in_state}
    said = {name: value for name, value in asked.items() if value}
    with kt.client() as client:
        found = list(client.all("/v1/communications", said, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found))


@app.command("show")
@online
def show(
    kt: Invocation,
    message: MessageArgument,
    fields: Annotated[
        bool, typer.Option("--fields", help="Its fields: had, missing, unknown; and from whom.")
    ] = False,
) -> None:
    """Show one message as it was sent, or as it would be sent now."""
    with kt.client() as client:
        found = client.get(f"/v1/communications/{message}")
    _show(kt.output, found, fields=fields)


@app.command("draft")
@online
def draft(
    kt: Invocation,
    incident: IncidentArgument,
    audience: Annotated[
        str, typer.Argument(help="team, executives, customers, regulators or public.")
    ],
    given: SetOption = None,
    unknown: UnknownOption = None,
    text_file: TextFileOption = "",
    next_update: NextOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Write to an audience; what the incident knows is filled in."""
    body = {"incident": incident, "audience": audience} | _written(
        given, unknown, text_file, next_update
    )
    _post(kt, "", body, dry_run=dry_run)


@app.command("edit")
@online
def edit(
    kt: Invocation,
    message: MessageArgument,
    given: SetOption = None,
    unknown: UnknownOption = None,
    text_file: TextFileOption = "",
    next_update: NextOption = "",
) -> None:
    """Change a draft; approvals of the text before lapse."""
    body = _written(given, unknown, text_file, next_update)
    _post(kt, f"/{message}/edit", body)


@app.command("approve")
@online
def approve(kt: Invocation, message: MessageArgument) -> None:
    """Stand behind exactly this text. Nobody approves their own."""
    _post(kt, f"/{message}/approve", {})


@app.command("send")
@online
def send(
    kt: Invocation,
    message: MessageArgument,
    to: Annotated[str, typer.Option(help="Who got it: a list, an authority, a page.")],
    channel: Annotated[str, typer.Option(help="mail, chat, call, portal, page.")],
    reference: Annotated[str, typer.Option(help="Of the message where it was sent.")] = "",
    at: AtOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Record that it went out. Kintsugi itself writes to nobody outside."""
    body = {"to": to, "channel": channel, "reference": reference, "at": at}
    _post(kt, f"/{message}/send", body, dry_run=dry_run)


@app.command("withdraw")
@online
def withdraw(kt: Invocation, message: MessageArgument, reason: ReasonOption = "") -> None:
    """Give up a draft, and say why."""
    body = {"reason": reason}
    _post(kt, f"/{message}/withdraw", body)


@app.command("publish")
@online
def publish(
    kt: Invocation,
    message: MessageArgument,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", help="A further word that nobody outside may read; again."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Show it to everybody in the public feed, redacted. Read it with --dry-run first."""
    body = {"redact": redact}
    path = f"/v1/communications/{message}/publish"
    said = {name: value for name, value in body.items() if value}
    with kt.client() as client:
        found = client.post(path, said, dry_run=dry_run)
    shown = found["publication"]
    kt.output.result(found, lambda: facts(shown.items()))


@app.command("unpublish")
@online
def unpublish(kt: Invocation, message: MessageArgument, reason: ReasonOption = "") -> None:
    """Take it out of the public feed, and say why."""
    body = {"reason": reason}
    _post(kt, f"/{message}/unpublish", body)


def _written(
    given: list[str] | None, unknown: list[str] | None, text_file: str, next_update: str
) -> dict[str, Any]:
    fields: dict[str, str | None] = dict.fromkeys(unknown or ())
    for word in given or ():
        name, equals, value = word.partition("=")
        if not equals or not value.strip():
            raise InvalidInput(f'--set {word}: write NAME="what there is to say"')
        fields[name.strip()] = value
    body: dict[str, Any] = {"fields": fields, "next_update_at": next_update}
    if text_file:
        source = Path(text_file)
        body["body"] = sys.stdin.read() if text_file == "-" else source.read_text("utf-8")
    return body


def _post(kt: Invocation, path: str, body: Mapping[str, Any], *, dry_run: bool = False) -> None:
    _show(kt.output, kt.post(f"/v1/communications{path}", body, dry_run=dry_run))


def _show(output: Output, found: Mapping[str, Any], fields: bool = False) -> None:
    if fields:
        output.result(found, lambda: listing(_FIELD_COLUMNS, found["fields"]))
        return
    missing = [one["name"] for one in found["fields"] if one["status"] == "missing"]
    pairs = [
        ("id", found["id"]),
        ("incident", found["incident"]),
        ("audience", found["audience"]),
        ("state", found["state"]),
        ("missing", missing),
        ("approvals", f"{len(found['approvals'])} of {found['approvals_needed']}"),
        ("lapsed approvals", found["lapsed"] or None),
        ("next update", found["next_update_at"]),
        ("subject", found["subject"]),
        ("text", found["text"]),
    ]
    output.result(found, lambda: facts(pairs))
