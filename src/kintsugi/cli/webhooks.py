"""``kt webhooks``: programs that are told what happens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
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
from kintsugi.cli.options import ApiUrlOption, JsonOption, LimitOption, StateOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.parts import program

app = typer.Typer(help="Programs that are told what happens.", no_args_is_help=True)

_COLUMNS = ("name", "status", "url", "routes", "waiting", "failed", "succeeded_at")


@app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    url: Annotated[str, typer.Argument(help="Where each notice is sent with POST.")],
    types: TypeOption = None,
    severity_min: SeverityOption = "low",
    allow_private_network: PrivateOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Tell an endpoint. Its secret is shown once, on stdout, and kept sealed."""
    body: dict[str, Any] = {
        "name": name,
        "url": url,
        "routes": [{"types": types or ["*"], "severity_min": severity_min}],
        "allow_private_network": bool(allow_private_network),
    }
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        made = client.post("/v1/webhooks", body)
    output = Output(json=as_json)
    output.result(made, lambda: facts(summary(made)))
    output.say("Keep the secret now; it is not shown again.")


@app.command("list")
def list_webhooks(
    context: typer.Context,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show all endpoints and how they do."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get("/v1/webhooks")
    rows = ([dict(summary(one)).get(column) for column in _COLUMNS] for one in found)
    Output(json=as_json).result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
def show(
    context: typer.Context,
    name: NameArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show one endpoint."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.get(f"/v1/webhooks/{name}")
    Output(json=as_json).result(found, lambda: facts(summary(found)))


@app.command("edit")
def edit(
    context: typer.Context,
    name: NameArgument,
    new_name: Annotated[str | None, typer.Option(help="Call it so from now on.")] = None,
    url: AddressOption = None,
    types: TypeOption = None,
    severity_min: Annotated[
        str | None, typer.Option(help="Nothing below: low, medium, high or critical.")
    ] = None,
    allow_private_network: PrivateOption = None,
    enabled: EnabledOption = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Change it; what is left out stays. Enable one that was given up with --enabled."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        body = given(
            name=new_name,
            url=url,
            routes=routes_from(client, f"/v1/webhooks/{name}", types, severity_min),
            allow_private_network=allow_private_network,
            enabled=enabled,
        )
        found = client.post(f"/v1/webhooks/{name}/edit", body)
    Output(json=as_json).result(found, lambda: facts(summary(found)))


@app.command("test")
def send_test(
    context: typer.Context,
    name: NameArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Send a notice of type notify.test now, once; exit code 3 when it does not arrive."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        say_try(client.post(f"/v1/webhooks/{name}/test", timeout_seconds=60), as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    name: NameArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Replace the secret; the old one signs as well for a day. The new one is shown once."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/webhooks/{name}/rotate-secret")
    output = Output(json=as_json)
    output.result(found, lambda: facts(summary(found)))
    output.say("Keep the secret now; it is not shown again.")


@app.command("remove")
def remove(
    context: typer.Context,
    name: NameArgument,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Tell it no more; its secret and its deliveries are forgotten."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/webhooks/{name}/remove")
    Output(json=as_json).result(found, lambda: facts(summary(found)))


@app.command("deliveries")
def deliveries(
    context: typer.Context,
    name: NameArgument,
    outcome: Annotated[
        str, typer.Option("--outcome", help="waiting, delivered, failed (given up) or all.")
    ] = "all",
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Show what was sent or waits, newest first; the dead letters with --outcome failed."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        show_deliveries(client, f"/v1/webhooks/{name}", outcome, limit, as_json=as_json)


@app.command("redeliver")
def redeliver(
    context: typer.Context,
    name: NameArgument,
    delivery: Annotated[
        str | None, typer.Option(help="One delivery, as `kt webhooks deliveries` shows it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="All that failed or was never sent since: 24h, or a time.")
    ] = None,
    as_json: JsonOption = False,
    state: StateOption = None,
    api_url: ApiUrlOption = None,
) -> None:
    """Send again."""
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        show_redelivered(client, f"/v1/webhooks/{name}", delivery, since, as_json=as_json)
