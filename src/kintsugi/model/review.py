"""Reviews: what people wrote about an incident, and every edition that was published."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

PeoplePart = Literal["cause", "surprise", "lesson"]
PEOPLE_PARTS: Final[tuple[PeoplePart, ...]] = ("cause", "surprise", "lesson")
ReviewAudience = Literal["internal", "redacted"]


class Words(msgspec.Struct, frozen=True):
    """One part in people's words, as Markdown."""

    text: str
    by: str
    at: datetime


class Review(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="review"):
    """What people wrote; all else is computed from the record whenever the review is read.

    Attributes:
        parts: by name; what nobody wrote is left out.
    """

    id: str
    incidents: tuple[str, ...]
    created_at: datetime
    created_by: str
    version: int = 0
    parts: dict[str, Words] = {}

    @property
    def settled(self) -> bool:
        """The date by which it is due belongs to the incident."""
        return True

    @property
    def due_at(self) -> datetime | None:
        """None: see ``settled``."""
        return None

    @property
    def party(self) -> str:
        """Nobody in particular."""
        return ""

    @property
    def status(self) -> str:
        """The word that lists are narrowed by."""
        return "written"


class Edition(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="edition"):
    """A review as it was published: it never changes.

    Attributes:
        number: from 1, of its incident.
        digest: ``sha256:...`` of ``text``; it stands in the timeline too, and so in the log.
        findings: how many remarks on its wording there were.
    """

    id: str
    incidents: tuple[str, ...]
    number: int
    audience: ReviewAudience
    created_at: datetime
    created_by: str
    text: str
    digest: str
    version: int = 0
    findings: int = 0

    @property
    def settled(self) -> bool:
        """Nothing is owed because of it."""
        return True

    @property
    def due_at(self) -> datetime | None:
        """None: see ``settled``."""
        return None

    @property
    def party(self) -> str:
        """Whom it concerns: its audience."""
        return self.audience

    @property
    def status(self) -> str:
        """The word that lists are narrowed by."""
        return "published"
