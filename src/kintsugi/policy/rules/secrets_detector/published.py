"""Keys that stand in public examples: everybody has them, so nothing is lost with them.

Kept as digests, so that scanners of this repository find no keys in it. From the values that
gitleaks (MIT) allows for its rule ``gcp-api-key``: keys of Google's own public samples.
"""

from __future__ import annotations

from hashlib import sha256

DIGEST_CHARS = 16

PUBLISHED = frozenset(
    {
        "0b476bdf9acf2123",
        "2037abcaffb2b777",
        "27a9a42931dff7eb",
        "37f8f09bdf12c2f2",
        "3a8b61d0f636b007",
        "3f370c9dd8225c63",
        "49f777db995e8260",
        "4c98242dcadc8b29",
        "8731261cb72d8626",
        "a19f89ab3555eac1",
        "a6c814bc555ae62c",
        "dc0fcf046c61640c",
        "e4a5542bb7fd7b67",
        "ea9bb1082cf95663",
        "eb540d2b6ee2a0a4",
    }
)


def published(value: str) -> bool:
    """Whether a value is one of the known public examples."""
    return sha256(value.encode("utf-8", "replace")).hexdigest()[:DIGEST_CHARS] in PUBLISHED
