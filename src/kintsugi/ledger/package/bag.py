"""The text files that make a folder a bag. Pure.

Source: BagIt 1.0 (RFC 8493). The payload lies in ``data/``; ``manifest-sha256.txt`` has the digest
of every file in it, ``tagmanifest-sha256.txt`` that of every other file but itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kintsugi.errors import ProofInvalid

DECLARATION = "bagit.txt"
INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
STATEMENT = "statement.dsse.json"
PAYLOAD = "data/"
TAG_FILES = (DECLARATION, INFO, MANIFEST, STATEMENT)

DECLARATION_TEXT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._@/-]+)")
_INFO_LINE = re.compile(r"([A-Za-z-]+): (.*)")


def manifest_text(digests: Mapping[str, str]) -> bytes:
    """A manifest: a line for each file, in the order of their names."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def read_manifest(text: bytes, *, name: str) -> dict[str, str]:
    """Digest (hex) by file.

    Raises:
        ProofInvalid: with the line at fault; only what ``manifest_text`` writes is taken, so that
            no bit of it is without meaning.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(text, name), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ProofInvalid(f"{name} line {number} is no digest and file name")
        if match[2] in found:
            raise ProofInvalid(f"{name} line {number} names {match[2]} again")
        found[match[2]] = match[1]
    return found


def info_text(fields: Iterable[tuple[str, str]]) -> bytes:
    """``bag-info.txt``."""
    return "".join(f"{label}: {' '.join(value.split())}\n" for label, value in fields).encode()


def read_info(text: bytes) -> dict[str, str]:
    """Value by label.

    Raises:
        ProofInvalid: with the line at fault.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(text, INFO), start=1):
        match = _INFO_LINE.fullmatch(line)
        if match is None:
            raise ProofInvalid(f"{INFO} line {number} is no label and value")
        found[match[1]] = match[2]
    return found


def _lines(text: bytes, name: str) -> list[str]:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ProofInvalid(f"{name} line {line} is no UTF-8") from None
    if not decoded.endswith("\n"):
        raise ProofInvalid(f"{name} ends in the middle of a line")
    return decoded[:-1].split("\n")
