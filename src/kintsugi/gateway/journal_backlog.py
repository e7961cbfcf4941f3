"""How many decisions wait in the journals, counted without taking records apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kintsugi.gateway.journal_records import DECISION_IN_LINE
from kintsugi.ledger.journal_files import SegmentName, list_segments

_READ_BYTES: Final = 4 * 1024 * 1024


class Backlog:
    """The journals' decisions. One thread looks; the numbers may be read from any.

    Args:
        arrived: by file name, up to where a segment needs no counting any more.

    Attributes:
        waiting: counted, and not taken off again by whoever shipped them.
        journaled: counted in journals that began after this was made.
    """

    def __init__(self, journal: Path, arrived: Mapping[str, int]) -> None:
        self._journal = journal
        self._counted = dict(arrived)
        self._series_before = {segment.series for segment in list_segments(journal)}
        self.waiting = 0
        self.journaled = 0

    def look(self) -> None:
        """Add what was appended since the last look."""
        for segment in list_segments(self._journal):
            name = segment.file_name
            counted = self._counted.get(name, 0)
            try:
                with (self._journal / name).open("rb") as file:
                    file.seek(counted)
                    while data := file.read(_READ_BYTES):
                        end = data.rfind(b"\n") + 1
                        if not end:
                            break
                        count = data.count(DECISION_IN_LINE, 0, end)
                        self.waiting += count
                        if segment.series not in self._series_before:
                            self.journaled += count
                        counted += end
                        file.seek(counted)
            except FileNotFoundError:
                continue
            self._counted[name] = counted

    def forget(self, segment: SegmentName) -> None:
        """It is not there any more."""
        self._counted.pop(segment.file_name, None)
