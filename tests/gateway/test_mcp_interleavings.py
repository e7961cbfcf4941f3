"""Whatever the order in which the world answers, the promises of an MCP exchange hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.in_force import InForce
from kintsugi.model.facts import Counter
from tests.gateway.mcp_playbook import (
    McpPlaybook,
    asking,
    call,
    event,
    mcp_in_force,
    result,
    said,
    telling,
)

BLOCKING = 'dlp-filter: {action: block, detect_patterns: ["STOPME"]}'
HOLDING = "agent-firewall: {action: escalate, blocked_tools: [ask], escalation: {hold_seconds: 5}}"
CONFIGURATIONS = [
    mcp_in_force(*policies, gateway=gateway)
    for policies in (
        (BLOCKING,),
        (BLOCKING, "rate-limit: {global: {rpm: 2}}"),
        ("audit-logger: {}",),
        (HOLDING,),
    )
    for gateway in ("", "fail_mode: allow")
]
NEVER_SHOWN = CONFIGURATIONS[:4]

requests = st.sampled_from(
    [
        (b"POST", call(q="x")),
        (b"POST", call(q="STOPME")),
        (b"POST", call("ask")),
        (b"POST", asking("initialize")),
        (b"POST", asking("ping")),
        (b"POST", asking("subscriptions/listen")),
        (b"POST", telling("notifications/progress", message="STOPME")),
        (b"POST", telling("notifications/initialized")),
        (b"POST", result(9, content="STOPME")),
        (b"POST", b"[" + call(number=1) + b"," + call(number=2) + b"]"),
        (b"POST", b"{"),
        (b"GET", b""),
        (b"DELETE", b""),
    ]
)
data = st.sampled_from(
    [
        said("hi"),
        said("STOPME"),
        event(said("hi")),
        event(said("STOPME")),
        event(telling("notifications/message", data="STOPME"), "e-1"),
        event(telling("notifications/message", data="fine"), "e-2"),
        event(asking("sampling/createMessage", 7, systemPrompt="STOPME")),
        b"event: ping\ndata: {}\n\n",
        b"data: {\n\n",
        b"id: 1\ndata: \n\n",
        b"",
    ]
)
json_head = [(b"content-type", b"application/json")]
stream_head = [(b"content-type", b"text/event-stream")]
heads = st.sampled_from([json_head, stream_head])
failures = st.sampled_from(["upstream.reset", "upstream.timeout"])
moves = st.one_of(
    st.builds(e.AdmissionDurable, st.just(0)),
    st.builds(e.AdmissionFailed, st.just(0)),
    st.builds(e.Gathered, st.just(0), st.just({"rate-limit/global": Counter(0)})),
    st.builds(e.HoldOver, st.just(0), st.sampled_from([None, True, False])),
    st.builds(e.Redeemed, st.just(0)),
    st.builds(e.UpstreamHead, st.just(0), st.sampled_from([200, 202, 404, 500]), heads),
    st.builds(e.UpstreamHead, st.just(0), st.just(200), heads, data, st.booleans()),
    st.builds(e.UpstreamData, st.just(0), data, st.booleans()),
    st.builds(e.UpstreamEnd, st.just(0)),
    st.builds(
        e.UpstreamFailed, st.just(0), st.sampled_from(["upstream.reset", "upstream.timeout"])
    ),
    st.builds(e.ListeningOver, st.just(0)),
    st.builds(e.ClientAborted, st.just(0)),
    st.builds(e.RecordDurable, st.just(0)),
    st.builds(e.RecordFailed, st.just(0)),
    st.builds(e.GatewayFailed, st.just(0)),
)


@given(st.sampled_from(CONFIGURATIONS), requests, st.lists(moves, max_size=14))
def test_no_order_of_events_breaks_a_promise(
    configuration: InForce, request: tuple[bytes, bytes], order: list[e.Event]
) -> None:
    method, body = request
    play = McpPlaybook(configuration)
    play.request(body, method=method)
    admission_durable = record_durable = False
    for move in order:
        finished = play.exchange.finished
        commands = play.step(move)
        admission_durable |= isinstance(move, e.AdmissionDurable)
        record_durable |= isinstance(move, e.RecordDurable) and bool(play.sent(c.Record))
        assert not (finished and commands), "nothing follows the end"
        recorded = bool(play.sent(c.Admit))
        for command in commands:
            if isinstance(command, c.StartStream | c.SendData) and recorded:
                assert admission_durable or record_durable, "a byte left before the admission"
            if isinstance(command, c.EndStream) and recorded:
                assert record_durable, "a stream ended before its record was durable"
            if isinstance(command, c.Answer) and command.status != 503 and recorded:
                assert record_durable, "an answer left before its record was durable"

    records, calls = play.sent(c.Record), play.sent(c.CallUpstream)
    assert len(play.sent(c.Admit)) <= 1
    assert len(records) <= 1
    assert len(calls) <= 1
    assert len(play.sent(c.AbortUpstream)) <= len(calls)
    assert len(play.sent(c.Answer)) + len(play.sent(c.StartStream)) <= 1
    if play.exchange.finished and play.sent(c.Admit):
        assert len(records) == 1, "an admitted exchange ended without its record"
    if configuration in NEVER_SHOWN:
        assert not any(b"STOPME" in one.body for one in calls)
        assert b"STOPME" not in play.stream


@given(st.sampled_from(CONFIGURATIONS), requests, st.lists(moves, max_size=10))
def test_every_exchange_can_be_brought_to_its_end(
    configuration: InForce, request: tuple[bytes, bytes], order: list[e.Event]
) -> None:
    method, body = request
    play = McpPlaybook(configuration)
    play.request(body, method=method)
    for move in order:
        play.step(move)
    play.step(e.GatewayFailed(0))
    play.durable()
    assert play.exchange.finished
    assert len(play.sent(c.Record)) == len(play.sent(c.Admit)) <= 1
