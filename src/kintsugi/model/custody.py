"""Custody: who did what with evidence, when, why, and what it was before and after.

Entries are appended by whoever does the thing, and are never changed. Each is a leaf of the Merkle
log, by its digest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol

import msgspec

from kintsugi.model.ids import uuid7

CustodyAction = Literal[
    "freeze",  # evidence was pinned, so that nothing of it goes away
    "hold",  # a legal hold was placed
    "release",  # a hold or a freeze ended
    "reveal",  # unredacted content was read
    "export",  # evidence was written to a file
    "transfer",  # that file was handed to somebody, or moved
    "verify",  # somebody checked it
    "erase",  # a person's content was made unreadable
    "archive",  # it moved to cold storage, or came back
    "rotate",  # the key that wraps others was changed
    "delete",  # something went away at the end of its time
    "retention",  # how long something is kept was changed
]


class CustodyEntry(msgspec.Struct, frozen=True):
    """One act upon evidence.

    Attributes:
        id: UUIDv7.
        actor: ``NAME/ID`` of the token that asked; ``system/PART`` where nobody did.
        object: what was acted upon: ``event:ID``, ``export:ID``, ``package:ID``,
            ``subject:DIGEST``.
        reason: in the actor's words; empty where none is asked for.
        digest_before, digest_after: ``sha256:...`` of the object; empty where there was or is none.
    """

    id: str
    at: datetime
    actor: str
    action: CustodyAction
    object: str
    reason: str = ""
    digest_before: str = ""
    digest_after: str = ""


class CustodyFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which entries; an empty field does not restrict."""

    object: str = ""
    actor: str = ""
    action: str = ""


class CustodyStore(Protocol):
    """Append-only entries; each is in the Merkle log as soon as it is stored."""

    def add(self, entry: CustodyEntry) -> None:
        """Keep one.

        Raises:
            InvalidInput: its id is taken, or is no UUID.
        """

    def page(
        self, where: CustodyFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[CustodyEntry], str | None]:
        """Newest first by (at, id), and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, where: CustodyFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling``."""

    def of(self, objects: Sequence[str]) -> list[CustodyEntry]:
        """Every entry about these objects, oldest first."""


def custody_entry(
    action: CustodyAction,
    object: str,  # noqa: A002 - the field's own name
    *,
    actor: str,
    now: datetime,
    reason: str = "",
    digest_before: str = "",
    digest_after: str = "",
) -> CustodyEntry:
    """A new entry, with an id of its own."""
    identifier = uuid7(int(now.timestamp() * 1000), os.urandom(10))
    return CustodyEntry(identifier, now, actor, action, object, reason, digest_before, digest_after)


def custody_record(entry: CustodyEntry) -> bytes:
    """The entry as it is stored, packed and digested: canonical JSON."""
    return msgspec.json.encode(entry, order="deterministic")


def custody_digest(record: bytes) -> str:
    """What the leaf of an entry tells of its record."""
    return f"sha256:{sha256(record).hexdigest()}"
