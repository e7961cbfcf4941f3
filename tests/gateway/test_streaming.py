"""Streams: the same verdict and text however the bytes arrive, in every mode."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.model.decision import Evaluation, Mode
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import (
    BLOCKING,
    DONE,
    FLAGGING,
    REDACTING,
    Playbook,
    chat,
    contents,
    error_of,
    frame,
    in_force,
    kinds_of,
    stream_of,
)
from tests.gateway.wires import CHAT_WIRE, WIRES, Wire, fragments, near_matches

COMMENT = b": kt decision="
NUMBER = re.compile(r"\d{3}-\d{2}-\d{4}")
EVENT_STREAM = b"text/event-stream"

CONFIGURATIONS = {
    (rule, mode): in_force(rule, gateway=f"streaming: {mode}")
    for rule in (BLOCKING, REDACTING, FLAGGING)
    for mode in ("buffer", "window", "observe")
}


def play_stream(rule: str, mode: str, chunks: Sequence[bytes], wire: Wire = CHAT_WIRE) -> Playbook:
    play = Playbook(CONFIGURATIONS[rule, mode])
    play.request(wire.request(True), target=wire.target)
    play.streamed(chunks)
    return play


def without_comment(stream: bytes) -> bytes:
    """The stream without the comment that the gateway adds at its end."""
    return stream.partition(COMMENT)[0]


def kept(event: DecisionEvent) -> Payload:
    """What is kept of the content, in whatever pieces it came."""
    return msgspec.structs.replace(event.payload, chunking=None)


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]


def verdicts_of(event: DecisionEvent) -> tuple[Verdict, str, tuple[Evaluation, ...]]:
    return event.verdict, event.reason_code, event.evaluations


places = st.lists(st.integers(0, 4000), max_size=12)


@pytest.mark.parametrize("mode", ["buffer", "window", "observe"])
def test_a_stream_that_is_over_leaves_nothing_to_the_collector(mode: str) -> None:
    play = play_stream(FLAGGING, mode, [stream_of("hello")])
    session = weakref.ref(play.exchange._account.session)
    del play
    assert session() is None


@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(data=st.data(), at=places)
def test_bytes_pass_unchanged_when_no_rule_changes_them(
    wire: Wire, data: st.DataObject, at: list[int]
) -> None:
    stream = data.draw(wire.streams(near_matches))
    for mode in ("buffer", "window", "observe"):
        play = play_stream(FLAGGING, mode, cut(stream, at), wire)
        assert without_comment(play.sent()) == stream
        assert play.event.status is ExchangeStatus.ANSWERED


@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(data=st.data(), at=places)
def test_redaction_gives_the_same_text_and_record_in_any_chunking(
    wire: Wire, data: st.DataObject, at: list[int]
) -> None:
    stream = data.draw(wire.streams(near_matches))
    whole = play_stream(REDACTING, "buffer", [stream], wire)
    for mode in ("buffer", "window"):
        play = play_stream(REDACTING, mode, cut(stream, at), wire)
        assert without_comment(play.sent()) == whole.sent()
        assert verdicts_of(play.event) == verdicts_of(whole.event)
        assert kept(play.event) == kept(whole.event)
        assert play.event.response_digest == whole.event.response_digest
        assert play.event.error == ""
    assert not any(NUMBER.search(text) for text in wire.contents(whole.sent()).values())


@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(data=st.data(), at=places)
def test_a_block_is_found_in_any_chunking_and_nothing_of_it_is_sent(
    wire: Wire, data: st.DataObject, at: list[int]
) -> None:
    stream = data.draw(wire.streams(near_matches))
    whole = play_stream(BLOCKING, "buffer", [stream], wire)
    for mode in ("buffer", "window"):
        play = play_stream(BLOCKING, mode, cut(stream, at), wire)
        assert play.event.verdict is whole.event.verdict
        assert play.event.reason_code == whole.event.reason_code
        if whole.event.verdict is Verdict.ALLOW:
            assert play.event.evaluations == whole.event.evaluations
            assert without_comment(play.sent()) == stream
        else:
            assert play.event.status is ExchangeStatus.BLOCKED
            if not play.all(c.Answer):
                assert not any("STOPME" in text for text in wire.contents(play.sent()).values())


@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(texts=st.lists(fragments, max_size=12), at=places)
def test_an_answer_gets_the_verdict_that_it_gets_without_streaming(
    wire: Wire, texts: list[str], at: list[int]
) -> None:
    said = "".join(texts)
    for rule in (BLOCKING, REDACTING, FLAGGING):
        plain = Playbook(CONFIGURATIONS[rule, "window"])
        plain.request(wire.request(False), target=wire.target)
        answer = plain.exchange_of(wire.answer(said))
        play = play_stream(rule, "window", cut(wire.stream_of(*texts), at), wire)
        assert verdicts_of(play.event)[:2] == verdicts_of(plain.event)[:2]
        if plain.event.verdict is not Verdict.BLOCK:
            assert play.event.evaluations == plain.event.evaluations
            assert wire.contents(play.sent()).get(wire.text_at, "") == wire.text_of(answer.body)


def test_window_mode_lets_text_go_while_the_stream_runs() -> None:
    play = Playbook(CONFIGURATIONS[REDACTING, "window"])
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    sent_at = []
    for number in range(20):
        play.data(frame({"content": f"harmless words {number} "}))
        sent_at.append(len(play.sent()))
    assert sent_at[0] == 0
    assert 0 < sent_at[5] < sent_at[-1]


def test_a_redaction_that_spans_frames_puts_its_marker_where_the_span_begins() -> None:
    texts = ["my number is 12", "3-45", "-67", "89", " and that is all there is to say about it."]
    play = play_stream(REDACTING, "window", [stream_of(*texts)])
    said = contents(play.sent())["0/content"]
    assert said.startswith("my number is [REDACTED")
    assert said.endswith("] and that is all there is to say about it.")
    frames = [x for x in play.sent().split(b"\n\n") if b'"content"' in x]
    assert b"[REDACTED" in frames[1]
    assert json.loads(frames[2][6:])["choices"][0]["delta"]["content"] == ""


def test_redacted_frames_lose_their_log_probabilities() -> None:
    logprobs = {"content": [{"token": "123-45-6789"}]}
    body = json.loads(frame({"content": "123-45-6789"})[6:])
    body["choices"][0]["logprobs"] = logprobs
    stream = b"data: " + json.dumps(body).encode() + b"\n\n" + stream_of("rest")
    for mode in ("buffer", "window"):
        assert b"123-45-6789" not in play_stream(REDACTING, mode, [stream]).sent()


def test_a_stop_in_mid_stream_ends_with_frames_that_clients_accept() -> None:
    play = Playbook(CONFIGURATIONS[BLOCKING, "window"])
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    for _ in range(10):
        play.data(frame({"content": "harmless words, many of them. "}))
    before = play.sent()
    assert before
    assert kinds_of(play.data(frame({"content": "STOPME and more after it, much more"}))) == [
        "AbortUpstream",
        "Record",
    ]
    assert play.data(frame({"content": "too late"})) == []
    assert kinds_of(play.recorded()) == ["SendData", "EndStream"]
    end = play.sent()[len(before) :]
    stop, done, comment, rest = end.split(b"\n\n")
    last = json.loads(stop[6:])
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    assert last["policy_violation"]["code"] == "output_blocked"
    assert last["model"] == "sim-echo-1"
    assert done == b"data: [DONE]"
    assert comment.startswith(b": kt decision=block")
    assert rest == b""
    assert b"STOPME" not in play.sent()
    assert play.event.status is ExchangeStatus.BLOCKED
    assert play.event.http_status == 200


def test_a_stop_before_anything_was_sent_is_an_ordinary_block() -> None:
    for mode in ("buffer", "window"):
        play = play_stream(BLOCKING, mode, [stream_of("no STOPME", " here")])
        assert play.only(c.Answer).status == 409
        assert error_of(play.only(c.Answer))["code"] == "output_blocked"
        assert play.event.http_status == 409


def test_observing_sends_everything_and_never_claims_to_have_enforced() -> None:
    stream = stream_of("say STO", "PME and 123-45-6789")
    play = play_stream(BLOCKING, "observe", [stream])
    assert without_comment(play.sent()) == stream
    event = play.event
    assert (event.verdict, event.status) == (Verdict.FLAG, ExchangeStatus.ANSWERED)
    assert event.streaming_mode == "observe"
    found = event.evaluations[-1]
    assert (found.outcome, found.verdict, found.mode) == ("matched", Verdict.BLOCK, Mode.MONITOR)
    assert "observe" in found.why


def test_a_text_that_does_not_end_is_not_looked_at_again_for_each_frame() -> None:
    rule = r"""dlp-filter: {action: redact, detect_patterns: ['KEY-[a-z]{1,4}']}"""
    play = Playbook(in_force(rule, gateway="streaming: window"))
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    for _ in range(300):
        play.data(frame({"content": "aaaaaaa"}))
    assert len(contents(play.sent())["0/content"]) > 300 * 7 - 40


def test_many_frames_in_one_read_leave_in_one_piece() -> None:
    play = Playbook(CONFIGURATIONS[FLAGGING, "window"])
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    many = b"".join(frame({"content": f"{n} "}) for n in range(20))
    assert kinds_of(play.data(many)) == ["StartStream", "SendData"]


@pytest.mark.parametrize("mode", ["buffer", "window", "observe"])
def test_a_frame_that_cannot_be_read_takes_the_fail_mode(mode: str) -> None:
    stream = frame({"content": "a"}) + b"data: {broken\n\n" + stream_of("b")
    play = Playbook(in_force(BLOCKING, gateway=f"streaming: {mode}"))
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    assert kinds_of(play.data(stream)) == ["AbortUpstream", "Record"]
    play.recorded()
    assert play.only(c.Answer).status == 502
    assert (play.event.status, play.event.error) == (
        ExchangeStatus.STREAM_BROKEN,
        "upstream.unreadable",
    )

    play = Playbook(in_force(BLOCKING, gateway=f"streaming: {mode}, fail_mode: allow"))
    play.request(chat(stream=True))
    play.streamed([stream])
    assert without_comment(play.sent()) == stream
    assert play.event.fail_open


@pytest.mark.parametrize(
    "frame_text",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"delta":{"content":"b"}}]}\n\n',
        b'data: {"choices":[{"index":"0","delta":{}}]}\n\n',
        b'data: {"choices":{}}\n\n',
        b"data: 7\n\n",
        b'data: {"choices":[{"index":0,"delta":"x"}]}\n\n',
        b"data: [DONE] and more\n\n",
    ],
)
def test_frames_that_two_readers_could_read_differently_do_not_pass(frame_text: bytes) -> None:
    play = play_stream(BLOCKING, "window", [frame_text + stream_of("b")])
    assert play.only(c.Answer).status == 502


def test_unknown_frames_pass_unharmed_and_are_judged() -> None:
    odd = b'event: surprise\ndata: {"kind":"new","deep":{"text":"fine"}}\n\n'
    stream = stream_of("a").removesuffix(DONE) + odd + DONE
    assert without_comment(play_stream(BLOCKING, "window", [stream]).sent()) == stream
    bad = stream.replace(b"fine", b"STOPME")
    assert play_stream(BLOCKING, "window", [bad]).only(c.Answer).status == 409


def test_a_text_in_a_field_nobody_knows_is_joined_over_frames() -> None:
    stream = b"".join(frame({"future": {"said": text}}) for text in ("STO", "PME", " x" * 40))
    play = play_stream(BLOCKING, "window", [stream, DONE])
    assert play.only(c.Answer).status == 409


def test_data_over_several_lines_is_edited_in_place() -> None:
    lines = (
        b'event: m\ndata: {"choices":[{"index":0,\ndata: "delta":{"content":"123-45-6789"}}]}\n\n'
    )
    play = play_stream(REDACTING, "buffer", [lines + DONE])
    changed = play.sent().split(b"\n\n")[0]
    assert changed.startswith(b"event: m\ndata: ")
    data = b"\n".join(line.removeprefix(b"data: ") for line in changed.split(b"\n")[1:])
    assert json.loads(data)["choices"][0]["delta"]["content"].startswith("[REDACTED")


def test_a_last_frame_without_its_empty_line_is_judged_and_keeps_its_bytes() -> None:
    tail = frame({"content": "and 123-45-6789"}).rstrip(b"\n")
    play = play_stream(REDACTING, "window", [frame({"content": "x" * 99}) + tail])
    assert b"123-45-6789" not in play.sent()
    clean = frame({"content": "x" * 99}) + frame({"content": "end"}).rstrip(b"\n")
    assert play_stream(REDACTING, "window", [clean]).sent() == clean


def test_without_output_rules_a_stream_is_not_held() -> None:
    play = Playbook(in_force("audit-logger: {}", gateway="streaming: buffer"))
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    assert kinds_of(play.data(frame({"content": "a"}))) == ["StartStream", "SendData"]


def test_two_streams_at_once_keep_their_texts_apart() -> None:
    configuration = CONFIGURATIONS[REDACTING, "window"]
    plays = [Playbook(configuration) for _ in range(2)]
    for play in plays:
        play.request(chat(stream=True))
        play.admitted()
        play.head(200, EVENT_STREAM)
    for text in ("123-45", "-6789", " done and dusted, for a while longer"):
        for number, play in enumerate(plays):
            play.data(frame({"content": f"{text}" if number else f"<{text}>"}))
    for play in plays:
        play.data(frame({}, finish="stop") + DONE)
        play.end()
        play.recorded()
    assert "123-45>" in contents(plays[0].sent())["0/content"]
    assert contents(plays[1].sent())["0/content"].startswith("[REDACTED")


def test_a_client_that_leaves_a_stream_is_recorded_with_what_was_judged() -> None:
    play = Playbook(CONFIGURATIONS[FLAGGING, "window"])
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, EVENT_STREAM)
    play.data(frame({"content": "it is 123-45-6789, "}) + frame({"content": "word " * 20}))
    assert kinds_of(play.step(e.ClientAborted(play.tick()))) == ["AbortUpstream", "Record"]
    assert play.event.status is ExchangeStatus.CLIENT_ABORTED
    assert play.event.verdict is Verdict.FLAG
    assert play.event.http_status == 200


def test_the_payload_of_a_stream_is_the_answer_that_its_frames_add_up_to() -> None:
    call: dict[str, Any] = {
        "index": 0,
        "id": "c",
        "function": {"name": "find", "arguments": '{"q"'},
    }
    more: dict[str, Any] = {"index": 0, "function": {"arguments": ':"123-45-6789"}'}}
    stream = b"".join(
        [
            frame({"role": "assistant", "content": "Let me "}),
            frame({"content": "look."}),
            frame({"tool_calls": [call]}),
            frame({"tool_calls": [more]}),
            frame({}, finish="tool_calls"),
            DONE,
        ]
    )
    play = play_stream(REDACTING, "window", [stream])
    kept = json.loads(play.event.payload.response)
    (choice,) = kept["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    function = choice["message"]["tool_calls"][0]["function"]
    assert function["name"] == "find"
    assert "[REDACTED" in json.loads(function["arguments"])["q"]


def test_keys_that_only_look_like_numbers_are_kept_as_evidence() -> None:
    stream = b"".join([frame({"x": {"²": "a"}}), frame({"²": "b"}), stream_of("c")])
    play = play_stream(REDACTING, "window", [stream])
    kept = json.loads(play.event.payload.response)["choices"][0]["message"]
    assert kept == {"role": "assistant", "x": {"²": "a"}, "²": "b", "content": "c"}


@pytest.mark.parametrize("mode", ["buffer", "window"])
def test_a_redaction_that_would_break_a_frame_stops_the_stream(mode: str) -> None:
    rule = r"""dlp-filter: {action: redact, detect_patterns: ['x":"y']}"""
    odd = b'data: {"odd":{"x":"y"}}\n\n'
    play = Playbook(in_force(rule, gateway=f"streaming: {mode}"))
    play.request(chat(stream=True))
    play.streamed([odd, stream_of("b")])
    assert play.only(c.Answer).status == 409
    assert play.event.verdict is Verdict.BLOCK

    play = Playbook(in_force(rule, gateway=f"streaming: {mode}"))
    play.request(chat(stream=True))
    play.streamed([stream_of("words " * 20).removesuffix(DONE), frame({"content": "z"}), odd])
    assert b'"x"' not in play.sent()
    assert play.event.status is ExchangeStatus.BLOCKED


# The shipped recognisers look further around a match than a single pattern does.
PERSONAL = ("pii-detector: {action: redact}", "secrets-detector: {action: redact}")
SHIPPED = {mode: in_force(*PERSONAL, gateway=f"streaming: {mode}") for mode in ("buffer", "window")}
sensitive = st.sampled_from(
    [
        "My SSN is 536-22-8841. ",
        "536-22-",
        "8841",
        "card 4111 1111 1111 1111 expires soon ",
        "4111 1111",
        " 1111 1111",
        "write to ada@lovelace.example now ",
        "ada@",
        "lovelace.example",
        "call +1 415 555 2671 today ",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "password = hunter2hunter2 ",
        "Nothing to see in this sentence, which only fills the window up. ",
        "é😀 ",
        "\n",
        "x" * 40,
    ]
)


@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(
    texts=st.lists(sensitive, max_size=24),
    lengths=st.lists(st.integers(1, 9), max_size=60),
    at=places,
)
def test_the_shipped_rules_find_the_same_in_windows_as_in_the_whole(
    wire: Wire, texts: list[str], lengths: list[int], at: list[int]
) -> None:
    said, tokens = "".join(texts), []
    for length in lengths:  # as a model writes: a few characters at a time, then the rest
        tokens.append(said[:length])
        said = said[length:]
    stream = wire.stream_of(*tokens, *[said[i : i + 30] for i in range(0, len(said), 30)])
    plays = []
    for mode, chunks in (("buffer", [stream]), ("window", cut(stream, at))):
        play = Playbook(SHIPPED[mode])
        play.request(wire.request(True), target=wire.target)
        play.streamed(chunks)
        plays.append(play)
    whole, window = plays
    assert window.event.error == ""
    assert verdicts_of(window.event) == verdicts_of(whole.event)
    assert without_comment(window.sent()) == whole.sent()
    assert kept(window.event) == kept(whole.event)


def test_a_secret_is_found_when_its_name_has_left_already() -> None:
    said = "password = hunter2hunter2 " + "and so the story went on for a good while. " * 8
    tokens = [said[i : i + 1] for i in range(len(said))]
    play = Playbook(SHIPPED["window"])
    play.request(chat(stream=True))
    play.streamed([frame({"content": token}) for token in tokens] + [DONE])
    assert "hunter2" not in contents(play.sent())["0/content"]
    assert play.event.error == ""
