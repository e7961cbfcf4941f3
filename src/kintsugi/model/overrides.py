"""What people decided in place of a policy: who, why, what was decided before, what came of it and
what they saw. Each is a leaf of the Merkle log."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

Classification = Literal["false_positive", "confirmed", "other", ""]
Outcome = Literal["approved", "rejected", "expired"]
Proposes = Literal["allow", "block"]

# What a reviewer's word asks of the policies from now on, as a case that must hold.
PROPOSES: Final[dict[Classification, Proposes]] = {"false_positive": "allow", "confirmed": "block"}
LOAD_ROWS_MAX: Final = 100


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reviewer had been shown.

    Attributes:
        digest: ``sha256:...`` of what was shown; empty where nothing proves that anything was.
        fields: names of what was not empty.
    """

    digest: str = ""
    fields: tuple[str, ...] = ()


class Judgement(msgspec.Struct, frozen=True):
    """What a reviewer says about an escalation.

    Attributes:
        classification: was the policy right to ask? Feeds learning.
        incident_id: the incident that it belongs to.
        bulk_id: shared by decisions that were made together.
    """

    approved: bool
    by: str
    reason: str
    classification: Classification = ""
    incident_id: str = ""
    bulk_id: str = ""
    seen: Seen = Seen()


class Override(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision, for ever.

    Attributes:
        by: name of the token; empty where nobody decided in time.
        prior: what the policy had decided.
        waited_seconds: from the question to the answer.
        late: it came after it was due.
    """

    id: str
    escalation_id: str
    at: datetime
    by: str
    outcome: Outcome
    reason: str
    policy_name: str
    reason_code: str
    config_version: str
    prior: str = "escalate"
    workflow: str = ""
    tier: str = ""
    waited_seconds: float = 0.0
    late: bool = False
    classification: Classification = ""
    incident_id: str = ""
    bulk_id: str = ""
    seen: Seen = Seen()

    @property
    def proposes(self) -> Proposes | None:
        """The regression case that it asks for; None where it asks for none."""
        return PROPOSES.get(self.classification)


class OverrideFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which overrides; an empty field does not restrict.

    Attributes:
        proposing: only those that ask for a regression case.
    """

    by: str = ""
    outcome: Outcome | Literal[""] = ""
    proposing: bool = False


class ReviewerLoad(msgspec.Struct, frozen=True):
    """What one reviewer did in a time; the name is empty for what nobody decided.

    Attributes:
        override_rate: share of decisions that let through what a policy had stopped.
        waited_seconds_median: None where nothing was decided.
        in_bulk: decided together with others.
        unseen: decided without a proof that anything was looked at.
    """

    by: str
    decided: int
    approved: int
    rejected: int
    late: int
    in_bulk: int
    unseen: int
    override_rate: float
    waited_seconds_median: float | None


class PolicyLoad(msgspec.Struct, frozen=True):
    """What one policy asked people in a time."""

    policy_name: str
    reason_code: str
    decided: int
    approved: int
    expired: int
    false_positives: int
    confirmed: int
    override_rate: float


class Load(msgspec.Struct, frozen=True):
    """Reviewers and policies since a time; the busiest first, at most ``LOAD_ROWS_MAX`` each."""

    since: datetime
    reviewers: tuple[ReviewerLoad, ...]
    policies: tuple[PolicyLoad, ...]


class OverrideStore(Protocol):
    """Overrides. The store of escalations adds them, with their leaves, as they are decided."""

    def page(
        self, where: OverrideFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Override], str | None]:
        """Newest first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def of(self, escalation_id: str) -> list[Override]:
        """Those of one escalation, newest first."""

    def load(self, *, since: datetime) -> Load:
        """How much was decided since a time, by reviewer and by policy."""
