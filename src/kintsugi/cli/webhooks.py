"""``kt webhooks``: programs that are told what happens."""

from __future__ import annotations

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

app = typer.Typer(help="Programs that are told what happens.", no_args_is_help=True)

_COLUMNS = ("name", "status", "url", "routes", "waiting", "failed", "succeeded_at")


@app.command("add")
@online
def add(
    kt: Invocation,
    name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    url: Annotated[str, typer.Argument(help="Where each notice is sent with POST.")],
    types: TypeOption = None,
    severity_min: SeverityOption = "low",
    allow_private_network: PrivateOption = None,
) -> None:
    """Tell an endpoint. Its secret is shown once, on stdout, and kept sealed."""
    body: dict[str, Any] = {
        "name": name,
        "url": url,
        "routes": [{"types": types or ["*"], "severity_min": severity_min}],
        "allow_private_network": bool(allow_private_network),
    }
    with kt.client() as client:
        made = client.post("/v1/webhooks", body)
    kt.output.result(made, lambda: facts(summary(made)))
    kt.output.say("Keep the secret now; it is not shown again.")


@app.command("list")
@online
def list_webhooks(kt: Invocation) -> None:
    """Show all endpoints and how they do."""
    with kt.client() as client:
        found = client.get("/v1/webhooks")
    rows = ([dict(summary(one)).get(column) for column in _COLUMNS] for one in found)
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(kt: Invocation, name: NameArgument) -> None:
    """Show one endpoint."""
    with kt.client() as client:
        found = client.get(f"/v1/webhooks/{name}")
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
    allow_private_network: PrivateOption = None,
    enabled: EnabledOption = None,
) -> None:
    """Change it; what is left out stays. Enable one that was given up with --enabled."""
    with kt.client() as client:
        body = given(
            name=new_name,
            url=url,
            routes=routes_from(client, f"/v1/webhooks/{name}", types, severity_min),
            allow_private_network=allow_private_network,
            enabled=enabled,
        )
        found = client.post(f"/v1/webhooks/{name}/edit", body)
    kt.output.result(found, lambda: facts(summary(found)))


@app.command("test")
@online
def send_test(kt: Invocation, name: NameArgument) -> None:
    """Send a notice of type notify.test now, once; exit code 3 when it does not arrive."""
    with kt.client() as client:
        say_try(kt.output, client.post(f"/v1/webhooks/{name}/test", timeout_seconds=60))


@app.command("rotate-secret")
@online
def rotate_secret(kt: Invocation, name: NameArgument) -> None:
    """Replace the secret; the old one signs as well for a day. The new one is shown once."""
    with kt.client() as client:
        found = client.post(f"/v1/webhooks/{name}/rotate-secret")
    kt.output.result(found, lambda: facts(summary(found)))
    kt.output.say("Keep the secret now; it is not shown again.")


@app.command("remove")
@online
def remove(kt: Invocation, name: NameArgument) -> None:
    """Tell it no more; its secret and its deliveries are forgotten."""
    with kt.client() as client:
        found = client.post(f"/v1/webhooks/{name}/remove")
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
        show_deliveries(kt.output, client, f"/v1/webhooks/{name}", outcome, limit)


@app.command("redeliver")
@online
def redeliver(
    kt: Invocation,
    name: NameArgument,
    delivery: Annotated[
        str | None, typer.Option(help="One delivery, as `kt webhooks deliveries` shows it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="All that failed or was never sent since: 24h, or a time.")
    ] = None,
) -> None:
    """Send again."""
    with kt.client() as client:
        show_redelivered(kt.output, client, f"/v1/webhooks/{name}", delivery, since)
