"""Proofs: the cases of an incident failed on the configuration of its time, and hold on another.

A proof holds no text of a case: it names each by version and digest, so that erasing the case takes
nothing from the proof.
"""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.regression import CaseKind
from kintsugi.model.regression_ledger import Binding

Side = Literal["red", "green"]
# ``never_red``: a case that cannot fail proves nothing. ``still_red``: the candidate does not meet
# it. ``twin_broken``: what had to hold on both sides does not.
ProofResult = Literal["proved", "never_red", "still_red", "twin_broken", "could_not_run"]

_ID: Final = re.compile(r"PRF-(\d{1,9})", re.IGNORECASE)
RESULTS: Final[dict[ProofResult, str]] = {
    "proved": "failed then, holds now",
    "never_red": "holds on the configuration of the time: a case that cannot fail is refused",
    "still_red": "is not met by the candidate",
    "twin_broken": "has to hold on both sides, and does not",
    "could_not_run": "could not be run",
}


class CaseRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """One case on one configuration, without any text.

    Attributes:
        regression_id, version, digest: what ran.
        met: whether every expectation was; None where it could not be run.
        verdict, reason_code, policy_name: what came; empty where it could not be run.
        unmet: the fields of its expectation that were not met.
        why: what kind of trouble kept it from running.
    """

    regression_id: str
    version: int
    digest: str
    met: bool | None
    verdict: str = ""
    reason_code: str = ""
    policy_name: str = ""
    unmet: tuple[str, ...] = ()
    why: str = ""


class ProofRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cases on one configuration.

    Attributes:
        config_version: ``ID@V``; of a file that is not published, ``ID`` alone.
        revision: what the present engine makes of it.
        recorded_revision: what it was when it decided, or was published; empty where nobody knows.
        engine_version: of the engine that ran this.
        same_engine: whether the two revisions are the same. Where they are not, the configuration
            does not mean today what it meant then.
        at: when it ran. A red run that was made when a case was approved is older than its proof.
        error: why this configuration could not be compiled; its cases could not run.
    """

    side: Side
    config_id: str
    config_version: str
    revision: str
    recorded_revision: str
    engine_version: str
    same_engine: bool
    at: datetime
    cases: tuple[CaseRun, ...]
    error: str = ""


class CaseProof(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the two runs say of one case.

    Attributes:
        sides: of ``twin_broken`` and ``could_not_run``: where.
        red, green: the versions of the configuration that it ran on.
    """

    regression_id: str
    version: int
    kind: CaseKind
    digest: str
    result: ProofResult
    red: str
    green: str
    sides: tuple[Side, ...] = ()


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cases of one incident on the configuration of its time and on a candidate.

    Attributes:
        id: ``PRF-000007``; empty until it is stored.
        incident_id: its own, and ``reference`` as people name it.
        reasons: why the whole does not pass, besides cases that are not proved.
    """

    id: str
    incident_id: str
    reference: str
    at: datetime
    by: str
    passed: bool
    cases: tuple[CaseProof, ...]
    runs: tuple[ProofRun, ...]
    reasons: tuple[str, ...] = ()

    def run_of(self, case: CaseProof, side: Side) -> CaseRun | None:
        """How a case ran on one side; None where its configuration is not known."""
        version = case.red if side == "red" else case.green
        for run in self.runs:
            if (run.side, run.config_version) == (side, version):
                for one in run.cases:
                    if one.regression_id == case.regression_id:
                        return one
        return None


class ProofFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which proofs; what is left empty is not asked."""

    incidents: tuple[str, ...] = ()
    passed: bool | None = None


class ProofStore(Protocol):
    """Proofs, each with a leaf in the log. None is ever changed."""

    def add(self, proof: Proof, binding: Binding | None = None) -> Proof:
        """Keep one, which gets its id here; the entries of the ledger that follow from it name it,
        and are kept in the same transaction.

        Raises:
            VersionConflict: as for ``RegressionLedger.add``.
        """

    def get(self, proof_id: str) -> Proof:
        """One proof.

        Raises:
            NotFound: there is none.
        """

    def page(
        self, where: ProofFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Proof], str | None]:
        """Newest first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def check(self) -> list[str]:
        """What of the proofs is not as the log tells, a hundred at most; empty when all is well."""


def proof_id(number: int) -> str:
    """``PRF-000007``."""
    return f"PRF-{number:06d}"


def proof_number(identifier: str) -> int | None:
    """The number in an id as people write it; None where it is none."""
    found = _ID.fullmatch(identifier)
    return int(found[1]) if found else None


def proof_record(proof: Proof) -> bytes:
    """A proof as it is stored and digested: canonical JSON, both runs in it."""
    return msgspec.json.encode(proof, order="deterministic")


def proof_digest(proof: Proof) -> str:
    """``sha256:...`` of its record."""
    return f"sha256:{sha256(proof_record(proof)).hexdigest()}"
