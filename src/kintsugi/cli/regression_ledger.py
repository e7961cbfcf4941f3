"""``kt regressions ledger`` and ``kt regressions coverage``: what binds for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import table

_EXIT_WRONG: Final = 3
_LEDGER_COLUMNS: Final = ("at", "entry", "case", "version", "config", "proof", "by", "note")
_COVERAGE_COLUMNS: Final = ("incident", "severity", "coverage", "cases", "in force", "note")


@online
def ledger(
    kt: Invocation,
    regression: Annotated[
        str, typer.Option("--case", metavar="REG", help="Of this case.", show_default=False)
    ] = "",
    incident: Annotated[
        str, typer.Option("--incident", help="Of this incident.", show_default=False)
    ] = "",
    config: Annotated[
        str, typer.Option("--config", help="Of this configuration.", show_default=False)
    ] = "",
    limit: LimitOption = 50,
) -> None:
    """Show which cases came to bind, and everything that changed in that, newest first."""
    wanted = {"regression": regression, "incident": incident, "config": config}
    params = {name: value for name, value in wanted.items() if value}
    with kt.client() as client:
        found = list(client.all("/v1/regressions/ledger", params, limit=limit))
    rows = [
        [
            *(one["at"], one["act"], one["regression_id"], one["version"], one["config_id"]),
            *(one.get("proof_id", ""), one["by"], _note(one)),
        ]
        for one in found
    ]
    kt.output.result(found, lambda: table(_LEDGER_COLUMNS, rows, empty="nothing binds yet"))


@online
def coverage(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show every closed incident, the cases that keep it covered, and whether they hold now.

    Exit code 3 when a case that binds does not hold on the newest version, or in the scope of a
    containment that is in force.
    """
    with kt.client() as client:
        found = list(client.all("/v1/regressions/coverage", limit=limit))
    rows = [
        [
            *(one["reference"], one["severity"], one["state"]),
            [each["regression_id"] for each in one["cases"]],
            sorted({each["in_force"] for each in one["cases"]}),
            why(one),
        ]
        for one in found
    ]
    kt.output.result(found, lambda: table(_COVERAGE_COLUMNS, rows, empty="no incident is closed"))
    if any(one["state"] in ("broken", "loosened") for one in found):
        raise typer.Exit(_EXIT_WRONG)


def _note(one: Mapping[str, Any]) -> str:
    told = [f"replaced by {one['replaced_by']}"] if one.get("replaced_by") else []
    return "; ".join([*told, *([one["reason"]] if one.get("reason") else [])])


def why(one: Mapping[str, Any]) -> str:
    """What does not hold, or who answers for it that nothing binds."""
    told = [
        f"{each['regression_id']}: expected {each['breach']['expected']}; {each['breach']['came']}"
        for each in one["cases"]
        if each["breach"]
    ]
    told += [
        f"{each['regression_id']}: not in the scope of {', '.join(each['loosened_by'])}"
        for each in one["cases"]
        if each["loosened_by"]
    ]
    if one["state"] == "lowered":
        told.append(f"it was {one['severest']}; lowered by {one['lowered_by']}")
    if waiver := one["waiver"]:
        told.append(f"waived by {waiver['owner']}: {waiver['reason']}")
    return "; ".join(told)
