"""What follows from incidents and has a record of its own: actions, communications, reviews and
their editions, playbooks.

Each belongs to one incident or several, and changes only together with them: a change, its timeline
entries and its leaf in the log are one transaction (``IncidentStore.change``). This module says how
they are stored and found, and knows nothing of what they mean.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.action import Action
from kintsugi.model.communication import Communication
from kintsugi.model.playbook import PlaybookRun
from kintsugi.model.review import Edition, Review

Followup = Action | Communication | Review | Edition | PlaybookRun
FollowupKind = Literal["action", "communication", "review", "edition", "playbook"]

# The incidents that one of them may belong to.
INCIDENTS_MAX: Final = 20


class FollowupFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which; an empty field does not restrict.

    Attributes:
        incident: id of one of its incidents.
        party: the owner of an action, the audience of a communication.
        due_before: only those with a date before this.
    """

    kind: FollowupKind | Literal[""] = ""
    incident: str = ""
    status: str = ""
    party: str = ""
    settled: bool | None = None
    due_before: datetime | None = None


FollowupOrder = Literal["due", "newest"]


class FollowupStore(Protocol):
    """Finds what follows from incidents. ``IncidentStore.change`` keeps it."""

    def get(self, followup_id: str) -> Followup:
        """One of them.

        Raises:
            NotFound: there is none with this id.
        """

    def page(
        self,
        where: FollowupFilter,
        *,
        order: FollowupOrder,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Followup], str | None]:
        """Soonest due first, those without a date last; or newest first. And the next cursor."""


def kind_of(followup: Followup) -> FollowupKind:
    """The word of its sort."""
    tag: FollowupKind = followup.__struct_config__.tag  # type: ignore[assignment]
    return tag


def followup_record(followup: Followup) -> bytes:
    """As it is stored and digested: canonical JSON."""
    return msgspec.json.encode(followup, order="deterministic")


_DECODER: Final = msgspec.json.Decoder(Followup)


def read_followup(record: bytes | str) -> Followup:
    """From its record."""
    found: Followup = _DECODER.decode(record)
    return found
