"""``kt retention``: how long evidence is kept, and what a run removes."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, table
from kintsugi.errors import InvalidInput, KintsugiError

app = typer.Typer(
    help="How long evidence is kept, and the runs that remove what is older.",
    no_args_is_help=True,
)

_LOOK_EVERY_SECONDS: Final = 0.3
_NEVER: Final = "never"
_POLICY_COLUMNS: Final = ("class", "kept", "floor", "relaxed", "what")
_CLASS_COLUMNS: Final = ("class", "outcome", "kept for", "removed", "kept", "kept by")
_RUN_COLUMNS: Final = ("id", "state", "removed", "kept", "requested by", "created", "error")

ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; kept in custody.", show_default=False)
]


@app.command("show")
@online
def show(kt: Invocation) -> None:
    """Show every class of evidence and how long it is kept."""
    with kt.client() as client:
        found = client.get("/v1/retention")
    kt.output.result(found, lambda: _policies(found))


@app.command("set")
@online
def set_periods(
    kt: Invocation,
    periods: Annotated[
        list[str],
        typer.Argument(metavar="CLASS=DAYS...", help="payloads=365, say; CLASS=never for ever."),
    ],
    reason: ReasonOption,
    owner: Annotated[
        str,
        typer.Option("--owner", help="Who answers for less than the floor.", show_default=False),
    ] = "",
    expires: Annotated[
        str,
        typer.Option(
            "--expires",
            metavar="DATE",
            help="Its last day (UTC); then the floor holds again.",
            show_default=False,
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it.")] = False,
) -> None:
    """Set how long some classes are kept; the others stay as they are.

    Less than the floor of six months is refused, unless --owner and --expires say who answers for
    it and until when; it then shows as relaxed.
    """
    relaxed = {"owner": owner, "reason": reason, "expires": expires} if owner or expires else None
    with kt.client() as client:
        before = client.get("/v1/retention")
        floors = {one["name"]: one["floor_days"] for one in before["policies"]}
        policies = {}
        for name, days in map(_period, periods):
            floor = floors.get(name)
            below = days is not None and floor is not None and days < floor
            policies[name] = {"days": days, "relaxed": relaxed if below else None}
        after = client.put(
            "/v1/retention",
            {"policies": policies, "reason": reason},
            dry_run=dry_run,
            version=before["version"],
        )
    kt.output.result(after, lambda: _policies(after))


@app.command("preview")
@online
def preview(kt: Invocation) -> None:
    """Say what a run would remove now, and what would be kept by whom; nothing is removed."""
    with kt.client() as client:
        found = client.post("/v1/retention/runs", {}, dry_run=True)
    rows = [_row(one, "would go") for one in found["classes"]]
    kt.output.result(found, lambda: table(_CLASS_COLUMNS, rows, empty=""))


@app.command("run")
@online
def run(
    kt: Invocation,
    reason: ReasonOption = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end, showing progress.")
    ] = True,
) -> None:
    """Remove now what is past its end, besides the daily run."""
    with kt.client() as client:
        job = client.post("/v1/retention/runs", {"reason": reason})
        told = ""
        while wait and job["state"] in ("queued", "running"):
            now = f"{job['removed']:,} removed, {job['kept']:,} kept"
            if now != told:
                kt.output.say(f"run {job['id']}: {now}")
                told = now
            time.sleep(_LOOK_EVERY_SECONDS)
            job = client.get(f"/v1/retention/runs/{job['id']}")
    kt.output.result(job, lambda: _run(job))
    if job["state"] == "failed":
        raise KintsugiError(f"run {job['id']}: {job['error']}")


@app.command("runs")
@online
def runs(
    kt: Invocation,
    run_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="One run, class by class.", show_default=False)
    ] = "",
    limit: LimitOption = 20,
) -> None:
    """Show runs, newest first, or one of them class by class."""
    with kt.client() as client:
        if run_id:
            found = client.get(f"/v1/retention/runs/{run_id}")
            kt.output.result(found, lambda: _run(found))
            return
        jobs = list(client.all("/v1/retention/runs", limit=limit))
    rows = (
        [
            job["id"],
            job["state"],
            job["removed"],
            job["kept"],
            job["requested_by"],
            job["created_at"],
            job["error"],
        ]
        for job in jobs
    )
    kt.output.result(jobs, lambda: table(_RUN_COLUMNS, rows, empty="none"))


def _period(text: str) -> tuple[str, int | None]:
    name, equals, days = text.partition("=")
    if equals and days == _NEVER:
        return name, None
    if not equals or not days.isdecimal():
        raise InvalidInput(f'"{text}": write CLASS=DAYS, such as payloads=365, or CLASS={_NEVER}')
    return name, int(days)


def _policies(found: dict[str, Any]) -> Any:
    rows = [
        [
            one["name"],
            _days(one["days_in_force"]),
            _days(one["floor_days"]) if one["settable"] else "fixed",
            _relaxed(one),
            one["what"],
        ]
        for one in found["policies"]
    ]
    return table(_POLICY_COLUMNS, rows, empty="")


def _relaxed(one: dict[str, Any]) -> str:
    if one["relaxed_state"] is None:
        return ""
    by = one["relaxed"]
    ended = "; ended, the floor holds" if one["relaxed_state"] == "overdue" else ""
    return f"{one['days']} days until {by['expires']}, {by['owner']} answers for it{ended}"


def _run(job: dict[str, Any]) -> Any:
    from rich.console import Group

    shown = [
        (name, job[name])
        for name in ("id", "state", "requested_by", "reason", "created_at", "leaf", "error")
        if job[name] not in ("", None)
    ]
    rows = [_row(one, one.get("outcome", "not attempted")) for one in job["classes"]]
    return Group(facts(shown), table(_CLASS_COLUMNS, rows, empty="not begun yet"))


def _row(one: dict[str, Any], outcome: str) -> list[str]:
    kept_by = [
        f"{kept['name']} ({kept['by'].partition(':')[0]}): {kept.get('things', 1):,}"
        for kept in one.get("kept_by", ())
    ]
    more = "at least " if one.get("is_floor") else ""
    return [
        one["name"],
        f"{outcome}: {one['detail']}" if one.get("detail") else outcome,
        _days(one["days"]),
        f"{more}{one.get('removed', 0):,}",
        f"{more}{one.get('kept', 0):,}",
        ", ".join(kept_by),
    ]


def _days(days: int | None) -> str:
    return "for ever" if days is None else f"{days} day{'' if days == 1 else 's'}"
