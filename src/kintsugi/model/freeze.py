"""Evidence freezes: events that are pinned for an incident, so that none of them goes away.

Implemented by ``store/freezes.py`` on PostgreSQL and by ``store/memory_freezes.py``; both pass the
same contract tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from kintsugi.model.custody import CustodyEntry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.evidence import Evidence
from kintsugi.model.holds import Hold
from kintsugi.model.incident import Entry

FreezeTask = Literal["freeze", "verify"]
FreezeState = Literal["queued", "running", "done", "failed"]

#: Of one incident; its gates look at all of them.
FREEZES_MAX: Final = 200


class FreezeVerification(msgspec.Struct, frozen=True):
    """What came of checking a freeze against the log.

    Attributes:
        checkpoint_size: of the log that the events were found in.
        problems: one sentence each; the first hundred.
    """

    at: datetime
    by: str
    checkpoint_size: int
    problems: tuple[str, ...] = ()


class Freeze(msgspec.Struct, frozen=True, omit_defaults=True):
    """One freeze, and how far it is.

    Attributes:
        id: UUIDv7.
        where: the window and filter, or the incident itself for what is tied to it.
        bound: the last position of the store when it was asked for: what was stored later is late.
        origin: what asked for it, where no person did: ``containment:ID``.
        task, state, attempt: what is to be done with it, by whom it is claimed.
        progress, total: events of the task that are done, and of how many.
        after: everything up to this position is pinned.
        chain: hex; over the hashes of all records in order, see ``chained``.
        digest: ``sha256:...`` of the manifest; empty until everything is pinned.
        evidence: the table of CONTRACT §6 for these events.
        affected: people and records that were found in it.
        scope: see ``Incident.scope``.
    """

    id: str
    incident_id: str
    where: EventFilter
    bound: int
    asked_at: datetime
    asked_by: str
    hold_id: str
    reason: str = ""
    origin: str = ""
    task: FreezeTask = "freeze"
    state: FreezeState = "queued"
    attempt: int = 0
    progress: int = 0
    total: int | None = None
    after: int = 0
    frozen: int = 0
    chain: str = ""
    digest: str = ""
    frozen_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    affected: int = 0
    scope: dict[str, tuple[str, ...]] = {}
    verify_by: str = ""
    verification: FreezeVerification | None = None
    error: str = ""

    @property
    def verified(self) -> bool:
        """Whether it was checked and nothing was wrong."""
        return self.verification is not None and not self.verification.problems


class Pinned(NamedTuple):
    """An event of a freeze: its position in the store, and its id."""

    position: int
    event_id: str


class FreezeStore(Protocol):
    """Freezes, their events, and the work on them: claimed by one worker at a time, it survives a
    restart."""

    def begin(self, freeze: Freeze, *, hold: Hold, custody: CustodyEntry, told: Entry) -> Freeze:
        """Queue one and place its hold at once; both, custody and timeline in one transaction.

        Where the incident has one of the same filter and bound, that one is returned and nothing
        is stored.

        Raises:
            StateConflict: the incident has ``FREEZES_MAX``, or no hold can be placed any more.
        """

    def get(self, freeze_id: str) -> Freeze:
        """One freeze.

        Raises:
            NotFound: there is none with this id.
        """

    def of(self, incident_id: str) -> list[Freeze]:
        """Those of an incident, newest first."""

    def claim(self, *, now: datetime, stale_after_seconds: float) -> Freeze | None:
        """Take the oldest task that is queued, or one that showed no progress for so long."""

    def save(self, freeze: Freeze, *, pinned: Sequence[Pinned] = (), now: datetime) -> None:
        """Keep how far a claimed task is, and pin these events and tie them to the incident.

        Raises:
            VersionConflict: somebody else claimed it, or it ended; stop working on it.
        """

    def finish(
        self, freeze: Freeze, *, custody: CustodyEntry | None, told: Entry | None, now: datetime
    ) -> None:
        """Save the end of a task, with custody and the incident's timeline.

        Raises:
            VersionConflict: as for ``save``.
        """

    def verify(self, freeze_id: str, *, by: str, now: datetime) -> Freeze:
        """Queue the check of one; one that is being checked stays as it is.

        Raises:
            NotFound: there is none with this id.
            StateConflict: it is not frozen yet.
        """

    def pinned(self, freeze_id: str, *, after: int, limit: int) -> list[Pinned]:
        """Its events by position, from behind one on."""


_FIRST: Final = b"kintsugi freeze"


def chained(chain: str, record_hash: bytes) -> str:
    """The chain with one more record; it begins with an empty text."""
    before = bytes.fromhex(chain) if chain else sha256(_FIRST).digest()
    return sha256(before + record_hash).hexdigest()


def manifest_of(freeze: Freeze) -> bytes:
    """What was frozen, as custody digests it: canonical JSON."""
    told: dict[str, Any] = {
        "id": freeze.id,
        "incident": freeze.incident_id,
        "where": freeze.where,
        "bound": freeze.bound,
        "events": freeze.frozen,
        "chain": freeze.chain,
    }
    return msgspec.json.encode(told, order="deterministic")


def manifest_digest(freeze: Freeze) -> str:
    """``sha256:...`` of the manifest."""
    return f"sha256:{sha256(manifest_of(freeze)).hexdigest()}"
