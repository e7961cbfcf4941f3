"""The Merkle log as it is stored, and who has witnessed it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec


class StoredLeaf(msgspec.Struct, frozen=True):
    """A leaf of the Merkle log.

    Attributes:
        position: counts from 0.
        kind: ``events``, ``configuration``, ``custody``, ``erasure`` or ``containment``.
        data: what its hash is of, see ``ledger/leaves.py``.
    """

    position: int
    recorded_at: datetime
    kind: str
    data: str


class EventInLog(msgspec.Struct, frozen=True):
    """Where an event stands in the log.

    Attributes:
        leaf: position of the leaf of its batch.
        index: place in the batch, from 0.
        records: every record of the batch as stored, in order; of one that went away at the end
            of its time, the hash.
    """

    leaf: int
    index: int
    records: tuple[str | bytes, ...]


class RecordedBatch(msgspec.Struct, frozen=True):
    """The records of a stretch of positions, as they are stored now.

    Attributes:
        rows: position, event id and record of each that is there; an empty record where only that
            is gone.
        hashes: of each record when it was stored; empty where nobody kept them.
        expired: positions of those that went away at the end of their time.
    """

    rows: tuple[tuple[int, str, str], ...]
    hashes: tuple[bytes, ...] = ()
    expired: tuple[int, ...] = ()


class Witnessed(msgspec.Struct, frozen=True):
    """What this log has seen of another one.

    Attributes:
        keys: verifier keys of the other log, as text.
    """

    origin: str
    size: int
    root: bytes
    keys: tuple[str, ...]
    seen_at: datetime


WITNESSES_MAX: Final = 100
"""Of one log; and of other logs, so many are listed."""


class Cosigned(msgspec.Struct, frozen=True):
    """The newest checkpoint of this log that a witness has cosigned.

    Attributes:
        witness: its name; ``key``: the verifier key that checks its signature.
        cosigned_at: the time that the witness signed with the checkpoint.
    """

    witness: str
    key: str
    size: int
    root: bytes
    cosigned_at: datetime


class LogStore(Protocol):
    """The Merkle log, to be read. Leaves are added by the stores that record what they tell of."""

    def witnessed(self, origin: str) -> Witnessed | None:
        """The newest checkpoint of another log that was cosigned here; None for the first."""

    def witness(self, seen: Witnessed, *, after: Witnessed | None) -> None:
        """Note a newer one.

        Raises:
            VersionConflict: another one was noted since ``after`` was read.
        """

    def all_witnessed(self) -> list[Witnessed]:
        """The newest checkpoints of other logs, the latest first."""

    def cosigned(self) -> list[Cosigned]:
        """What witnesses have cosigned of this log, the latest first."""

    def keep_cosigned(self, one: Cosigned) -> None:
        """Note what a witness cosigned; an older one than is known changes nothing.

        Raises:
            InvalidInput: there are ``WITNESSES_MAX`` others already.
        """

    def edge(self) -> tuple[int, tuple[bytes, ...]]:
        """Size, and the hashes of the right edge; see ``ledger.merkle.Edge``."""

    def nodes(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The hashes of complete subtrees by level and position, in the order asked for.

        Raises:
            NotFound: one of them is not complete yet, or was lost.
        """

    def leaf(self, position: int) -> StoredLeaf:
        """One leaf.

        Raises:
            NotFound: the log is not that long.
        """

    def leaves(self, *, before: int | None, limit: int) -> list[StoredLeaf]:
        """At most ``limit`` leaves, newest first, from before a position on."""

    def stretch(self, *, first: int, limit: int) -> list[StoredLeaf]:
        """At most ``limit`` leaves from this position on, oldest first."""

    def nodes_there(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Those of these nodes that are stored."""

    def batch(self, first_event: int, last_event: int) -> RecordedBatch:
        """What is stored now of the events of these positions, and the hashes they had."""

    def named(self, identifier: str) -> int:
        """The position of the leaf of a proof, or of an entry of the regression ledger.

        Raises:
            NotFound: there is none of this id.
        """

    def event(self, event_id: str) -> EventInLog:
        """Where an event stands.

        Raises:
            NotFound: it is not stored.
        """
