"""A worker's journal under a disk that refuses, restarts and deaths, in any order."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from kintsugi.gateway.journal_records import peek
from kintsugi.gateway.recovery import recover
from kintsugi.ledger.journal_continuity import SeriesState, check_records, continue_series
from kintsugi.ledger.journal_ranges import tell
from kintsugi.ledger.journal_reader import Entry, JournalReader
from kintsugi.ledger.journal_segments import SegmentSeries
from kintsugi.ledger.journal_verify import verify_journals
from tests.ledger.faulty_disk import FaultyDisk

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class JournalOnADisk(RuleBasedStateMachine):
    """Writes and syncs as the writer does; after each death everything durable must be there."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kt-journal-"))
        self.number = 0
        self.durable: set[bytes] = set()
        self.pending: list[bytes] = []
        self.open()

    def open(self) -> None:
        self.settled = 0
        self.disk = FaultyDisk()
        self.writer = SegmentSeries(
            self.folder,
            gateway_id="gw-1",
            worker_id="w0",
            clock=lambda: NOON,
            segment_bytes_max=700,
            disk=self.disk,
        )

    @rule(count=st.integers(1, 4))
    def write(self, count: int) -> None:
        records = []
        for _ in range(count):
            self.number += 1
            records.append(b'{"kind":"decision","id":"%d"}' % self.number)
        try:
            self.writer.write(records)
        except OSError:
            return  # nothing of these counts as written
        self.pending += records

    @rule()
    def sync(self) -> None:
        if self.writer.descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self.writer.sync()
        self._settle()

    @rule(errors=st.integers(0, 2))
    def syncs_fail(self, errors: int) -> None:
        self.disk.sync_errors = errors

    @rule(left=st.one_of(st.none(), st.integers(0, 400)), cut=st.booleans())
    def the_disk_fills(self, left: int | None, cut: bool) -> None:
        self.disk.bytes_left = left
        self.disk.truncate_fails = cut and left is not None

    @rule()
    def the_disk_has_room_again(self) -> None:
        self.disk.bytes_left, self.disk.sync_errors, self.disk.truncate_fails = None, 0, False

    @precondition(lambda self: self.writer.descriptor >= 0)
    @rule(chance=st.randoms(use_true_random=False))
    def the_machine_stops(self, chance: random.Random) -> None:
        """What was not synced may be there in part; what was is."""
        self._settle()
        path, kept = self.writer.path, self.writer._synced.offset
        size = path.stat().st_size
        self.writer.close()
        if size > kept > 0:
            os.truncate(path, chance.randint(kept, size))
        self._after_death()

    @rule()
    def the_process_dies(self) -> None:
        self._settle()
        self.writer.close()
        self._after_death()

    def _settle(self) -> None:
        """What the writer calls durable, in the order of writing."""
        count = self.writer.durable - self.settled
        self.durable.update(self.pending[:count])
        del self.pending[:count]
        self.settled += count

    def _after_death(self) -> None:
        recover(self.folder, gateway_id="gw-1", engine_version="1", clock=lambda: NOON)
        reader = JournalReader(self.folder, places={}, on_damage=lambda *_: None)
        entries: list[Entry] = []
        while more := reader.read(lines_max=1000, bytes_max=1 << 20):
            entries += more
        kinds = [(entry, peek(entry.line.record)[0] == "decision") for entry in entries]
        found = {entry.line.record for entry, decision in kinds if decision}
        assert self.durable <= found, "something durable is gone"
        self._is_told_without_a_gap(kinds)
        for series in verify_journals(self.folder):
            assert [damage for damage in series.damages if not damage.torn] == []
        self.pending = []
        self.open()

    def _is_told_without_a_gap(self, lines: list[tuple[Entry, bool]]) -> None:
        ranges, _ = tell({}, [(entry, "sent" if sent else "other") for entry, sent in lines])
        states: dict[str, SeriesState] = {}
        records = [entry.line.record for entry, sent in lines if sent]
        for checked in check_records(ranges, records):
            series = checked.range.series
            continued = continue_series(states.get(series, SeriesState()), checked)
            assert continued.seen == (), [seen.summary for seen in continued.seen]
            states[series] = continued.state

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.writer.close()
            shutil.rmtree(self.folder)


JournalOnADisk.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestJournalOnADisk = JournalOnADisk.TestCase
