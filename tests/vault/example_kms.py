"""A plug-in as somebody would write it: the service keeps a master key and gives out data keys."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kintsugi.errors import KeyUnavailable
from kintsugi.vault.key_sources import MadeKey


class ExampleKms:
    """Its master key is in a file, where a real one would ask over the network."""

    name = "example-kms"

    def __init__(self, text: str) -> None:
        self._master = Path(text)

    def make(self, known: frozenset[str]) -> MadeKey:
        del known  # every data key of the service is a new one
        key, nonce = os.urandom(32), os.urandom(12)
        return MadeKey((nonce + self._cipher().encrypt(nonce, key, None)).hex(), key)

    def fetch(self, reference: str) -> bytes:
        wrapped = bytes.fromhex(reference)
        return self._cipher().decrypt(wrapped[:12], wrapped[12:], None)

    def _cipher(self) -> AESGCM:
        try:
            return AESGCM(self._master.read_bytes())
        except OSError as error:
            raise KeyUnavailable(f"the example service is away: {error}") from None
