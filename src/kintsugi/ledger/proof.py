"""Proofs that travel: everything it takes to check that something is in the log, in one document.

Pure. Whoever checks one needs the document, the log's verifier key, and no trust in who sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.leaves import EventsLeaf, Leaf, ProofLeaf
from kintsugi.ledger.merkle import (
    Edge,
    Node,
    ReadNodes,
    append,
    edge_of,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
)
from kintsugi.ledger.note import Signature, VerifierKey

_leaf = msgspec.json.Decoder(Leaf)


class LeafProof(msgspec.Struct, frozen=True):
    """A leaf, and the way from it to the root of a checkpoint.

    Attributes:
        data: the leaf; its hash is SHA-256 of a zero byte and these bytes.
        hashes: hex, from the lowest to the highest.
        checkpoint: the signed note.
    """

    position: int
    data: str
    hashes: tuple[str, ...]
    checkpoint: str


class EventProof(msgspec.Struct, frozen=True):
    """An event, the way to the root of its batch, and the proof of the batch's leaf.

    Attributes:
        record: as stored, without its payload.
        index: place in the batch, from 0.
        hashes: hex, from the lowest to the highest, within the batch.
    """

    record: str
    index: int
    hashes: tuple[str, ...]
    leaf: LeafProof


class RedGreenProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A red/green proof with both of its runs, and the proof of the leaf that holds its digest.

    Attributes:
        record: canonical JSON, as it is digested.
    """

    record: str
    leaf: LeafProof


def prove_leaf(
    position: int, data: str, checkpoint: Checkpoint, note: str, read: ReadNodes
) -> LeafProof:
    """The proof of a leaf under a checkpoint."""
    hashes = inclusion_proof(position, checkpoint.size, read)
    return LeafProof(position, data, _hex(hashes), note)


def record_hash(record: str | bytes) -> bytes:
    """The hash of a record; of one that has expired, only that is left."""
    return record if isinstance(record, bytes) else leaf_hash(record.encode())


def prove_event(records: Sequence[str | bytes], index: int, leaf: LeafProof) -> EventProof:
    """The proof of one of the records of a batch, of which others may be hashes alone.

    Raises:
        ProofInvalid: the records are not those that the leaf tells of: they were changed since.
    """
    nodes: dict[Node, bytes] = {}
    edge, complete = append(Edge(), [record_hash(record) for record in records])
    nodes.update(complete)
    told = _batch(leaf.data)
    if told.last_position - told.first_position + 1 != len(records):
        expected = told.last_position - told.first_position + 1
        raise ProofInvalid(
            f"the batch of this event had {expected} events when it was recorded; "
            f"{len(records)} are stored"
        )
    if edge.root().hex() != told.root:
        raise ProofInvalid(
            "the stored records of this event's batch are not those that were recorded: "
            "at least one of them was changed"
        )
    hashes = inclusion_proof(index, edge.size, lambda places: [nodes[place] for place in places])
    proven = records[index]
    if isinstance(proven, bytes):
        raise ProofInvalid("the record of this event has expired; only its hash is left")
    return EventProof(proven, index, _hex(hashes), leaf)


def verify_leaf(
    proof: LeafProof, keys: Sequence[VerifierKey], *, origin: str = ""
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Check that a leaf is in the log of a checkpoint that one of these keys signed.

    Raises:
        ProofInvalid: it is not.
    """
    checkpoint, signatures = open_checkpoint(proof.checkpoint, keys, origin=origin)
    verify_inclusion(
        leaf_hash(proof.data.encode()),
        proof.position,
        checkpoint.size,
        _bytes(proof.hashes),
        checkpoint.root,
    )
    return checkpoint, signatures


def verify_event(
    proof: EventProof, keys: Sequence[VerifierKey], *, origin: str = ""
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Check that an event's record is in a batch that is in the log.

    Raises:
        ProofInvalid: it is not.
    """
    checkpoint, signatures = verify_leaf(proof.leaf, keys, origin=origin)
    batch = _batch(proof.leaf.data)
    size = batch.last_position - batch.first_position + 1
    record, root = leaf_hash(proof.record.encode()), _bytes([batch.root])[0]
    verify_inclusion(record, proof.index, size, _bytes(proof.hashes), root)
    return checkpoint, signatures


def verify_red_green(
    proof: RedGreenProof, keys: Sequence[VerifierKey], *, origin: str = ""
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Check that a red/green proof is what a leaf in the log says.

    Raises:
        ProofInvalid: it is not.
    """
    checkpoint, signatures = verify_leaf(proof.leaf, keys, origin=origin)
    told = _told(proof.leaf.data)
    if not isinstance(told, ProofLeaf):
        raise ProofInvalid("this leaf tells of no red/green proof")
    if told.record_digest != f"sha256:{sha256(proof.record.encode()).hexdigest()}":
        raise ProofInvalid(f"the record of {told.id} is not what the log says: it was changed")
    return checkpoint, signatures


def checkpoint_of(origin: str, size: int, read: ReadNodes) -> Checkpoint:
    """What a checkpoint at an earlier size said."""
    return Checkpoint(origin, size, edge_of(size, read).root())


def _batch(data: str) -> EventsLeaf:
    leaf = _told(data)
    if not isinstance(leaf, EventsLeaf):
        raise ProofInvalid("this leaf tells of no events")
    return leaf


def _told(data: str) -> Leaf:
    try:
        leaf: Leaf = _leaf.decode(data)
    except msgspec.MsgspecError as error:
        raise ProofInvalid(f"this is no leaf: {error}") from None
    return leaf


def _hex(hashes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(found.hex() for found in hashes)


def _bytes(hashes: Sequence[str]) -> list[bytes]:
    try:
        found = [bytes.fromhex(text) for text in hashes]
    except ValueError:
        raise ProofInvalid("a hash of the proof is no hexadecimal number") from None
    # One spelling only: a proof in which something was changed is not the proof that was given.
    if _hex(found) != tuple(hashes):
        raise ProofInvalid("a hash of the proof is not in lower-case hexadecimal digits")
    return found
