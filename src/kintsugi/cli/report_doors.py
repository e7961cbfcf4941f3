"""``kt reports sources`` and ``kt reports links``: doors for machines, and for people outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing, table
from kintsugi.errors import InvalidInput

sources = typer.Typer(help="Machines that send reports.", no_args_is_help=True)
links = typer.Typer(help="Signed forms for people outside.", no_args_is_help=True)

_SOURCE_COLUMNS = ("name", "kind", "enabled", "signing", "version", "note")
_LINK_COLUMNS = ("id", "audience", "state", "used", "expires", "note")
_PREVIEW_COLUMNS = ("would", "incident", "title", "fingerprint of", "cannot be read")

NameArgument = Annotated[str, typer.Argument(help="Of the source.")]
KindOption = Annotated[str, typer.Option(help="alertmanager, pagerduty or generic.")]
MappingOption = Annotated[
    Path | None,
    typer.Option(
        "--mapping", exists=True, dir_okay=False, help="Of a generic source: YAML or JSON."
    ),
]
FingerprintOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fingerprint",
        help="A label of an Alertmanager alert that makes two the same; repeat it. All labels "
        "where none is named.",
    ),
]


@sources.command("put")
@online
def put(
    kt: Invocation,
    name: NameArgument,
    kind: KindOption,
    mapping: MappingOption = None,
    fingerprint: FingerprintOption = None,
    workflow_label: Annotated[
        str, typer.Option(help="The label that names the workflow.")
    ] = "workflow",
    signing: Annotated[
        str, typer.Option(help="pagerduty, sha256 or standard-webhooks; a token where empty.")
    ] = "",
    secret_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Holds the secret that the sender gave."),
    ] = None,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Whether it takes anything.")] = True,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a source, or change it whole. A secret that is made is shown once."""
    body = {
        "kind": kind,
        "mapping": _document(mapping),
        "fingerprint": fingerprint or [],
        "workflow_label": workflow_label,
        "signing": signing,
        "secret": secret_file.read_text("utf-8").strip() if secret_file else None,
        "enabled": enabled,
        "note": note,
    }
    with kt.client() as client:
        kept = client.put(f"/v1/report-sources/{name}", body)
    kt.output.result(kept, lambda: facts(flat(kept)))


@sources.command("list")
@online
def list_sources(kt: Invocation) -> None:
    """Show all sources, by name."""
    with kt.client() as client:
        found = client.get("/v1/report-sources")
    kt.output.result(found, lambda: listing(_SOURCE_COLUMNS, found))


@sources.command("show")
@online
def show_source(kt: Invocation, name: NameArgument) -> None:
    """Show one source."""
    with kt.client() as client:
        found = client.get(f"/v1/report-sources/{name}")
    kt.output.result(found, lambda: facts(flat(found)))


@sources.command("preview")
@online
def preview(
    kt: Invocation,
    payload: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A message to try: JSON.")
    ],
    source: Annotated[str, typer.Option(help="As this source would read it.")] = "",
    kind: Annotated[str | None, typer.Option(help="As a source of this kind would.")] = None,
    mapping: MappingOption = None,
    fingerprint: FingerprintOption = None,
) -> None:
    """Show what a message would come to; nothing is kept. Exit code 3 when a part of it cannot be
    read."""
    body: dict[str, Any] = {
        "source": source,
        "kind": kind,
        "mapping": _document(mapping),
        "fingerprint": fingerprint or [],
        "payload": _json(payload),
    }
    with kt.client() as client:
        found = client.post("/v1/report-sources/preview", body)
    rows = (
        [
            one["would"],
            one["joins"],
            one["title"],
            ", ".join(f"{field}={value}" for field, value in one["fields"]),
            one["why_unmapped"],
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_PREVIEW_COLUMNS, rows, empty="nothing"))
    if any(one["why_unmapped"] for one in found):
        raise typer.Exit(3)


@links.command("create")
@online
def create(
    kt: Invocation,
    audience: Annotated[str, typer.Argument(help="Who gets it: regulator, customer, researcher.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it works.")] = 30,
    per_hour: Annotated[
        int, typer.Option(min=1, max=1000, help="How many reports it takes in an hour.")
    ] = 20,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a signed link to a form that needs no account. Its address is shown once."""
    body = {"audience": audience, "expires_in_days": days, "per_hour": per_hour, "note": note}
    with kt.client() as client:
        made = client.post("/v1/report-links", body)
    address = f"{kt.settings.api_url.rstrip('/')}{made['path']}"
    shown = [("address", address), ("audience", made["audience"]), ("id", made["id"])]
    expires = ("expires", made["link"]["expires_at"])
    kt.output.result({**made, "address": address}, lambda: facts([*shown, expires]))


@links.command("list")
@online
def list_links(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show links, newest first; not what is secret in them."""
    with kt.client() as client:
        found = list(client.all("/v1/report-links", limit=limit))
    rows = (
        [
            one["id"],
            one["audience"],
            one["state"],
            one["used"],
            one["link"]["expires_at"],
            one["link"]["note"],
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_LINK_COLUMNS, rows, empty="none"))


@links.command("revoke")
@online
def revoke(
    kt: Invocation,
    link_id: Annotated[str, typer.Argument(metavar="ID", help="As `kt reports links list` shows.")],
) -> None:
    """End a link at once. What came through it stays."""
    with kt.client() as client:
        ended = client.post(f"/v1/report-links/{link_id}/revoke", {})
    kt.output.result(ended, lambda: facts(flat(ended)))


def _document(file: Path | None) -> Any:
    if file is None:
        return None
    try:
        return YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {error}") from None


def _json(file: Path) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file}: no JSON: {error}") from None
