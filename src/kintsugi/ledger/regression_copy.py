"""The regression ledger as it is remembered beside the database: one JSON line an entry, only ever
added to.

A database that is restored from before an entry knows nothing of it. The copy does: what binds
stays bound, and a tombstone stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from kintsugi.durable import add_lines, read_lines
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
        self._known = {one.id for one in read_copy(path)}
        self._mark = 0

    def follow_once(self) -> bool:
        """Take some entries over, on disk when this returns; whether there were any."""
        found = self._ledger.after(self._mark, limit=_READ)
        new = [one for one in found if one.id not in self._known]
        if new:
            add_lines(self._path, map(ledger_record, new), what=_WHAT)
            self._known.update(one.id for one in new)
        self._mark += len(found)
        return bool(found)


def read_copy(path: Path) -> list[LedgerEntry]:
    """What the copy holds, oldest first; see ``read_lines``."""
    return read_lines(path, LedgerEntry, what=_WHAT)


def bind_again(
    stores: Stores, path: Path, *, now: datetime, tell: Callable[[str], None] = lambda _: None
) -> int:
    """Put back what the copy remembers and the database, restored from before, does not know;
    before anything is served. Cases whose content went with the database are named.

    Returns:
        How many entries were put back.
    """
    missing = stores.ledger.put_back(read_copy(path), now=now)
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
