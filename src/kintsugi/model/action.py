"""Actions: what somebody has promised to do because of an incident."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

ActionKind = Literal["fix", "mitigate", "detect", "prevent", "test", "process", "policy"]
# What each is for, so that two people file the same thing under the same word.
ACTION_KINDS: Final[dict[ActionKind, str]] = {
    "fix": "repair what caused it, or what it damaged",
    "mitigate": "make the same failure do less harm",
    "detect": "a monitor or an alert that would have told earlier",
    "prevent": "a guardrail that stops this failure",
    "test": "a case in an evaluation or a suite",
    "process": "how people work",
    "policy": "what is allowed, and who decides",
}
ActionState = Literal["open", "done", "dropped"]


class Action(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="action"):
    """One action. It is chased until it ends, whatever becomes of its incidents.

    Attributes:
        incidents: ids; the first is where it was agreed.
        aim: what sort of action it is.
        owner: the name of a person; empty while nobody has it.
        due_by_default: the date follows from the severity; nobody has chosen it.
        evidence: what shows that it was done: digests, ids, addresses.
        ticket: its address in another tracker.
        end_reason: why it was dropped, or what was done.
    """

    id: str
    incidents: tuple[str, ...]
    title: str
    aim: ActionKind
    created_at: datetime
    created_by: str
    version: int = 0
    detail: str = ""
    owner: str = ""
    due_at: datetime | None = None
    due_by_default: bool = False
    state: ActionState = "open"
    evidence: tuple[str, ...] = ()
    ticket: str = ""
    ended_at: datetime | None = None
    ended_by: str = ""
    end_reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether nobody has to be reminded any more."""
        return self.state != "open"

    @property
    def party(self) -> str:
        """Whom it concerns: its owner."""
        return self.owner

    @property
    def status(self) -> str:
        """The word that lists are narrowed by."""
        return self.state

    def overdue(self, now: datetime) -> bool:
        """Whether it should have been done by now."""
        return self.state == "open" and self.due_at is not None and self.due_at < now
