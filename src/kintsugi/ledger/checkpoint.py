"""Checkpoints: what a log says of itself at one size. Pure.

Source: C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint): three lines, the origin, the size
and the root hash in Base64, as a signed note.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

import msgspec

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.merkle import HASH_BYTES
from kintsugi.ledger.note import Signature, SigningKey, VerifierKey, open_note, signed

_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


class Checkpoint(msgspec.Struct, frozen=True):
    """The log ``origin`` had this root when it had this many leaves."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, *keys: SigningKey) -> str:
        """The note with the signatures of these keys; more than one while keys change."""
        return signed(self.text, *(key.sign(self.text) for key in keys))


def cosign(note: str, key: SigningKey, *, time_seconds: int) -> str:
    """The note with the signature of a witness added. Whether it may sign is its own question."""
    text, _, _ = note.rpartition("\n\n")
    return note + key.sign(text + "\n", time_seconds=time_seconds)


def open_checkpoint(
    note: str, keys: Sequence[VerifierKey], *, origin: str = ""
) -> tuple[Checkpoint, tuple[Signature, ...]]:
    """Read a checkpoint whose signature by one of these keys holds.

    Args:
        origin: the log it must be of; any when empty.

    Raises:
        ProofInvalid: the signature does not hold, or it is not such a checkpoint.
    """
    text, signatures = open_note(note, keys)
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise ProofInvalid("this is no checkpoint: origin, size and root hash stand on three lines")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        root = b""
    if len(root) != HASH_BYTES:
        raise ProofInvalid("the root hash of the checkpoint is not 32 bytes in Base64")
    if origin and lines[0] != origin:
        raise ProofInvalid(f'the checkpoint is of the log "{lines[0]}", not of "{origin}"')
    return Checkpoint(lines[0], int(lines[1]), root), signatures
