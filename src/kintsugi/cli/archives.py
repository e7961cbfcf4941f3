"""``kt archive``: old months out of the database into files elsewhere, and back."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from kintsugi.cli.client import Client
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, table
from kintsugi.errors import InvalidInput, KintsugiError, NotFound, ProofInvalid

app = typer.Typer(
    help="Old months: out of the database into files, and back.", no_args_is_help=True
)

_COLUMNS = ("month", "id", "task", "state", "in_force", "events", "bytes", "verified_at", "error")
_MONTH_COLUMNS = ("month", "events", "moving_bytes", "staying_bytes", "archived_events")
_LOOK_EVERY_SECONDS = 0.3

WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the end, showing progress.")
]
WhichArgument = Annotated[
    str, typer.Argument(metavar="MONTH|ID", help="As `kt archive list` shows it.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; custody keeps it.")]


@app.command("run")
@online
def run(
    kt: Invocation,
    months: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MONTH]...", help="2026-01; without one, every old enough month."),
    ] = None,
    older_than: Annotated[
        int,
        typer.Option(min=0, max=120, help="How many whole months must have gone by since."),
    ] = 6,
    reason: ReasonOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be archived.")
    ] = False,
    wait: WaitOption = True,
) -> None:
    """Archive whole months, or go on with what was interrupted.

    A month leaves the database after everything of it was read back and checked with the log.
    Legal holds do not stand in the way: nothing goes away, and reads show the same as before.
    """
    body = {
        "months": months or [],
        "older_than_months": older_than,
        "reason": reason,
        "dry_run": dry_run,
    }
    with kt.client() as client:
        answer = client.post("/v1/archives", body)
        if dry_run:
            kt.output.result(answer, lambda: _table(_MONTH_COLUMNS, answer))
            kt.output.say("dry run: nothing was archived")
            return
        done = [_followed(client, one, kt.output) if wait else one for one in answer]
    kt.output.result(done, lambda: _table(_COLUMNS, done))
    _require_done(done, wait=wait)


@app.command("list")
@online
def list_archives(kt: Invocation) -> None:
    """Show what is archived, newest first, and the months that are in the database."""
    with kt.client() as client:
        archives = list(client.all("/v1/archives", limit=None))
        months = client.get("/v1/archives/months")
    kt.output.result(
        {"archives": archives, "months": months},
        lambda: Group(
            _table(_COLUMNS, archives, empty="nothing is archived"),
            "\nIn the database:",
            _table(_MONTH_COLUMNS, months, empty="no events yet"),
        ),
    )


@app.command("show")
@online
def show(kt: Invocation, which: WhichArgument) -> None:
    """Show one archive with its files and what the last verification found."""
    with kt.client() as client:
        found = [
            client.get(f"/v1/archives/{one['id']}") for one in _named(client, which, in_force=False)
        ]
    kt.output.result(found, lambda: Group(*(facts(_facts(one["archive"])) for one in found)))


@app.command("verify")
@online
def verify(
    kt: Invocation,
    which: Annotated[
        str, typer.Argument(metavar="[MONTH|ID]", help="Without one, every archive in force.")
    ] = "",
    wait: WaitOption = True,
) -> None:
    """Read every archived file again and compare it with its digest and with the log.

    Exit code 3 when something is not as it was written.
    """
    with kt.client() as client:
        done = []
        for one in _named(client, which, in_force=True):
            begun = client.post(f"/v1/archives/{one['id']}/verify")
            done.append(_followed(client, begun, kt.output) if wait else begun)
    findings = [{"month": one["month"], **finding} for one in done for finding in one["findings"]]
    kt.output.result(done, lambda: _table(_COLUMNS, done))
    _require_done(done, wait=wait)
    if findings:
        told = "\n".join(f"{one['where']}: {one['what']}" for one in findings)
        raise ProofInvalid(f"the archive is not what was written\n{told}")


@app.command("restore")
@online
def restore(
    kt: Invocation,
    which: WhichArgument,
    reason: ReasonOption = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come back.")
    ] = False,
    wait: WaitOption = True,
) -> None:
    """Bring a month back into the database, all its archives. The files stay where they are."""
    body = {"reason": reason, "dry_run": dry_run}
    with kt.client() as client:
        done = []
        for one in _named(client, which, in_force=True):
            begun = client.post(f"/v1/archives/{one['id']}/restore", body)
            waits = wait and not dry_run
            done.append(_followed(client, begun, kt.output) if waits else begun)
    kt.output.result(done, lambda: _table(_COLUMNS, done))
    if dry_run:
        kt.output.say("dry run: nothing was brought back")
    else:
        _require_done(done, wait=wait)


@app.command("cancel")
@online
def cancel(kt: Invocation, which: WhichArgument) -> None:
    """Stop a task at its next step; `kt archive run MONTH` goes on with it."""
    with kt.client() as client:
        unfinished = [
            one
            for one in _named(client, which, in_force=False)
            if one["state"] in ("queued", "running")
        ]
        if not unfinished:
            raise InvalidInput(f"nothing is being done with {which}")
        stopped = [client.post(f"/v1/archives/{one['id']}/cancel") for one in unfinished]
    kt.output.result(stopped, lambda: _table(_COLUMNS, stopped))


def _named(client: Client, which: str, *, in_force: bool) -> list[dict[str, Any]]:
    """The archives of a month, or the one of this id."""
    found = [
        one
        for one in client.all("/v1/archives", limit=None)
        if which in ("", one["month"], one["id"]) and (one["in_force"] or not in_force)
    ]
    if not found:
        what = f"{which} is not archived" if which else "nothing is archived"
        raise NotFound(f"{what}; `kt archive list` shows what is")
    return found


def _followed(client: Client, archive: Any, output: Output) -> Any:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} events"),
        TimeRemainingColumn(),
        console=output.talk_console(),
        transient=True,
    ) as progress:
        doing = {"write": "archiving", "verify": "verifying", "restore": "bringing back"}
        name = f"{doing[archive['task']]} {archive['month']}"
        task = progress.add_task(name, total=0)
        while archive["state"] in ("queued", "running"):
            time.sleep(_LOOK_EVERY_SECONDS)
            archive = client.get(f"/v1/archives/{archive['id']}")["archive"]
            progress.update(task, total=archive["total"] or 0, completed=archive["worked"])
    return archive


def _require_done(archives: list[Any], *, wait: bool) -> None:
    wrong = [one for one in archives if one["state"] not in ("done", "queued", "running")]
    if wait and wrong:
        told = "; ".join(f"{one['month']} {one['state']}: {one['error']}" for one in wrong)
        raise KintsugiError(f"{told}; `kt archive run` goes on with it")


def _facts(archive: dict[str, Any]) -> list[tuple[str, Any]]:
    shown = [(name, value) for name, value in archive.items() if value not in ("", None, [])]
    return [pair for pair in shown if pair[0] != "findings"] + [
        (one["where"], one["what"]) for one in archive["findings"]
    ]


def _table(columns: tuple[str, ...], rows: list[Any], *, empty: str = "none") -> Any:
    return table(columns, [[row[column] for column in columns] for row in rows], empty=empty)
