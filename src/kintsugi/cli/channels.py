"""``kt channels``: people who are told what happens, in a chat, on a pager or by mail."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.notify_targets import (
    AddressOption,
    EnabledOption,
    NameArgument,
    NewNameArgument,
    NewNameOption,
    NewSeverityOption,
    PrivateOption,
    SeverityOption,
    SinceOption,
    Targets,
    TypeOption,
    given,
    summary,
)
from kintsugi.cli.output import facts
from kintsugi.errors import InvalidInput

app = typer.Typer(
    help="People who are told what happens: chats, pagers, mail.", no_args_is_help=True
)

channels = Targets(
    "/v1/channels",
    ("name", "status", "service", "address", "routes", "waiting", "failed", "succeeded_at"),
)

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
    name: NewNameArgument,
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


app.command("list", help="Show all channels and how they do.")(online(channels.list_all))
app.command("show", help="Show one channel.")(online(channels.show))


@app.command("edit")
@online
def edit(
    kt: Invocation,
    name: NameArgument,
    new_name: NewNameOption = None,
    url: AddressOption = None,
    types: TypeOption = None,
    severity_min: NewSeverityOption = None,
    quiet: QuietOption = None,
    messages_max: MessagesOption = None,
    allow_private_network: PrivateOption = None,
    enabled: EnabledOption = None,
) -> None:
    """Change it; what is left out stays. Enable one that was given up with --enabled."""
    channels.edit(
        kt,
        name,
        types,
        severity_min,
        name=new_name,
        url=url,
        quiet_hours=_quiet_hours(quiet),
        messages_max=messages_max,
        allow_private_network=allow_private_network,
        enabled=enabled,
    )


app.command("test")(online(channels.send_test))
app.command("remove", help="Tell it no more; its URL and its deliveries are forgotten.")(
    online(channels.remove)
)
app.command("deliveries")(online(channels.deliveries))


@app.command("redeliver")
@online
def redeliver(
    kt: Invocation,
    name: NameArgument,
    delivery: Annotated[
        str | None, typer.Option(help="One delivery, as `kt channels deliveries` shows it.")
    ] = None,
    since: SinceOption = None,
) -> None:
    """Send again."""
    channels.redeliver(kt, name, delivery, since)


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
