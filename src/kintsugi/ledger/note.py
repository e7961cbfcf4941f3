"""Signed notes: text, and below it a line for each signature. Pure.

Source: C2SP signed-note (https://c2sp.org/signed-note) and the cosignatures of witnesses,
C2SP tlog-cosignature. A note ends with a newline; a blank line stands between it and the lines
``— NAME BASE64(key id ‖ signature)``. A verifier passes over signatures of keys that it does not
know, and refuses a wrong one of a key that it does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kintsugi.errors import ProofInvalid

_ED25519 = 0x01
_COSIGNATURE = 0x04
_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE = re.compile(r"\u2014 ([^ +]+) ([A-Za-z0-9+/=]+)")
_NAME = re.compile(r"[^\s+]+")
Kind = Literal["log", "witness"]
_ALGORITHMS: dict[Kind, int] = {"log": _ED25519, "witness": _COSIGNATURE}


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key with its name, as it is written down and handed on.

    Attributes:
        name: of the log or witness; no blanks and no plus sign.
        public: 32 bytes.
        kind: ``log`` signs the text; ``witness`` signs the text with the time at which it saw it.
    """

    name: str
    public: bytes
    kind: Kind = "log"

    @property
    def id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        algorithm = bytes([_ALGORITHMS[self.kind]])
        return sha256(self.name.encode() + b"\n" + algorithm + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """``NAME+ID+KEY``, see the specification."""
        key = base64.b64encode(bytes([_ALGORITHMS[self.kind]]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``NAME+ID+KEY``.

        Raises:
            ProofInvalid: it is none, or its id is not that of the key.
        """
        name, _, rest = text.strip().partition("+")
        id_hex, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        kind = next(
            (kind for kind, number in _ALGORITHMS.items() if raw[:1] == bytes([number])), None
        )
        if not _NAME.fullmatch(name) or kind is None or len(raw) != 33:
            raise ProofInvalid("this is no verifier key; one looks like NAME+0a1b2c3d+BASE64")
        key = cls(name, raw[1:], kind)
        if key.id.hex() != id_hex:
            raise ProofInvalid(f"the id of the key {name} is {key.id.hex()}, not {id_hex[:16]}")
        return key


class SigningKey:
    """A private key with its name. Shows itself nowhere."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, private: Ed25519PrivateKey, kind: Kind = "log") -> None:
        if not _NAME.fullmatch(name):
            raise ValueError("the name of a key has no blanks and no plus sign")
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw(), kind)

    @classmethod
    def from_seed(cls, name: str, seed: bytes, kind: Kind = "log") -> SigningKey:
        """The key that 32 secret bytes make."""
        return cls(name, Ed25519PrivateKey.from_private_bytes(seed), kind)

    def as_witness(self) -> SigningKey:
        """The same key under the same name, for cosigning what other logs signed."""
        return SigningKey(self.verifier.name, self._private, "witness")

    def sign(self, text: str, *, time_seconds: int = 0) -> str:
        """The signature line for a note's text.

        Args:
            time_seconds: POSIX time at which a witness saw it.
        """
        signature = self._private.sign(_signed(text, self.verifier.kind, time_seconds))
        if self.verifier.kind == "witness":
            signature = time_seconds.to_bytes(_TIME_BYTES, "big") + signature
        encoded = base64.b64encode(self.verifier.id + signature).decode()
        return f"\u2014 {self.verifier.name} {encoded}\n"

    def raw_sign(self, message: bytes) -> bytes:
        """An Ed25519 signature of bytes that carry their own type, as DSSE's do."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a SigningKey is not pickled")


class Signature(msgspec.Struct, frozen=True):
    """A signature that held.

    Attributes:
        time_seconds: when a witness saw the note; 0 for a log's own.
    """

    key: VerifierKey
    time_seconds: int = 0


def signed(text: str, *signatures: str) -> str:
    """A note with its signature lines."""
    return f"{text}\n{''.join(signatures)}"


def open_note(note: str, keys: Sequence[VerifierKey]) -> tuple[str, tuple[Signature, ...]]:
    """The text of a note, and the signatures of these keys on it.

    Raises:
        ProofInvalid: it is no note, none of the keys signed it, or a signature of one is wrong.
    """
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise ProofInvalid("this is no signed note: a blank line and signatures are missing")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    found: list[Signature] = []
    for line in lines[:-1].split("\n"):
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise ProofInvalid(f"this is no signature line: {line[:40]!r}")
        try:
            raw = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            raise ProofInvalid(f"the signature of {match[1]} is no Base64") from None
        if base64.b64encode(raw).decode() != match[2]:
            # Base64 has bits to spare at its end; one that is set is a changed one.
            raise ProofInvalid(f"the signature of {match[1]} is not written as Base64 is")
        key = known.get((match[1], raw[:_KEY_ID_BYTES]))
        if key is not None:
            found.append(_verified(key, text, raw[_KEY_ID_BYTES:]))
    if not found:
        names = ", ".join(sorted({key.name for key in keys})) or "no key"
        raise ProofInvalid(f"the note is signed by none of the keys given ({names})")
    return text, tuple(found)


def _verified(key: VerifierKey, text: str, raw: bytes) -> Signature:
    time_seconds = 0
    if key.kind == "witness":
        time_seconds = int.from_bytes(raw[:_TIME_BYTES], "big")
        raw = raw[_TIME_BYTES:]
    try:
        public = Ed25519PublicKey.from_public_bytes(key.public)
        public.verify(raw, _signed(text, key.kind, time_seconds))
    except InvalidSignature:
        raise ProofInvalid(f"the signature of {key.name} does not fit the note") from None
    return Signature(key, time_seconds)


def _signed(text: str, kind: Kind, time_seconds: int) -> bytes:
    """What is signed: the text, below the time for a witness."""
    if kind == "log":
        return text.encode()
    return f"cosignature/v1\ntime {time_seconds}\n{text}".encode()
