"""The regression ledger as it is remembered beside the database: one JSON line an entry, only ever
added to.

A database that is restored from before an entry knows nothing of it. The copy does: what binds
stays bound, and a tombstone stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from kintsugi.durable import add_lines, read_lines
from kintsugi.errors import EvidenceUnavailable
from kintsugi.model.regression_ledger import (
    LedgerEntry,
    RegressionLedger,
    ledger_record,
    lost_case,
)
from kintsugi.model.stores import Stores

FILE: Final = "regression-ledger.jsonl"
_WHAT: Final = "the copy of the regression ledger"
_READ: Final = 500


class LedgerCopy:
    """Follows the ledger of a database, entry by entry.

    Raises:
        EvidenceUnavailable: the file cannot be read, or a line of it is damaged.
    """

    def __init__(self, ledger: RegressionLedger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._written = 0
        self._begin()

    def follow_once(self) -> bool:
        """Take some entries over, on disk when this returns; whether there were any. What somebody
        took away of the file is written again."""
        if _size(self._path) < self._written:
            self._begin()
        found = self._ledger.after(self._mark, limit=_READ)
        new = [one for one in found if one.id not in self._known]
        if new:
            add_lines(self._path, map(ledger_record, new), what=_WHAT)
            self._known.update(one.id for one in new)
        self._mark += len(found)
        self._written = _size(self._path)
        return bool(found)

    def _begin(self) -> None:
        self._known = {one.id for one in read_copy(self._path)}
        self._mark = 0
        self._written = _size(self._path)


def read_copy(path: Path) -> list[LedgerEntry]:
    """What the copy holds, oldest first; see ``read_lines``."""
    return read_lines(path, LedgerEntry, what=_WHAT)


def bind_again(
    stores: Stores, path: Path, *, now: datetime, tell: Callable[[str], None] = lambda _: None
) -> int:
    """Put back what the copy remembers and the database, restored from before, does not know;
    before anything is served. Cases whose content went with the database are named. That a case
    binds no longer is believed only where something else bears it out: it is a file.

    Returns:
        How many entries were put back.
    """
    remembered = read_copy(path)
    unfounded = _unfounded(stores, remembered)
    if unfounded:
        names = ", ".join(sorted({one.regression_id for one in unfounded}))
        tell(
            f"{path} says that {names} bind no longer, and nothing bears that out: they bind on, "
            "and `kt doctor` names the entries until somebody has looked at the file"
        )
    sound = [one for one in remembered if one not in unfounded]
    missing = stores.ledger.put_back(sound, now=now)
    if missing:
        names = ", ".join(sorted({one.regression_id for one in missing}))
        tell(f"{len(missing)} entries of the regression ledger were put back: {names}")
        standing = stores.ledger.standing([one.regression_id for one in missing])
        bound = [one for one in standing.values() if one.binds]
        kept = stores.regressions.named([one.regression_id for one in bound])
        gone = [one for one in bound if one.regression_id not in kept]
        stores.regressions.put_back([lost_case(one) for one in gone], now=now)
        lost = sorted(
            one.regression_id
            for one in bound
            if one in gone or kept[one.regression_id].digest != one.digest
        )
        if lost:
            tell(
                f"of {', '.join(lost)} the content that binds is not in this database; every "
                "publish that they bind is refused until a newer backup brings it back, or "
                "another case replaces them"
            )
    return len(missing)


def foreign_entries(ledger: RegressionLedger, path: Path) -> list[str]:
    """What is wrong with a copy: entries that the ledger does not have, or that nobody can read."""
    try:
        remembered = read_copy(path)
    except EvidenceUnavailable as error:
        return [str(error)]
    known: list[str] = []
    while some := ledger.after(len(known), limit=_READ):
        known += [one.id for one in some]
    in_ledger = frozenset(known)
    return [
        f"entry {one.id} ({one.act} {one.regression_id}) stands in {path.name}, not in the ledger"
        for one in remembered
        if one.id not in in_ledger
    ]


def _unfounded(stores: Stores, remembered: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Entries that the database does not know, by which a case would bind no longer: replaced by
    one that does not bind, or erased while its content is there."""
    copied = {one.regression_id: one for one in remembered}
    names = copied.keys() | {one.replaced_by for one in remembered}
    standing = stores.ledger.standing(sorted(names))
    ids = {one.id for one in remembered}
    newest = copied | {name: one for name, one in standing.items() if one.id not in ids}
    ends = [one for one in remembered if not one.binds and one != standing.get(one.regression_id)]
    kept = stores.regressions.named([one.regression_id for one in ends])
    return [
        one
        for one in ends
        if not _is_stood_in_for(one, newest)
        or (one.act == "erased" and one.regression_id in kept and not kept[one.regression_id].lost)
    ]


def _is_stood_in_for(entry: LedgerEntry, newest: Mapping[str, LedgerEntry]) -> bool:
    """Whether something binds at the end of its tombstones, or was erased."""
    seen = set()
    while entry.act == "replaced":
        seen.add(entry.regression_id)
        found = newest.get(entry.replaced_by)
        if found is None or found.regression_id in seen:
            return False
        entry = found
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
