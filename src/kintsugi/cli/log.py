"""``kt log``: checkpoints of the Merkle log, proofs checked on this side, and witnesses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from kintsugi.cli.client import Client
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.cli.witnessing import show_to_witness
from kintsugi.errors import InvalidInput
from kintsugi.ledger.checkpoint import open_checkpoint
from kintsugi.ledger.merkle import verify_consistency
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.proof import (
    EventProof,
    LeafProof,
    RedGreenProof,
    verify_event,
    verify_leaf,
    verify_red_green,
)
from kintsugi.model.proof import Proof, proof_record

app = typer.Typer(help="The log of everything recorded, and its proofs.", no_args_is_help=True)

KeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="NAME+ID+KEY",
        help="Verifier key that you know from elsewhere; default: what the server says its keys "
        "are. Repeat for several.",
    ),
]


@app.command("checkpoint")
@online
def checkpoint(kt: Invocation) -> None:
    """Print the signed checkpoint: the log's size and root now.

    It is a C2SP tlog-checkpoint: keep it somewhere else, and the log can no longer be rewritten
    unseen.
    """
    with kt.client() as client:
        now = client.get("/v1/log/checkpoint")
    open_checkpoint(now["note"], _keys(now, None), origin=now["origin"])
    if kt.as_json:
        kt.output.result(now, lambda: "")
    else:
        kt.output.text(now["note"])


@app.command("keys")
@online
def keys(kt: Invocation) -> None:
    """Show the verifier keys, the newest first: hand them to whoever is to check proofs."""
    with kt.client() as client:
        now = client.get("/v1/log/checkpoint")
    rows = [[text] for text in now["keys"]]
    kt.output.result(now["keys"], lambda: table(("key",), rows, empty="none"))


@app.command("list")
@online
def list_leaves(
    kt: Invocation,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    before: Annotated[
        int | None, typer.Option(min=0, help="Only leaves before this position.")
    ] = None,
) -> None:
    """Show what was recorded last."""
    params: dict[str, str | int | float] = {"limit": limit}
    if before is not None:
        params["before"] = before
    with kt.client() as client:
        leaves, _ = client.page("/v1/log/leaves", params)
    columns = ("position", "recorded_at", "kind", "data")
    rows = [[leaf[column] for column in columns] for leaf in leaves]
    kt.output.result(leaves, lambda: table(columns, rows, empty="the log is empty"))


@app.command("prove")
@online
def prove(
    kt: Invocation,
    event_id: Annotated[
        str, typer.Argument(help="An event, or PRF-7; or a leaf's position with --leaf.")
    ],
    leaf: Annotated[bool, typer.Option("--leaf", help="Prove a leaf instead of an event.")] = False,
    key: KeyOption = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the proof to a file too.")
    ] = None,
) -> None:
    """Fetch the proof that an event is in the log as it was recorded, and check it here.

    PRF-7 proves a red/green proof: both of its runs, as they were recorded.

    Exit code 3 when the proof does not hold, or the stored record was changed.
    """
    with kt.client() as client:
        trusted = _keys(client.get("/v1/log/checkpoint"), key)
        if event_id.upper().startswith("PRF-"):
            proof = _red_green(client, event_id)
        else:
            proof = client.get(f"/v1/log/{'leaves' if leaf else 'events'}/{event_id}/proof")
    shown = _verify(proof, trusted)
    if to is not None:
        to.write_bytes(msgspec.json.format(msgspec.json.encode(proof)) + b"\n")
    kt.output.result({**shown, "proof": proof}, lambda: facts(shown.items()))


def _red_green(client: Client, name: str) -> dict[str, Any]:
    """A red/green proof as it is stored, and the proof of its leaf."""
    told = client.get(f"/v1/proofs/{name}")
    record = proof_record(msgspec.convert(told["proof"], Proof)).decode()
    return {"record": record, "leaf": client.get(f"/v1/log/leaves/{told['leaf']}/proof")}


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A proof, as `kt log prove --to FILE` wrote it.")],
    key: Annotated[
        list[str],
        typer.Option("--key", metavar="NAME+ID+KEY", help="Verifier key; repeat for several."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check a proof without asking anybody. Exit code 3 when it does not hold."""
    try:
        proof = msgspec.json.decode(file.read_bytes())
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file} is no JSON: {error}") from None
    shown = _verify(proof, [VerifierKey.parse(text) for text in key])
    Output(json=as_json).result(shown, lambda: facts(shown.items()))


@app.command("consistency")
@online
def consistency(
    kt: Invocation,
    first: Annotated[int, typer.Argument(min=1, help="An earlier size.")],
    second: Annotated[int | None, typer.Argument(min=1, help="A later one; default now.")] = None,
) -> None:
    """Prove that the log of one size is the beginning of that of another, and check it here."""
    params: dict[str, str | int | float] = {"first": first}
    if second is not None:
        params["second"] = second
    with kt.client() as client:
        found = client.get("/v1/log/consistency", params)
    hashes = [bytes.fromhex(text) for text in found["hashes"]]
    roots = [bytes.fromhex(found[name]) for name in ("first_root", "second_root")]
    verify_consistency(found["first"], found["second"], hashes, roots[0], roots[1])
    shown = [("holds", True), *found.items()]
    kt.output.result({"holds": True, **found}, lambda: facts(shown))


@app.command("witness")
@online
def witness(
    kt: Invocation,
    to: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL",
            help="A file or an object (s3://BUCKET/NAME) that holds the last checkpoint seen, or "
            "another Kintsugi that cosigns.",
        ),
    ],
) -> None:
    """Show the log to a witness, which refuses if it was rewritten since it looked last.

    A FILE, or an object in an object store, keeps the newest checkpoint and, in FILE.keys, the keys
    it was first signed with: keep it on another machine. An http URL is another Kintsugi's API; its
    token is read from KT_WITNESS_TOKEN and
    needs the scope log:witness. Exit code 3 when the log shows another history.
    """
    token = kt.program.environ.get("KT_WITNESS_TOKEN", "")
    with kt.client() as client:
        shown = show_to_witness(client, kt.settings, to, token)
    kt.output.result(shown, lambda: facts(shown.items()))


@app.command("rotate-key")
@online
def rotate_key(kt: Invocation) -> None:
    """Begin a new signing key. Until the next change both sign, so either verifies."""
    with kt.client() as client:
        now = client.post("/v1/log/rotate-key")
    rows = [[text] for text in now["keys"]]
    kt.output.result(now["keys"], lambda: table(("key",), rows, empty="none"))
    kt.output.say("Hand the first key to whoever checks proofs; the second is the one before.")


def _keys(now: dict[str, Any], given: list[str] | None) -> list[VerifierKey]:
    return [VerifierKey.parse(text) for text in given or now["keys"]]


def _verify(proof: dict[str, Any], trusted: list[VerifierKey]) -> dict[str, Any]:
    """What a proof proves, in words for people."""
    try:
        if "record" in proof and "index" not in proof:
            found = msgspec.convert(proof, RedGreenProof)
            checkpoint, signatures = verify_red_green(found, trusted)
            what, position = msgspec.json.decode(found.record)["id"], found.leaf.position
        elif "record" in proof:
            event = msgspec.convert(proof, EventProof)
            checkpoint, signatures = verify_event(event, trusted)
            what, position = msgspec.json.decode(event.record)["id"], event.leaf.position
        else:
            leaf = msgspec.convert(proof, LeafProof)
            checkpoint, signatures = verify_leaf(leaf, trusted)
            what, position = msgspec.json.decode(leaf.data)["kind"], leaf.position
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"this is no proof: {error}") from None
    return {
        "holds": True,
        "what": what,
        "leaf": position,
        "log": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "signed by": [f"{one.key.name}+{one.key.id.hex()}" for one in signatures],
    }
