"""A signature: what an incident's events have in common, looked for outside its window. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter

#: Oldest first, so many matching events are looked at; beyond it the number is a lower bound.
LOOKED_AT_MAX: Final = 20_000
_EXAMPLES_MAX: Final = 20
_NAMED_MAX: Final = 10
# What every passed exchange says tells nothing apart.
_SAYS_NOTHING: Final = "policy.passed"


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to look for; every field that is set has to match.

    Attributes:
        policy, reason_code: of the verdict.
        fingerprint: of a finding: the same matched text again.
        text: words that were said, as ``q`` of the event filters takes them.
        tool, target, document: the name of a tool, an identifier that it was called with, that of
            a retrieved document: looked for as a phrase in what was said.
    """

    policy: str = ""
    reason_code: str = ""
    fingerprint: str = ""
    text: str = ""
    tool: str = ""
    target: str = ""
    document: str = ""

    def where(self) -> EventFilter:
        """What of it the store can look for.

        Raises:
            InvalidInput: nothing of it narrows the search.
        """
        phrases = [f'"{one}"' for one in (self.tool, self.target, self.document) if one]
        q = " ".join([*([self.text] if self.text else []), *phrases])
        reason = "" if self.reason_code == _SAYS_NOTHING else self.reason_code
        if not (self.policy or reason or q):
            raise InvalidInput(
                "a signature needs a policy, a reason code, a text, a tool, a target or a document "
                "to look for; a finding's fingerprint is looked for among those"
            )
        return EventFilter(policy=self.policy, reason_code=self.reason_code, q=q)

    def matches(self, event: DecisionEvent) -> bool:
        """What of it has to be looked for in the event itself."""
        if not self.fingerprint:
            return True
        return any(
            finding.fingerprint == self.fingerprint
            for one in event.evaluations
            for finding in one.findings
        )


class Hit(msgspec.Struct, frozen=True):
    """An event that matches, outside of the incident."""

    event_id: str
    at: datetime
    user: str
    workflow: str
    config_version: str


class Hits(msgspec.Struct, frozen=True):
    """What a search found, since the first event that is stored.

    Attributes:
        found: matching events; ``tied`` of them belong to the incident, ``outside`` do not.
        exact: False where there are more than were looked at.
        examples: of those outside, oldest first.
    """

    signature: Signature
    found: int
    tied: int
    outside: int
    exact: bool
    first_at: datetime | None
    last_at: datetime | None
    first_outside_at: datetime | None
    users: int
    workflows: dict[str, int]
    examples: tuple[Hit, ...]


class Search:
    """Counts what matches, oldest first."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.looked_at = 0
        self._matching: list[DecisionEvent] = []

    def look(self, events: Iterable[DecisionEvent]) -> bool:
        """Look at events until there are too many; whether all were looked at."""
        for event in events:
            if self.looked_at >= LOOKED_AT_MAX:
                return False
            self.looked_at += 1
            if self.signature.matches(event):
                self._matching.append(event)
        return True

    @property
    def ids(self) -> list[str]:
        """Of the events that match."""
        return [event.id for event in self._matching]

    def hits(self, tied: frozenset[str], *, exact: bool) -> Hits:
        """What was found, given which of it belongs to the incident."""
        matching = self._matching
        outside = [event for event in matching if event.id not in tied]
        workflows = Counter(event.workflow for event in outside if event.workflow)
        return Hits(
            signature=self.signature,
            found=len(matching),
            tied=len(matching) - len(outside),
            outside=len(outside),
            exact=exact,
            first_at=matching[0].timestamp if matching else None,
            last_at=matching[-1].timestamp if matching else None,
            first_outside_at=outside[0].timestamp if outside else None,
            users=len({event.user_id for event in outside if event.user_id}),
            workflows=dict(workflows.most_common(_NAMED_MAX)),
            examples=tuple(
                Hit(one.id, one.timestamp, one.user_id, one.workflow, one.config_version)
                for one in outside[:_EXAMPLES_MAX]
            ),
        )


def suggested(events: Iterable[DecisionEvent]) -> Signature:
    """What most of these events have in common: policy and reason code of the verdict, and the
    finding that recurs. Empty where they were all let through without a word."""
    verdicts: Counter[tuple[str, str]] = Counter()
    findings: Counter[str] = Counter()
    for event in events:
        if event.reason_code != _SAYS_NOTHING:
            verdicts[event.policy_name, event.reason_code] += 1
        findings.update(
            {
                finding.fingerprint
                for one in event.evaluations
                for finding in one.findings
                if finding.fingerprint and one.policy_name == event.policy_name
            }
        )
    if not verdicts:
        return Signature()
    (policy, reason_code), number = verdicts.most_common(1)[0]
    recurs = [name for name, count in findings.most_common(1) if count > 1 and 2 * count > number]
    return Signature(policy, reason_code, recurs[0] if recurs else "")
