"""The regression ledger: which cases bind for ever, and everything that ever changed in that.

What is proven when its incident closes binds: no configuration may be published that does not meet
it. An entry is never changed or removed; where a case stands is what its newest entry says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.regression import NO_CASE, CaseKind, CaseSource, Regression

# ``replaced`` is the tombstone that names what stands in; after ``erased`` the incident wants
# another case.
LedgerAct = Literal["bound", "strengthened", "replaced", "erased"]
BINDING: Final[frozenset[LedgerAct]] = frozenset({"bound", "strengthened"})


class LedgerEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry.

    Attributes:
        id: UUIDv7.
        by: ``NAME/ID``.
        regression_id, version, digest: what binds from now on, or did until now.
        case_kind: case, variant or twin.
        gateways: that ran its configuration when it was bound. It binds whatever they run later.
        proof_id: the proof that it stands on; of a tombstone, that of the replacement.
        replaced_by: id of the case that stands in.
        reason: in the words of who did it.
    """

    id: str
    act: LedgerAct
    at: datetime
    by: str
    regression_id: str
    version: int
    digest: str
    case_kind: CaseKind
    incident_id: str
    config_id: str
    gateways: tuple[str, ...] = ()
    proof_id: str = ""
    replaced_by: str = ""
    reason: str = ""

    @property
    def binds(self) -> bool:
        """Whether the case binds from this entry on."""
        return self.act in BINDING


class Binding(msgspec.Struct, frozen=True):
    """Entries to be added, and what has to hold for that.

    Attributes:
        published: the newest version of each configuration that the cases were proven on.
    """

    entries: tuple[LedgerEntry, ...]
    published: Mapping[str, int] = {}


class LedgerFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which entries; what is left empty is not asked."""

    regression: str = ""
    incidents: tuple[str, ...] = ()
    config_id: str = ""


class BoundFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which cases that bind: those of a configuration, or that bind what one of these gateways
    runs, or of these incidents; nothing of all is every one."""

    config_id: str = ""
    gateways: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()


class RegressionLedger(Protocol):
    """The ledger. Each entry has a leaf in the log; the database refuses to change one."""

    def add(self, binding: Binding, *, now: datetime) -> None:
        """Add entries, all or none.

        Raises:
            VersionConflict: another version of a configuration was published meanwhile, or a case
                is not any more what was proven.
        """

    def mark(self) -> int:
        """How many entries there are: while it stays, nothing has changed."""

    def page(
        self, where: LedgerFilter, *, limit: int, cursor: str | None = None
    ) -> tuple[list[LedgerEntry], str | None]:
        """Newest first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def bound(self, where: BoundFilter) -> list[LedgerEntry]:
        """The newest entry of each case that binds, by the id of the case."""

    def standing(self, regression_ids: Sequence[str]) -> dict[str, LedgerEntry]:
        """The newest entry of each of these, by id; a case that never bound has none."""

    def after(self, mark: int, *, limit: int) -> list[LedgerEntry]:
        """Entries behind the first so many, oldest first."""

    def put_back(self, entries: Iterable[LedgerEntry], *, now: datetime) -> list[LedgerEntry]:
        """Add again, in this order, what the database does not know: it was restored from before.
        Those that were missing."""

    def check(self) -> list[str]:
        """What of the ledger is not as the log tells; empty when all is well."""


def ledger_record(entry: LedgerEntry) -> bytes:
    """An entry as it is stored and digested: canonical JSON."""
    return msgspec.json.encode(entry, order="deterministic")


def ledger_digest(entry: LedgerEntry) -> str:
    """``sha256:...`` of its record."""
    return f"sha256:{sha256(ledger_record(entry)).hexdigest()}"


def lost_case(entry: LedgerEntry) -> Regression:
    """The place of a case that binds, whose content went with another database. It binds all the
    same, until an approved case replaces it."""
    return Regression(
        id=entry.regression_id,
        version=entry.version,
        kind=entry.case_kind,
        state="erased",
        incident_id=entry.incident_id,
        config_id=entry.config_id,
        case=NO_CASE,
        source=CaseSource("hand", ""),
        created_at=entry.at,
        created_by=entry.by,
        changed_at=entry.at,
        changed_by=entry.by,
        changed="lost",
        lost="its content went with another database: this one was restored from before it",
        lost_digest=entry.digest,
    )
