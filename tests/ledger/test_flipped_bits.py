"""One flipped bit in what is kept elsewhere, a checkpoint or a proof, is found out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.merkle import Edge
from kintsugi.ledger.proof import EventProof, prove_event, prove_leaf, verify_event
from tests.control_plane import make_event
from tests.ledger.packages import KEY, filled


def proof() -> bytes:
    """The proof of one event among eight, as `kt log prove --to` writes it."""
    stores = filled()
    size, hashes = stores.log.edge()
    checkpoint = Checkpoint("test/log", size, Edge(size, hashes).root())
    found = stores.log.event(make_event(6).id)
    data = stores.log.leaf(found.leaf).data
    leaf = prove_leaf(found.leaf, data, checkpoint, checkpoint.sign(KEY), stores.log.nodes)
    return msgspec.json.encode(prove_event(found.records, found.index, leaf))


PROOF = proof()
NOTE = msgspec.json.decode(PROOF, type=EventProof).leaf.checkpoint.encode()


def flipped(text: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(text)
    changed[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(changed)


@given(data=st.data())
def test_of_an_exported_checkpoint(data: st.DataObject) -> None:
    open_checkpoint(NOTE.decode(), [KEY.verifier])
    with pytest.raises((ProofInvalid, UnicodeDecodeError)):
        open_checkpoint(flipped(NOTE, data).decode(), [KEY.verifier])


def test_of_every_bit_of_a_checkpoint() -> None:
    for at in range(len(NOTE) * 8):
        changed = bytearray(NOTE)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises((ProofInvalid, UnicodeDecodeError)):
            open_checkpoint(changed.decode(), [KEY.verifier])


@given(data=st.data())
def test_of_a_proof(data: st.DataObject) -> None:
    verify_event(msgspec.json.decode(PROOF, type=EventProof), [KEY.verifier])
    with pytest.raises((ProofInvalid, msgspec.MsgspecError, UnicodeDecodeError)):
        verify_event(msgspec.json.decode(flipped(PROOF, data), type=EventProof), [KEY.verifier])
