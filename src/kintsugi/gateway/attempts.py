"""The attempts of one exchange: who is asked in which order, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kintsugi.gateway.events import Headers
from kintsugi.gateway.in_force import Upstream
from kintsugi.gateway.routing import Board, draw_of
from kintsugi.model.config import Routing
from kintsugi.model.event import Attempt


class Again(NamedTuple):
    """Another attempt, after a pause; 0 when it can begin at once."""

    upstream: Upstream
    pause_seconds: float


class Attempts:
    """One exchange's attempts.

    Args:
        upstreams: those that can serve the request, in the order of the configuration.

    Attributes:
        made: what became of each, in order, the one under way left out; empty where the first
            one succeeded.
    """

    def __init__(
        self,
        board: Board,
        routing: Routing,
        upstreams: Sequence[Upstream],
        *,
        event_id: str,
        at_ns: int,
    ) -> None:
        self.made: list[Attempt] = []
        self._board = board
        self._routing = routing
        self._received_at_ns = at_ns
        draw = draw_of(event_id) if routing.strategy == "weighted" else 0.0
        self._order = board.order(upstreams, routing, draw=draw, at_ns=at_ns)
        self._began_at_ns = at_ns
        self._target_id = ""

    def first(self) -> Upstream | None:
        """The first one; None when the circuits of all of them are open."""
        if not self._order:
            return None
        self._board.earn(self._routing)
        return self._order[0]

    def begin(self, upstream: Upstream, at_ns: int) -> None:
        """An attempt begins."""
        self._began_at_ns = at_ns
        self._target_id = upstream.target.id
        self._board.calls(self._target_id, at_ns)

    def ended(self, at_ns: int, *, status: int = 0, error: str = "") -> bool:
        """The attempt under way was answered, or was not; returns whether it failed.

        Args:
            status: of the answer; 0 when there was none.
            error: why there was none.
        """
        failed = bool(error) or status in self._routing.retry.statuses
        waited_ms = (at_ns - self._began_at_ns) / 1e6
        if failed:
            self._board.failed(self._target_id, self._routing, at_ns)
        else:
            self._board.answered(self._target_id, waited_ms)
        if failed or self.made:  # of a first attempt that succeeds the event tells all
            self.made.append(
                Attempt(
                    target_id=self._target_id,
                    started_ms=round((self._began_at_ns - self._received_at_ns) / 1e6, 3),
                    duration_ms=round(waited_ms, 3),
                    status=status,
                    error=error,
                )
            )
        return failed

    def another(self, headers: Headers) -> Again | None:
        """Who is asked next, after a failed attempt; None when there shall be no other.

        Args:
            headers: of the answer that failed, for its ``retry-after``; none if there was none.
        """
        retry = self._routing.retry
        made, targets = len(self.made), len(self._order)
        if made >= (retry.attempts_max or targets):
            return None
        pause_seconds = 0.0
        if made >= targets:
            pause_seconds = retry.backoff_seconds * 2.0 ** (made // targets - 1)
            pause_seconds = max(pause_seconds, _retry_after_seconds(headers))
            if pause_seconds > retry.backoff_seconds_max:
                return None
        if not self._board.take_retry():
            return None
        return Again(self._order[made % targets], pause_seconds)


def _retry_after_seconds(headers: Headers) -> float:
    """What upstream asks for in seconds; 0 when it does not, or gives a date."""
    for name, value in headers:
        if name == b"retry-after" and value.strip().isdigit():
            return float(value)
    return 0.0
