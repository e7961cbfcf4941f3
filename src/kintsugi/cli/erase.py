"""``kt erase``: what one subject said and was answered, for good and with proof."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import msgspec
import typer

from kintsugi.cli.client import Client
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, facts, table
from kintsugi.errors import InvalidInput, KintsugiError, ProofInvalid
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.proof import LeafProof, verify_leaf
from kintsugi.model.erasure import Receipt

_LOOK_EVERY_SECONDS: Final = 0.3
_COLUMNS: Final = ("id", "state", "subject", "events", "keys", "created_at", "finished_at", "error")


@online
def erase(
    kt: Invocation,
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            metavar="USER",
            help="A user's id; session:ID or event:ID where no user was named.",
            show_default=False,
        ),
    ] = "",
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the erasure.", show_default=False)
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be erased, and what forbids it.")
    ] = False,
    verify: Annotated[
        str,
        typer.Option(
            "--verify", metavar="ID", help="Prove an erasure that is done.", show_default=False
        ),
    ] = "",
    retry: Annotated[
        str,
        typer.Option("--retry", metavar="ID", help="Go on with one that failed."),
    ] = "",
    list_all: Annotated[bool, typer.Option("--list", help="Show erasures, newest first.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end, showing progress.")
    ] = True,
) -> None:
    """Erase everything that a user said and was answered, and prove that it happened.

    The records stay, and with them every proof; what was said can no longer be read by anybody.
    Exit code 3 when a verification fails.
    """
    if sum(map(bool, (subject, verify, retry, list_all))) != 1:
        raise InvalidInput("name one of --subject, --verify, --retry and --list")
    with kt.client() as client:
        if list_all:
            jobs = list(client.all("/v1/erasures", limit=None))
            rows = [[job[column] for column in _COLUMNS] for job in jobs]
            kt.output.result(jobs, lambda: table(_COLUMNS, rows, empty="none"))
        elif verify:
            _verify(client, kt.output, verify)
        elif retry:
            _follow(client, kt.output, client.post(f"/v1/erasures/{retry}/retry"), wait=wait)
        else:
            asked = {"subject": subject, "reason": reason, "dry_run": dry_run}
            answer = client.post("/v1/erasures", asked)
            if dry_run:
                _preview(kt.output, answer)
            else:
                _follow(client, kt.output, answer, wait=wait)


def _preview(output: Output, answer: Any) -> None:
    shown = [
        ("subject", answer["subject"]),
        ("events", _at_least(answer["events"], floor=answer["events_is_floor"])),
        *((place["name"], place["things"]) for place in answer["places"]),
        ("legal holds", ", ".join(answer["holds"]) or "none"),
        ("dry run", "nothing was erased"),
    ]
    output.result(answer, lambda: facts(shown))


def _at_least(count: int, *, floor: bool) -> str:
    return f"more than {count:,}" if floor else f"{count:,}"


def _follow(client: Client, output: Output, job: Any, *, wait: bool) -> None:
    told = ""
    while wait and job["state"] in ("queued", "running"):
        share = job["progress"]
        now = "waiting" if share is None else f"keys destroyed, {share:.0%} of the events swept"
        if now != told:
            output.say(f"erasure {job['id']}: {now}")
            told = now
        time.sleep(_LOOK_EVERY_SECONDS)
        job = client.get(f"/v1/erasures/{job['id']}")
    shown = [
        (name, job[name])
        for name in ("id", "state", "subject", "events", "texts", "keys", "leaf", "error")
        if job[name] not in ("", None)
    ]
    shown += [(place["name"], f"{place['outcome']}, {place['removed']}") for place in job["places"]]
    output.result(job, lambda: facts(shown))
    if job["state"] == "failed":
        raise KintsugiError(f"erasure {job['id']}: {job['error']}")


def _verify(client: Client, output: Output, erasure_id: str) -> None:
    found = client.get(f"/v1/erasures/{erasure_id}/verification")
    keys = [VerifierKey.parse(text) for text in client.get("/v1/log/checkpoint")["keys"]]
    proof = msgspec.convert(found["proof"], LeafProof)
    receipt = msgspec.convert(found["receipt"], Receipt)
    verify_leaf(proof, keys)
    told = msgspec.json.decode(proof.data)
    if (told.get("id"), told.get("receipt_digest")) != (receipt.id, receipt.digest):
        raise ProofInvalid(f"leaf {proof.position} of the log tells of another erasure")
    checks = [(one["name"], one["detail"]) for one in found["checks"]]
    shown = [
        ("erasure", receipt.id),
        ("subject", receipt.subject),
        ("destroyed at", receipt.destroyed_at.isoformat(timespec="seconds")),
        *checks,
        ("holds", found["holds"]),
    ]
    output.result(found, lambda: facts(shown))
    if wrong := [f"{one['name']}: {one['detail']}" for one in found["checks"] if not one["holds"]]:
        raise ProofInvalid(f"erasure {receipt.id} does not hold: {'; '.join(wrong)}")
