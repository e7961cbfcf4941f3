"""Signed notes and checkpoints, with the specification's own example, and forgeries."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, cosign, open_checkpoint
from kintsugi.ledger.merkle import EMPTY_ROOT, leaf_hash
from kintsugi.ledger.note import SigningKey, VerifierKey, open_note, signed

# From the documentation of Go's note package, whose format signed-note describes.
PETER = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
LOG = SigningKey.from_seed("kintsugi.example/log", bytes(range(32)))
NEXT = SigningKey.from_seed("kintsugi.example/log", bytes(range(1, 33)))
WITNESS = SigningKey.from_seed("witness.example", bytes(range(2, 34)), "witness")
CHECKPOINT = Checkpoint("kintsugi.example/log", 7, leaf_hash(b"root"))


def test_the_published_example_opens() -> None:
    text, (signature,) = open_note(PETERS_NOTE, [PETER])
    assert text.startswith("If you think")
    assert signature.key == PETER


@given(st.integers(0, len(PETERS_NOTE) - 1), st.integers(0, 6))
def test_no_bit_of_a_note_can_be_turned(place: int, bit: int) -> None:
    turned = chr(ord(PETERS_NOTE[place]) ^ (1 << bit))
    with pytest.raises(ProofInvalid):
        open_note(PETERS_NOTE[:place] + turned + PETERS_NOTE[place + 1 :], [PETER])


def test_a_checkpoint_comes_back() -> None:
    note = CHECKPOINT.sign(LOG)
    assert note.startswith("kintsugi.example/log\n7\n")
    found, (signature,) = open_checkpoint(note, [LOG.verifier], origin="kintsugi.example/log")
    assert found == CHECKPOINT
    assert signature.time_seconds == 0


def test_an_empty_log_has_a_checkpoint_too() -> None:
    empty = Checkpoint("log", 0, EMPTY_ROOT)
    assert open_checkpoint(empty.sign(LOG), [LOG.verifier])[0] == empty


def test_while_keys_change_both_verify() -> None:
    note = CHECKPOINT.sign(LOG, NEXT)
    assert LOG.verifier.id != NEXT.verifier.id
    for key in (LOG.verifier, NEXT.verifier):
        assert open_checkpoint(note, [key])[0] == CHECKPOINT
    assert len(open_checkpoint(note, [LOG.verifier, NEXT.verifier])[1]) == 2


def test_a_witness_signs_with_its_time() -> None:
    note = cosign(CHECKPOINT.sign(LOG), WITNESS, time_seconds=1_790_000_000)
    _, signatures = open_checkpoint(note, [LOG.verifier, WITNESS.verifier])
    assert [one.time_seconds for one in signatures] == [0, 1_790_000_000]


def test_unknown_signatures_are_passed_over_and_one_known_is_needed() -> None:
    note = cosign(CHECKPOINT.sign(LOG), WITNESS, time_seconds=1)
    assert len(open_checkpoint(note, [LOG.verifier])[1]) == 1
    with pytest.raises(ProofInvalid, match="none of the keys"):
        open_checkpoint(note, [NEXT.verifier])
    with pytest.raises(ProofInvalid, match="none of the keys"):
        open_checkpoint(note, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log\n7\n", "three lines"),
        ("log\n07\nAAAA\n", "three lines"),
        ("\n7\nAAAA\n", "three lines"),
        ("log\n7\nAAAA\n", "32 bytes"),
        ("log\n7\n!\n", "32 bytes"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str, words: str) -> None:
    with pytest.raises(ProofInvalid, match=words):
        open_checkpoint(signed(text, LOG.sign(text)), [LOG.verifier])


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(ProofInvalid, match='not of "other"'):
        open_checkpoint(CHECKPOINT.sign(LOG), [LOG.verifier], origin="other")


@pytest.mark.parametrize(
    "note", ["", "text\n", "text\n\n", "text\n\nno signature\n", "a\n\n\u2014 x !\n"]
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(ProofInvalid):
        open_note(note, [PETER])


def test_a_key_is_written_and_read() -> None:
    for key in (LOG.verifier, WITNESS.verifier):
        assert VerifierKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "text",
    ["", "name", "name+00000000+AAAA", f"other{PETER}", str(PETER)[:-4], "a b+c74f20a3+ARpc"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ProofInvalid):
        VerifierKey.parse(text)


def test_a_private_key_shows_itself_nowhere() -> None:
    assert bytes(range(32)).hex() not in repr(LOG)
    with pytest.raises(TypeError):
        pickle.dumps(LOG)
    with pytest.raises(ValueError, match="no blanks"):
        SigningKey.from_seed("a b", bytes(32))
