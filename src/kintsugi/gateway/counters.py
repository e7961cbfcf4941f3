"""Counters with sliding windows: reserve, then settle or release. Pure, with time passed in.

An amount that is reserved counts at once, so exchanges that run at the same time cannot overshoot
together. When an exchange ends, what it really used takes the place of what it reserved.

A window is kept in 60 slices. A slice counts until all of it is out of the window, so a counter
may forget up to a sixtieth of its window late, and never early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from kintsugi.model.facts import Counter, CounterNeed

_SLICES = 60
# Of counters without a window, which last as long as a session: nobody tells when one ends.
SESSION_SECONDS = 7 * 86_400
# More would mean that somebody makes up names; new ones are refused then, and what they were
# asked for decides by its on_error. Forgetting old ones instead would let a limit be walked around.
COUNTERS_MAX = 250_000
_SWEEP_SECONDS = 1.0  # looking through all of them takes a while; not for every new name
_EXACT = 1e-9  # sums of amounts of money are not exact


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """An amount that was added to a counter, as the book of counters keeps it.

    Attributes:
        at_s: seconds since the epoch; decides in which slice it counts.
        amount: negative where something is given back.
    """

    key: str
    window_seconds: int
    at_s: float
    amount: float


class _Held(msgspec.Struct, frozen=True):
    """One amount of an open reservation."""

    key: str
    slice_at: int
    amount: float


class _Window:
    """The slices of one counter by their number; the sum is kept beside them."""

    __slots__ = ("changed_s", "seconds", "slice_seconds", "slices", "total")

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.slice_seconds = max(seconds / _SLICES, 1.0) if seconds else float(SESSION_SECONDS)
        self.slices: dict[int, float] = {}
        self.total = 0.0
        self.changed_s = 0.0

    def forget(self, now_s: float) -> None:
        """Drop the slices that are out of the window."""
        if not self.slices:
            return
        if not self.seconds:
            if now_s - self.changed_s > SESSION_SECONDS:
                self.slices.clear()
                self.total = 0.0
            return
        oldest = (now_s - self.seconds) / self.slice_seconds
        gone = [number for number in self.slices if number + 1 <= oldest]
        for number in gone:
            self.total -= self.slices.pop(number)
        if not self.slices:
            self.total = 0.0  # nothing is left of rounding either

    def slice_of(self, now_s: float) -> int:
        return int(now_s // self.slice_seconds) if self.seconds else 0

    def middle_of(self, number: int) -> float:
        """A time that surely lies in a slice, whatever is rounded."""
        return (number + 0.5) * self.slice_seconds

    def add(self, number: int, amount: float, now_s: float) -> None:
        self.slices[number] = self.slices.get(number, 0.0) + amount
        self.total += amount
        self.changed_s = now_s

    def give_back(self, number: int, amount: float) -> bool:
        """Take an amount out of a slice; False when the slice is gone already."""
        if number not in self.slices:
            return False
        taken = min(amount, self.slices[number]) if amount > 0 else amount
        self.slices[number] -= taken
        self.total -= taken
        return True

    def fits_after_seconds(self, missing: float, now_s: float) -> float:
        """When the oldest slices will have made so much room; 0 where that cannot be said."""
        if not self.seconds:
            return 0.0
        for number in sorted(self.slices):
            missing -= self.slices[number]
            if missing <= _EXACT:
                return max((number + 1) * self.slice_seconds + self.seconds - now_s, 0.0)
        return 0.0


class CountersFull(Exception):
    """There are too many counters to begin another one."""


class CounterBook:
    """Every counter of a gateway.

    Attributes:
        written: amounts since the last ``take_written``, for whoever keeps them.
    """

    def __init__(self, *, counters_max: int = COUNTERS_MAX) -> None:
        self._windows: dict[str, _Window] = {}
        self._open: dict[tuple[str, int], tuple[_Held, ...]] = {}
        self._counters_max = counters_max
        self._swept_s = 0.0
        self._written: list[Entry] = []

    def reserve(
        self, owner: str, number: int, needs: Sequence[CounterNeed], now_s: float
    ) -> dict[str, Counter]:
        """Take what fits; a need that does not fit takes nothing, whatever the others do.

        Args:
            owner: whose reservation it is; a worker, say.
            number: names the reservation among its owner's.

        Raises:
            CountersFull: some counter would be a new one too many; nothing was reserved.
        """
        windows = [self._window(need, now_s) for need in needs]
        told: dict[str, Counter] = {}
        held: list[_Held] = []
        for need, window in zip(needs, windows, strict=True):
            used = max(window.total, 0.0)
            over = used + need.amount - need.limit
            granted = over <= _EXACT * max(1.0, abs(need.limit))
            if granted and need.amount > 0:
                slice_at = window.slice_of(now_s)
                window.add(slice_at, need.amount, now_s)
                if not need.keeps:
                    held.append(_Held(need.key, slice_at, need.amount))
                self._write(need.key, window, now_s, need.amount)
            wait = 0.0 if granted else window.fits_after_seconds(over, now_s)
            told[need.key] = Counter(used=used, granted=granted, retry_after_seconds=round(wait, 3))
        if held:
            self._open[owner, number] = tuple(held)
        return told

    def settle(
        self, owner: str, number: int, used: Mapping[str, float] | None, now_s: float
    ) -> None:
        """End a reservation; one that is not open any more is passed over.

        Args:
            used: what was really used; a key that is left out keeps what was reserved. None gives
                all of it back.
        """
        for held in self._open.pop((owner, number), ()):
            actual = 0.0 if used is None else max(used.get(held.key, held.amount), 0.0)
            window = self._windows.get(held.key)
            if window is None or actual == held.amount:
                continue
            if window.give_back(held.slice_at, held.amount - actual):
                at_s = window.middle_of(held.slice_at) if window.seconds else now_s
                self._write(held.key, window, at_s, actual - held.amount)

    def release_all(self, owner: str, now_s: float) -> int:
        """Give back whatever an owner that died had reserved; returns how many reservations."""
        numbers = [number for name, number in self._open if name == owner]
        for number in numbers:
            self.settle(owner, number, None, now_s)
        return len(numbers)

    def take_written(self) -> list[Entry]:
        """The amounts added since the last call."""
        written, self._written = self._written, []
        return written

    def entries(self, now_s: float) -> Iterator[Entry]:
        """Everything that still counts, for a fresh file."""
        self._forget(now_s)
        for key, window in self._windows.items():
            for number, amount in window.slices.items():
                if amount > 0:
                    at_s = window.middle_of(number) if window.seconds else window.changed_s
                    yield Entry(key, window.seconds, at_s, amount)

    def load(self, entries: Iterable[Entry], now_s: float) -> None:
        """Take in what an earlier process counted. What was open there counts as used."""
        for entry in entries:
            at_s = min(float(entry.at_s), now_s)
            window = self._begin(entry.key, entry.window_seconds)
            if entry.amount >= 0:
                window.add(window.slice_of(at_s), entry.amount, at_s)
            else:
                window.give_back(window.slice_of(at_s), -entry.amount)
        self._forget(now_s)

    @property
    def open_reservations(self) -> int:
        """How many exchanges hold amounts now."""
        return len(self._open)

    @property
    def count(self) -> int:
        """How many counters there are."""
        return len(self._windows)

    def _window(self, need: CounterNeed, now_s: float) -> _Window:
        if need.key not in self._windows:
            if len(self._windows) >= self._counters_max and now_s - self._swept_s >= _SWEEP_SECONDS:
                self._forget(now_s)
            if len(self._windows) >= self._counters_max:
                raise CountersFull(f"more than {self._counters_max} counters")
        window = self._begin(need.key, need.window_seconds)
        window.forget(now_s)
        return window

    def _begin(self, key: str, window_seconds: int) -> _Window:
        window = self._windows.get(key)
        # A configuration that gives a key another window begins a new count.
        if window is None or window.seconds != window_seconds:
            window = self._windows[key] = _Window(window_seconds)
        return window

    def _forget(self, now_s: float) -> None:
        self._swept_s = now_s
        for key, window in list(self._windows.items()):
            window.forget(now_s)
            if not window.slices:
                del self._windows[key]

    def _write(self, key: str, window: _Window, at_s: float, amount: float) -> None:
        self._written.append(Entry(key, window.seconds, round(at_s, 3), amount))
