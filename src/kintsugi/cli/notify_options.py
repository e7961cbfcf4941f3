"""What ``kt webhooks`` and ``kt channels`` share: options, and how targets and deliveries look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.output import Output, facts, table
from kintsugi.errors import InvalidInput

NameArgument = Annotated[str, typer.Argument(help="Its name or its id.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        help="A type of notice, such as incident.*; repeat for several. See `kt notices types`.",
    ),
]
SeverityOption = Annotated[str, typer.Option(help="Nothing below: low, medium, high or critical.")]
AddressOption = Annotated[str | None, typer.Option(help="Where it is from now on.")]
PrivateOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-private-network/--no-allow-private-network",
        help="The address may lie inside your own network.",
        show_default=False,
    ),
]
EnabledOption = Annotated[
    bool | None,
    typer.Option("--enabled/--disabled", help="Whether it is told.", show_default=False),
]
_DELIVERIES = ("id", "state", "at", "severity", "type", "subject", "attempts", "due_at", "last")


def given(**values: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in values.items() if value is not None}


def routes_from(
    client: Client, path: str, types: list[str] | None, severity_min: str | None
) -> list[dict[str, Any]] | None:
    """The routes of an edit; None where nothing of them changes.

    Raises:
        InvalidInput: half of a route is named of one that has several.
    """
    if not types and not severity_min:
        return None
    if types and severity_min:
        return [{"types": types, "severity_min": severity_min}]
    before = client.get(path)["routes"]
    if len(before) != 1:
        raise InvalidInput("it has several routes: name both --type and --severity-min")
    return [{**before[0], **given(types=types or None, severity_min=severity_min)}]


def summary(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A target for people: its health beside its own fields, its routes in words."""
    health = dict(found.get("health") or {})
    routes = "; ".join(
        f"{' '.join(one.get('types', ['*']))} from {one.get('severity_min', 'low')}"
        for one in found.get("routes", ())
    )
    quiet = "; ".join(
        f"{one['start']} to {one['end']} {one['zone']}, below {one['below']}"
        for one in found.get("quiet_hours", ())
    )
    left_out = ("health", "routes", "quiet_hours")
    shown = {name: value for name, value in found.items() if name not in left_out}
    shown |= {"routes": routes, **({"quiet_hours": quiet} if "quiet_hours" in found else {})}
    return [(name, value) for name, value in {**shown, **health}.items() if value is not None]


def say_try(output: Output, tried: Mapping[str, Any]) -> None:
    """How an attempt went.

    Raises:
        typer.Exit: 3 when it did not arrive.
    """
    error = tried.get("error", "")
    told = [("arrived", not error), *((name, value) for name, value in tried.items())]
    output.result({"arrived": not error, **tried}, lambda: facts(told))
    if error:
        raise typer.Exit(3)


def show_deliveries(output: Output, client: Client, path: str, outcome: str, limit: int) -> None:
    """Deliveries in a table."""
    asked = {} if outcome == "all" else {"state": outcome}
    found = list(client.all(f"{path}/deliveries", asked, limit=limit))

    def cells(one: Mapping[str, Any]) -> list[Any]:
        tries = one.get("tries") or [{}]
        last = one.get("held") or tries[-1].get("error", "")
        return [*(one.get(column) for column in _DELIVERIES[:-1]), last]

    rows = (cells(one) for one in found)
    output.result(found, lambda: table(_DELIVERIES, rows, empty="none"))


def show_redelivered(
    output: Output, client: Client, path: str, delivery: str | None, since: str | None
) -> None:
    """Begin again, and say how many deliveries that are."""
    done = client.post(f"{path}/redeliver", given(delivery_id=delivery, since=since))
    output.result(done, lambda: facts([("sent again", done["deliveries"])]))
