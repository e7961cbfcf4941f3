"""Doors through which reports come: sources for machines, links for people outside.

Implemented by ``store/report_doors.py`` on PostgreSQL and by ``store/memory_report_doors.py``; both
pass the same contract tests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

import msgspec

SourceKind = Literal["alertmanager", "pagerduty", "generic"]
#: How deliveries without a token are signed.
Signing = Literal["", "pagerduty", "sha256", "standard-webhooks"]


class Pick(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a value comes from; exactly one of the three.

    Attributes:
        pointer: RFC 6901 JSON pointer into the item; empty string and ``/`` are not the same.
        cel: CEL expression over ``item`` and ``body``.
        text: the value itself.
    """

    pointer: str | None = None
    cel: str | None = None
    text: str | None = None


class Mapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a JSON document becomes reports.

    Attributes:
        items: JSON pointer to an array of items in the body; None where the body is the one item.
        title: what happened, in a few words; needed.
        state: ``firing`` or ``resolved``, or true (firing) and false.
        happened_at: RFC 3339, or seconds since 1970.
        labels: pointers or expressions that give objects or texts, by name.
        fingerprint: values that make two reports the same, by name; title and workflow where there
            are none.
    """

    title: Pick
    items: str | None = None
    text: Pick | None = None
    severity: Pick | None = None
    category: Pick | None = None
    workflow: Pick | None = None
    state: Pick | None = None
    happened_at: Pick | None = None
    event: Pick | None = None
    trace: Pick | None = None
    session: Pick | None = None
    labels: dict[str, Pick] = {}
    fingerprint: dict[str, Pick] = {}


class Source(msgspec.Struct, frozen=True):
    """A machine that sends reports.

    Attributes:
        mapping: of the kind ``generic``.
        fingerprint: labels of an alert that make two the same; empty for the kind's own.
        workflow_label: the label that names the workflow.
        signing: how deliveries are signed; empty where they come with a token.
        sealed_secret: what signatures are made with, sealed; empty where there is none.
        by: ``NAME/ID`` of the token that made this version.
    """

    name: str
    kind: SourceKind
    at: datetime
    by: str
    version: int = 0
    enabled: bool = True
    mapping: Mapping | None = None
    fingerprint: tuple[str, ...] = ()
    workflow_label: str = "workflow"
    signing: Signing = ""
    sealed_secret: str = ""
    note: str = ""


class ReportLink(msgspec.Struct, frozen=True):
    """A form for people outside.

    Attributes:
        audience: who gets it: ``regulator``, ``customer``, ``researcher`` or any other word.
        per_hour: how many reports it takes in an hour.
        by: ``NAME/ID`` of the token.
    """

    id: str
    audience: str
    created_at: datetime
    by: str
    expires_at: datetime
    per_hour: int
    note: str = ""
    revoked_at: datetime | None = None
    revoked_by: str = ""


class UsedLink(msgspec.Struct, frozen=True):
    """A link and how often it was used."""

    link: ReportLink
    used: int


class ReportDoorStore(Protocol):
    """Sources by name, links by id."""

    def put_source(self, source: Source, *, expected_version: int | None) -> Source:
        """Make this the version that counts.

        Args:
            expected_version: of the one before it; 0 where there must be none.

        Raises:
            VersionConflict: it is at another version.
        """

    def source(self, name: str) -> Source:
        """Raises:
        NotFound: there is none.
        """

    def sources(self) -> list[Source]:
        """All, by name; 1,000 at most."""

    def add_link(self, link: ReportLink) -> None:
        """Keep a new one."""

    def link(self, link_id: str) -> UsedLink:
        """Raises:
        NotFound: there is none.
        """

    def links(self, *, limit: int, cursor: str | None = None) -> tuple[list[UsedLink], str | None]:
        """Newest first, and the cursor of the next page."""

    def revoke_link(self, link_id: str, *, by: str, now: datetime) -> UsedLink:
        """End it; one that was revoked stays as it was.

        Raises:
            NotFound: there is none.
        """

    def use_link(self, link_id: str, *, now: datetime) -> bool:
        """Count one use; False, and nothing counted, where this hour's are used up."""
