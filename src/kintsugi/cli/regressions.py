"""``kt regressions``: what incidents leave behind, so that the same cannot happen again unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kintsugi.cli import regression_ledger
from kintsugi.cli.arrival import WaitForEventOption, once_stored
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, harmless, table
from kintsugi.cli.regression_export import export_regressions
from kintsugi.cli.regression_relatives import add_to
from kintsugi.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    help="Regression cases: made of what went wrong, approved by a person, kept for ever.",
    no_args_is_help=True,
)
add_to(app)

app.command("ledger")(regression_ledger.ledger)
app.command("coverage")(regression_ledger.coverage)

_EXIT_WRONG: Final = 3
_COLUMNS: Final = ("id", "state", "kind", "incident", "configuration", "expects", "name")
_RULED: Final = ("id", "outcome", "state", "why")
_FACTS: Final = (
    *("id", "version", "state", "kind", "incident", "config_id", "technique", "parent"),
    *("replaced_by", "reason", "lost", "digest", "created_by", "changed_by"),
)

CaseArgument = Annotated[str, typer.Argument(metavar="REG", help="A case, such as REG-000012.")]
CasesArgument = Annotated[
    list[str], typer.Argument(metavar="REG...", help="Cases, such as REG-000012.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; kept with the case.", show_default=False)
]
ExpectOption = Annotated[
    str,
    typer.Option(
        "--expect",
        metavar="VERDICT",
        help="What must be decided from now on.",
        show_default=False,
    ),
]
CodeOption = Annotated[
    str,
    typer.Option(
        "--reason-code", metavar="CODE", help="And why, see `kt reasons`.", show_default=False
    ),
]
PolicyOption = Annotated[
    str, typer.Option("--policy", help="And which policy decides it.", show_default=False)
]
ContainsOption = Annotated[
    str,
    typer.Option(
        "--response-contains", metavar="TEXT", help="The answer holds this.", show_default=False
    ),
]
ExcludesOption = Annotated[
    str,
    typer.Option(
        "--response-excludes", metavar="TEXT", help="The answer lacks this.", show_default=False
    ),
]
NotSentOption = Annotated[
    str,
    typer.Option(
        "--request-excludes",
        metavar="TEXT",
        help="What goes on to the model lacks this.",
        show_default=False,
    ),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="KIND=REASON",
        help="Let this kind of sensitive value into the case in spite of the gate.",
        show_default=False,
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="YAML that holds testing: with one case; - reads standard input.",
        allow_dash=True,
        show_default=False,
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only look; change nothing.")]
IncidentOption = Annotated[
    str, typer.Option("--incident", metavar="INC", help="Its id or reference.", show_default=False)
]


@app.command("add")
@online
def add(
    kt: Invocation,
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]",
            help="An event, escalation, report or trace (32 hex digits), or session:ID.",
            show_default=False,
        ),
    ] = "",
    incident: IncidentOption = "",
    expect: ExpectOption = "",
    reason_code: CodeOption = "",
    policy: PolicyOption = "",
    response_contains: ContainsOption = "",
    response_excludes: ExcludesOption = "",
    request_excludes: NotSentOption = "",
    name: Annotated[str, typer.Option("--name", help="What people call it.")] = "",
    config: Annotated[
        str,
        typer.Option("--config", metavar="ID", help="Where no decision tells which is tested."),
    ] = "",
    keep: KeepOption = None,
    file: FileOption = None,
    reason: ReasonOption = "",
    wait_seconds: WaitForEventOption = 30,
    dry_run: DryRunOption = False,
) -> None:
    """Make a regression case of what went wrong, in one action.

    It is run at once on the configuration that decided, and proposed; `kt regressions approve`
    lets it count. What must come out is taken from what is known (the incident's verdict, a
    reviewer's word, the decision itself) unless --expect says it. A trace or session gives a case
    for each exchange that matters. An event that its gateway has still to ship is waited for.
    """
    if bool(what) == bool(file):
        raise typer.BadParameter("say what to make a case of: WHAT, or --file")
    body = {
        "from": what,
        "text": _read(file) if file else "",
        "incident": incident,
        "config": config,
        "name": name,
        "expected": _expected(
            verdict=expect,
            reason_code=reason_code,
            policy=policy,
            response_contains=response_contains,
            response_excludes=response_excludes,
            request_excludes=request_excludes,
        ),
        "keep": _kept(keep),
        "reason": reason,
    }
    with kt.client() as client:
        told = once_stored(
            lambda: client.post("/v1/regressions", body, dry_run=dry_run),
            wait_seconds=wait_seconds,
            say=kt.output.say,
        )
    kt.output.result(told, lambda: _captured(told))


@app.command("list")
@online
def list_cases(
    kt: Invocation,
    incident: IncidentOption = "",
    config: Annotated[str, typer.Option("--config", metavar="ID", show_default=False)] = "",
    case_state: Annotated[
        str,
        typer.Option(
            "--status",
            help="proposed, approved, rejected, replaced or erased.",
            show_default=False,
        ),
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="case, variant or twin.", show_default=False)
    ] = "",
    parent: Annotated[
        str,
        typer.Option(
            "--of", metavar="REG", help="The variants and twins of a case.", show_default=False
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option("--from", metavar="WHAT", help="What they were made of.", show_default=False),
    ] = "",
    limit: LimitOption = 50,
) -> None:
    """Show regression cases, the newest first."""
    where = {
        "incident": incident,
        "config": config,
        "state": case_state,
        "kind": kind,
        "parent": parent,
        "source": source,
    }
    with kt.client() as client:
        found = list(client.all("/v1/regressions", _told(where), limit=limit))
    rows = [_row(one) for one in found]
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="no regression cases"))


app.command("export")(export_regressions)


@app.command("show")
@online
def show(
    kt: Invocation,
    regression: CaseArgument,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Default: the newest.")
    ] = None,
    reveal: Annotated[
        str,
        typer.Option(
            "--reveal",
            metavar="REASON",
            help="With what was kept in spite of the gate; custody keeps why.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show one case: what it sends, what must come out, and what became of it."""
    path = f"/v1/regressions/{regression}"
    with kt.client() as client:
        if reveal:
            found = client.post(f"{path}/reveal", {"reason": reveal})
        else:
            found = client.get(path, {"version": version} if version else None)
    kt.output.result(found, lambda: _case(found))


@app.command("history")
@online
def history(kt: Invocation, regression: CaseArgument) -> None:
    """Show every version of a case: what changed, by whom and why."""
    with kt.client() as client:
        found = client.get(f"/v1/regressions/{regression}/history")
    columns = ("version", "changed", "state", "by", "at", "reason", "digest")
    rows = [
        [
            *(one["version"], one["changed"], one["state"], one["changed_by"]),
            *(one["changed_at"], one["reason"], one["digest"]),
        ]
        for one in found
    ]
    kt.output.result(found, lambda: table(columns, rows, empty=""))


@app.command("edit")
@online
def edit(
    kt: Invocation,
    regression: CaseArgument,
    expect: ExpectOption = "",
    reason_code: CodeOption = "",
    policy: PolicyOption = "",
    response_contains: ContainsOption = "",
    response_excludes: ExcludesOption = "",
    request_excludes: NotSentOption = "",
    name: Annotated[str, typer.Option("--name", help="What people call it.")] = "",
    keep: KeepOption = None,
    file: FileOption = None,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Change what must come out, or the whole case: from a file, or in $EDITOR without options.

    What is approved may only come to expect more; anything else is another case, see
    `kt regressions replace`. To take an expectation of a proposed case away, edit the whole case.
    """
    expected = _expected(
        verdict=expect,
        reason_code=reason_code,
        policy=policy,
        response_contains=response_contains,
        response_excludes=response_excludes,
        request_excludes=request_excludes,
    )
    path = f"/v1/regressions/{regression}"
    with kt.client() as client:
        before = client.get(path)
        text = _read(file) if file else ""
        if not (expected or text or name or keep):
            text = _in_editor(before)
        body = {
            "text": text,
            "expected": expected,
            "name": name,
            "keep": _kept(keep),
            "reason": reason,
        }
        told = client.put(path, body, dry_run=dry_run, version=before["version"])
    kt.output.result(told, lambda: _changed(told))


@app.command("approve")
@online
def approve(
    kt: Invocation,
    regressions: CasesArgument,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
) -> None:
    """Let a case count, or several.

    Each is run on the configuration of its time first. There it has to fail, or it proves nothing;
    a twin has to hold there. Exit code 3 when one of several is refused.
    """
    _decide(kt, regressions, "approve", reason, dry_run)


@app.command("reject")
@online
def reject(
    kt: Invocation,
    regressions: CasesArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with each case.")],
    dry_run: DryRunOption = False,
) -> None:
    """Set a proposed case aside, or several. Exit code 3 when one of several is refused."""
    _decide(kt, regressions, "reject", reason, dry_run)


@app.command("replace")
@online
def replace(
    kt: Invocation,
    regression: Annotated[str, typer.Argument(metavar="OLD", help="An approved case.")],
    by: Annotated[
        str, typer.Argument(metavar="NEW", help="What stands in: approved, of the same incident.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the tombstone.")],
    dry_run: DryRunOption = False,
) -> None:
    """Put another case in the place of an approved one, which leaves a tombstone."""
    with kt.client() as client:
        told = client.post(
            f"/v1/regressions/{regression}/replace", {"by": by, "reason": reason}, dry_run=dry_run
        )
    kt.output.result(told, lambda: _changed(told))


@app.command("run")
@online
def run(
    kt: Invocation,
    regressions: Annotated[
        list[str] | None, typer.Argument(metavar="[REG...]", help="Cases.", show_default=False)
    ] = None,
    incident: IncidentOption = "",
    by: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="CONFIG@VERSION",
            help="Run on this version; on the newest one of each configuration if left out.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Run on this file, which need not be published."),
    ] = None,
) -> None:
    """Run cases and print what came out, as `kt policy test` does.

    Exit code 3 when one does not hold.
    """
    if not regressions and not incident:
        raise typer.BadParameter("say what to run: cases (REG-12 REG-13), or --incident INC-7")
    if by and file:
        raise typer.BadParameter("say what to run on: --with, or --file")
    body = {
        "ids": regressions or [],
        "incident": incident,
        "config_version": by,
        "content": _read(file) if file else "",
    }
    with kt.client() as client:
        told = client.post("/v1/regressions/run", body, timeout_seconds=600)
    import msgspec

    from kintsugi.replay.reports import text
    from kintsugi.replay.results import RunReport

    reports = msgspec.convert(told["reports"], list[RunReport])
    kt.output.result(
        told, lambda: text.styled("\n".join(f"{one.file}\n{text.run(one)}" for one in reports))
    )
    if not all(one.ok for one in reports):
        raise typer.Exit(_EXIT_WRONG)


def _decide(
    kt: Invocation, regressions: Sequence[str], verb: str, reason: str, dry_run: bool
) -> None:
    with kt.client() as client:
        if len(regressions) == 1:
            path = f"/v1/regressions/{regressions[0]}/{verb}"
            told = client.post(path, {"reason": reason}, dry_run=dry_run)
            kt.output.result(told, lambda: _changed(told))
            return
        told = client.post(
            f"/v1/regressions/{verb}",
            {"ids": list(regressions), "reason": reason},
            dry_run=dry_run,
            timeout_seconds=600,
        )
    kt.output.result(told, lambda: table(_RULED, map(_ruled, told["cases"]), empty=""))
    if told["done"] < len(told["cases"]):
        raise typer.Exit(_EXIT_WRONG)


def _ruled(one: Mapping[str, Any]) -> list[Any]:
    reasons = [f"{each['message']}; {each['help']}" for each in one["blockers"]] or [one["why"]]
    state = (one["regression"] or {}).get("state")
    return [one["regression_id"], one["outcome"], state, " / ".join(reasons)]


def _expected(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _told(where: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in where.items() if value}


def _kept(keep: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for one in keep or ():
        kind, equals, reason = one.partition("=")
        if not equals or not reason.strip():
            raise typer.BadParameter(f'--keep {one}: write KIND=REASON, such as pii.email="..."')
        found[kind.strip()] = reason.strip()
    return found


def _read(file: Path) -> str:
    """What a file says.

    Raises:
        InvalidInput: it cannot be read, or says nothing: then it would be taken for none.
    """
    try:
        standard = str(file) == "-"
        text = typer.get_text_stream("stdin").read() if standard else file.read_text("utf-8")
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}: is no text in UTF-8: byte {error.start + 1}") from error
    if not text.strip():
        raise InvalidInput(f"{file}: is empty")
    return text


def _in_editor(before: Mapping[str, Any]) -> str:
    import click

    if before["masked"]:
        raise InvalidInput(
            f"{before['id']} holds what is not shown; edit single expectations, or reveal it and "
            "edit it from a file: --file"
        )
    after: str | None = click.edit(before["text"], extension=".yaml")
    if after is None or after == before["text"]:
        raise InvalidInput(
            "nothing was changed; say what to change: --expect, --file, or in $EDITOR"
        )
    return after


def _row(one: Mapping[str, Any]) -> list[Any]:
    case = one["case"] or {}
    return [
        *(one["id"], one["state"], one["kind"], one["incident"], one["config_id"]),
        *(_verdict(one), case.get("name") or one["lost"] or "(not shown)"),
    ]


def _verdict(one: Mapping[str, Any]) -> str:
    """What must be decided; empty where nothing of the case is shown, or it does not say."""
    return (one["case"] or {}).get("expected", {}).get("verdict") or ""


def _case(one: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    source, red = one["source"], one["red"]
    more = [
        ("from", " ".join(filter(None, (source["kind"], source["id"])))),
        ("went wrong on", source["config_version"]),
        ("red run", f"{red['verdict']} on {red['config_version']}" if red else ""),
        ("replaced", _counts(one["redacted"])),
        ("kept", ", ".join(f"{kept['finding']} ({kept['reason']})" for kept in one["kept"])),
    ]
    told = facts([*((name, one[name]) for name in _FACTS), *more])
    hidden = "what was kept is not shown; --reveal REASON shows it" if one["masked"] else ""
    return Group(told, "", harmless(one["text"]), hidden)


def _captured(told: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    return Group(*(_made(one, dry_run=told["dry_run"]) for one in told["cases"]))


def _made(one: Mapping[str, Any], *, dry_run: bool) -> RenderableType:
    case = one["regression"]
    words = {True: "yes", False: "no", None: "not attempted"}
    ready = one["red"] and one["reproduced"] is not False
    step = "kt regressions approve" if ready else "kt regressions edit"
    return facts(
        [
            ("case", case["id"] or "(dry run)"),
            ("incident", case["incident"]),
            ("expects", f"{_verdict(case)} ({one['expects']})"),
            ("reproduces the decision", words[one["reproduced"]]),
            ("fails there, as it has to", words[one["red"]]),
            ("why", one["why"]),
            ("replaced", _counts(case["redacted"])),
            ("next", "" if dry_run else f"{step} {case['id']}"),
        ]
    )


def _changed(told: Mapping[str, Any]) -> RenderableType:
    case = told["regression"]
    engine = "" if told["same_engine"] in (None, True) else "means something else to this engine"
    return facts(
        [
            ("case", case["id"]),
            ("version", case["version"]),
            ("state", f"{case['state']} (dry run)" if told["dry_run"] else case["state"]),
            ("replaced by", case["replaced_by"]),
            ("its configuration", engine),
            ("found by the gate", ", ".join(f"{f['kind']} in {f['where']}" for f in told["found"])),
        ]
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in counts.items())
