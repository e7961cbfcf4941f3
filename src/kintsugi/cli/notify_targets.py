"""What ``kt webhooks`` and ``kt channels`` share: options, and the commands that are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.invocation import Invocation
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, table
from kintsugi.errors import InvalidInput

_SEVERITY = "Nothing below: low, medium, high or critical."
NewNameArgument = Annotated[str, typer.Argument(help="What it is called from now on.")]
NameArgument = Annotated[str, typer.Argument(help="Its name or its id.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        help="A type of notice, such as incident.*; repeat for several. See `kt notices types`.",
    ),
]
SeverityOption = Annotated[str, typer.Option(help=_SEVERITY)]
NewSeverityOption = Annotated[str | None, typer.Option(help=_SEVERITY)]
NewNameOption = Annotated[str | None, typer.Option(help="Call it so from now on.")]
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
OutcomeOption = Annotated[
    str, typer.Option("--outcome", help="waiting, delivered, failed (given up) or all.")
]
SinceOption = Annotated[
    str | None, typer.Option(help="All that failed or was never sent since: 24h, or a time.")
]
_DELIVERIES = ("id", "state", "at", "severity", "type", "subject", "attempts", "due_at", "last")


def given(**values: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in values.items() if value is not None}


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


class Targets:
    """The commands on endpoints and on channels alike.

    Attributes:
        path: where the API has them.
        columns: of a list.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns

    def list_all(self, kt: Invocation) -> None:
        """Show all and how they do."""
        with kt.client() as client:
            found = client.get(self.path)
        rows = ([dict(summary(one)).get(column) for column in self.columns] for one in found)
        kt.output.result(found, lambda: table(self.columns, rows, empty="none"))

    def show(self, kt: Invocation, name: NameArgument) -> None:
        """Show one."""
        with kt.client() as client:
            found = client.get(f"{self.path}/{name}")
        kt.output.result(found, lambda: facts(summary(found)))

    def edit(
        self,
        kt: Invocation,
        which: str,
        types: list[str] | None,
        severity_min: str | None,
        **fields: Any,
    ) -> None:
        """Change the fields that are not None, and the routes where something of them is named."""
        with kt.client() as client:
            path = f"{self.path}/{which}"
            routes = _routes(client, path, types, severity_min)
            found = client.post(f"{path}/edit", given(routes=routes, **fields))
        kt.output.result(found, lambda: facts(summary(found)))

    def send_test(self, kt: Invocation, name: NameArgument) -> None:
        """Send a notice of type notify.test now, once; exit code 3 when it does not arrive."""
        with kt.client() as client:
            tried = client.post(f"{self.path}/{name}/test", timeout_seconds=60)
        error = tried.get("error", "")
        told = {"arrived": not error, **tried}
        kt.output.result(told, lambda: facts(told.items()))
        if error:
            raise typer.Exit(3)

    def remove(self, kt: Invocation, name: NameArgument) -> None:
        """Tell it no more."""
        with kt.client() as client:
            found = client.post(f"{self.path}/{name}/remove")
        kt.output.result(found, lambda: facts(summary(found)))

    def deliveries(
        self,
        kt: Invocation,
        name: NameArgument,
        outcome: OutcomeOption = "all",
        limit: LimitOption = 50,
    ) -> None:
        """Show what was sent or waits, newest first; the dead letters with --outcome failed."""
        asked = {} if outcome == "all" else {"state": outcome}
        with kt.client() as client:
            found = list(client.all(f"{self.path}/{name}/deliveries", asked, limit=limit))
        kt.output.result(found, lambda: table(_DELIVERIES, map(_cells, found), empty="none"))

    def redeliver(self, kt: Invocation, name: str, delivery: str | None, since: str | None) -> None:
        """Begin again, and say how many deliveries that are."""
        with kt.client() as client:
            body = given(delivery_id=delivery, since=since)
            done = client.post(f"{self.path}/{name}/redeliver", body)
        kt.output.result(done, lambda: facts([("sent again", done["deliveries"])]))


def _cells(one: Mapping[str, Any]) -> list[Any]:
    tries = one.get("tries") or [{}]
    last = one.get("held") or tries[-1].get("error", "")
    return [*(one.get(column) for column in _DELIVERIES[:-1]), last]


def _routes(
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
