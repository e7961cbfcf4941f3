"""Carries out one ``Gather``: counters and other machines at once, one answer for all of it."""

from __future__ import annotations

from collections.abc import Callable

from kintsugi.gateway import wire
from kintsugi.gateway.commands import Gather, RemoteCall
from kintsugi.gateway.events import Headers
from kintsugi.gateway.link import Cancel
from kintsugi.gateway.shell import Shell
from kintsugi.gateway.upstream import FAILURES, Call, Limits
from kintsugi.model.facts import Counter, RemoteAnswer

ANSWER_BYTES_MAX = 65_536

Done = Callable[[dict[str, Counter], dict[str, RemoteAnswer], int], None]


class Gathering:
    """One wish under way.

    Args:
        done: called once, later, with counters, answers and the number of the reservation.
    """

    def __init__(self, shell: Shell, wish: Gather, done: Done) -> None:
        self._done: Done | None = done
        self._counters: dict[str, Counter] = {}
        self._remote: dict[str, RemoteAnswer] = {}
        self._reservation = 0
        self._missing = len(wish.remote) + bool(wish.counters)
        self._cancel_counters: Cancel | None = None
        self._questions = [_Question(shell, call, self._answered) for call in wish.remote]
        if wish.counters:
            if shell.link is None:
                shell.loop.call_soon(self._counted, {}, 0)
            else:
                self._cancel_counters = shell.link.reserve(wish.counters, self._counted)
        for question in self._questions:
            question.ask()

    def cancel(self) -> None:
        """Nobody waits any more: give up what is under way."""
        self._done = None
        if self._cancel_counters is not None:
            self._cancel_counters()
        for question in self._questions:
            question.cancel()

    def _counted(self, counters: dict[str, Counter], reservation: int) -> None:
        self._cancel_counters = None
        self._counters, self._reservation = counters, reservation
        self._arrived()

    def _answered(self, key: str, answer: RemoteAnswer) -> None:
        self._remote[key] = answer
        self._arrived()

    def _arrived(self) -> None:
        self._missing -= 1
        if not self._missing and self._done is not None:
            self._done(self._counters, self._remote, self._reservation)


class _Question:
    """One call of another machine; its answer is kept up to a limit. ``upstream.Sink``."""

    def __init__(
        self, shell: Shell, call: RemoteCall, answered: Callable[[str, RemoteAnswer], None]
    ) -> None:
        self._shell = shell
        self._asked = call
        self._answered = answered
        self._call: Call | None = None
        self._status = 0
        self._parts: list[bytes] = []

    def ask(self) -> None:
        """Send it."""
        asked = self._asked
        origin, host = self._shell.origin(asked.origin, asked.allow_private_network)
        head = wire.request_head(b"POST", asked.path, host, asked.headers, len(asked.body))
        seconds = asked.timeout_seconds
        limits = Limits(seconds, seconds, seconds, seconds, ANSWER_BYTES_MAX)
        self._call = self._shell.pool.call(origin, head, asked.body, self, limits)
        # The pool's own clock is coarse: good for minutes, not for a check of 200 ms.
        self._timer = self._shell.loop.call_later(seconds, self._late)

    def cancel(self) -> None:
        """Give it up."""
        self._timer.cancel()
        if self._call is not None:
            self._call.abort()
            self._call = None

    def upstream_head(self, status: int, headers: Headers, data: bytes, *, ended: bool) -> None:  # noqa: ARG002
        """See ``upstream.Sink``."""
        self._status = status
        self.upstream_data(data, ended=ended)

    def upstream_data(self, data: bytes, *, ended: bool) -> None:
        """See ``upstream.Sink``."""
        self._parts.append(data)
        if ended:
            self.upstream_ended()

    def upstream_ended(self) -> None:
        """See ``upstream.Sink``."""
        if 200 <= self._status < 300:
            body = b"".join(self._parts).decode("utf-8", "replace")
            self._finish(RemoteAnswer(self._status, body))
        else:
            self._finish(RemoteAnswer(self._status, error="status"))

    def upstream_failed(self, kind: str, detail: str) -> None:  # noqa: ARG002
        """See ``upstream.Sink``."""
        self._finish(RemoteAnswer(self._status, error=FAILURES[kind].removeprefix("upstream.")))

    def _late(self) -> None:
        if self._call is not None:
            self._call.abort()
            self._finish(RemoteAnswer(self._status, error="timeout"))

    def _finish(self, answer: RemoteAnswer) -> None:
        self._timer.cancel()
        self._call = None
        self._answered(self._asked.key, answer)
