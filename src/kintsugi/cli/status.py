"""``kt status`` and ``kt down``: what runs, in which version, and whether every record arrived."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kintsugi.cli.client import Client
from kintsugi.cli.options import JsonOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program
from kintsugi.cli.runfile import Up, is_held, read_server, read_up
from kintsugi.cli.settings import Settings
from kintsugi.errors import ApiRefused, ApiUnreachable, KintsugiError

if TYPE_CHECKING:
    from rich.console import RenderableType

_DOWN_POLL_SECONDS = 0.05


class Pids(msgspec.Struct, frozen=True):
    """Process ids; None or an empty list where that part does not run at the moment."""

    up: int
    server: int | None
    database: int | None
    gateway: int | None
    gateway_workers: list[int]
    simulator: int | None


class WorkerStatus(msgspec.Struct, frozen=True):
    """What one worker has in force."""

    gateway_id: str
    worker_id: str
    pid: int
    config_version: str
    revision: str
    in_force_since: str


class Counters(msgspec.Struct, frozen=True):
    """Reconciliation, end to end: admitted = decided + in flight; decided = shipped + waiting +
    refused; shipped = stored. ``gap``: acknowledged and not stored; all but 0 is lost evidence."""

    admitted: int = 0
    decided: int = 0
    in_flight: int = 0
    shipped: int = 0
    waiting: int = 0
    refused: int = 0
    stored: int = 0
    gap: int = 0


class Status(msgspec.Struct, frozen=True):
    """Everything that ``kt status --json`` says.

    Attributes:
        workers: of every gateway on this control plane that is connected.
        counters: summed over them; None where the control plane could not be asked.
        relaxed: settings that are weaker than they could be, as ``GET /v1/status`` tells them.
        unregistered_workflows: names that traffic used and nobody registered.
        problems: what is not as it should be; empty when all is well. A relaxed setting that runs
            after its last day is one.
    """

    state: str
    gateway_url: str
    api_url: str
    simulator_url: str
    config_file: str
    started_at: str
    pids: Pids
    workers: list[WorkerStatus]
    counters: Counters | None
    restarts: dict[str, int]
    relaxed: list[dict[str, Any]]
    unregistered_workflows: int
    problems: list[str]


def status(context: typer.Context, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show what runs here, the configuration in force per worker, and the counters.

    Exit code 1 when nothing runs, 3 when something that runs is not well.
    """
    settings = program(context).settings(state=state)
    running = read_up(settings.state)
    if running is None:
        raise KintsugiError(f"nothing runs on {settings.state}; start it with `kt up`")
    found = look(settings, running)
    Output(json=as_json).result(found, lambda: _text(found))
    if found.problems:
        raise typer.Exit(3)


def down(
    context: typer.Context,
    state: StateOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a clean stop.")] = 90.0,
) -> None:
    """Stop what `kt up` started: the gateway drains and ships, then the rest."""
    settings = program(context).settings(state=state)
    output = Output()
    running = read_up(settings.state)
    if running is None:
        output.say(f"Nothing runs on {settings.state}.")
        return
    os.kill(running.pid, signal.SIGTERM)
    output.say("Stopping: the gateway finishes what is in flight and ships its records.")
    deadline = time.monotonic() + timeout
    while is_held(settings.state):
        if time.monotonic() > deadline:
            raise KintsugiError(
                f"process {running.pid} still runs after {timeout:g} s; see {settings.state}/logs"
            )
        time.sleep(_DOWN_POLL_SECONDS)
    output.say("Stopped.")


def look(settings: Settings, running: Up) -> Status:
    """Gather the status; what cannot be asked is named in ``problems``."""
    server = read_server(settings.state)
    problems = [f"{part} does not run" for part in _expected(running) if part not in running.pids]
    gateways: list[dict[str, Any]] = []
    relaxed: list[dict[str, Any]] = []
    counters, strangers = None, 0
    try:
        with Client(settings) as client:
            gateways = [found for found in client.get("/v1/gateways") if found["connected"]]
            told = client.get("/v1/status")
            relaxed, counted = told.get("relaxed", []), told["gateways"]
            counters = _sum(counted)
            strangers = told.get("unregistered_workflows", 0)
            problems += [line for gateway in counted for line in differences(gateway)]
            problems += [overdue(one) for one in relaxed if _is_overdue(one)]
            problems += told.get("unproven", [])
    except (ApiUnreachable, ApiRefused) as error:
        problems.append(f"workers and counters are unknown: {error}")
    problems += [
        f"{found['id']}: {found['load_error']}" for found in gateways if found["load_error"]
    ]
    workers = [
        WorkerStatus(gateway_id=gateway["id"], **_named(worker, WorkerStatus))
        for gateway in gateways
        for worker in gateway["workers"]
    ]
    return Status(
        state=str(settings.state),
        gateway_url=running.gateway_url,
        api_url=running.api_url,
        simulator_url=running.simulator_url,
        config_file=running.config_file,
        started_at=running.started_at,
        pids=Pids(
            up=running.pid,
            server=running.pids.get("server"),
            database=server.database_pid if server else None,
            gateway=running.pids.get("gateway"),
            gateway_workers=[worker.pid for worker in workers],
            simulator=running.pids.get("simulator"),
        ),
        workers=workers,
        counters=counters,
        restarts=running.restarts,
        relaxed=relaxed,
        unregistered_workflows=strangers,
        problems=problems,
    )


def _expected(running: Up) -> tuple[str, ...]:
    return ("server", "gateway", "simulator") if running.simulator_url else ("server", "gateway")


def differences(counted: dict[str, Any]) -> list[str]:
    """What does not agree in a gateway's counters, and since when, in words."""
    return [
        f"{counted['gateway_id']}: {abs(one['count'])} {one['means']}"
        + (f", since {one['since']}" if one["since"] else "")
        for one in counted.get("differences", ())
    ]


def _is_overdue(one: dict[str, Any]) -> bool:
    return one["state"] == "overdue" and bool(one["gateways"])


def overdue(one: dict[str, Any]) -> str:
    """A relaxed setting that runs after its last day, in words."""
    return (
        f"{one['source']}: {one['path']} ({one['setting']}) was to end on "
        f"{one['expires']}; {one['owner']} answers for it"
    )


def relaxed_rows(relaxed: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """What is relaxed, for a table."""
    for one in relaxed:
        yield (
            f"{one['path']}: {one['setting']}",
            one["source"],
            one["owner"],
            one["expires"] or "",
            _days(one),
            ", ".join(one["gateways"]) or "none yet",
        )


def _days(one: dict[str, Any]) -> str:
    days = one["days_left"]
    if days is None:
        return "nobody answers for it"
    return f"{days} left" if days >= 0 else f"overdue by {-days}"


def _sum(reconciliations: list[dict[str, Any]]) -> Counters:
    return Counters(
        **{
            name: sum(counted.get(name, 0) for counted in reconciliations)
            for name in Counters.__struct_fields__
        }
    )


def _named(values: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The values that a kind has fields for."""
    return {name: values[name] for name in kind.__struct_fields__ if name in values}


def _strangers(count: int) -> str:
    return f"{count}; see `kt workflows unregistered`" if count else ""


def numbers(named: Mapping[str, Any] | None) -> str:
    """``server 12, gateway_workers 14 15``; what is not there is left out."""
    told = [
        " ".join([name, *map(str, value if isinstance(value, list | tuple) else [value])])
        for name, value in (named or {}).items()
        if value is not None
    ]
    return ", ".join(told)


def _text(found: Status) -> RenderableType:
    from rich.console import Group  # here: only text output pays for it

    columns = ("worker", "pid", "in force", "since")
    rows = (
        (worker.worker_id, worker.pid, worker.config_version, worker.in_force_since)
        for worker in found.workers
    )
    summary = facts(
        [
            ("gateway", found.gateway_url),
            ("console", found.api_url),
            ("state", found.state),
            ("pids", numbers(msgspec.to_builtins(found.pids))),
            ("counters", numbers(msgspec.to_builtins(found.counters))),
            ("restarts", numbers(found.restarts)),
            ("unregistered workflows", _strangers(found.unregistered_workflows)),
            ("problems", "\n".join(found.problems)),
        ]
    )
    shown: list[RenderableType] = [
        summary,
        "",
        table(columns, rows, empty="no worker has reported"),
    ]
    if found.relaxed:
        headings = ("relaxed", "in", "owner", "until", "days", "gateways")
        shown += ["", table(headings, relaxed_rows(found.relaxed), empty="")]
    return Group(*shown)
