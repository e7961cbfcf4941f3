"""What the commands of ``kt incidents`` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_page import incident_page
from kintsugi.cli.output import Output, facts
from kintsugi.cli.parts import program

if TYPE_CHECKING:
    from rich.console import RenderableType

IncidentArgument = Annotated[str, typer.Argument(metavar="INC", help="INC-000042, or its id.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the timeline.")]
AtOption = Annotated[
    str | None,
    typer.Option("--at", help="When it happened, if not now: RFC 3339, or 5m, 1h ago."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would become of it.")]
EventOption = Annotated[
    list[str] | None, typer.Option("--event", help="A decision event; may be given again.")
]


def send(
    context: typer.Context,
    path: str,
    body: Mapping[str, Any],
    *,
    as_json: bool,
    dry_run: bool = False,
    keep: Sequence[str] = (),
    state: Path | None = None,
    api_url: str | None = None,
) -> None:
    """Post a verb, leaving out what was not said, and show the incident.

    Args:
        keep: fields that are sent even where they are null.
    """
    said = {name: value for name, value in body.items() if name in keep or value not in (None, "")}
    with Client(program(context).settings(state=state, api_url=api_url)) as client:
        found = client.post(f"/v1/incidents{path}", said, {"dry_run": "true"} if dry_run else None)
    show_one(found, as_json=as_json)


def show_one(found: Mapping[str, Any], *, as_json: bool) -> None:
    """The incident or the entry of its timeline, as JSON or for people."""
    page = incident_page if "moves" in found else _entry
    Output(json=as_json).result(found, lambda: page(found))


def _entry(found: Mapping[str, Any]) -> RenderableType:
    return facts(flat(dict(found)))
