"""Proofs that travel, and a witness: what holds, and every way in which it may not."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.leaves import EventsLeaf, batch_root, leaf_data
from kintsugi.ledger.merkle import Edge, Node, append, consistency_proof, edge_of, leaf_hash
from kintsugi.ledger.note import SigningKey, VerifierKey
from kintsugi.ledger.proof import EventProof, prove_event, prove_leaf, verify_event, verify_leaf
from kintsugi.ledger.witness import check_next

KEY = SigningKey.from_seed("test/log", bytes(32))
NEW = SigningKey.from_seed("test/log", bytes([1]) * 32)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
RECORDS = [f'{{"id":"event-{number}"}}' for number in range(5)]


class Log:
    """A log of batches."""

    def __init__(self, batches: int, *, first: str = "a") -> None:
        self.nodes: dict[Node, bytes] = {}
        self.edge = Edge()
        self.data: list[str] = []
        for number in range(batches):
            root = batch_root([f"{first}{number}".encode()])
            if number == 3:
                root = batch_root([record.encode() for record in RECORDS])
            count = len(RECORDS) if number == 3 else 1
            data = leaf_data(EventsLeaf(number * 10 + 1, number * 10 + count, root, NOW))
            self.data.append(data.decode())
            self.edge, complete = append(self.edge, [leaf_hash(data)])
            self.nodes.update(complete)

    def read(self, nodes: list[Node]) -> list[bytes]:
        return [self.nodes[node] for node in nodes]

    def checkpoint(self, size: int = 0) -> Checkpoint:
        size = size or self.edge.size
        return Checkpoint("test/log", size, edge_of(size, self.read).root())  # type: ignore[arg-type]

    def event(self, index: int) -> EventProof:
        head = self.checkpoint()
        leaf = prove_leaf(3, self.data[3], head, head.sign(KEY), self.read)  # type: ignore[arg-type]
        return prove_event(RECORDS, index, leaf)


LOG = Log(9)


@pytest.mark.parametrize("index", range(len(RECORDS)))
def test_an_event_is_proven_through_its_batch(index: int) -> None:
    checkpoint, (signature,) = verify_event(LOG.event(index), [KEY.verifier], origin="test/log")
    assert checkpoint == LOG.checkpoint()
    assert signature.key == KEY.verifier


def test_a_proof_survives_being_written_down() -> None:
    text = msgspec.json.encode(LOG.event(2))
    verify_event(msgspec.json.decode(text, type=EventProof), [KEY.verifier])


PROOF_TEXT = msgspec.json.encode(LOG.event(2)).decode()


@given(st.integers(0, len(PROOF_TEXT) - 1), st.integers(0, 6))
def test_no_bit_of_a_proof_can_be_turned(place: int, bit: int) -> None:
    turned = chr(ord(PROOF_TEXT[place]) ^ (1 << bit))
    text = PROOF_TEXT[:place] + turned + PROOF_TEXT[place + 1 :]
    try:
        proof = msgspec.json.decode(text, type=EventProof)
    except msgspec.MsgspecError:
        return
    assert proof != LOG.event(2)
    with pytest.raises(ProofInvalid):
        verify_event(proof, [KEY.verifier], origin="test/log")


def test_records_that_were_changed_or_lost_prove_nothing() -> None:
    leaf = LOG.event(0).leaf
    with pytest.raises(ProofInvalid, match="was changed"):
        prove_event([*RECORDS[:4], "other"], 0, leaf)
    with pytest.raises(ProofInvalid, match="5 events when it was recorded; 4 are stored"):
        prove_event(RECORDS[:4], 0, leaf)


def test_a_leaf_of_another_kind_proves_no_event() -> None:
    leaf = msgspec.structs.replace(LOG.event(0).leaf, data='{"kind":"configuration"}')
    with pytest.raises(ProofInvalid, match="no leaf"):
        prove_event(RECORDS, 0, leaf)


def test_a_proof_under_a_key_that_is_not_known_is_none() -> None:
    with pytest.raises(ProofInvalid, match="none of the keys"):
        verify_leaf(LOG.event(0).leaf, [NEW.verifier])


# The witness


def next_seen(
    note: str,
    *,
    seen: Checkpoint | None,
    log: Log = LOG,
    known: tuple[VerifierKey, ...] = (KEY.verifier,),
    told: tuple[VerifierKey, ...] = (KEY.verifier,),
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    proof: tuple[bytes, ...] = ()
    if seen is not None and 0 < seen.size < log.edge.size:
        proof = consistency_proof(seen.size, log.edge.size, log.read)  # type: ignore[arg-type]
    return check_next(note, known, told, seen=seen, proof=proof)


def test_a_log_that_grew_is_signed() -> None:
    found, keys = next_seen(LOG.checkpoint().sign(KEY), seen=LOG.checkpoint(4))
    assert found == LOG.checkpoint()
    assert keys == (KEY.verifier,)


def test_a_log_seen_for_the_first_time_is_taken_at_its_word() -> None:
    found, keys = next_seen(LOG.checkpoint().sign(KEY), seen=None, known=())
    assert (found.size, keys) == (9, (KEY.verifier,))


def test_the_same_checkpoint_again_is_signed() -> None:
    next_seen(LOG.checkpoint().sign(KEY), seen=LOG.checkpoint())


@pytest.mark.parametrize("size", [4, 9])
def test_a_log_that_was_rewritten_is_refused_with_both_roots(size: int) -> None:
    other = Log(9, first="b")
    with pytest.raises(ProofInvalid, match="another history") as refusal:
        next_seen(other.checkpoint().sign(KEY), seen=LOG.checkpoint(size), log=other)
    assert LOG.checkpoint(size).root.hex() in str(refusal.value)
    assert other.checkpoint().root.hex() in str(refusal.value)


def test_a_log_that_shrank_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="shrunk"):
        next_seen(LOG.checkpoint(4).sign(KEY), seen=LOG.checkpoint())


def test_a_new_key_is_taken_over_with_the_old_one_s_signature() -> None:
    told = (NEW.verifier, KEY.verifier)
    _, keys = next_seen(LOG.checkpoint().sign(NEW, KEY), seen=LOG.checkpoint(4), told=told)
    assert set(keys) == set(told)
    with pytest.raises(ProofInvalid, match="none of the keys"):
        next_seen(LOG.checkpoint().sign(NEW), seen=LOG.checkpoint(4), told=(NEW.verifier,))


def test_a_key_of_another_name_cannot_sign() -> None:
    other = SigningKey.from_seed("other/log", bytes(32))
    with pytest.raises(ProofInvalid):
        next_seen(LOG.checkpoint().sign(other), seen=None, known=(), told=(other.verifier,))
