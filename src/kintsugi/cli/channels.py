"""``kt channels``: people who are told what happens, in a chat, on a pager or by mail."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.notify_options import (
    AddressOption,
    EnabledOption,
    NameArgument,
    PrivateOption,
    SeverityOption,
    TypeOption,
    given,
    routes_from,
    say_try,
    show_deliveries,
    show_redelivered,
    summary,
)
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, table
from kintsugi.errors import InvalidInput

app = typer.Typer(
    help="People who are told what happens: chats, pagers, mail.", no_args_is_help=True
)

_COLUMNS = ("name", "status", "service", "address", "routes", "waiting", "failed", "succeeded_at")

_QUIET = re.compile(r"(?P<start>\S+)-(?P<end>\S+)\s+(?P<zone>\S+)(?:\s+(?P<below>\S+))?")

QuietOption = Annotated[
    list[str] | None,
    typer.Option(
        "--quiet",
        help="22:00-07:00 Europe/Berlin, or 22:00-07:00 Europe/Berlin high: severities below "
        "that (default critical) wait until it ends. Repeat for several; `none` for none.",
    ),
]
MessagesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Messages in ten minutes; what is more comes as one message."),
]


@app.command("add")
@online
def add(
    kt: Invocation,
    name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    url: Annotated[
        str | None,
        typer.Argument(
            help="As Apprise knows it: slack://..., mailtos://... Without it, it is read from "
            "standard input, where no shell history keeps it."
        ),
    ] = None,
    types: TypeOption = None,
    severity_min: SeverityOption = "medium",
    quiet: QuietOption = None,
    messages_max: MessagesOption = None,
    allow_private_network: PrivateOption = None,
) -> None:
    """Tell people. The URL holds secrets: it is kept sealed and never shown again."""
    body: dict[str, Any] = {
        "name": name,
        "url": url or sys.stdin.readline().strip(),
        "routes": [{"types": types or ["*"], "severity_min": severity_min}],
        "allow_private_network": bool(allow_private_network),
        **given(quiet_hours=_quiet_hours(quiet), messages_max=messages_max),
    }
    with kt.client() as client:
        made = client.post("/v1/channels", body)
    kt.output.result(made, lambda: facts(summary(made)))


@app.command("list")
@online
def list_channels(kt: Invocation) -> None:
    """Show all channels and how they do."""
    with kt.client() as client:
        found = client.get("/v1/channels")
    rows = ([dict(summary(one)).get(column) for column in _COLUMNS] for one in found)
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(kt: Invocation, name: NameArgument) -> None:
    """Show one channel."""
    with kt.client() as client:
        found = client.get(f"/v1/channels/{name}")
    kt.output.result(found, lambda: facts(summary(found)))


@app.command("edit")
@online
def edit(
    kt: Invocation,
    name: NameArgument,
    new_name: Annotated[str | None, typer.Option(help="Call it so from now on.")] = None,
    url: AddressOption = None,
    types: TypeOption = None,
    severity_min: Annotated[
        str | None, typer.Option(help="Nothing below: low, medium, high or critical.")
    ] = None,
    quiet: QuietOption = None,
    messages_max: MessagesOption = None,
    allow_private_network: PrivateOption = None,
    enabled: EnabledOption = None,
) -> None:
    """Change it; what is left out stays. Enable one that was given up with --enabled."""
    with kt.client() as client:
        body = given(
            name=new_name,
            url=url,
            routes=routes_from(client, f"/v1/channels/{name}", types, severity_min),
            quiet_hours=_quiet_hours(quiet),
            messages_max=messages_max,
            allow_private_network=allow_private_network,
            enabled=enabled,
        )
        found = client.post(f"/v1/channels/{name}/edit", body)
    kt.output.result(found, lambda: facts(summary(found)))


@app.command("test")
@online
def send_test(kt: Invocation, name: NameArgument) -> None:
    """Send a notice of type notify.test now, once; exit code 3 when it does not arrive."""
    with kt.client() as client:
        say_try(kt.output, client.post(f"/v1/channels/{name}/test", timeout_seconds=60))


@app.command("remove")
@online
def remove(kt: Invocation, name: NameArgument) -> None:
    """Tell it no more; its URL and its deliveries are forgotten."""
    with kt.client() as client:
        found = client.post(f"/v1/channels/{name}/remove")
    kt.output.result(found, lambda: facts(summary(found)))


@app.command("deliveries")
@online
def deliveries(
    kt: Invocation,
    name: NameArgument,
    outcome: Annotated[
        str, typer.Option("--outcome", help="waiting, delivered, failed (given up) or all.")
    ] = "all",
    limit: LimitOption = 50,
) -> None:
    """Show what was sent or waits, newest first; the dead letters with --outcome failed."""
    with kt.client() as client:
        show_deliveries(kt.output, client, f"/v1/channels/{name}", outcome, limit)


@app.command("redeliver")
@online
def redeliver(
    kt: Invocation,
    name: NameArgument,
    delivery: Annotated[
        str | None, typer.Option(help="One delivery, as `kt channels deliveries` shows it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="All that failed or was never sent since: 24h, or a time.")
    ] = None,
) -> None:
    """Send again."""
    with kt.client() as client:
        show_redelivered(kt.output, client, f"/v1/channels/{name}", delivery, since)


def _quiet_hours(texts: list[str] | None) -> list[dict[str, str]] | None:
    if texts is None:
        return None
    return [_quiet(text) for text in texts if text != "none"]


def _quiet(text: str) -> dict[str, str]:
    found = _QUIET.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            f'--quiet: "{text}" cannot be read; write 22:00-07:00 Europe/Berlin, and a severity '
            "behind it where not only critical notices should come through"
        )
    return {name: value for name, value in found.groupdict().items() if value}
