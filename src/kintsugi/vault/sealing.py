"""Payloads sealed under data keys, and data keys wrapped by key-encryption keys. Pure.

A sealed payload is one byte of version, a nonce, and AES-256-GCM over 32 bytes of salt and the
deflated text; the event's id and the data key's are authenticated with it, so that a row that was
moved to another event does not open. The digest that stands in the event's record is over salt and
text: it binds the record to the content, and without the salt nobody finds the content by trying.

Nonces are random. A key may seal 2^32 payloads before the chance that one repeats reaches 2^-32
(NIST SP 800-38D §8.3); one subject does not come near.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_SALT_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_VERSION: Final = b"\x01"
_CONTENT: Final = b"kintsugi payload v1\0"
_WRAPPED: Final = b"kintsugi data key v1\0"
_IDENTITY: Final = b"kintsugi key id v1\0"
_RAW_DEFLATE: Final = -15


class CannotOpen(Exception):
    """The bytes are not what was sealed under this key, for this event."""


class Sealed(NamedTuple):
    """What is stored, and what the record says of it."""

    data: bytes
    digest: str


def new_key() -> bytes:
    """A key of 256 random bits."""
    return os.urandom(KEY_BYTES)


def key_id(key: bytes) -> str:
    """What a key-encryption key is called: 16 hex digits that tell nothing about it."""
    return sha256(_IDENTITY + key).hexdigest()[:16]


def seal(text: bytes, key: bytes, *, data_key: bytes, event: bytes) -> Sealed:
    """Seal a payload's text.

    Args:
        key: the data key; ``data_key`` is its id.
        event: the event's id, 16 bytes.
    """
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    packed = salt + zlib.compress(text, 1, _RAW_DEFLATE)
    sealed = _cipher(key).encrypt(nonce, packed, _CONTENT + data_key + event)
    return Sealed(_VERSION + nonce + sealed, content_digest(salt, text))


def unseal(data: bytes, key: bytes, *, data_key: bytes, event: bytes) -> tuple[bytes, str]:
    """The text of a payload and its digest.

    Raises:
        CannotOpen: one bit of it changed, or it is another event's.
    """
    if data[:1] != _VERSION or len(data) < 1 + _NONCE_BYTES + _TAG_BYTES + _SALT_BYTES:
        raise CannotOpen
    nonce, sealed = data[1 : 1 + _NONCE_BYTES], data[1 + _NONCE_BYTES :]
    try:
        packed = _cipher(key).decrypt(nonce, sealed, _CONTENT + data_key + event)
        text = zlib.decompress(packed[_SALT_BYTES:], _RAW_DEFLATE)
    except (InvalidTag, zlib.error):
        raise CannotOpen from None
    return text, content_digest(packed[:_SALT_BYTES], text)


def content_digest(salt: bytes, text: bytes) -> str:
    """``sha256:...`` over salt and text, as records carry it."""
    return f"sha256:{sha256(_CONTENT + salt + text).hexdigest()}"


def wrap(key: bytes, by: bytes, *, data_key: bytes) -> bytes:
    """A data key as it is stored: sealed by a key-encryption key."""
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + _cipher(by).encrypt(nonce, key, _WRAPPED + data_key)


def unwrap(wrapped: bytes, by: bytes, *, data_key: bytes) -> bytes:
    """The data key.

    Raises:
        CannotOpen: it was changed, is another subject's, or was wrapped by another key.
    """
    nonce, sealed = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
    try:
        if wrapped[:1] != _VERSION:
            raise CannotOpen
        return _cipher(by).decrypt(nonce, sealed, _WRAPPED + data_key)
    except (InvalidTag, ValueError):
        raise CannotOpen from None


@lru_cache(maxsize=1024)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)
