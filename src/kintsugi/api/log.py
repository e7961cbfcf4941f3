"""``/v1/log``: checkpoints of the Merkle log, proofs, and cosigning the checkpoints of others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply, whole
from kintsugi.api.control import Control, Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.problems import FieldError, Invalid
from kintsugi.api.routing import Routes
from kintsugi.errors import NotFound, ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, cosign, open_checkpoint
from kintsugi.ledger.log_keys import load_keys, rotate_keys
from kintsugi.ledger.merkle import Edge, consistency_proof
from kintsugi.ledger.note import SigningKey, VerifierKey
from kintsugi.ledger.proof import (
    EventProof,
    LeafProof,
    checkpoint_of,
    prove_event,
    prove_leaf,
)
from kintsugi.ledger.witness import check_next
from kintsugi.model.log import Cosigned, StoredLeaf, Witnessed

routes = Routes("log")

Position = Annotated[int, Path(ge=0, le=2**62)]
_PAGE_MAX = 200
# A witness on another machine has another clock.
_CLOCKS_APART = timedelta(minutes=5)


class CheckpointView(msgspec.Struct, frozen=True):
    """The log as it is now.

    Attributes:
        root: hex.
        note: the signed checkpoint (C2SP tlog-checkpoint), with a signature of every key.
        keys: the verifier keys, the newest first.
    """

    origin: str
    size: int
    root: str
    note: str
    keys: tuple[str, ...]


class ConsistencyView(msgspec.Struct, frozen=True):
    """That the log of one size is the beginning of that of another.

    Attributes:
        hashes: hex, RFC 9162 §2.1.4.
    """

    first: int
    second: int
    first_root: str
    second_root: str
    hashes: tuple[str, ...]


class SeenView(msgspec.Struct, frozen=True):
    """What was cosigned last of another log."""

    origin: str
    size: int
    root: str
    seen_at: datetime


class CosignedView(msgspec.Struct, frozen=True):
    """A note with this log's signature as a witness on it, and the key that checks it."""

    note: str
    key: str


class CosignedByView(msgspec.Struct, frozen=True):
    """What a witness has cosigned last of this log.

    Attributes:
        key: checks the signature of the witness.
        root: hex.
    """

    witness: str
    key: str
    size: int
    root: str
    cosigned_at: datetime


class CosignedRequest(BaseModel):
    """A checkpoint of this log with the signature of a witness on it."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=20_000)]
    key: Annotated[str, Field(max_length=500, description="verifier key of the witness")]


class WitnessRequest(BaseModel):
    """A checkpoint to cosign."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=20_000, description="the signed checkpoint")]
    keys: Annotated[
        list[Annotated[str, Field(max_length=500)]],
        Field(min_length=1, max_length=8, description="the log's verifier keys"),
    ]
    proof: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]],
        Field(
            default_factory=list,
            max_length=130,
            description="consistency with the checkpoint that was cosigned last, hex",
        ),
    ]


class LeavesQuery(BaseModel):
    """Which leaves."""

    model_config = ConfigDict(extra="forbid")

    before: Annotated[int | None, Field(ge=0, description="only leaves before this position")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=_PAGE_MAX)] = 50


class SizesQuery(BaseModel):
    """Two sizes of the log."""

    model_config = ConfigDict(extra="forbid")

    first: Annotated[int, Field(ge=1)]
    second: Annotated[int | None, Field(ge=1, description="the present size when left out")] = None


class OriginQuery(BaseModel):
    """Which log."""

    model_config = ConfigDict(extra="forbid")

    origin: Annotated[str, Field(min_length=1, max_length=200)]


@routes.add("GET", "/v1/log/checkpoint", Scope.LOG_READ, answer=One[CheckpointView])
def checkpoint(control: Ctl) -> Response:
    """The log's size and root now, signed."""
    return one(checkpoint_view(control))


@routes.add("GET", "/v1/log/leaves", Scope.LOG_READ, answer=Page[StoredLeaf], parameters=True)
def leaves(control: Ctl, query: Annotated[LeavesQuery, Query()]) -> Response:
    """What was recorded, newest first."""
    found = control.stores.log.leaves(before=query.before, limit=query.limit)
    size, _ = control.stores.log.edge()
    more = str(found[-1].position) if found and found[-1].position else None
    return reply(Page(found, Meta(total=size, next_cursor=more)))


@routes.add("GET", "/v1/log/leaves/{position}/proof", Scope.LOG_READ, answer=One[LeafProof])
def leaf_proof(control: Ctl, position: Position) -> Response:
    """That a leaf is in the log, under a fresh checkpoint."""
    return one(leaf_proof_of(control, position))


@routes.add("GET", "/v1/log/events/{event_id}/proof", Scope.LOG_READ, answer=One[EventProof])
def event_proof(control: Ctl, event_id: Annotated[str, Path(max_length=64)]) -> Response:
    """That an event is in the log as it was recorded; 422 `proof.invalid` when it was changed."""
    return one(event_proof_view(control, event_id))


@routes.add(
    "GET", "/v1/log/consistency", Scope.LOG_READ, answer=One[ConsistencyView], parameters=True
)
def consistency(control: Ctl, query: Annotated[SizesQuery, Query()]) -> Response:
    """That the log of one size is the beginning of that of another."""
    size, _ = control.stores.log.edge()
    second = query.second or size
    if second > size or query.first > second:
        raise Invalid(
            [
                FieldError(
                    "query.first" if query.first > second else "query.second",
                    f"the log has {size} leaves",
                    help="use first <= second <= the size of the log",
                )
            ]
        )
    read = control.stores.log.nodes
    origin = load_keys(control.log_key_file)[0].verifier.name
    hashes = consistency_proof(query.first, second, read)
    view = ConsistencyView(
        query.first,
        second,
        checkpoint_of(origin, query.first, read).root.hex(),
        checkpoint_of(origin, second, read).root.hex(),
        tuple(found.hex() for found in hashes),
    )
    return one(view)


@routes.add("POST", "/v1/log/rotate-key", Scope.ADMIN, answer=One[CheckpointView])
def rotate_key(control: Ctl) -> Response:
    """Begin a new signing key. Checkpoints carry the signatures of it and of the one before."""
    rotate_keys(control.log_key_file)
    return one(checkpoint_view(control))


@routes.add("GET", "/v1/log/cosigned", Scope.LOG_READ, answer=Page[CosignedByView])
def cosigned(control: Ctl) -> Response:
    """The newest checkpoint of this log that each witness has cosigned, the latest first."""
    return whole([_cosigned_by(one) for one in control.stores.log.cosigned()])


@routes.add("POST", "/v1/log/cosigned", Scope.LOG_WITNESS, answer=One[CosignedByView], status=201)
def keep_cosigned(control: Ctl, body: CosignedRequest) -> Response:
    """Note that a witness has cosigned a checkpoint of this log, so that people see when last.

    The signature is checked, and that the checkpoint is this log's own. Whether the witness is one
    that anybody trusts is for people to say: its key is shown.
    """
    key = VerifierKey.parse(body.key)
    if key.kind != "witness":
        raise ProofInvalid("this is no key of a witness")
    origin = load_keys(control.log_key_file)[0].verifier.name
    found, (signature, *_) = open_checkpoint(body.note, [key], origin=origin)
    size, _ = control.stores.log.edge()
    if not 0 < found.size <= size:
        raise ProofInvalid(f"the log has {size} leaves and the checkpoint {found.size}")
    if checkpoint_of(origin, found.size, control.stores.log.nodes).root != found.root:
        raise ProofInvalid("the checkpoint is not one of this log")
    signed_at = datetime.fromtimestamp(signature.time_seconds, UTC)
    if signed_at > control.clock() + _CLOCKS_APART:
        raise ProofInvalid(f"the witness says that it signed at {signed_at}, which is to come")
    kept = Cosigned(key.name, str(key), found.size, found.root, signed_at)
    control.stores.log.keep_cosigned(kept)
    return one(_cosigned_by(kept), status=201)


def _cosigned_by(kept: Cosigned) -> CosignedByView:
    return CosignedByView(kept.witness, kept.key, kept.size, kept.root.hex(), kept.cosigned_at)


@routes.add("GET", "/v1/log/witness", Scope.LOG_WITNESS, answer=One[SeenView], parameters=True)
def seen(control: Ctl, query: Annotated[OriginQuery, Query()]) -> Response:
    """What this Kintsugi cosigned last of another log."""
    found = control.stores.log.witnessed(query.origin)
    if found is None:
        raise NotFound(f'nothing of the log "{query.origin}" was cosigned here yet')
    return one(SeenView(found.origin, found.size, found.root.hex(), found.seen_at))


@routes.add("POST", "/v1/log/witness", Scope.LOG_WITNESS, answer=One[CosignedView])
def witness(control: Ctl, body: WitnessRequest) -> Response:
    """Cosign another log's checkpoint, if it begins with the one that was cosigned last.

    A log that is seen for the first time is taken at its word for its keys.
    """
    told = [VerifierKey.parse(text) for text in body.keys]
    if any(key.kind != "log" for key in told):
        raise ProofInvalid("these are not a log's own keys")
    last = control.stores.log.witnessed(told[0].name)
    before = Checkpoint(last.origin, last.size, last.root) if last else None
    found, keys = check_next(
        body.note,
        [VerifierKey.parse(text) for text in last.keys] if last else (),
        told,
        seen=before,
        proof=[bytes.fromhex(text) for text in body.proof],
    )
    now = control.clock()
    kept = Witnessed(found.origin, found.size, found.root, tuple(map(str, keys)), now)
    control.stores.log.witness(kept, after=last)
    own = load_keys(control.log_key_file)[0].as_witness()
    return one(
        CosignedView(cosign(body.note, own, time_seconds=int(now.timestamp())), str(own.verifier))
    )


def checkpoint_view(control: Control) -> CheckpointView:
    """The log as it is now."""
    keys = load_keys(control.log_key_file)
    now = _head(control, keys)
    return CheckpointView(
        now.origin,
        now.size,
        now.root.hex(),
        now.sign(*keys),
        tuple(str(key.verifier) for key in keys),
    )


def event_proof_view(control: Control, event_id: str) -> EventProof:
    """The proof of an event under a fresh checkpoint.

    Raises:
        NotFound: it is not stored.
        ProofInvalid: it, or another of its batch, was changed.
    """
    found = control.stores.log.event(event_id)
    return prove_event(found.records, found.index, leaf_proof_of(control, found.leaf))


def _head(control: Control, keys: Sequence[SigningKey]) -> Checkpoint:
    size, hashes = control.stores.log.edge()
    return Checkpoint(keys[0].verifier.name, size, Edge(size, hashes).root())


def leaf_proof_of(control: Control, position: int) -> LeafProof:
    """That a leaf is in the log, under a fresh checkpoint."""
    keys = load_keys(control.log_key_file)
    leaf = control.stores.log.leaf(position)
    head = _head(control, keys)
    return prove_leaf(position, leaf.data, head, head.sign(*keys), control.stores.log.nodes)
