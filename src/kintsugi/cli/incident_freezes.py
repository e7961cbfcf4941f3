"""``kt incidents freeze``: pin evidence before anybody touches anything, and check it."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.filters import Where, event_filters
from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import DryRunOption, IncidentArgument, ReasonOption
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, listing
from kintsugi.errors import KintsugiError

_COLUMNS = ("id", "status", "events", "late", "missing", "asked_at")
_UNDER_WAY = ("queued", "freezing", "verifying")
_POLL_SECONDS = 0.2
_POLL_SECONDS_MAX = 2.0
_ALTERED = 3

FreezeArgument = Annotated[str, typer.Argument(metavar="FREEZE", help="As `freezes` shows it.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("freeze")(freeze)
    app.command("freezes")(freezes)
    app.command("verify")(verify)


@event_filters
@online
def freeze(
    kt: Invocation,
    where: Where,
    case: IncidentArgument,
    reason: ReasonOption = "",
    check: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Verify it at once as well.")
    ] = True,
    wait: WaitOption = True,
    dry_run: DryRunOption = False,
) -> None:
    """Pin the events that the filters let through, and hold them.

    Without a filter, what is tied to the incident already is frozen.
    """
    body: dict[str, Any] = {"filter": dict(where)}
    if reason:
        body["reason"] = reason
    path = f"/v1/incidents/{case}"
    with kt.client() as client:
        found = client.post(f"{path}/freeze", body, dry_run=dry_run)
        if wait and not dry_run:
            found = _wait(client, path, found, kt.output)
            if check and found["status"] == "frozen":
                found = client.post(f"{path}/freezes/{found['id']}/verify", {})
                found = _wait(client, path, found, kt.output)
    _show(found, kt.output)


@online
def freezes(kt: Invocation, incident: IncidentArgument) -> None:
    """Show what is frozen for an incident, newest first."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/freezes")
    kt.output.result(found, lambda: listing(_COLUMNS, found, empty="nothing is frozen"))


@online
def verify(
    kt: Invocation, incident: IncidentArgument, freeze_id: FreezeArgument, wait: WaitOption = True
) -> None:
    """Check that every frozen event is as it was recorded and is in the log.

    Exit code 3 where it is not.
    """
    path = f"/v1/incidents/{incident}"
    with kt.client() as client:
        found = client.post(f"{path}/freezes/{freeze_id}/verify", {})
        if wait:
            found = _wait(client, path, found, kt.output)
    _show(found, kt.output)


def _wait(client: Client, path: str, found: dict[str, Any], talk: Output) -> dict[str, Any]:
    """The freeze when its task is over."""
    pause, said = _POLL_SECONDS, -1
    while found["status"] in _UNDER_WAY:
        time.sleep(pause)
        pause = min(pause * 1.3, _POLL_SECONDS_MAX)
        found = client.get(f"{path}/freezes/{found['id']}")
        if found["progress"] != said and found["status"] in _UNDER_WAY:
            said = found["progress"]
            talk.say(f"{found['status']}: {said:,} of {found['total'] or '?'} events")
    if found["status"] == "failed":
        raise KintsugiError(f"freeze {found['id']} failed: {found['error']}")
    return found


def _show(found: dict[str, Any], talk: Output) -> None:
    shown = {name: value for name, value in found.items() if name != "evidence"}
    talk.result(found, lambda: facts(flat(shown)))
    if found["status"] == "altered":
        raise typer.Exit(_ALTERED)
