"""The keys that sign checkpoints, in a file that only their owner can read.

One line for each key, ``NAME SEED`` with 32 bytes of seed in hex; the first one is the newest.
While keys change the file holds two, and checkpoints carry both signatures, so that whoever knows
either can verify them.
"""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kintsugi.durable import write_whole
from kintsugi.errors import EvidenceUnavailable
from kintsugi.ledger.note import SigningKey

_SEED_BYTES = 32
_KEYS_MAX = 2


def load_keys(path: Path) -> tuple[SigningKey, ...]:
    """The keys of a file, the newest first; made on first use.

    Raises:
        EvidenceUnavailable: the file cannot be read or made, is open to others, or holds no keys.
    """
    try:
        if not path.exists():
            name = f"kintsugi-{secrets.token_hex(4)}/log"
            _write(path, [f"{name} {secrets.token_hex(_SEED_BYTES)}"])
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise EvidenceUnavailable(
                f"{path} can be read by others than its owner; run: chmod 600 {path}"
            )
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvidenceUnavailable(f"the log's key cannot be read from {path}: {error}") from None
    try:
        keys = tuple(
            SigningKey.from_seed(name, bytes.fromhex(seed))
            for name, seed in (line.split(" ") for line in lines if line)
        )
    except ValueError:
        raise EvidenceUnavailable(
            f"{path} does not hold lines of a name and 64 hexadecimal digits"
        ) from None
    if not keys or len({key.verifier.name for key in keys}) != 1:
        raise EvidenceUnavailable(f"{path} must hold keys of one name, and at least one")
    return keys


def derived_keys(path: Path, purpose: str) -> tuple[bytes, ...]:
    """A key of 32 bytes for another purpose from each key of a file, the newest first (HKDF-SHA256,
    RFC 5869): what control planes that share a database share without another file.

    Raises:
        EvidenceUnavailable: see ``load_keys``.
    """
    load_keys(path)
    lines = path.read_text(encoding="ascii").splitlines()
    return tuple(
        HKDF(SHA256(), _SEED_BYTES, None, f"kintsugi {purpose}".encode()).derive(
            bytes.fromhex(line.split(" ")[1])
        )
        for line in lines
        if line
    )


def rotate_keys(path: Path) -> tuple[SigningKey, ...]:
    """Begin a new key; the one before stays beside it, and older ones are forgotten.

    Raises:
        EvidenceUnavailable: see ``load_keys``.
    """
    name = load_keys(path)[0].verifier.name
    before = [line for line in path.read_text(encoding="ascii").splitlines() if line]
    _write(path, [f"{name} {secrets.token_hex(_SEED_BYTES)}", *before[: _KEYS_MAX - 1]])
    return load_keys(path)


def _write(path: Path, lines: list[str]) -> None:
    """Replace the file whole: a torn key would end the log's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())
