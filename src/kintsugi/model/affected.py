"""Who and what an incident affected: records that an AI system wrote wrongly, and people who may
have to be told. Each is followed to its end.

Implemented by ``store/affected.py`` on PostgreSQL and by ``store/memory_affected.py``; both pass
the same contract tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.incident import Entry

AffectedKind = Literal["record", "user", "team", "tenant"]
AffectedStatus = Literal[
    "open", "corrected", "accepted", "unrecoverable", "to_tell", "told", "not_needed"
]
#: Of records, and of people: where each begins, and what may become of it.
RECORD_ENDS: Final[tuple[AffectedStatus, ...]] = ("corrected", "accepted", "unrecoverable")
PEOPLE_ENDS: Final[tuple[AffectedStatus, ...]] = ("told", "not_needed")


class Affected(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record, user, team or tenant.

    Attributes:
        key: the user's, team's or tenant's id; of a record, ``SYSTEM/RECORD`` as the application
            named it. Where a step changed something and nobody said what, it names that step.
        found_in: what tells of it: ``trace:ID/SPAN`` or ``event:ID``; empty where a person added
            it.
        channel: how somebody is told; empty while nobody knows.
        evidence: a digest, an id or an address that shows what was done about it.
    """

    incident_id: str
    kind: AffectedKind
    key: str
    status: AffectedStatus
    found_at: datetime
    found_by: str
    system: str = ""
    found_in: str = ""
    channel: str = ""
    settled_at: datetime | None = None
    settled_by: str = ""
    why: str = ""
    evidence: str = ""


class Settling(msgspec.Struct, frozen=True):
    """What became of some of them.

    Attributes:
        channel: None leaves it as it is.
    """

    status: AffectedStatus
    by: str
    at: datetime
    why: str = ""
    evidence: str = ""
    channel: str | None = None


class AffectedStore(Protocol):
    """What is affected, by incident."""

    def add(self, found: Sequence[Affected], *, told: Entry | None = None, now: datetime) -> int:
        """Keep those that are not there yet, with an entry of the timeline; how many were new."""

    def page(
        self,
        incident_id: str,
        kinds: Sequence[AffectedKind],
        *,
        status: AffectedStatus | Literal[""],
        limit: int,
        after: tuple[str, str] | None = None,
    ) -> list[Affected]:
        """By kind and key, from behind one on."""

    def counts(self, incident_id: str) -> dict[tuple[AffectedKind, AffectedStatus], int]:
        """How many there are of each kind and status."""

    def settle(
        self,
        incident_id: str,
        kind: AffectedKind,
        keys: Sequence[str],
        settling: Settling,
        *,
        told: Entry,
    ) -> list[Affected]:
        """Say what became of these, with an entry of the timeline; all or nothing.

        Raises:
            NotFound: one of them is not affected.
        """


def settled(before: Affected, settling: Settling) -> Affected:
    """With what became of it."""
    return msgspec.structs.replace(
        before,
        status=settling.status,
        settled_at=settling.at,
        settled_by=settling.by,
        why=settling.why,
        evidence=settling.evidence,
        channel=before.channel if settling.channel is None else settling.channel,
    )
