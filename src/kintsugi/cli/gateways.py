"""``kt gateways``: what every connected gateway says of itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import facts, table

app = typer.Typer(help="Gateways that registered with the control plane.", no_args_is_help=True)


@app.command("list")
@online
def list_gateways(kt: Invocation) -> None:
    """Show all gateways, last seen first."""
    with kt.client() as client:
        gateways = client.get("/v1/gateways")
    kt.output.result(gateways, lambda: table(_COLUMNS, map(_row, gateways), empty="none"))


@app.command("show")
@online
def show(
    kt: Invocation,
    gateway_id: Annotated[str, typer.Argument(help="As `kt gateways list` shows it.")],
) -> None:
    """Show one gateway with its workers and counters."""
    with kt.client() as client:
        gateway = client.get(f"/v1/gateways/{gateway_id}")
    kt.output.result(gateway, lambda: facts(flat(gateway)))


def flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested values as dotted names, for people; lists of things are numbered from 0."""
    pairs: list[tuple[str, Any]] = []
    for key, inner in value.items():
        match inner:
            case dict():
                pairs += flat(inner, f"{prefix}{key}.")
            case [dict(), *_]:
                for place, item in enumerate(inner):
                    pairs += flat(item, f"{prefix}{key}.{place}.")
            case _:
                pairs.append((f"{prefix}{key}", inner))
    return pairs


_COLUMNS = ("id", "state", "config", "in force", "workers", "waiting", "last seen", "problem")


def _row(gateway: dict[str, Any]) -> tuple[Any, ...]:
    workers = gateway["workers"]
    return (
        gateway["id"],
        gateway["state"],
        gateway["config_id"],
        sorted({worker["config_version"] for worker in workers}),
        len(workers),
        gateway["waiting"],
        gateway["last_seen_at"],
        gateway["load_error"],
    )
