"""Regression cases: what an incident leaves behind, so that the same cannot happen again unseen.

A case is locked to its incident. It is versioned: a change is a new version, and no version is ever
changed or removed. Its content is in the form of ``testing.suites``, so that what it tests is what
``kt policy test`` runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.config import Case, CaseExpected, CaseInput

# ``variant``: near the case, expected the same. ``twin``: benign, has to come out the same on every
# configuration; where the case is an over-block, its twin is the attack that must stay blocked.
CaseKind = Literal["case", "variant", "twin"]
# ``proposed`` until a person decides. ``replaced`` leaves a tombstone that names what stands in.
# ``erased``: its content went with a person's data, or with a database that was restored from
# before it; its incident wants another one.
CaseState = Literal["proposed", "approved", "rejected", "replaced", "erased"]
# ``hand``: somebody wrote it.
SourceKind = Literal["event", "escalation", "report", "trajectory", "case", "hand"]

# Stands where content cannot be had; see ``Regression.lost``.
NO_CASE: Final = Case("", CaseInput(), CaseExpected())
ERASED: Final = "it was erased with a person's data"
_ID: Final = re.compile(r"REG-(\d{1,9})", re.IGNORECASE)


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


class RedRun(msgspec.Struct, frozen=True):
    """How a case came out on the configuration of its time when a person approved it.

    Attributes:
        revision: what that engine made of the configuration; ``same_engine`` says whether that is
            what it was when it decided.
        met: the expectation; never of a case or variant that was approved, always of a twin.
    """

    config_version: str
    revision: str
    engine_version: str
    same_engine: bool
    at: datetime
    met: bool
    verdict: str = ""
    reason_code: str = ""


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
        subject: whose erasure reaches it, as ``str(Subject)``; empty for nobody's. Like the ids in
            ``source`` it is kept beside the versions, and an erasure takes it away.
        changed: what this version is for, in a word or two.
        replaced_by: id of what stands in for it.
        reason: why it was decided, replaced or changed so.
        red: how it came out when it was approved; None before.
        lost: why its content cannot be had, so that ``case`` is ``NO_CASE``: it was erased, or
            cannot be opened. Empty where all is well.
        lost_digest: of that content.
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
    subject: str = ""
    redacted: dict[str, int] = {}
    kept: tuple[KeptSensitive, ...] = ()
    original_chars: int | None = None
    minimised_chars: int | None = None
    replaced_by: str = ""
    reason: str = ""
    red: RedRun | None = None
    lost: str = ""
    lost_digest: str = ""

    @property
    def digest(self) -> str:
        """``sha256:...`` of the content: what proofs, the ledger and the log mean by this case."""
        return self.lost_digest or case_digest(self.case)


class RegressionFilter(msgspec.Struct, frozen=True):
    """Which cases are wanted; what is left empty is not asked.

    Attributes:
        incident: its id.
        source: the id of what a case was made of, or of its event.
    """

    incident: str = ""
    config_id: str = ""
    state: CaseState | Literal[""] = ""
    kind: CaseKind | Literal[""] = ""
    parent: str = ""
    source: str = ""


class RegressionStore(Protocol):
    """Regression cases. Every version is kept, each with a leaf in the log."""

    def add(
        self, new: Sequence[Regression], *, now: datetime, once: bool = False
    ) -> list[Regression]:
        """Keep these, which get their ids here, all or none. What names no subject has that of its
        parent.

        Args:
            once: refuse them where one is there already, as ``require_new`` does; of several who
                ask for the same at once, one has it.

        Raises:
            StateConflict: one is there already; the message names it.
            KeyUnavailable: something sensitive is kept in one, and there is no key to seal it with.
        """

    def require_new(self, one: Regression) -> None:
        """Refuse what is proposed or approved already with the same content, of the same source,
        for the same incident and configuration.

        Raises:
            StateConflict: it is; the message names it.
        """

    def get(self, regression_id: str, version: int | None = None) -> Regression:
        """The newest version where none is named.

        Raises:
            NotFound: there is none.
        """

    def named(self, regression_ids: Sequence[str]) -> dict[str, Regression]:
        """The newest versions of those of these that there are, by id."""

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
            KeyUnavailable: its content cannot be opened, or not be sealed.
        """

    def put_back(self, lost: Sequence[Regression], *, now: datetime) -> None:
        """Keep the place of cases whose content went with another database, under the ids that
        they had there, so that nothing else gets these ids. Those that there are stay."""

    def matter(self, subject: str) -> int:
        """How many cases the erasure of a subject reaches."""

    def forget(self, subject: str, *, by: str, now: datetime) -> int:
        """Cut every case of a subject from what it was made of. Where something sensitive was kept,
        the content of every version goes, and the case is ``erased``. How many were reached; again
        is harmless."""


def case_digest(case: Case) -> str:
    """``sha256:...`` of everything that a case sends and expects; its name and its description
    are not part of it."""
    content = msgspec.json.encode((case.input, case.expected), order="sorted")
    return f"sha256:{sha256(content).hexdigest()}"


def regression_id(number: int) -> str:
    """``REG-000012``."""
    return f"REG-{number:06d}"


def canonical_id(identifier: str) -> str:
    """An id as it is stored, of one as people write it (``reg-12``); what is none stays."""
    number = regression_number(identifier)
    return regression_id(number) if number is not None else identifier


def regression_number(identifier: str) -> int | None:
    """The number in an id as people write it; None where it is none."""
    found = _ID.fullmatch(identifier)
    return int(found[1]) if found else None


def erased(before: Regression, *, by: str, now: datetime) -> Regression:
    """The version of a case whose content went with a person's data."""
    return msgspec.structs.replace(
        before,
        state="erased",
        case=NO_CASE,
        lost=ERASED,
        lost_digest=before.digest,
        changed="erased",
        changed_at=now,
        changed_by=by,
        reason="",
    )
