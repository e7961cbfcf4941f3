"""From the gateway's lines to the control plane's word on them: nothing is lost or moved unseen."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from kintsugi.ledger.journal import CHAIN_START, Header, Position, decode_line, encode_line
from kintsugi.ledger.journal_continuity import (
    Continued,
    SeriesState,
    check_records,
    continue_series,
)
from kintsugi.ledger.journal_files import SegmentName
from kintsugi.ledger.journal_ranges import Role, Telling, tell
from kintsugi.ledger.journal_reader import Entry
from kintsugi.model.journal import JournalRange, Link

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEGMENT = SegmentName("gw-1", "w0", 1, 0)
SERIES = SEGMENT.series


class Lines:
    """A series of lines as a worker writes them, decisions every other line."""

    def __init__(self) -> None:
        self.position = Position(0, CHAIN_START)
        self.entries: list[Entry] = []
        self.segment = SEGMENT
        self.open()

    def open(self, *, void: int = 0) -> None:
        """Begin a segment; so many of the last lines are void, because their sync failed."""
        if void:
            keep = [entry for entry in self.entries if entry.line.seq <= self.position.seq - void]
            last = keep[-1].line
            self.position = Position(last.seq, last.chain)
        header = Header(
            format=1,
            gateway_id="gw-1",
            worker_id="w0",
            segment=self.segment.segment,
            opened_at=NOON,
            previous_seq=self.position.seq,
            previous_chain=self.position.chain.hex(),
            reason="sync_failed" if void else "rotated",
        )
        self.add(msgspec.json.encode(header))
        self.segment = msgspec.structs.replace(self.segment, segment=self.segment.segment + 1)

    def add(self, record: bytes) -> Entry:
        seq = self.position.seq + 1
        text, chain = encode_line(record, seq, self.position.chain)
        self.position = Position(seq, chain)
        entry = Entry(self.segment, decode_line(text[:-1]))
        self.entries.append(entry)
        return entry

    def decide(self, count: int = 1) -> None:
        for _ in range(count):
            number = self.position.seq
            self.add(b'{"kind":"admitted","id":"%d"}' % number)
            self.add(b'{"kind":"decision","id":"%d"}' % number)


def role(entry: Entry) -> Role:
    return "sent" if entry.line.record.startswith(b'{"kind":"decision"') else "other"


def told(
    entries: list[Entry], tellings: dict[str, Telling] | None = None
) -> tuple[tuple[JournalRange, ...], dict[str, Telling]]:
    return tell(tellings or {}, [(entry, role(entry)) for entry in entries])


def records(entries: list[Entry]) -> list[bytes]:
    return [entry.line.record for entry in entries if role(entry) == "sent"]


def take(
    state: SeriesState, ranges: tuple[JournalRange, ...], sent: list[bytes]
) -> tuple[SeriesState, list[str]]:
    """The state after a batch, and what was said of it."""
    said: list[str] = []
    for checked in check_records(ranges, sent):
        continued: Continued = continue_series(state, checked)
        state = continued.state
        said += [seen.kind for seen in continued.seen]
        said += ["over" for _ in continued.over]
    return state, said


def whole(entries: list[Entry]) -> tuple[SeriesState, list[str]]:
    ranges, _ = told(entries)
    return take(SeriesState(), ranges, records(entries))


def test_a_whole_series_continues_from_its_first_line_to_its_last_decision() -> None:
    lines = Lines()
    lines.decide(3)
    lines.open()
    lines.decide(2)
    ranges, _ = told(lines.entries)
    [one] = ranges
    assert (one.first_seq, one.last_seq, one.chain_before) == (1, 12, CHAIN_START.hex())
    assert [link.seq for link in one.links] == [3, 5, 7, 10, 12]
    assert whole(lines.entries) == (SeriesState(12, one.chain_after), [])


def test_batches_continue_each_other_wherever_they_are_cut() -> None:
    lines = Lines()
    lines.decide(6)
    for cut in range(1, len(lines.entries)):
        state, tellings = SeriesState(), dict[str, Telling]()
        for part in (lines.entries[:cut], lines.entries[cut:]):
            ranges, tellings = told(part, tellings)
            state, said = take(state, ranges, records(part))
            assert said == []
        assert (state.seq, state.gaps) == (lines.position.seq, ())


def test_a_batch_that_is_lost_leaves_a_gap_with_its_place_and_fills_it_when_it_comes() -> None:
    lines = Lines()
    lines.decide(9)
    parts = [lines.entries[:7], lines.entries[7:13], lines.entries[13:]]
    batches, tellings = [], dict[str, Telling]()
    for part in parts:
        ranges, tellings = told(part, tellings)
        batches.append((ranges, records(part)))
    state, _ = take(SeriesState(), *batches[0])
    state, said = take(state, *batches[2])
    assert said == ["journal_gap"]
    [gap] = state.gaps
    assert (gap.first_seq, gap.last_seq) == (8, 13)
    assert gap.chain_before == lines.entries[6].line.chain.hex()
    assert gap.chain_after == lines.entries[12].line.chain.hex()
    again, said = take(state, *batches[2])
    assert (again, said) == (state, []), "sent twice is no news"
    state, said = take(state, *batches[1])
    assert (state.gaps, said) == ((), ["over"])
    assert take(state, *batches[0]) == (state, [])


def test_a_gap_that_is_filled_in_part_says_what_is_left() -> None:
    lines = Lines()
    lines.decide(10)
    first, _ = told(lines.entries[:3])
    last, _ = told(lines.entries[17:], {SERIES: _at(lines, 17)})
    middle, _ = told(lines.entries[7:11], {SERIES: _at(lines, 7)})
    state, _ = take(SeriesState(), first, records(lines.entries[:3]))
    state, _ = take(state, last, records(lines.entries[17:]))
    state, said = take(state, middle, records(lines.entries[7:11]))
    assert said == ["journal_gap"]
    assert [(gap.first_seq, gap.last_seq) for gap in state.gaps] == [(4, 7), (12, 17)]
    rest, _ = told(lines.entries[3:7], {SERIES: _at(lines, 3)})
    state, _ = take(state, rest, records(lines.entries[3:7]))
    rest, _ = told(lines.entries[11:17], {SERIES: _at(lines, 11)})
    state, said = take(state, rest, records(lines.entries[11:17]))
    assert (state.gaps, said) == ((), ["over"])


def test_lines_that_were_told_again_in_other_pieces_are_no_news() -> None:
    lines = Lines()
    lines.decide(8)
    state, tellings = SeriesState(), dict[str, Telling]()
    for start in range(0, 17, 5):
        part = lines.entries[start : start + 5]
        ranges, tellings = told(part, tellings)
        state, _ = take(state, ranges, records(part))
    lines.decide(2)
    ranges, _ = told(lines.entries)  # from the start, as after the loss of the shipper's progress
    state, said = take(state, ranges, records(lines.entries))
    assert (state.seq, said) == (21, [])


def test_a_line_that_was_rewritten_with_a_fresh_sum_is_found() -> None:
    lines = Lines()
    lines.decide(4)
    place = 4  # a decision
    rewritten, _ = encode_line(b'{"kind":"decision","id":"forged"}', place + 1, bytes(32))
    lines.entries[place] = Entry(SEGMENT, decode_line(rewritten[:-1]))
    _, said = whole(lines.entries)
    assert set(said) == {"journal_fork"}


def test_a_line_that_was_cut_out_of_the_journal_is_a_gap() -> None:
    lines = Lines()
    lines.decide(4)
    del lines.entries[4]
    state, said = whole(lines.entries)
    assert "journal_gap" in said
    assert [(gap.first_seq, gap.last_seq) for gap in state.gaps] == [(5, 5)]


def test_a_record_that_was_changed_on_its_way_is_found() -> None:
    lines = Lines()
    lines.decide(3)
    ranges, _ = told(lines.entries)
    sent = records(lines.entries)
    _, said = take(SeriesState(), ranges, [sent[0], b'{"kind":"decision","id":"x"}', sent[2]])
    assert said == ["journal_fork"]
    _, said = take(SeriesState(), ranges, sent[:2])
    assert said == ["journal_fork"], "one that was left out"


def test_records_that_changed_places_on_their_way_are_found() -> None:
    lines = Lines()
    lines.decide(3)
    ranges, _ = told(lines.entries)
    one, two, three = records(lines.entries)
    _, said = take(SeriesState(), ranges, [two, one, three])
    assert said == ["journal_reorder"]


def test_another_history_behind_the_same_line_is_a_fork() -> None:
    lines, other = Lines(), Lines()
    lines.decide(2)
    other.add(b"{}")
    other.add(b'{"kind":"decision","id":"other"}')
    other.decide(2)
    state, _ = whole(lines.entries)
    ranges, _ = told(other.entries)
    _, said = take(state, ranges, records(other.entries))
    assert "journal_fork" in said


def test_lines_that_are_void_because_their_sync_failed_are_told_as_that() -> None:
    lines = Lines()
    lines.decide(3)
    seen = list(lines.entries)  # read before the sync failed
    lines.open(void=2)
    lines.decide(2)
    ranges, _ = told(lines.entries)
    assert [one.rewinds for one in ranges] == [False, True]
    state, said = take(SeriesState(), ranges, records(lines.entries))
    assert (state.seq, state.gaps, said) == (lines.position.seq, (), [])
    first, tellings = told(seen)
    state, _ = take(SeriesState(), first, records(seen))
    rest = lines.entries[len(seen) :]
    ranges, _ = told(rest, tellings)
    state, said = take(state, ranges, records(rest))
    assert (state.seq, state.gaps, said) == (lines.position.seq, (), [])


def test_a_record_that_was_refused_leaves_no_gap() -> None:
    lines = Lines()
    lines.decide(3)
    roles = [(entry, "refused" if entry.line.seq == 5 else role(entry)) for entry in lines.entries]
    ranges, _ = tell({}, roles)
    sent = [entry.line.record for entry, what in roles if what == "sent"]
    state, said = take(SeriesState(), ranges, sent)
    assert (state.seq, said) == (7, [])
    assert [link.seq for link in ranges[0].refused] == [5]


@pytest.mark.parametrize(
    "changes",
    [
        {"last_seq": 0},
        {"first_seq": 9},
        {"chain_after": ""},
        {"series": "no series"},
        {"chain_before": "zz"},
        {"links": [[9, "", "00" * 32]]},
        {"links": [[3, "", "00" * 32], [2, "", "00" * 32]]},
    ],
)
def test_what_is_no_range_is_refused(changes: dict[str, object]) -> None:
    good = JournalRange(SERIES, 1, 4, "00" * 32, "11" * 32, (Link(2, "00" * 32, "22" * 32),))
    plain = msgspec.to_builtins(good)
    assert msgspec.convert(plain, JournalRange) == good
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**plain, **changes}, JournalRange)


def _at(lines: Lines, place: int) -> Telling:
    line = lines.entries[place - 1].line
    return Telling(line.seq, line.chain.hex(), line.seq + 1, line.chain.hex())


class JournalToStore(RuleBasedStateMachine):
    """A worker writes, a shipper tells, and what lies between delays, doubles and loses batches."""

    batches = Bundle("batches")

    @initialize()
    def begin(self) -> None:
        self.lines = Lines()
        self.read = 0
        self.tellings: dict[str, Telling] = {}
        self.state = SeriesState()
        self.stored: set[bytes] = set()
        self.came: set[int] = set()
        self.said: list[str] = []
        self.newest = 0

    @rule(count=st.integers(1, 4))
    def write(self, count: int) -> None:
        self.lines.decide(count)

    @rule()
    def begin_a_segment(self) -> None:
        self.lines.open()

    @rule(target=batches, size=st.integers(1, 9))
    def ship(self, size: int) -> object:
        part = self.lines.entries[self.read : self.read + size]
        ranges, self.tellings = told(part, self.tellings)
        self.read += len(part)
        if not ranges:
            return multiple()
        return ranges, records(part)

    @rule()
    def forget_the_progress(self) -> None:
        self.read, self.tellings = 0, {}

    @rule(batch=batches)
    def deliver_and_keep(self, batch: tuple[tuple[JournalRange, ...], list[bytes]]) -> None:
        self._deliver(batch)

    @rule(batch=consumes(batches))
    def deliver(self, batch: tuple[tuple[JournalRange, ...], list[bytes]]) -> None:
        self._deliver(batch)

    @rule(batch=consumes(batches))
    def lose(self, batch: tuple[tuple[JournalRange, ...], list[bytes]]) -> None:
        """Nobody hears of it; what is missing shows with the next one."""

    @precondition(lambda self: self.state.gaps)
    @rule(source=st.randoms(use_true_random=False))
    def send_again_what_is_missing(self, source: random.Random) -> None:
        gap = source.choice(self.state.gaps)
        part = [
            entry for entry in self.lines.entries if gap.first_seq <= entry.line.seq <= gap.last_seq
        ]
        before = {SERIES: _at(self.lines, gap.first_seq - 1)} if gap.first_seq > 1 else {}
        ranges, _ = told(part, before)
        self._deliver((ranges, records(part)))

    def _deliver(self, batch: tuple[tuple[JournalRange, ...], list[bytes]]) -> None:
        self.state, said = take(self.state, *batch)
        self.said += said
        self.stored.update(batch[1])
        for one in batch[0]:
            self.came.update(range(one.first_seq, one.last_seq + 1))

    @invariant()
    def an_honest_journal_is_never_called_forged(self) -> None:
        assert set(getattr(self, "said", [])) <= {"journal_gap", "over"}

    @invariant()
    def what_is_missing_is_known_to_the_line(self) -> None:
        if not hasattr(self, "lines"):
            return
        missing = {seq for gap in self.state.gaps for seq in range(gap.first_seq, gap.last_seq + 1)}
        assert missing == set(range(1, self.state.seq + 1)) - self.came

    @invariant()
    def every_decision_outside_the_gaps_is_stored(self) -> None:
        if not hasattr(self, "lines"):
            return
        for entry in self.lines.entries[: self.state.seq]:
            if role(entry) == "sent" and entry.line.seq in self.came:
                assert entry.line.record in self.stored


JournalToStore.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestJournalToStore = JournalToStore.TestCase
