"""``kt reports``: what people and machines send in, and what becomes of it."""

from __future__ import annotations

import mailbox
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli import report_doors
from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import ApiUrlOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program
from kintsugi.errors import ApiRefused, ApiUnreachable, InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    help="Reports: what people and machines send in, and what becomes of it.",
    no_args_is_help=True,
)
app.add_typer(report_doors.sources, name="sources")
app.add_typer(report_doors.links, name="links")

_COLUMNS = ("id", "at", "channel", "status", "incident", "title")

ReportArgument = Annotated[str, typer.Argument(metavar="ID", help="As `kt reports list` shows it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept.", show_default=False)]
CategoryOption = Annotated[str, typer.Option(help="What kind of thing: correctness and the like.")]
SeverityOption = Annotated[
    str | None, typer.Option(help="As you suspect: low, medium, high or critical.")
]
WorkflowOption = Annotated[str, typer.Option(help="The workflow that it is about.")]
EventOption = Annotated[list[str] | None, typer.Option(help="A decision; repeat it.")]
TraceOption = Annotated[list[str] | None, typer.Option(help="A trace; repeat it.")]
SessionOption = Annotated[list[str] | None, typer.Option(help="A conversation; repeat it.")]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="A tag; repeat it.")
]
AtOption = Annotated[str | None, typer.Option(help="When it happened: RFC 3339, or 2h ago as 2h.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the fingerprint and what it would join, only.")
]


@app.command("send")
@online
def send(
    kt: Invocation,
    title: Annotated[str, typer.Argument(help="In a few words, what you saw.")],
    text: Annotated[str, typer.Option(help="Whatever you know.")] = "",
    category: CategoryOption = "",
    severity: SeverityOption = None,
    workflow: WorkflowOption = "",
    event: EventOption = None,
    trace: TraceOption = None,
    session: SessionOption = None,
    label: LabelOption = None,
    at: AtOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Report something. The same as an open report joins its incident; all else opens one."""
    body = {
        "title": title,
        "text": text,
        "category": category,
        "severity": severity,
        "workflow": workflow,
        "about": _about(event, trace, session),
        "labels": _labels(label),
        "at": at,
    }
    with kt.client() as client:
        made = client.post("/v1/reports", body, dry_run=dry_run)
    kt.output.result(made, lambda: _told(made))


@app.command("tag")
@online
def tag(
    kt: Invocation,
    category: Annotated[str, typer.Argument(help="What kind of thing: correctness and the like.")],
    text: Annotated[str, typer.Option(help="In the customer's words, or yours.")] = "",
    channel: Annotated[str, typer.Option(help="support, sales or internal.")] = "support",
    event: EventOption = None,
    trace: TraceOption = None,
    session: SessionOption = None,
    severity: SeverityOption = None,
    label: LabelOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Mark a decision, a trace or a conversation. Tags of the same thing and category are one."""
    about = _about(event, trace, session)
    if not about:
        raise typer.BadParameter("name what it is about: --event, --trace or --session")
    body = {
        "text": text,
        "title": f"{category}: {about[0]['kind']} {about[0]['id']}",
        "category": category,
        "channel": channel,
        "severity": severity,
        "about": about,
        "labels": _labels(label),
    }
    with kt.client() as client:
        made = client.post("/v1/reports", body, dry_run=dry_run)
    kt.output.result(made, lambda: _told(made))


@app.command("import")
@online
def import_mail(
    kt: Invocation,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An .eml or .mbox.")],
    dry_run: DryRunOption = False,
) -> None:
    """Report e-mails from a file. Attachments are kept by digest; nothing is opened or run.

    The same message again joins, so an import that was broken off can be run again. Exit code 3
    when a message was refused; the others are in.
    """
    made: list[dict[str, Any]] = []
    refused = 0
    with kt.client() as client:
        for place, message in enumerate(_messages(file), start=1):
            try:
                got = client.post_bytes(
                    "/v1/reports/email", message, "message/rfc822", dry_run=dry_run
                )
            except ApiRefused as error:
                if error.status not in (413, 422):
                    raise
                refused += 1
                kt.output.say(f"message {place} of {file}: {error}")
                continue
            made.append(got)
    kt.output.result(made, lambda: table(_COLUMNS, map(_row, made), empty="no message"))
    if refused:
        raise typer.Exit(3)


@app.command("list")
@online
def list_reports(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="joined, recorded, unmapped or set_aside.")] = "",
    channel: Annotated[str, typer.Option(help="internal, public, alertmanager …")] = "",
    incident: Annotated[str, typer.Option(help="Those that this incident has.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show reports, newest first: all for whoever may read incidents, one's own for others."""
    asked = {"status": status, "channel": channel, "incident": incident}
    with kt.client() as client:
        found = list(client.all("/v1/reports", asked, limit=limit))
    kt.output.result(found, lambda: table(_COLUMNS, map(_row, found), empty="none"))


@app.command("show")
@online
def show(kt: Invocation, report_id: ReportArgument) -> None:
    """Show one report, its receipt, and what became of it."""
    with kt.client() as client:
        found = client.get(f"/v1/reports/{report_id}")
    kt.output.result(found, lambda: _told(found))


@app.command("file")
def file_of(
    context: typer.Context,
    report_id: ReportArgument,
    digest: Annotated[str, typer.Argument(help="As `kt reports show` names it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")],
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Write a file that came with a report, as it came. Leaves an entry in custody."""
    if output.exists():
        raise InvalidInput(f"{output} exists; name another file")
    path = f"/v1/reports/{report_id}/files/{digest}"
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        try:
            with output.open("xb") as into:
                found = client.download(path, into, lambda _: None)
        except (ApiRefused, ApiUnreachable):
            output.unlink(missing_ok=True)  # it holds nothing, or a part
            raise
    if f"sha256:{found}" != digest:
        raise InvalidInput(f"what came has the digest sha256:{found}, not {digest}")
    Output().say(f"Written to {output}; its digest is as named.")


@app.command("settle")
@online
def settle(
    kt: Invocation,
    report_id: ReportArgument,
    reason: ReasonOption,
    incident: Annotated[str, typer.Option(help="The incident that gets it.")] = "",
    title: Annotated[str, typer.Option(help="Of the incident that it opens.")] = "",
) -> None:
    """Give a report that no incident has to one, or let it open one."""
    body = {"incident": incident, "title": title, "reason": reason}
    with kt.client() as client:
        found = client.post(f"/v1/reports/{report_id}/settle", body)
    kt.output.result(found, lambda: _told(found))


@app.command("set-aside")
@online
def set_aside(kt: Invocation, report_id: ReportArgument, reason: ReasonOption) -> None:
    """Say of a report that no incident has that it is nothing. It stays."""
    with kt.client() as client:
        found = client.post(f"/v1/reports/{report_id}/set-aside", {"reason": reason})
    kt.output.result(found, lambda: _told(found))


def _messages(file: Path) -> Iterator[bytes]:
    """The messages of a file; an mbox begins each with a line ``From ``."""
    with file.open("rb") as opened:
        if opened.read(5) != b"From ":
            opened.seek(0)
            yield opened.read()
            return
    box = mailbox.mbox(file, create=False)
    try:
        for key in box.keys():  # noqa: SIM118 - a mailbox iterates over messages, parsed
            yield box.get_bytes(key)
    finally:
        box.close()


def _about(
    events: list[str] | None, traces: list[str] | None, sessions: list[str] | None
) -> list[dict[str, str]]:
    kinds = (("event", events), ("trace", traces), ("session", sessions))
    return [{"kind": kind, "id": one} for kind, found in kinds for one in found or ()]


def _labels(texts: list[str] | None) -> dict[str, str]:
    found = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f'--label: "{text}"; write NAME=VALUE')
        found[name] = value
    return found


def _row(view: Mapping[str, Any]) -> list[Any]:
    if "report" not in view:
        return ["", "", "", view["would"], view["joins"], view["title"]]
    report = view["report"]
    return [
        report["id"],
        report["at"],
        report["channel"],
        view["status"],
        view["incident"] or view["incident_state"],
        report["title"],
    ]


def _told(view: Mapping[str, Any]) -> RenderableType:
    if "report" not in view:
        return facts(
            [
                ("would", view["would"]),
                ("incident", view["joins"]),
                ("reports there", view["reports"] or ""),
                ("fingerprint", view["fingerprint"]),
                *((f"  {name}", value) for name, value in view["fields"]),
                ("cannot be read", view["why_unmapped"]),
            ]
        )
    report = {name: value for name, value in view["report"].items() if name != "fingerprint"}
    fields = view["report"]["fingerprint"]["fields"]
    return facts(
        [
            ("status", view["status"]),
            ("incident", view["incident"]),
            ("incident is", view["incident_state"]),
            ("reason", view["reason"]),
            ("digest", view["digest"]),
            ("leaf of the log", str(view["leaf"])),
            *flat(report),
            *((f"fingerprint: {name}", value) for name, value in fields),
        ]
    )
