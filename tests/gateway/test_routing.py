"""Which target is asked, in which order, and when it is left alone."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.attempts import Attempts
from kintsugi.gateway.in_force import Upstream, resolve
from kintsugi.gateway.routing import Board, draw_of
from kintsugi.model.config import Breaker, Retry, Routing, Target
from kintsugi.model.event import ExchangeStatus
from tests.gateway.playbook import EVENT_ID, Playbook, chat, completion, in_force, stream_of

SECOND = 1_000_000_000
TWO = (
    "[{id: a, provider: openai, base_url: 'https://a.example/v1', model: sim-echo},"
    " {id: b, provider: openai, base_url: 'https://b.example/v1', model: sim-echo}]"
)
ONE = "[{id: a, provider: openai, base_url: 'https://a.example/v1', model: sim-echo}]"
ORDERED = Routing()


def upstream(name: str, **options: float) -> Upstream:
    target = msgspec.structs.replace(
        Target(id=name, provider="openai", base_url=f"https://{name}.example/v1"), **options
    )
    return resolve(target, simulator_url="", secret=None)


A, B, C = upstream("a"), upstream("b"), upstream("c")


def order(board: Board, routing: Routing = ORDERED, *, draw: float = 0.0, at_ns: int = 0) -> str:
    found = board.order((A, B, C), routing, draw=draw, at_ns=at_ns)
    return "".join(one.target.id for one in found)


def test_targets_are_asked_in_the_order_of_the_configuration() -> None:
    assert order(Board()) == "abc"


def test_a_target_that_keeps_failing_is_left_alone_for_a_while() -> None:
    board = Board()
    routing = Routing(breaker=Breaker(failures=2, open_seconds=10))
    board.failed("a", routing, 0)
    assert order(board, routing) == "abc"
    board.failed("a", routing, SECOND)
    assert order(board, routing, at_ns=2 * SECOND) == "bc"
    assert board.open_targets == ["a"]


def test_after_the_pause_one_exchange_finds_out() -> None:
    board = Board()
    routing = Routing(breaker=Breaker(failures=1, open_seconds=10))
    board.failed("a", routing, 0)
    later = 10 * SECOND
    assert order(board, routing, at_ns=later) == "abc"
    board.calls("a", later)
    assert order(board, routing, at_ns=later + SECOND) == "bc"
    board.failed("a", routing, later + 2 * SECOND)
    assert order(board, routing, at_ns=later + 11 * SECOND) == "bc"
    board.calls("a", later + 12 * SECOND)
    board.answered("a", 5.0)
    assert order(board, routing, at_ns=later + 12 * SECOND) == "abc"


def test_an_answer_ends_a_row_of_failures() -> None:
    board = Board()
    routing = Routing(breaker=Breaker(failures=2))
    for _ in range(5):
        board.failed("a", routing, 0)
        board.answered("a", 1.0)
    assert order(board, routing) == "abc"


def test_the_fastest_of_late_is_asked_first_and_an_unknown_one_is_tried() -> None:
    board = Board()
    routing = Routing(strategy="least-latency")
    board.answered("a", 30.0)
    board.answered("b", 10.0)
    assert order(board, routing) == "cba"
    board.answered("c", 20.0)
    assert order(board, routing) == "bca"
    for _ in range(20):
        board.answered("b", 100.0)
    assert order(board, routing) == "cab"


@given(st.floats(0, 1, exclude_max=True))
def test_a_draw_always_makes_a_choice_and_keeps_everybody_else(draw: float) -> None:
    routing = Routing(strategy="weighted")
    assert sorted(order(Board(), routing, draw=draw)) == ["a", "b", "c"]


def test_weights_are_shares_and_nought_only_takes_over() -> None:
    ups = (upstream("a", weight=3.0), upstream("b", weight=1.0), upstream("c", weight=0.0))
    routing = Routing(strategy="weighted")
    board = Board()
    first: Counter[str] = Counter()
    for step in range(1000):
        found = board.order(ups, routing, draw=step / 1000, at_ns=0)
        first[found[0].target.id] += 1
    assert first == {"a": 750, "b": 250}


def test_the_draw_belongs_to_the_exchange() -> None:
    assert draw_of(EVENT_ID) == draw_of(EVENT_ID)
    assert draw_of("019aa5e0-0000-7000-8000-0000ffffffff") < 1.0


def test_retries_are_a_share_of_the_exchanges_with_a_little_to_begin_with() -> None:
    board = Board()
    routing = Routing(retry=Retry(budget_percent=50))
    while board.take_retry():
        pass
    granted = 0
    for _ in range(100):
        board.earn(routing)
        granted += board.take_retry()
    assert granted == 50


def attempts(routing: Routing, *upstreams: Upstream) -> Attempts:
    return Attempts(Board(), routing, upstreams, event_id=EVENT_ID, at_ns=0)


def test_each_target_is_tried_once_unless_more_is_asked_for() -> None:
    one = attempts(ORDERED, A, B)
    one.begin(A, 0)
    one.ended(1, error="upstream.timeout")
    again = one.another([])
    assert again is not None
    assert (again.upstream, again.pause_seconds) == (B, 0.0)
    one.begin(B, 1)
    one.ended(2, status=503)
    assert one.another([]) is None


def test_a_target_is_asked_again_after_a_pause_that_doubles() -> None:
    routing = Routing(retry=Retry(attempts_max=4, backoff_seconds=0.5))
    one = attempts(routing, A)
    pauses = []
    for _ in range(3):
        one.begin(A, 0)
        one.ended(1, status=500)
        again = one.another([])
        assert again is not None
        pauses.append(again.pause_seconds)
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(("value", "pause"), [(b"3", 3.0), (b"60", None), (b"soon", 0.2)])
def test_what_the_provider_asks_for_is_kept_to_or_passed_on(
    value: bytes, pause: float | None
) -> None:
    one = attempts(Routing(retry=Retry(attempts_max=2)), A)
    one.begin(A, 0)
    one.ended(1, status=429)
    again = one.another([(b"retry-after", value)])
    assert (again.pause_seconds if again else None) == pause


# In the exchange


def called(commands: list[c.Command]) -> c.CallUpstream:
    (call,) = [one for one in commands if isinstance(one, c.CallUpstream)]
    return call


def test_a_target_that_cannot_be_reached_is_followed_by_the_next() -> None:
    play = Playbook(in_force(targets=TWO))
    first = called(play.request(chat()))
    play.admitted()
    play.tick(5)
    second = called(play.failed("upstream.connect_failed"))
    assert (first.origin, second.origin) == ("https://a.example", "https://b.example")
    play.head()
    play.data(completion("ok"))
    play.end()
    play.recorded()
    event = play.event
    assert (event.status, event.target_id) == (ExchangeStatus.ANSWERED, "b")
    assert [(one.target_id, one.status, one.error) for one in event.attempts] == [
        ("a", 0, "upstream.connect_failed"),
        ("b", 200, ""),
    ]
    assert event.overhead_ms < event.latency_ms


def test_a_failing_status_is_dropped_before_the_next_target_is_called() -> None:
    play = Playbook(in_force(targets=TWO))
    play.request(chat())
    play.admitted()
    commands = play.head(503)
    assert isinstance(commands[0], c.AbortUpstream)
    assert called(commands).target_id == "b"


def test_a_failing_status_that_came_whole_needs_no_abort() -> None:
    play = Playbook(in_force(targets=TWO))
    play.request(chat())
    (call,) = play.step(e.UpstreamHead(play.tick(), 500, [], b"oops", ended=True))
    assert isinstance(call, c.CallUpstream)


def test_the_last_failure_is_passed_on() -> None:
    play = Playbook(in_force(targets=TWO))
    play.request(chat())
    play.admitted()
    play.failed()
    play.head(429)
    play.data(b'{"error": {"message": "slow down"}}')
    play.end()
    (answer,) = play.recorded()
    assert isinstance(answer, c.Answer)
    assert (answer.status, len(play.event.attempts)) == (429, 2)


def test_one_target_is_asked_once() -> None:
    play = Playbook(in_force(targets=ONE))
    play.request(chat())
    play.admitted()
    play.failed("upstream.timeout")
    assert play.event.status is ExchangeStatus.UPSTREAM_FAILED
    assert len(play.event.attempts) == 1


def test_nothing_is_repeated_once_an_answer_has_begun() -> None:
    play = Playbook(in_force(targets=TWO))
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    play.data(stream_of("one", "two")[:80])
    assert not [one for one in play.failed() if isinstance(one, c.CallUpstream)]
    assert play.event.status is ExchangeStatus.STREAM_BROKEN


def test_when_all_circuits_are_open_the_caller_is_told_to_come_back() -> None:
    force = in_force(targets=ONE)
    for _ in range(5):
        force.board.failed("a", force.config.routing, 0)
    play = Playbook(force)
    play.request(chat())
    play.admitted()
    (answer,) = play.recorded()
    assert isinstance(answer, c.Answer)
    assert answer.status == 503
    assert (b"retry-after", b"1") in answer.headers
    assert play.event.error == "upstream.circuit_open"


def test_a_target_gets_the_model_under_its_own_name() -> None:
    targets = (
        "[{id: a, provider: openai, base_url: 'https://a.example/v1', model: sim-echo,"
        " fallback: [b]}, {id: b, provider: openai, base_url: 'https://b.example/v1',"
        " model: small, upstream_model: small-2026}]"
    )
    play = Playbook(in_force(targets=targets))
    first = called(play.request(chat()))
    second = called(play.failed())
    assert msgspec.json.decode(first.body)["model"] == "sim-echo"
    assert second.target_id == "b"
    assert msgspec.json.decode(second.body) == {
        **msgspec.json.decode(first.body),
        "model": "small-2026",
    }


RETRIES = ONE[:-1] + "], routing: {retry: {attempts_max: 3}}"


def test_the_same_target_is_asked_again_after_the_pause() -> None:
    play = Playbook(in_force(targets=RETRIES))
    play.request(chat())
    play.admitted()
    (pause,) = play.failed("upstream.connect_failed")
    assert isinstance(pause, c.Pause)
    play.tick(200)
    assert called(play.step(e.PauseOver(play.tick()))).target_id == "a"
    play.head()
    play.data(completion("ok"))
    play.end()
    assert play.event.status is ExchangeStatus.ANSWERED
    assert play.event.overhead_ms < 50  # the pause is no work of ours


def test_a_client_that_leaves_during_the_pause_is_recorded() -> None:
    play = Playbook(in_force(targets=RETRIES))
    play.request(chat())
    play.admitted()
    play.failed("upstream.connect_failed")
    play.step(e.ClientAborted(play.tick()))
    assert play.event.status is ExchangeStatus.CLIENT_ABORTED
    assert play.step(e.PauseOver(play.tick())) == []
