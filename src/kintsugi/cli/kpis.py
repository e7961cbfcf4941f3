"""``kt kpis``: how well incidents are handled."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import table
from kintsugi.incidents.review import duration_text

_COLUMNS = ("group", "measure", "n", "p50", "p90", "max", "share", "unknown")


@online
def kpis(
    kt: Invocation,
    since: Annotated[str, typer.Option(help="Incidents reported since: RFC 3339, or 90d.")] = "",
    until: Annotated[str, typer.Option(help="RFC 3339, or 7d; now where it is left out.")] = "",
    by: Annotated[str, typer.Option(help="none, severity, category, workflow or month.")] = "none",
) -> None:
    """Show times and shares over incidents, each with the n that it rests on."""
    asked = {"since": since, "until": until, "by": by}
    said = {name: value for name, value in asked.items() if value}
    with kt.client() as client:
        found = client.get("/v1/kpis", said)
    kt.output.result(found, lambda: table(_COLUMNS, _rows(found), empty="no incident"))
    if not kt.output.json:
        kt.output.say(f"fewer than {found['enough_from']} are not enough for a number")
        if found["cut"]:
            kt.output.say(
                f"more than is looked at; the oldest are missing: {', '.join(found['cut'])}"
            )


def _rows(found: dict[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for group in found["groups"]:
        for name, one in group["times"].items():
            shown = [_duration(one[field]) for field in ("p50", "p90", "max")]
            rows.append([group["key"], name, one["n"], *shown, None, one["unknown"] or None])
        for name, one in group["shares"].items():
            value = "not enough" if one["value"] is None else f"{one['value']:.0%}"
            rows.append([group["key"], name, one["n"], None, None, None, value, None])
    return rows


def _duration(seconds: float | None) -> str:
    return "not enough" if seconds is None else duration_text(timedelta(seconds=seconds))
