"""What gateways tell of their journals: kept with the records, in the log, and said when it does
not fit."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from kintsugi.ledger.journal_continuity import check_records
from kintsugi.ledger.leaves import EventsLeaf
from kintsugi.model.event import DecisionEvent
from kintsugi.model.journal import CheckedRange, JournalRange, Link, MissingLines
from kintsugi.model.stores import Stores
from tests.store.made import event

SERIES = "gw-1.w0.1795262400000"


class Told:
    """Batches of one series, one event to a line."""

    def __init__(self, count: int) -> None:
        self.events = [event(number) for number in range(1, count + 1)]
        self.chains = [bytes(32)]
        for one in self.events:
            self.chains.append(sha256(self.chains[-1] + msgspec.json.encode(one)).digest())

    def lines(self, first: int, last: int) -> tuple[list[DecisionEvent], tuple[CheckedRange, ...]]:
        chains = [chain.hex() for chain in self.chains]
        links = tuple(Link(seq, chains[seq - 1], chains[seq]) for seq in range(first, last + 1))
        told = JournalRange(SERIES, first, last, chains[first - 1], chains[last], links)
        events = self.events[first - 1 : last]
        return events, check_records([told], [msgspec.json.encode(one) for one in events])


def test_a_batch_says_in_the_log_which_lines_it_came_from(stores: Stores) -> None:
    told = Told(3)
    assert stores.events.append(*told.lines(1, 3)).missing == ()
    [leaf] = stores.log.leaves(before=None, limit=5)
    [span] = msgspec.json.decode(leaf.data, type=EventsLeaf).journals
    assert (span.series, span.first_seq, span.last_seq, span.records) == (SERIES, 1, 3, 3)
    assert (span.chain_before, span.chain_after) == ("00" * 32, told.chains[3].hex())
    stores.events.append([event(9)])
    [plain, _] = stores.log.leaves(before=None, limit=5)
    assert "journals" not in plain.data


def test_a_gap_is_a_signal_until_it_is_filled(stores: Stores) -> None:
    told = Told(9)
    stores.events.append(*told.lines(1, 3))
    taken = stores.events.append(*told.lines(7, 9))
    assert taken.missing == (MissingLines(SERIES, 4, 6),)
    [signal], _ = stores.signals.page("open", limit=5)
    assert signal.kind == "journal_gap"
    assert "4 to 6" in signal.summary
    [missing] = signal.detail["missing"]
    assert missing["chain_before"] == told.chains[3].hex()
    assert missing["chain_after"] == told.chains[6].hex()
    again = stores.events.append(*told.lines(7, 9))
    assert (again.stored, again.duplicates) == (0, 3)
    assert stores.signals.count_unresolved() == 1
    assert stores.events.append(*told.lines(5, 5)).missing == (
        MissingLines(SERIES, 4, 4),
        MissingLines(SERIES, 6, 6),
    )
    stores.events.append(*told.lines(4, 4))
    assert stores.events.append(*told.lines(6, 6)).missing == ()
    over = stores.signals.get(signal.id)
    assert (over.status, over.resolved_by) == ("resolved", "")
    assert stores.events.last_position() == 9


def test_a_batch_that_forks_is_stored_all_the_same(stores: Stores) -> None:
    told = Told(4)
    stores.events.append(*told.lines(1, 2))
    events, [one] = told.lines(3, 4)
    forged = msgspec.structs.replace(one.range, chain_before="ff" * 32)
    taken = stores.events.append(events, [CheckedRange(forged)])
    assert taken.stored == 2
    [signal], _ = stores.signals.page("open", limit=5)
    assert (signal.kind, signal.severity, signal.detail["seq"]) == ("journal_fork", "critical", 3)


def test_nothing_is_told_of_a_batch_that_was_refused(stores: Stores) -> None:
    told = Told(2)
    events, ranges = told.lines(1, 2)
    stores.events.append([], ranges)
    stores.events.append(events)
    assert stores.signals.count_unresolved() == 0
    assert stores.events.last_position() == 2
