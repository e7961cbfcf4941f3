"""Counters: no overshoot, whatever runs at once; nothing forgotten early; restarts keep counts."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from kintsugi.gateway.counters import CounterBook, CountersFull
from kintsugi.model.facts import CounterNeed

START_S = 1_700_000_000.0


def need(
    key: str = "k", amount: float = 1, limit: float = 3, window_seconds: int = 60
) -> CounterNeed:
    return CounterNeed(key=key, amount=amount, limit=limit, window_seconds=window_seconds)


def granted(book: CounterBook, number: int, asked: CounterNeed, now_s: float = START_S) -> bool:
    return book.reserve("w0", number, [asked], now_s)[asked.key].granted


def test_what_fits_is_granted_and_what_does_not_takes_nothing() -> None:
    book = CounterBook()
    assert [granted(book, n, need()) for n in range(5)] == [True, True, True, False, False]
    told = book.reserve("w0", 9, [need(amount=0)], START_S)["k"]
    assert told.used == 3
    assert told.granted


def test_a_refusal_says_when_there_will_be_room() -> None:
    book = CounterBook()
    for number in range(3):
        assert granted(book, number, need(), START_S + number * 10)
    told = book.reserve("w0", 3, [need()], START_S + 25)["k"]
    assert 35 <= told.retry_after_seconds <= 36
    assert not granted(book, 4, need(), START_S + 25 + told.retry_after_seconds - 1)
    assert granted(book, 5, need(), START_S + 25 + told.retry_after_seconds)


def test_what_was_really_used_takes_the_place_of_the_estimate() -> None:
    book = CounterBook()
    assert granted(book, 1, need(amount=100, limit=100))
    assert not granted(book, 2, need(amount=1, limit=100))
    book.settle("w0", 1, {"k": 30}, START_S)
    assert granted(book, 3, need(amount=70, limit=100))
    book.settle("w0", 3, {}, START_S)  # the estimate stands
    assert not granted(book, 4, need(amount=1, limit=100))


def test_more_than_was_estimated_counts_in_full() -> None:
    book = CounterBook()
    assert granted(book, 1, need(amount=1, limit=10))
    book.settle("w0", 1, {"k": 50}, START_S)
    assert book.reserve("w0", 2, [need(amount=0, limit=10)], START_S)["k"].used == 50


def test_a_released_reservation_leaves_no_trace_and_ends_once() -> None:
    book = CounterBook()
    assert granted(book, 1, need(amount=3))
    book.settle("w0", 1, None, START_S)
    book.settle("w0", 1, None, START_S)
    assert granted(book, 2, need(amount=3))


def test_what_is_kept_counts_however_the_exchange_ends() -> None:
    book = CounterBook()
    asked = [CounterNeed(key="k", amount=1, limit=3, window_seconds=60, keeps=True), need("other")]
    book.reserve("w0", 1, asked, START_S)
    book.settle("w0", 1, None, START_S)
    told = book.reserve("w0", 2, [need(amount=0), need("other", amount=0)], START_S)
    assert (told["k"].used, told["other"].used) == (1, 0)


def test_the_reservations_of_a_dead_worker_are_given_back() -> None:
    book = CounterBook()
    for number in range(2):
        book.reserve("w0", number, [need()], START_S)
    book.reserve("w1", 0, [need()], START_S)
    assert book.release_all("w0", START_S) == 2
    assert book.reserve("w1", 5, [need(amount=0)], START_S)["k"].used == 1


def test_a_counter_without_a_window_lasts_while_it_is_used() -> None:
    book = CounterBook()
    day = 86_400
    for number in range(3):
        assert granted(book, number, need(window_seconds=0), START_S + number * 6 * day)
    assert not granted(book, 3, need(window_seconds=0), START_S + 13 * day)
    assert granted(book, 4, need(window_seconds=0), START_S + 30 * day)


def test_a_restart_keeps_what_was_used_and_what_was_open() -> None:
    book = CounterBook()
    month = need(amount=10, limit=100, window_seconds=2_592_000)
    for number in range(3):
        book.reserve("w0", number, [month], START_S)
    book.settle("w0", 0, {"k": 4}, START_S + 1)
    book.settle("w0", 1, None, START_S + 2)
    again = CounterBook()
    again.load(book.take_written(), START_S + 100)
    read = need(amount=0, limit=100, window_seconds=2_592_000)
    assert again.reserve("w0", 1, [read], START_S + 100)["k"].used == 14
    compact = CounterBook()
    compact.load(again.entries(START_S + 100), START_S + 100)
    assert compact.reserve("w0", 1, [read], START_S + 100)["k"].used == 14


def test_made_up_names_cannot_fill_the_memory_nor_push_others_out() -> None:
    book = CounterBook(counters_max=2)
    assert granted(book, 1, need(key="a"))
    assert granted(book, 2, need(key="b"))
    with pytest.raises(CountersFull):
        book.reserve("w0", 3, [need(key="c")], START_S)
    assert not granted(book, 4, need(key="a", amount=3))
    assert granted(book, 5, need(key="c"), START_S + 120)  # the others are over by then


class Concurrency(RuleBasedStateMachine):
    """Workers reserve, settle, release and die in any order; a plain list of amounts is right."""

    reservations = Bundle("reservations")
    limit = 100.0
    window_seconds = 60

    def __init__(self) -> None:
        super().__init__()
        self.book = CounterBook()
        self.now_s = START_S
        self.number = 0
        self.amounts: dict[tuple[str, int], tuple[float, float]] = {}  # time and amount
        self.overdrawn = 0.0  # what settled above its estimate

    def used(self, reach_seconds: float) -> float:
        since = self.now_s - reach_seconds
        return sum(amount for at_s, amount in self.amounts.values() if at_s > since)

    @rule(
        target=reservations,
        worker=st.sampled_from(["w0", "w1"]),
        amount=st.integers(0, 60).map(float),
    )
    def reserve(self, worker: str, amount: float) -> tuple[str, int]:
        self.number += 1
        asked = need("k", amount, self.limit, self.window_seconds)
        told = self.book.reserve(worker, self.number, [asked], self.now_s)["k"]
        # Never less than what is in the window, at most one slice more.
        assert told.used >= self.used(self.window_seconds) - 1e-6
        assert told.used <= self.used(self.window_seconds + 1.001) + 1e-6
        if told.granted:
            assert told.used + amount <= self.limit + 1e-6
            self.amounts[worker, self.number] = (self.now_s, amount)
        return worker, self.number

    @rule(reservation=consumes(reservations), share=st.floats(0, 1))
    def settle(self, reservation: tuple[str, int], share: float) -> None:
        at_s, amount = self.amounts.get(reservation, (self.now_s, 0.0))
        self.book.settle(*reservation, {"k": amount * share}, self.now_s)
        if reservation in self.amounts:
            self.amounts[reservation] = (at_s, amount * share)

    @rule(reservation=consumes(reservations))
    def release(self, reservation: tuple[str, int]) -> None:
        self.book.settle(*reservation, None, self.now_s)
        self.amounts.pop(reservation, None)

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 61.5]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def restart(self) -> None:
        kept = list(self.book.entries(self.now_s))
        before = self.book.reserve("w0", 0, [need("k", 0, self.limit)], self.now_s)["k"].used
        again = CounterBook()
        again.load(kept, self.now_s)
        after = again.reserve("w0", 0, [need("k", 0, self.limit)], self.now_s)["k"].used
        assert after == pytest.approx(before)

    @invariant()
    def no_overshoot(self) -> None:
        assert self.used(self.window_seconds) <= self.limit + 1e-6


TestConcurrency = Concurrency.TestCase
