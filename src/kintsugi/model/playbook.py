"""Playbooks: what to do in which order, and how far it was done in an incident."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

StepState = Literal["open", "done", "skipped"]
Phase = Literal[
    "detect",
    "classify",
    "contain",
    "preserve",
    "investigate",
    "remediate",
    "communicate",
    "learn",
]


class PlaybookStep(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One step.

    Attributes:
        id: stays the same over versions: that is how ticks are kept.
        owner: the role that does it.
        command: what to type, where that is all there is to it.
        done_when: how one sees that it is done.
    """

    id: str
    phase: Phase
    title: str
    owner: str = "commander"
    command: str = ""
    done_when: str = ""


class Playbook(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A list of steps for one sort of workflow.

    Attributes:
        applies_to: for whom it is, in a sentence.
    """

    id: str
    version: int
    title: str
    applies_to: str
    steps: tuple[PlaybookStep, ...]


class StepRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step in one incident.

    Attributes:
        owner: a person, where somebody has taken it; else whoever holds the step's role.
        reason: why it was skipped, or what came of it.
        retired: a later version has it no more; it stays because somebody had ended it.
    """

    step: PlaybookStep
    state: StepState = "open"
    owner: str = ""
    by: str = ""
    at: datetime | None = None
    reason: str = ""
    retired: bool = False


class PlaybookRun(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="playbook"
):
    """A playbook attached to an incident.

    Attributes:
        playbook_version: the one that was applied last.
    """

    id: str
    incidents: tuple[str, ...]
    playbook: str
    playbook_version: int
    title: str
    created_at: datetime
    created_by: str
    steps: tuple[StepRun, ...]
    version: int = 0

    @property
    def settled(self) -> bool:
        """Steps have no dates."""
        return True

    @property
    def due_at(self) -> datetime | None:
        """None: see ``settled``."""
        return None

    @property
    def party(self) -> str:
        """Whom it concerns: whoever looks for this playbook."""
        return self.playbook

    @property
    def status(self) -> str:
        """The word that lists are narrowed by."""
        return "open" if any(one.state == "open" for one in self.steps) else "done"
