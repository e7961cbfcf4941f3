"""Which target an exchange is sent to, and whether a failed attempt is followed by another.

Pure state of one worker, fed by its exchanges: no clock is read and nothing is sent. The same
reports in the same order give the same choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kintsugi.model.config import Routing

if TYPE_CHECKING:
    from kintsugi.gateway.in_force import Upstream

# Each exchange earns this worker a share of a retry, up to this many saved up: enough for a burst,
# too few to multiply an outage. The start is not held up by having earned nothing yet.
_RETRIES_SAVED_MAX = 50.0
_RETRIES_AT_START = 10.0
# Weight of the newest answer in the average time to the head of an answer.
_NEWEST = 0.3


class _Health:
    """What one target's last answers were like.

    Attributes:
        failures: in a row.
        opened_at_ns: when the circuit opened, or last let an exchange through to find out.
        head_ms: average time to the head of an answer; 0 while not known.
    """

    __slots__ = ("failures", "head_ms", "opened_at_ns")

    def __init__(self) -> None:
        self.failures = 0
        self.opened_at_ns = 0
        self.head_ms = 0.0


class Board:
    """How the targets of a configuration are doing, as this worker sees it."""

    def __init__(self) -> None:
        self._health: dict[str, _Health] = {}
        self._open: set[str] = set()
        self._retries = _RETRIES_AT_START

    def order(
        self, upstreams: Sequence[Upstream], routing: Routing, *, draw: float, at_ns: int
    ) -> Sequence[Upstream]:
        """The targets to try, best first; those whose circuit is open are left out.

        Args:
            upstreams: those that can serve the request, in the order of the configuration.
            draw: in [0, 1), for ``weighted``: the same draw makes the same choice.
        """
        if not self._open and (len(upstreams) == 1 or routing.strategy == "ordered"):
            return upstreams
        closed = [one for one in upstreams if self._may_call(one.target.id, routing, at_ns)]
        if len(closed) < 2:
            return closed
        if routing.strategy == "weighted":
            return _weighted(closed, draw)
        if routing.strategy == "least-latency":
            # One that has not answered yet is tried, or it would never be measured.
            return sorted(closed, key=lambda one: self._of(one.target.id).head_ms)
        return closed

    def calls(self, target_id: str, at_ns: int) -> None:
        """An attempt begins. To a target whose circuit is open it is the one that finds out, and
        the pause begins anew for all others."""
        if target_id in self._open:
            self._of(target_id).opened_at_ns = at_ns

    def answered(self, target_id: str, head_ms: float) -> None:
        """An attempt was answered with something better than a failure."""
        health = self._of(target_id)
        health.failures, health.opened_at_ns = 0, 0
        self._open.discard(target_id)
        known = health.head_ms
        health.head_ms = known + _NEWEST * (head_ms - known) if known else max(head_ms, 1e-3)

    def failed(self, target_id: str, routing: Routing, at_ns: int) -> None:
        """An attempt failed: no answer, or a status that says so."""
        health = self._of(target_id)
        health.failures += 1
        if target_id in self._open or health.failures >= routing.breaker.failures:
            self._open.add(target_id)
            health.opened_at_ns = at_ns

    @property
    def open_targets(self) -> list[str]:
        """The targets whose circuit is open, by id."""
        return sorted(self._open)

    def earn(self, routing: Routing) -> None:
        """An exchange calls upstream for the first time."""
        earned = self._retries + routing.retry.budget_percent / 100
        self._retries = min(earned, _RETRIES_SAVED_MAX)

    def take_retry(self) -> bool:
        """Whether another attempt is within the budget; if so, it is paid for."""
        if self._retries < 1.0:
            return False
        self._retries -= 1.0
        return True

    def _of(self, target_id: str) -> _Health:
        health = self._health.get(target_id)
        if health is None:
            health = self._health[target_id] = _Health()
        return health

    def _may_call(self, target_id: str, routing: Routing, at_ns: int) -> bool:
        if target_id not in self._open:
            return True
        return at_ns - self._of(target_id).opened_at_ns >= routing.breaker.open_seconds * 1e9


def _weighted(upstreams: Sequence[Upstream], draw: float) -> list[Upstream]:
    """One by weight, then the others in their order: they are what is left if it fails."""
    total = sum(one.target.weight for one in upstreams)
    place = draw * total
    for index, one in enumerate(upstreams):
        place -= one.target.weight
        if place < 0:
            return [one, *upstreams[:index], *upstreams[index + 1 :]]
    return list(upstreams)


def draw_of(event_id: str) -> float:
    """A number in [0, 1) that belongs to an exchange: random, and the same when it is replayed."""
    return int(event_id[-8:], 16) / 0x1_0000_0000
