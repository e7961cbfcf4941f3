"""Whatever the order in which the world answers, the promises of an exchange hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from tests.gateway.playbook import (
    BLOCKING,
    DONE,
    EVENT_ID,
    NOW,
    REDACTING,
    Playbook,
    chat,
    completion,
    frame,
    in_force,
)

CONFIGURATIONS = [
    in_force(rule, gateway=f"streaming: {mode}")
    for rule in (BLOCKING, REDACTING, "audit-logger: {}")
    for mode in ("buffer", "window", "observe")
]

bodies = st.sampled_from(
    [
        chat("hello"),
        chat("hello", stream=True),
        chat("STOPME"),
        chat("123-45-6789"),
        chat("hello", model="nobody"),
        b"{",
    ]
)
data = st.sampled_from(
    [
        completion("hi"),
        completion("STOPME"),
        frame({"content": "some words that are long enough to leave. " * 2}),
        frame({"content": "STOPME"}),
        frame({}, finish="stop"),
        b"data: {\n\n",
        DONE,
        b"",
    ]
)
json_head = [(b"content-type", b"application/json")]
stream_head = [(b"content-type", b"text/event-stream")]
moves = st.one_of(
    st.builds(e.AdmissionDurable, st.just(0)),
    st.builds(e.AdmissionFailed, st.just(0)),
    st.builds(e.UpstreamHead, st.just(0), st.sampled_from([200, 500]), st.just(json_head)),
    st.builds(e.UpstreamHead, st.just(0), st.just(200), st.just(json_head), data, st.booleans()),
    st.builds(e.UpstreamHead, st.just(0), st.just(200), st.just(stream_head), data, st.booleans()),
    st.builds(e.UpstreamData, st.just(0), data),
    st.builds(e.UpstreamData, st.just(0), data, st.booleans()),
    st.builds(e.UpstreamEnd, st.just(0)),
    st.builds(e.UpstreamFailed, st.just(0), st.just("upstream.reset")),
    st.builds(e.ClientAborted, st.just(0)),
    st.builds(e.RecordDurable, st.just(0)),
    st.builds(e.RecordFailed, st.just(0)),
    st.builds(e.GatewayFailed, st.just(0)),
    bodies.map(
        lambda body: e.RequestReceived(0, EVENT_ID, NOW, b"POST", b"/v1/chat/completions", [], body)
    ),
)
OF_THE_ANSWER = (c.Answer, c.StartStream, c.SendData, c.EndStream)


@given(st.sampled_from(CONFIGURATIONS), bodies, st.lists(moves, max_size=14))
def test_no_order_of_events_breaks_a_promise(
    configuration: object, body: bytes, order: list[e.Event]
) -> None:
    play = Playbook(configuration)  # type: ignore[arg-type]
    play.request(body)
    admission_durable = record_durable = False
    for event in order:
        before = len(play.commands)
        finished = play.exchange.finished
        commands = play.step(event)
        admission_durable |= isinstance(event, e.AdmissionDurable)
        record_durable |= isinstance(event, e.RecordDurable) and bool(play.all(c.Record))
        assert not (finished and commands), "nothing follows the end"
        for command in commands:
            if isinstance(command, c.StartStream | c.SendData):
                assert admission_durable, "a byte left before the admission was durable"
            if isinstance(command, c.EndStream):
                assert record_durable, "a stream ended before its record was durable"
            if isinstance(command, c.Answer) and command.status != 503:
                assert record_durable, "an answer left before its record was durable"
        assert len(play.commands) == before + len(commands)

    records, admissions = play.all(c.Record), play.all(c.Admit)
    calls, aborts = play.all(c.CallUpstream), play.all(c.AbortUpstream)
    assert len(admissions) == 1
    assert len(records) <= 1
    assert len(calls) <= 1
    assert len(aborts) <= len(calls)
    assert len(play.all(c.Answer)) + len(play.all(c.StartStream)) <= 1
    if b"STOPME" in body and configuration in CONFIGURATIONS[:3]:
        assert not calls, "a denied request reached upstream"
    if play.exchange.finished:
        assert len(records) == 1, "an admitted exchange ended without its record"
    if configuration in (*CONFIGURATIONS[0:2],):
        assert b"STOPME" not in play.sent()


@given(st.sampled_from(CONFIGURATIONS), bodies, st.lists(moves, max_size=10))
def test_every_exchange_can_be_brought_to_its_end(
    configuration: object, body: bytes, order: list[e.Event]
) -> None:
    play = Playbook(configuration)  # type: ignore[arg-type]
    play.request(body)
    for event in order:
        play.step(event)
    play.failed()
    play.recorded()
    assert play.exchange.finished
    assert len(play.all(c.Record)) == 1
    assert [type(x) for x in play.commands].index(c.Admit) < [type(x) for x in play.commands].index(
        c.Record
    )
