"""What people put in force to stop harm at once: time-boxed, scoped, owned, and over by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

LeverName = Literal[
    "stop",
    "review",
    "disable-tools",
    "only-tools",
    "block-sources",
    "add-filter",
    "rate-limit",
    "cap-context",
    "swap-model",
]

#: Policies of a containment are named so in evaluations and events, followed by its id.
CONTAINMENT: Final = "containment/"


class ContainmentScope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose exchanges; an empty field does not restrict, and with none set it is everybody's.

    Attributes:
        workflow, agent, session, user, team, key, model: as the exchange says; ``*`` stands for
            any characters.
        region: the request header ``X-Region``.
        language: ISO 639-1 code of what the user said last, as far as that can be told.
    """

    workflow: str = ""
    agent: str = ""
    session: str = ""
    user: str = ""
    team: str = ""
    key: str = ""
    model: str = ""
    region: str = ""
    language: str = ""


class Lever(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is done to exchanges in scope. Each name uses the fields that it is named with.

    Attributes:
        name: ``stop`` refuses them; ``review`` asks a person about every answer
            (``hold_seconds``); ``disable-tools`` and ``only-tools`` (``tools``); ``block-sources``
            (``sources``: names of tools, labels or addresses of retrieved passages);
            ``add-filter`` (``terms``, ``patterns``); ``rate-limit`` (``requests`` in
            ``window_seconds``); ``cap-context`` (``max_context_chars``, ``max_output_tokens``);
            ``swap-model`` (``model``).
    """

    name: LeverName
    tools: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    requests: int = 0
    window_seconds: int = 60
    max_context_chars: int = 0
    max_output_tokens: int = 0
    model: str = ""
    hold_seconds: float = 0.0


class Containment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One containment.

    Attributes:
        id: UUIDv7; its time is ``created_at``.
        owner: who answers for it; ``created_by`` is the token that made it.
        expires_at: it ends then, also at a gateway that hears nothing from the control plane.
        incident_id: which it belongs to; empty for none.
    """

    id: str
    lever: Lever
    scope: ContainmentScope
    reason: str
    owner: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    incident_id: str = ""
    released_at: datetime | None = None
    released_by: str = ""
    release_reason: str = ""

    def in_force(self, now: datetime) -> bool:
        """Whether it acts at this time."""
        return self.released_at is None and now < self.expires_at


class ContainmentStore(Protocol):
    """What was contained, by whom, and how it ended. Both its beginning and its end are leaves of
    the Merkle log."""

    def put(self, containment: Containment) -> None:
        """Keep a new one; gateways hear of it.

        Raises:
            InvalidInput: its id is taken, or is no UUID.
        """

    def get(self, containment_id: str) -> Containment:
        """Raises:
        NotFound: there is none with this id.
        """

    def page(
        self, *, in_force: bool | None, now: datetime, limit: int, cursor: str | None = None
    ) -> tuple[list[Containment], str | None]:
        """Newest first, and the cursor of the next page.

        Args:
            in_force: only those that act now, or only those that do not any more; None for all.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, *, in_force: bool | None, now: datetime) -> int:
        """How many, as for ``page``."""

    def in_force(self, *, now: datetime, limit: int) -> list[Containment]:
        """Those that act now, oldest first."""

    def release(self, containment_id: str, *, by: str, reason: str, now: datetime) -> Containment:
        """End one; one that has ended stays as it was.

        Raises:
            NotFound: there is none with this id.
        """
