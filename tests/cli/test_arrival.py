"""Waiting for an event that its gateway has still to ship."""

from __future__ import annotations

import pytest

from kintsugi.cli.arrival import once_stored
from kintsugi.errors import ApiRefused, NotStoredYet


class Server:
    """Answers after so many refusals, on a clock that only moves while somebody waits."""

    def __init__(self, refusals: int, code: str = NotStoredYet.code) -> None:
        self.now = 100.0
        self.said: list[str] = []
        self._left = refusals
        self._code = code

    def ask(self) -> str:
        if self._left:
            self._left -= 1
            raise ApiRefused("gw-1 has still to ship it", status=409, problem_code=self._code)
        return "stored"

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float) -> object:
        return once_stored(
            self.ask,
            wait_seconds=seconds,
            say=self.said.append,
            clock=lambda: self.now,
            pause=self.pause,
        )


def test_what_is_there_is_not_waited_for() -> None:
    server = Server(0)
    assert server.wait(30) == "stored"
    assert (server.said, server.now) == ([], 100.0)


def test_it_says_what_it_waits_for_now_and_then_until_it_comes() -> None:
    server = Server(25)
    assert server.wait(30) == "stored"
    assert len(server.said) == 3
    assert server.said[0] == "gw-1 has still to ship it\nwaiting, 0 s of 30"
    assert server.said[-1].endswith("waiting, 10 s of 30")


@pytest.mark.parametrize("seconds", [0, 4])
def test_it_does_not_wait_for_ever(seconds: float) -> None:
    server = Server(1000)
    with pytest.raises(ApiRefused, match="still to ship it"):
        server.wait(seconds)
    assert server.now == 100 + seconds


def test_any_other_refusal_is_told_at_once() -> None:
    server = Server(1, code="not_found")
    with pytest.raises(ApiRefused):
        server.wait(30)
    assert server.said == []
