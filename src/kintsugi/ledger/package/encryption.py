"""Packages for named recipients only: the age format (https://age-encryption.org/v1).

Whole files pass through in chunks. Each chunk is authenticated, so a changed bit is found out
before anything behind it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pyrage import (
    DecryptError,
    IdentityError,
    RecipientError,
    decrypt_io,
    encrypt_io,
    ssh,
    x25519,
)

from kintsugi.errors import InvalidInput, ProofInvalid

# pyrage brings no types: x25519 or ssh, Recipient and Identity.
Recipient: TypeAlias = Any
Identity: TypeAlias = Any


def parse_recipient(text: str) -> Recipient:
    """``age1...`` or a line of an SSH public key.

    Raises:
        InvalidInput: it is neither.
    """
    kind = ssh.Recipient if text.startswith("ssh-") else x25519.Recipient
    try:
        return kind.from_str(text.strip())
    except RecipientError:
        raise InvalidInput(
            f'"{text[:70]}" is no recipient; one looks like age1... or ssh-ed25519 AAAA...'
        ) from None


def read_identities(file: Path) -> list[Identity]:
    """The identities in a file of ``age-keygen``, or an SSH private key.

    Raises:
        InvalidInput: it holds none.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if "PRIVATE KEY-----" in text:
            return [ssh.Identity.from_buffer(text.encode())]
        lines = (line.strip() for line in text.splitlines())
        found: list[Identity] = [
            x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")
        ]
    except (OSError, UnicodeDecodeError, IdentityError) as error:
        raise InvalidInput(f"{file} holds no age identity: {error}") from None
    if not found:
        raise InvalidInput(f"{file} holds no age identity; one looks like AGE-SECRET-KEY-1...")
    return found


def encrypt(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Write a file that only these recipients can read.

    Raises:
        InvalidInput: one of them is no recipient.
    """
    parsed = [parse_recipient(text) for text in recipients]
    with source.open("rb") as plain, target.open("xb") as sealed:
        encrypt_io(plain, sealed, parsed)


def decrypt(source: Path, target: Path, identities: Sequence[Identity]) -> None:
    """Write what an age file holds.

    Raises:
        ProofInvalid: it was changed or cut, or it is for others.
    """
    try:
        with source.open("rb") as sealed, target.open("xb") as plain:
            decrypt_io(sealed, plain, identities)
    except (DecryptError, OSError, ValueError) as error:
        raise ProofInvalid(
            f"it cannot be decrypted: it was changed or cut short, or is for others ({error})"
        ) from None
