"""The page on the log: what it says of itself, what was recorded last, and proofs in words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi import __version__
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.log import CheckpointView, checkpoint_view, event_proof_view
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import HTTP_STATUS
from kintsugi.console.contexts import Shell
from kintsugi.console.frame import Con, page_routes
from kintsugi.console.rendering import render
from kintsugi.errors import NotFound, ProofInvalid
from kintsugi.ledger.leaves import ConfigurationLeaf, CustodyLeaf, EventsLeaf, Leaf
from kintsugi.ledger.merkle import Step, climb, leaf_hash
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.proof import EventProof, verify_event
from kintsugi.model.log import Cosigned, StoredLeaf, Witnessed

routes = page_routes()

_ROWS = 30
_leaf = msgspec.json.Decoder(Leaf)


class KeyRow(msgspec.Struct, frozen=True):
    """A key that signs checkpoints.

    Attributes:
        id: eight hex digits that tell keys of one name apart.
        text: the verifier key, to hand on.
    """

    id: str
    text: str


class LeafRow(msgspec.Struct, frozen=True):
    """One leaf.

    Attributes:
        says: what it tells of, in words.
        data: what its hash is of.
    """

    position: int
    at: datetime
    kind: str
    says: str
    data: str


class ProofStep(msgspec.Struct, frozen=True):
    """One step from a hash to the root above it, hex."""

    sibling: str
    side: str
    hash: str


class ProofView(msgspec.Struct, frozen=True):
    """The proof of a decision, step by step, as checked here.

    Attributes:
        record_hash: hash of the stored record.
        index, batch_size: its place in the batch that it was stored with.
        batch_steps: from the record to the root of the batch.
        batch_root: that the leaf tells of.
        leaf: position of the leaf in the log.
        leaf_hash: hash of the leaf.
        log_steps: from the leaf to the root of the log.
        root, size: of the log, as the checkpoint signs them.
        signed_by: ids of the keys whose signature held.
    """

    event_id: str
    record_hash: str
    index: int
    batch_size: int
    batch_steps: tuple[ProofStep, ...]
    batch_root: str
    leaf: int
    leaf_hash: str
    log_steps: tuple[ProofStep, ...]
    root: str
    size: int
    signed_by: tuple[str, ...]


class LogPage(Shell, frozen=True, kw_only=True):
    """The log.

    Attributes:
        checkpoint: the log as it is now, signed.
        keys: that sign it, the newest first.
        asked: the decision whose proof was asked for, as typed.
        proof: that proof; None where none was asked for or there is none.
        problem: why there is none.
        tampered: whether that is because what is stored was changed.
        cosigned: witnesses that have signed checkpoints of this log, the latest first.
        witnessed: other logs whose checkpoints were cosigned here.
        leaves: one page, newest first.
        leaves_next: address of the older page; empty on the last one.
    """

    template: ClassVar[str] = "log.html"
    section: ClassVar[str] = "Log"

    checkpoint: CheckpointView
    keys: tuple[KeyRow, ...]
    asked: str
    proof: ProofView | None
    problem: str
    tampered: bool
    cosigned: tuple[Cosigned, ...]
    witnessed: tuple[Witnessed, ...]
    leaves: tuple[LeafRow, ...]
    leaves_next: str


class LogQuery(BaseModel):
    """Which leaves, and what to prove."""

    model_config = ConfigDict(extra="forbid")

    event: Annotated[str, Field(max_length=64)] = ""
    before: Annotated[int | None, Field(ge=0, le=2**62)] = None


@routes.add("GET", "/log", Scope.LOG_READ, parameters=True)
def log_page(
    control: Ctl, console: Con, caller: Caller, query: Annotated[LogQuery, Query()]
) -> Response:
    """The checkpoint, the newest leaves, witnesses, and the proof of a decision."""
    asked = query.event.strip()
    proof, problem, tampered, status = None, "", False, 200
    if asked:
        try:
            proof = _proof(control, asked)
        except (NotFound, ProofInvalid) as error:
            problem, tampered = str(error), isinstance(error, ProofInvalid)
            status = HTTP_STATUS[type(error)]
    now = checkpoint_view(control)
    leaves = control.stores.log.leaves(before=query.before, limit=_ROWS)
    more = leaves and leaves[-1].position
    page = LogPage(
        title="Log",
        signed_in_as=caller.name,
        now=control.clock(),
        version=__version__,
        checkpoint=now,
        keys=tuple(KeyRow(VerifierKey.parse(text).id.hex(), text) for text in now.keys),
        asked=asked,
        proof=proof,
        problem=problem,
        tampered=tampered,
        cosigned=tuple(control.stores.log.cosigned()),
        witnessed=tuple(control.stores.log.all_witnessed()),
        leaves=tuple(_row(leaf) for leaf in leaves),
        leaves_next=f"/log?before={leaves[-1].position}#leaves" if more else "",
    )
    return render(console.templates, page, status=status)


def _proof(control: Control, event_id: str) -> ProofView:
    proof: EventProof = event_proof_view(control, event_id)
    keys = [VerifierKey.parse(text) for text in checkpoint_view(control).keys]
    head, signatures = verify_event(proof, keys)
    batch = _leaf.decode(proof.leaf.data)
    assert isinstance(batch, EventsLeaf)  # noqa: S101  (verify_event has just refused any other)
    size = batch.last_position - batch.first_position + 1
    record, leaf = leaf_hash(proof.record.encode()), leaf_hash(proof.leaf.data.encode())
    return ProofView(
        event_id=event_id,
        record_hash=record.hex(),
        index=proof.index,
        batch_size=size,
        batch_steps=_steps(climb(record, proof.index, size, _bytes(proof.hashes))),
        batch_root=batch.root,
        leaf=proof.leaf.position,
        leaf_hash=leaf.hex(),
        log_steps=_steps(climb(leaf, proof.leaf.position, head.size, _bytes(proof.leaf.hashes))),
        root=head.root.hex(),
        size=head.size,
        signed_by=tuple(found.key.id.hex() for found in signatures),
    )


def _bytes(hashes: tuple[str, ...]) -> list[bytes]:
    return [bytes.fromhex(text) for text in hashes]


def _steps(climbed: Iterable[Step]) -> tuple[ProofStep, ...]:
    return tuple(
        ProofStep(step.sibling.hex(), "left" if step.on_left else "right", step.hash.hex())
        for step in climbed
    )


def _row(leaf: StoredLeaf) -> LeafRow:
    return LeafRow(leaf.position, leaf.recorded_at, leaf.kind, in_words(leaf.data), leaf.data)


def in_words(data: str) -> str:
    """What a leaf tells of; empty for a kind that this release does not know."""
    try:
        leaf = _leaf.decode(data)
    except msgspec.MsgspecError:
        return ""
    match leaf:
        case EventsLeaf():
            count = leaf.last_position - leaf.first_position + 1
            where = f"position {leaf.first_position:,}"
            if count > 1:
                where = f"positions {leaf.first_position:,} to {leaf.last_position:,}"
            return f"{count:,} decision{'s' if count > 1 else ''}, {where}"
        case ConfigurationLeaf():
            return f"{leaf.id} version {leaf.version} by {leaf.author}"
        case CustodyLeaf():
            return f"{leaf.action} of {leaf.object}"
        case _:
            return ""
