"""``kt incidents blast-radius``, ``search``, ``records`` and ``people``: how far an incident
reaches, and what becomes of what it affected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kintsugi.cli.gateways import flat
from kintsugi.cli.incident_options import AtOption, IncidentArgument, ReasonOption
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, listing
from kintsugi.errors import InvalidInput

_RECORDS = ("key", "system", "status", "found_in", "settled_by", "settled_at", "why", "evidence")
_PEOPLE = ("kind", "key", "status", "channel", "settled_by", "settled_at", "why")

KeysArgument = Annotated[list[str], typer.Argument(metavar="KEY...", help="As listed.")]
EvidenceOption = Annotated[str, typer.Option(help="What shows it: a digest, an id or an address.")]
KindOption = Annotated[str, typer.Option("--kind", help="user, team or tenant.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group."""
    app.command("blast-radius")(blast_radius)
    app.command("search")(search)
    app.command("records")(records)
    app.command("add-records")(add_records)
    app.command("settle-records")(settle_records)
    app.command("people")(people)
    app.command("add-people")(add_people)
    app.command("told")(told)


@online
def blast_radius(kt: Invocation, incident: IncidentArgument) -> None:
    """Show who and what is affected, since when, and how sure the numbers are."""
    with kt.client() as client:
        found = client.get(f"/v1/incidents/{incident}/blast-radius")
    kt.output.result(found, lambda: facts(_radius(found)))


@online
def search(
    kt: Invocation,
    incident: IncidentArgument,
    policy: Annotated[str, typer.Option(help="The policy that set the verdict.")] = "",
    reason_code: Annotated[str, typer.Option(help="Its reason code.")] = "",
    fingerprint: Annotated[str, typer.Option(help="Of a finding: the same text again.")] = "",
    text: Annotated[str, typer.Option(help="Words that were said.")] = "",
    tool: Annotated[str, typer.Option(help="The name of a tool.")] = "",
    target: Annotated[str, typer.Option(help="What a tool was called with.")] = "",
    document: Annotated[str, typer.Option(help="The id of a retrieved document.")] = "",
) -> None:
    """Look for the same outside the incident, since the first stored event.

    With no option, for what most of its events have in common.
    """
    given = {
        "policy": policy,
        "reason_code": reason_code,
        "fingerprint": fingerprint,
        "text": text,
        "tool": tool,
        "target": target,
        "document": document,
    }
    body = {name: value for name, value in given.items() if value}
    with kt.client() as client:
        found = client.post(f"/v1/incidents/{incident}/search", body)
    kt.output.result(found, lambda: facts(flat(found)))


@online
def records(
    kt: Invocation,
    incident: IncidentArgument,
    status: Annotated[str, typer.Option(help="open, corrected, accepted or unrecoverable.")] = "",
    limit: LimitOption = 100,
) -> None:
    """Show the repair ledger: affected records and what became of each."""
    with kt.client() as client:
        asked = {"status": status}
        found = list(client.all(f"/v1/incidents/{incident}/records", asked, limit=limit))
    kt.output.result(found, lambda: listing(_RECORDS, found))


@online
def add_records(
    kt: Invocation,
    incident: IncidentArgument,
    keys: KeysArgument,
    system: Annotated[str, typer.Option(help="The system that they are in.")] = "",
    reason: ReasonOption = "",
) -> None:
    """Add records that were affected."""
    body = {"records": [{"key": key, "system": system} for key in keys], "reason": reason}
    with kt.client() as client:
        found = client.post(f"/v1/incidents/{incident}/records", body)
    _show(kt.output, found, _RECORDS)


@online
def settle_records(
    kt: Invocation,
    incident: IncidentArgument,
    keys: KeysArgument,
    status: Annotated[
        str, typer.Option("--as", help="corrected, accepted, unrecoverable or open.")
    ],
    reason: ReasonOption = "",
    evidence: EvidenceOption = "",
    at: AtOption = None,
) -> None:
    """Say what became of records."""
    body = {"keys": keys, "status": status, "reason": reason, "evidence": evidence, "at": at}
    with kt.client() as client:
        found = client.post(f"/v1/incidents/{incident}/records/settle", body)
    _show(kt.output, found, _RECORDS)


@online
def people(
    kt: Invocation,
    incident: IncidentArgument,
    status: Annotated[str, typer.Option(help="to_tell, told or not_needed.")] = "",
    output: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write all of them as a table.")
    ] = None,
    limit: LimitOption = 100,
) -> None:
    """Show who may have to be told, how, and who told them when."""
    path = f"/v1/incidents/{incident}/people"
    with kt.client() as client:
        if output is not None:
            try:
                with output.open("wb") as file:
                    client.download(f"{path}.csv", file, lambda _: None)
            except OSError as error:
                raise InvalidInput(f"{output} cannot be written: {error.strerror}") from error
            kt.output.say(f"written to {output}")
            return
        found = list(client.all(path, {"status": status}, limit=limit))
    kt.output.result(found, lambda: listing(_PEOPLE, found, empty="nobody"))


@online
def add_people(
    kt: Invocation,
    incident: IncidentArgument,
    keys: KeysArgument,
    kind: KindOption = "user",
    channel: Annotated[str, typer.Option(help="How they are reached.")] = "",
    reason: ReasonOption = "",
) -> None:
    """Add people who may have to be told."""
    added = [{"kind": kind, "key": key, "channel": channel} for key in keys]
    body = {"people": added, "reason": reason}
    with kt.client() as client:
        found = client.post(f"/v1/incidents/{incident}/people", body)
    _show(kt.output, found, _PEOPLE)


@online
def told(
    kt: Invocation,
    incident: IncidentArgument,
    keys: KeysArgument,
    kind: KindOption = "user",
    channel: Annotated[str | None, typer.Option(help="How they were told.")] = None,
    status: Annotated[str, typer.Option("--as", help="told, not_needed or to_tell.")] = "told",
    reason: ReasonOption = "",
    evidence: EvidenceOption = "",
    at: AtOption = None,
) -> None:
    """Say that people were told, and how; or why they need not be."""
    body: dict[str, Any] = {
        "kind": kind,
        "keys": keys,
        "status": status,
        "channel": channel,
        "reason": reason,
        "evidence": evidence,
        "at": at,
    }
    with kt.client() as client:
        found = client.post(f"/v1/incidents/{incident}/people/settle", body)
    _show(kt.output, found, _PEOPLE)


def _show(output: Output, found: Any, columns: tuple[str, ...]) -> None:
    output.result(found, lambda: listing(columns, found))


def _radius(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """The numbers first, each with the values that are named most."""
    lines: list[tuple[str, Any]] = [
        ("events", found["events"]),
        ("since", found["known_since"]),
        ("last", found["last_at"]),
    ]
    for name, count in found["counts"].items():
        most = ", ".join(f"{one['name']} ({one['events']})" for one in count["most"][:5])
        if count["count"]:
            lines.append((name, f"{'' if count['exact'] else 'at least '}{count['count']}: {most}"))
    for name in ("records", "people"):
        told = ", ".join(f"{number} {status}" for status, number in found[name].items())
        lines.append((name, told.replace("_", " ")))
    lines.append(("numbers", "exact" if found["exact"] else "lower bounds"))
    lines += [("because", reason) for reason in found["reasons"]]
    return lines
