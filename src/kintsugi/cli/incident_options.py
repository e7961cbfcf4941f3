"""What the commands of ``kt incidents`` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_page import incident_page
from kintsugi.cli.invocation import Invocation
from kintsugi.cli.output import Output, facts

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
    kt: Invocation,
    path: str,
    body: Mapping[str, Any],
    *,
    dry_run: bool = False,
    keep: Sequence[str] = (),
) -> None:
    """Post a verb, as ``Invocation.post`` does, and show the incident."""
    show_one(kt.output, kt.post(f"/v1/incidents{path}", body, dry_run=dry_run, keep=keep))


def show_one(output: Output, found: Mapping[str, Any], *, into: str = "") -> None:
    """The incident (see ``incident_page``) or the entry of its timeline, as JSON or for people."""
    is_incident = "moves" in found
    output.result(found, lambda: incident_page(found, into=into) if is_incident else _entry(found))


def _entry(found: Mapping[str, Any]) -> RenderableType:
    return facts(flat(dict(found)))
