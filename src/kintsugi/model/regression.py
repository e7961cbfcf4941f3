"""Regression cases: what an incident leaves behind, so that the same cannot happen again unseen.

A case is locked to its incident. It is versioned: a change is a new version, and no version is ever
changed or removed. Its content is in the form of ``testing.suites``, so that what it tests is what
``kt policy test`` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol

import msgspec

from kintsugi.model.config import Case

# ``variant``: near the case, expected the same. ``twin``: benign, has to come out the same on every
# configuration; where the case is an over-block, its twin is the attack that must stay blocked.
CaseKind = Literal["case", "variant", "twin"]
# ``proposed`` until a person decides. ``replaced`` leaves a tombstone that names what stands in.
# ``erased``: its content went with a person's data, and its incident wants another one.
CaseState = Literal["proposed", "approved", "rejected", "replaced", "erased"]
SourceKind = Literal["event", "escalation", "report", "trajectory", "case"]


class CaseSource(msgspec.Struct, frozen=True):
    """Where a case comes from.

    Attributes:
        id: of the event, escalation, report or trajectory; of the case, for what was made of it.
        event_id: the decision that went wrong; empty where none is known.
        config_version: what decided then, ``ID@V``: the configuration that a case has to fail on.
        revision: of that configuration, as the decision recorded it.
    """

    kind: SourceKind
    id: str
    event_id: str = ""
    config_version: str = ""
    revision: str = ""


class KeptSensitive(msgspec.Struct, frozen=True):
    """Personal data or a key that a person let into a case in spite of the gate; never the text.

    Attributes:
        finding: ``pii.email``, ``secret.aws_access_key``, ...
    """

    finding: str
    count: int
    by: str
    reason: str


class Regression(msgspec.Struct, frozen=True):
    """One version of one regression case.

    Attributes:
        id: ``REG-000012``; empty before it is stored.
        version: from 1; each change adds one.
        incident_id: the incident that it is locked to.
        config_id: the configuration that it tests.
        technique: how a variant or twin was made: ``base64``, ``split_turns``, ``remainder``, ...
        parent: id of the case that a variant or twin belongs to.
        redacted: how many stretches of each kind the gate replaced.
        original_chars: length of all texts of the input as it was recorded; ``minimised_chars``:
            after minimising; None while it was not attempted.
        changed: what this version is for, in a word or two.
        replaced_by: id of what stands in for it.
        reason: why it was decided, replaced or changed so.
    """

    id: str
    version: int
    kind: CaseKind
    state: CaseState
    incident_id: str
    config_id: str
    case: Case
    source: CaseSource
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    changed: str = "created"
    technique: str = ""
    parent: str = ""
    redacted: dict[str, int] = {}
    kept: tuple[KeptSensitive, ...] = ()
    original_chars: int | None = None
    minimised_chars: int | None = None
    replaced_by: str = ""
    reason: str = ""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the content: what proofs, the ledger and the log mean by this case."""
        return case_digest(self.case)


class RegressionFilter(msgspec.Struct, frozen=True):
    """Which cases are wanted; what is left empty is not asked."""

    incident: str = ""
    config_id: str = ""
    state: CaseState | Literal[""] = ""
    kind: CaseKind | Literal[""] = ""
    parent: str = ""
    source: str = ""


class RegressionStore(Protocol):
    """Regression cases. Every version is kept, each with a leaf in the log."""

    def add(self, new: Sequence[Regression], *, now: datetime) -> list[Regression]:
        """Keep these, which get their ids here, all or none."""

    def get(self, regression_id: str, version: int | None = None) -> Regression:
        """The newest version where none is named.

        Raises:
            NotFound: there is none.
        """

    def history(self, regression_id: str) -> list[Regression]:
        """Every version, newest first.

        Raises:
            NotFound: there is none.
        """

    def page(
        self, where: RegressionFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Regression], str | None]:
        """Newest versions, the newest case first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def scan(self, where: RegressionFilter) -> Iterator[Regression]:
        """Newest versions of all that are wanted, the oldest case first."""

    def change(
        self,
        regression_id: str,
        apply: Callable[[Regression], Regression],
        *,
        expected_version: int | None = None,
    ) -> Regression:
        """Keep what ``apply`` makes of the newest version as the next one, in one transaction;
        nothing where it returns the same.

        Raises:
            NotFound: there is none.
            VersionConflict: the newest version is not the expected one.
        """


def case_digest(case: Case) -> str:
    """``sha256:...`` of everything that a case sends and expects; its name and its description
    are not part of it."""
    content = msgspec.json.encode((case.input, case.expected), order="sorted")
    return f"sha256:{sha256(content).hexdigest()}"
