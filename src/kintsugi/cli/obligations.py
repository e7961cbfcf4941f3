"""``kt obligations``: reports that a law may ask for, their clocks and drafts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import AtOption, DryRunOption, IncidentArgument, send
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, listing, table
from kintsugi.errors import InvalidInput

app = typer.Typer(
    help="Reports that a law may ask for: reminders, not legal advice.", no_args_is_help=True
)

_COLUMNS = ("due_at", "status", "incident", "rule", "recipient", "missing", "id")
_RULE_COLUMNS = ("id", "regime", "article", "who", "period", "enabled", "trigger")

ObligationArgument = Annotated[str, typer.Argument(help="As `kt obligations list` shows it.")]
WhyOption = Annotated[
    str, typer.Option("--reason", help="Why; kept in the timeline.", show_default=False)
]


@app.command("list")
@online
def list_obligations(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="owed, ended or all.")] = "owed",
    incident: Annotated[str, typer.Option(help="Of this incident only, ended ones too.")] = "",
    limit: LimitOption = 50,
) -> None:
    """Show clocks, the soonest due first."""
    with kt.client() as client:
        if incident:
            found = client.get(f"/v1/incidents/{incident}/obligations")
        else:
            found = list(client.all("/v1/obligations", {"status": status}, limit=limit))
    kt.output.result(found, lambda: listing(_COLUMNS, found, empty="nothing is owed"))


@app.command("show")
@online
def show(kt: Invocation, obligation: ObligationArgument) -> None:
    """Show one clock with everything that is known."""
    with kt.client() as client:
        found = client.get(f"/v1/obligations/{obligation}")
    kt.output.result(found, lambda: facts(flat(found)))


@app.command("draft")
@online
def draft(kt: Invocation, obligation: ObligationArgument) -> None:
    """Print the report as far as it can be written now, gaps included, as Markdown."""
    with kt.client() as client:
        found = client.get(f"/v1/obligations/{obligation}/draft")
    if kt.as_json:
        Output(json=True).result(found, lambda: "")
    else:
        Output().text(found["text"] + "\n")


@app.command("rules")
@online
def rules(kt: Invocation) -> None:
    """Show every rule: who, what opens it, how long, in JSON with its source."""
    with kt.client() as client:
        found = client.get("/v1/obligations/rules")
    rows = (
        [
            {**one, "period": f"{one['amount']} {one['unit'].replace('_', ' ')}"}.get(column)
            for column in _RULE_COLUMNS
        ]
        for one in found["catalogue"]["rules"]
    )
    kt.output.result(found, lambda: table(_RULE_COLUMNS, rows, empty="none"))


@app.command("open")
@online
def open_clocks(
    kt: Invocation,
    incident: IncidentArgument,
    trigger: Annotated[
        list[str] | None,
        typer.Option("--trigger", help="personal_data_breach=yes, no or unknown; again for more."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="data_processor=no; left out is unknown; again for more."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="A clock by name; again for more.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Open the clocks that the answers ask for; an answer "unknown" opens."""
    body = {
        "triggers": _answers("--trigger", trigger),
        "roles": _answers("--role", role),
        "rules": rule or [],
    }
    send(kt, f"/{incident}/obligations", body, dry_run=dry_run)


@app.command("moment")
@online
def moment(
    kt: Invocation,
    incident: IncidentArgument,
    kind: Annotated[
        str,
        typer.Argument(
            help="aware, discovered, determined, classified, facts, fix_available, payment, "
            "resolved or year_end."
        ),
    ],
    moment_at: Annotated[str, typer.Argument(help="When: RFC 3339, or 5m, 1h ago.")],
    reason: WhyOption,
) -> None:
    """Decide when the organisation became aware, and the like; clocks start from it."""
    body = {"kind": kind, "moment_at": moment_at, "reason": reason}
    send(kt, f"/{incident}/moments", body)


@app.command("fact")
@online
def fact(
    kt: Invocation,
    incident: IncidentArgument,
    field: Annotated[str, typer.Argument(help="As the draft names it, such as contact.")],
    value: Annotated[str, typer.Argument(help="What there is to say.")] = "",
    unknown: Annotated[bool, typer.Option("--unknown", help="Nobody knows.")] = False,
    not_applicable: Annotated[
        bool, typer.Option("--not-applicable", help="It does not apply.")
    ] = False,
) -> None:
    """Say something for a field of reports."""
    if bool(value) + unknown + not_applicable != 1:
        raise InvalidInput("give a value, or --unknown, or --not-applicable; one of them")
    status = "unknown" if unknown else "not_applicable" if not_applicable else "have"
    body = {"facts": {field: {"status": status, "value": value}}}
    send(kt, f"/{incident}/facts", body)


@app.command("meet")
@online
def meet(
    kt: Invocation,
    obligation: ObligationArgument,
    reference: Annotated[str, typer.Option(help="The recipient's number, or where a copy lies.")],
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="More follows, as the law allows.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="What there is to say of it.")] = "",
    at: AtOption = None,
) -> None:
    """Say that the report went out."""
    body = {"reference": reference, "incomplete": incomplete, "reason": reason, "at": at}
    _say(kt, obligation, "meet", body)


@app.command("toll")
@online
def toll(
    kt: Invocation,
    obligation: ObligationArgument,
    evidence: Annotated[str, typer.Option(help="The order or statement that it rests on.")],
    reason: WhyOption,
    at: AtOption = None,
) -> None:
    """Stop the time of a clock."""
    body = {"evidence": evidence, "reason": reason, "at": at}
    _say(kt, obligation, "toll", body)


@app.command("resume")
@online
def resume(kt: Invocation, obligation: ObligationArgument, at: AtOption = None) -> None:
    """Let its time run again."""
    _say(kt, obligation, "resume", {"at": at})


@app.command("set-aside")
@online
def set_aside(kt: Invocation, obligation: ObligationArgument, reason: WhyOption) -> None:
    """Decide that it does not apply; it stays in the record."""
    _say(kt, obligation, "set-aside", {"reason": reason})


@app.command("reinstate")
@online
def reinstate(kt: Invocation, obligation: ObligationArgument, reason: WhyOption) -> None:
    """Take back that it was set aside."""
    _say(kt, obligation, "reinstate", {"reason": reason})


def _say(kt: Invocation, obligation: str, verb: str, body: dict[str, Any]) -> None:
    found = kt.post(f"/v1/obligations/{obligation}/{verb}", body)
    kt.output.result(found, lambda: facts(flat(found)))


def _answers(option: str, words: list[str] | None) -> dict[str, str]:
    """``NAME=ANSWER`` for each; the server knows the names."""
    found: dict[str, str] = {}
    for word in words or []:
        name, equals, answer = word.partition("=")
        if not equals or answer not in ("yes", "no", "unknown"):
            raise InvalidInput(f"{option} {word}: write NAME=yes, NAME=no or NAME=unknown")
        found[name.strip()] = answer
    return found
