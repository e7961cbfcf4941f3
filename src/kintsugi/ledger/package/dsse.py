"""DSSE envelopes around in-toto statements: signed bytes that say what they are. Pure.

Source: DSSE 1.0.0 (https://github.com/secure-systems-lab/dsse) and in-toto Statement v1. The
signature is over ``DSSEv1 <bytes of type> <type> <bytes of body> <body>``, so that it can never be
taken for one over a checkpoint, which begins with the name of a log.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.note import SigningKey, VerifierKey
from kintsugi.ledger.package.contents import NOT_JSON

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


class Signature(msgspec.Struct, frozen=True):
    """A signature; ``keyid`` only helps to find the key, and is never trusted."""

    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A body with its type and signatures."""

    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


class Subject(msgspec.Struct, frozen=True):
    """A file that a statement is about."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True, rename={"type": "_type"}):
    """What is said of the subjects."""

    type: str
    subject: tuple[Subject, ...]
    predicateType: str  # noqa: N815 - the standard's name
    predicate: dict[str, Any]


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def seal(statement: Statement, keys: Sequence[SigningKey]) -> bytes:
    """The envelope of a statement with a signature of each key, as JSON."""
    body = msgspec.json.encode(statement)
    signed = pae(PAYLOAD_TYPE, body)
    envelope = Envelope(
        base64.b64encode(body).decode(),
        PAYLOAD_TYPE,
        tuple(
            Signature(base64.b64encode(key.raw_sign(signed)).decode(), key_id(key.verifier))
            for key in keys
        ),
    )
    return envelope_text(envelope)


def envelope_text(envelope: Envelope) -> bytes:
    """The one way in which an envelope is written here."""
    return msgspec.json.format(msgspec.json.encode(envelope)) + b"\n"


def key_id(key: VerifierKey) -> str:
    """How an envelope names a key: ``NAME+ID`` of its verifier key."""
    return f"{key.name}+{key.id.hex()}"


def open_envelope(text: bytes) -> tuple[bytes, Envelope]:
    """The body of an envelope, not checked yet.

    Raises:
        ProofInvalid: it is no envelope around an in-toto statement.
    """
    try:
        envelope = msgspec.json.decode(text, type=Envelope)
    except NOT_JSON as error:
        raise ProofInvalid(f"this is no DSSE envelope: {error}") from None
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ProofInvalid(f'the envelope holds "{envelope.payload_type}", not {PAYLOAD_TYPE}')
    return _decoded(envelope.payload), envelope


def read_statement(body: bytes) -> Statement:
    """The statement of a body.

    Raises:
        ProofInvalid: it is none.
    """
    try:
        statement = msgspec.json.decode(body, type=Statement)
    except NOT_JSON as error:
        raise ProofInvalid(f"this is no in-toto statement: {error}") from None
    if statement.type != STATEMENT_TYPE:
        raise ProofInvalid(f'this is a statement of the kind "{statement.type}"')
    return statement


def signed_by(envelope: Envelope, body: bytes, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Those of the keys that signed it, whatever the envelope calls them."""
    message = pae(envelope.payload_type, body)
    return [
        key
        for key in keys
        if any(_holds(key, _signature(one.sig), message) for one in envelope.signatures)
    ]


def _holds(key: VerifierKey, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signature(text: str) -> bytes:
    try:
        return _decoded(text)
    except ProofInvalid:
        return b""


def _decoded(text: str) -> bytes:
    """Base64 in either alphabet, as DSSE asks of verifiers."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise ProofInvalid("the payload of the envelope is no Base64") from None
