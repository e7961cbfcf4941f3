"""The audit log: who called what, and what became of it.

Entries are appended by the layer that every request passes, and are never changed. Each is a leaf
of the Merkle log, by its digest. What was done with evidence stands in custody besides, with its
reason and digests, under the same actor.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol

import msgspec

AuditResult = Literal["done", "refused", "failed"]


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call.

    Attributes:
        id: UUIDv7.
        actor: ``NAME/ID`` of the person or token; empty where nobody could be identified.
        operation: the route, as the OpenAPI document names it: ``declare_incident``.
        object: the path that was asked for, with its ids.
        result: ``refused`` is a decision (4xx), ``failed`` is not (5xx).
        permission: what the route asks for, where the caller lacked it.
        code: of the problem, where there was one.
        address: of the other end of the connection.
        request_id: as the caller sent it in ``X-Request-ID``, else one that was made here; the
            answer carries it.
        dry_run: nothing was to be changed.
    """

    id: str
    at: datetime
    actor: str
    operation: str
    method: str
    object: str
    result: AuditResult
    status: int
    request_id: str
    permission: str = ""
    code: str = ""
    address: str = ""
    dry_run: bool = False


class AuditFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which entries; an empty field does not restrict.

    Attributes:
        object: the path, or the beginning of one that ends in ``/``.
        since, until: both inclusive.
    """

    actor: str = ""
    operation: str = ""
    object: str = ""
    result: AuditResult | Literal[""] = ""
    since: datetime | None = None
    until: datetime | None = None


class AuditStore(Protocol):
    """Append-only entries; each is in the Merkle log as soon as it is stored."""

    def add(self, entry: AuditEntry) -> None:
        """Keep one.

        Raises:
            InvalidInput: its id is taken, or is no UUID.
        """

    def page(
        self, where: AuditFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[AuditEntry], str | None]:
        """Newest first by (at, id), and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, where: AuditFilter, *, ceiling: int) -> int:
        """How many match, counted up to ``ceiling``."""


def scan(store: AuditStore, where: AuditFilter, *, batch: int = 1000) -> Iterator[AuditEntry]:
    """Every entry that matches, newest first, in constant memory."""
    cursor: str | None = None
    while True:
        found, cursor = store.page(where, limit=batch, cursor=cursor)
        yield from found
        if cursor is None:
            return


def audit_record(entry: AuditEntry) -> bytes:
    """The entry as it is stored and digested: canonical JSON."""
    return msgspec.json.encode(entry, order="deterministic")


def audit_digest(record: bytes) -> str:
    """What the leaf of an entry tells of its record."""
    return f"sha256:{sha256(record).hexdigest()}"
