"""``kt webhooks``: programs that are told what happens."""

from __future__ import annotations

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
    summary,
)
from kintsugi.cli.output import facts

app = typer.Typer(help="Programs that are told what happens.", no_args_is_help=True)

webhooks = Targets(
    "/v1/webhooks", ("name", "status", "url", "routes", "waiting", "failed", "succeeded_at")
)


@app.command("add")
@online
def add(
    kt: Invocation,
    name: NewNameArgument,
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


app.command("list", help="Show all endpoints and how they do.")(online(webhooks.list_all))
app.command("show", help="Show one endpoint.")(online(webhooks.show))


@app.command("edit")
@online
def edit(
    kt: Invocation,
    name: NameArgument,
    new_name: NewNameOption = None,
    url: AddressOption = None,
    types: TypeOption = None,
    severity_min: NewSeverityOption = None,
    allow_private_network: PrivateOption = None,
    enabled: EnabledOption = None,
) -> None:
    """Change it; what is left out stays. Enable one that was given up with --enabled."""
    webhooks.edit(
        kt,
        name,
        types,
        severity_min,
        name=new_name,
        url=url,
        allow_private_network=allow_private_network,
        enabled=enabled,
    )


app.command("test")(online(webhooks.send_test))


@app.command("rotate-secret")
@online
def rotate_secret(kt: Invocation, name: NameArgument) -> None:
    """Replace the secret; the old one signs as well for a day. The new one is shown once."""
    with kt.client() as client:
        found = client.post(f"/v1/webhooks/{name}/rotate-secret")
    kt.output.result(found, lambda: facts(summary(found)))
    kt.output.say("Keep the secret now; it is not shown again.")


app.command("remove", help="Tell it no more; its secret and its deliveries are forgotten.")(
    online(webhooks.remove)
)
app.command("deliveries")(online(webhooks.deliveries))


@app.command("redeliver")
@online
def redeliver(
    kt: Invocation,
    name: NameArgument,
    delivery: Annotated[
        str | None, typer.Option(help="One delivery, as `kt webhooks deliveries` shows it.")
    ] = None,
    since: SinceOption = None,
) -> None:
    """Send again."""
    webhooks.redeliver(kt, name, delivery, since)
