"""What the sans-IO core costs per exchange, policies left out.

Prints the median and the fifth percentile in microseconds of everything inside ``Exchange.step``:
parsing, identity, routing, digests, headers, both records. ``decide`` is replaced by a constant,
so that the figure is the core's own. Run it with one core free:

    python -m benchmarks.exchange_cost
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from unittest import mock

import msgspec

from kintsugi.gateway import events as e
from kintsugi.gateway import judgement
from kintsugi.gateway.exchange import Exchange
from kintsugi.gateway.in_force import InForce
from kintsugi.model.content import Edit, Part
from kintsugi.model.decision import Decision, Evaluation, Mode, Phase
from kintsugi.model.facts import Facts
from kintsugi.model.verdict import Verdict
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import Plan, compile_plan

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
EVENT_ID = "019aa5e0-0000-7000-8000-000000000001"
ROUNDS = 3_000

SOURCE = """
pack: {{name: bench, version: 1.0.0, enabled: true}}
gateway: {{streaming: {mode}, payload: {payload}}}
providers: {{targets: [{{id: sim, provider: simulator, model: sim-echo}}]}}
policies: {{chain: [dlp-filter, audit-logger]}}
policy:
  dlp-filter: {{action: redact, detect_patterns: ['\\d{{3}}-\\d{{2}}-\\d{{4}}']}}
  audit-logger: {{}}
"""

HEADERS: e.Headers = [
    (b"host", b"127.0.0.1:41002"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"accept", b"application/json"),
    (b"content-type", b"application/json"),
    (b"user-agent", b"OpenAI/Python 3.52.0"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-package-version", b"3.52.0"),
    (b"x-stainless-os", b"Linux"),
    (b"x-stainless-arch", b"x64"),
    (b"authorization", b"Bearer sk-0123456789"),
    (b"x-stainless-async", b"false"),
    (b"content-length", b"1024"),
]

CLEAR = Decision(
    Verdict.ALLOW,
    "policy.passed",
    evaluations=(Evaluation("dlp-filter", Phase.INPUT, Mode.ENFORCE, "clear", Verdict.ALLOW),),
)


_EDIT = Edit("/messages/1/content", 0, 6, "[REDACTED:WORD]")
MASKING = msgspec.structs.replace(
    CLEAR, verdict=Verdict.REDACT, reason_code="dlp.pattern_matched", edits=(_EDIT,), masks=(_EDIT,)
)


def clear(_plan: Plan, _phase: Phase, _parts: Sequence[Part], _facts: Facts) -> Decision:
    """A policy engine that costs nothing."""
    return CLEAR


def masking(_plan: Plan, phase: Phase, _parts: Sequence[Part], _facts: Facts) -> Decision:
    """The same where something in the request is redacted, and so masked in evidence."""
    return MASKING if phase is Phase.INPUT else CLEAR


def configuration(mode: str = "window", payload: str = "redacted") -> InForce:
    """What is in force while measuring."""
    return InForce(
        plan=compile_plan(parse_config(SOURCE.format(mode=mode, payload=payload))),
        config_version="bench@1",
        gateway_id="gw-1",
        worker_id="w-1",
        engine_version="0.1.0",
        fingerprint_key=b"k",
        simulator_url="http://127.0.0.1:9",
    )


def request_body(size: int, *, stream: bool = False) -> bytes:
    """A chat request of about this many bytes, as the SDK writes it."""
    text = "Please explain how gold lacquer mends a bowl. " * (size // 46)
    messages = [
        {"role": "system", "content": "You answer briefly and kindly."},
        {"role": "user", "content": text[: max(size - 160, 10)]},
    ]
    body = {"messages": messages, "model": "sim-echo", "temperature": 0.2, "stream": stream}
    return json.dumps(body, separators=(",", ":")).encode()


def answer_body() -> bytes:
    """A whole answer of about 600 bytes, indented as OpenAI sends it."""
    message = {
        "role": "assistant",
        "content": "The break is filled with lacquer. " * 8,
        "refusal": None,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 200, "completion_tokens": 60, "total_tokens": 260}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "sim-echo",
            "choices": [choice],
            "usage": usage,
        },
        indent=2,
    ).encode()


def frames(count: int) -> bytes:
    """That many frames of text, and the end of the stream."""
    head = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"sim-echo"'
    deltas = [f'{{"content":"word {number} of the answer, "}}' for number in range(count)]
    lines = [
        f'data: {head},"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}\n\n'
        for delta in deltas
    ]
    lines.append(
        f'data: {head},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
    )
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def play(in_force: InForce, events: Sequence[e.Event]) -> None:
    """One exchange."""
    exchange = Exchange(in_force)
    for event in events:
        exchange.step(event)


def whole(size: int) -> list[e.Event]:
    """The events of an exchange that is not streamed."""
    return [
        e.RequestReceived(
            1, EVENT_ID, NOW, b"POST", b"/v1/chat/completions", HEADERS, request_body(size)
        ),
        e.AdmissionDurable(3),
        e.UpstreamHead(
            4, 200, [(b"content-type", b"application/json"), (b"content-length", b"700")]
        ),
        e.UpstreamData(5, answer_body()),
        e.UpstreamEnd(6),
        e.RecordDurable(7),
    ]


def streamed(reads: Sequence[bytes]) -> list[e.Event]:
    """The events of a streamed exchange that delivers these reads."""
    body = request_body(1024, stream=True)
    return [
        e.RequestReceived(1, EVENT_ID, NOW, b"POST", b"/v1/chat/completions", HEADERS, body),
        e.AdmissionDurable(3),
        e.UpstreamHead(4, 200, [(b"content-type", b"text/event-stream")]),
        *(e.UpstreamData(5, read) for read in reads),
        e.UpstreamEnd(6),
        e.RecordDurable(7),
    ]


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Median and fifth percentile, in microseconds."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        work()
        taken.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(taken), sorted(taken)[ROUNDS // 20]


def main() -> None:
    """Measure and print."""
    twenty = frames(20)
    one_by_one = [frame + b"\n\n" for frame in twenty.split(b"\n\n") if frame]
    cases = {
        "whole answer, 1 KB request": (configuration(), whole(1024)),
        "whole answer, 8 KB request": (configuration(), whole(8192)),
        "stream, 20 frames in one read, window": (configuration(), streamed([twenty])),
        "stream, 20 frames in one read, buffer": (configuration("buffer"), streamed([twenty])),
        "stream, 20 frames one by one, window": (configuration(), streamed(one_by_one)),
    }
    with mock.patch.object(judgement, "decide", clear):
        for name, (in_force, events) in cases.items():
            median, low = measure(lambda i=in_force, s=events: play(i, s))  # type: ignore[misc]
            print(f"{name:42} {median:8.1f} µs median {low:8.1f} µs p5")
    print("\nwhat is kept of it as evidence, 1 KB request of which one word is redacted")
    with mock.patch.object(judgement, "decide", masking):
        for payload in ("none", "redacted", "full"):
            kept = configuration(payload=payload)
            median, low = measure(lambda i=kept: play(i, whole(1024)))  # type: ignore[misc]
            print(f"{'payload: ' + payload:42} {median:8.1f} µs median {low:8.1f} µs p5")


if __name__ == "__main__":
    main()
