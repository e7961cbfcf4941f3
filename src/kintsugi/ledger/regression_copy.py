"""The regression ledger as it is remembered beside the database: one JSON line an entry, only ever
added to.

A database that is restored from before an entry knows nothing of it. The copy does: what binds
stays bound, and a tombstone stays one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.errors import EvidenceUnavailable
from kintsugi.model.regression_ledger import LedgerEntry, RegressionLedger, ledger_record
from kintsugi.model.stores import Stores

FILE: Final = "regression-ledger.jsonl"
_DECODER: Final = msgspec.json.Decoder(LedgerEntry)
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
            _append(self._path, new)
            self._known.update(one.id for one in new)
        self._mark += len(found)
        return bool(found)


def read_copy(path: Path) -> list[LedgerEntry]:
    """What the copy holds, oldest first; nothing where there is no file. A last line that was torn
    by a crash counts as not written.

    Raises:
        EvidenceUnavailable: the file cannot be read, or another line is damaged.
    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceUnavailable(f"{path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_DECODER.decode(line))
        except msgspec.MsgspecError as error:
            raise EvidenceUnavailable(
                f"{path}:{number} is no entry of a regression ledger: {error}"
            ) from None
    return found


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
        bound = [one for one in missing if one.binds]
        kept = stores.regressions.named([one.regression_id for one in bound])
        lost = sorted(
            one.regression_id
            for one in bound
            if one.regression_id not in kept or kept[one.regression_id].digest != one.digest
        )
        if lost:
            tell(
                f"of {', '.join(lost)} the content that binds is not in this database; every "
                "publish that they bind is refused until a newer backup brings it back, or "
                "another case replaces them"
            )
    return len(missing)


def _append(path: Path, entries: list[LedgerEntry]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            whole = file.read()
            file.seek(whole.rfind(b"\n") + 1)  # over a line that a crash tore
            file.truncate()
            file.write(b"".join(ledger_record(one) + b"\n" for one in entries))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EvidenceUnavailable(f"{path} cannot be written: {error}") from error
