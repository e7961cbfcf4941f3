"""``/v1/traces``: OTLP in as its specification wants it, whole chains out."""

from __future__ import annotations

import gzip
import json
import threading
from typing import Any

import msgspec
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.testclient import TestClient

from kintsugi.api import otlp, traces
from kintsugi.api.permissions import Scope
from kintsugi.errors import StoreUnavailable
from kintsugi.model.decision import Phase
from kintsugi.model.event import RaisedEscalation
from kintsugi.model.overrides import Judgement
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import Clock, bearer, blocked_event, make_event, make_token
from tests.traces.made import TRACE, export, raw_span

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
TRACE_ID = TRACE.hex()


def send(client: TestClient, *spans: Any, **headers: str) -> Any:
    body = export(*spans).SerializeToString()
    return client.post("/v1/traces", content=body, headers={**PROTOBUF, **headers})


def test_spans_are_taken_in_protobuf_and_the_answer_has_its_encoding(client: TestClient) -> None:
    answer = send(client, raw_span(1))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert answer.content == b""
    again = send(client, raw_span(1))
    assert again.status_code == 200
    assert 'kintsugi_api_spans_total{outcome="duplicate"} 1.0' in client.get("/metrics").text


def test_spans_are_taken_in_json(client: TestClient) -> None:
    body = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": TRACE_ID,
                                "spanId": "00f067aa0ba902b7",
                                "name": "s",
                                "startTimeUnixNano": "1776945600000000000",
                                "endTimeUnixNano": "1776945601000000000",
                            },
                            {"traceId": "", "spanId": "", "name": "bad"},
                        ]
                    }
                ]
            }
        ]
    }
    answer = client.post("/v1/traces", json=body)
    assert answer.status_code == 200
    told = answer.json()["partialSuccess"]
    assert told["rejectedSpans"] == "1"
    assert "trace id" in told["errorMessage"]
    assert client.post("/v1/traces", json={}).json() == {}


def test_partial_success_is_told_in_protobuf_too(client: TestClient) -> None:
    answer = send(client, raw_span(1), raw_span(2, start_time_unix_nano=5))
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_spans == 1
    assert "clock" in told.error_message


def test_gzip_is_unpacked_within_a_limit(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = gzip.compress(export(raw_span(1)).SerializeToString())
    packed = {**PROTOBUF, "content-encoding": "gzip"}
    assert client.post("/v1/traces", content=body, headers=packed).status_code == 200
    assert client.post("/v1/traces", content=body[:-9], headers=packed).status_code == 400
    assert client.post("/v1/traces", content=b"plain", headers=packed).status_code == 400
    monkeypatch.setattr(otlp, "UNPACKED_BYTES_MAX", 1000)
    bomb = gzip.compress(b"0" * 100_000)
    assert client.post("/v1/traces", content=bomb, headers=packed).status_code == 413


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (PROTOBUF, b"\xff\xff", 400, 3),
        (JSON, b"{", 400, 3),
        (JSON, b"\xff", 400, 3),
        ({"content-type": "text/plain"}, b"x", 415, 3),
        ({**PROTOBUF, "content-encoding": "br"}, b"x", 415, 3),
        ({**PROTOBUF, "authorization": ""}, b"", 401, 16),
        ({**JSON, "authorization": "Bearer kt_x_y"}, b"{}", 401, 16),
    ],
)
def test_errors_are_a_status_in_the_encoding_of_the_request(
    client: TestClient, headers: dict[str, str], body: bytes, status: int, code: int
) -> None:
    answer = client.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == status
    if headers is JSON or headers["content-type"] == "application/json":
        told = answer.json()
        assert told["code"] == code
        assert told["message"]
    else:
        read = Status.FromString(answer.content)
        assert read.code == code
        assert read.message
    assert ("www-authenticate" in answer.headers) is (status == 401)


def test_a_long_message_is_written_as_protobuf_wants_it() -> None:
    for length in (0, 127, 128, 300, 20_000):
        read = Status.FromString(otlp._status(3, "é" * length))
        assert (read.code, read.message) == (3, "é" * length)


def test_a_token_needs_the_scope_of_its_own(client: TestClient, stores: Stores) -> None:
    lacking = bearer(make_token(stores, Scope.EVENTS_WRITE, Scope.TRACES_READ))
    assert send(client, raw_span(1), **lacking).status_code == 403
    fitting = bearer(make_token(stores, Scope.TRACES_WRITE))
    assert send(client, raw_span(1), **fitting).status_code == 200
    assert client.get(f"/v1/traces/{TRACE_ID}", headers=fitting).status_code == 403


def test_what_may_be_sent_again_says_when(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_room", threading.BoundedSemaphore(1))
    with traces._room:
        crowded = send(client, raw_span(1))
    assert (crowded.status_code, crowded.headers["retry-after"]) == (429, "1")
    assert Status.FromString(crowded.content).code == 8

    def away(_: Any) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(stores.spans, "append", away)
        lost = send(client, raw_span(1))
    assert (lost.status_code, lost.headers["retry-after"]) == (503, "1")
    assert Status.FromString(lost.content).code == 14
    assert send(client, raw_span(1)).status_code == 200


def test_a_trace_shows_decisions_beside_reported_steps(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    send(
        client,
        raw_span(1, {"gen_ai.operation.name": "invoke_agent", "user.id": "ada"}),
        raw_span(2, {"kintsugi.step": "write", "kintsugi.records": ["r1"]}, parent=1),
    )
    event = blocked_event(1, trace_id=TRACE_ID, parent_span_id="0000000000000001")
    stores.events.append([event])
    view = client.get(f"/v1/traces/{TRACE_ID.upper()}").json()["data"]
    assert [(node["depth"], node["source"], node["step"]) for node in view["nodes"]] == [
        (0, "span", "agent"),
        (1, "span", "write"),
        (1, "decision", "model"),
    ]
    assert view["nodes"][2]["verdict"] == "block"
    assert view["trace"]["spans"] == 2
    assert not view["truncated"]
    table = {line["key"]: line["state"] for line in view["completeness"]}
    assert len(table) == 13
    assert table["writes"] == "held"
    assert client.get("/v1/traces/ffff").status_code == 404


def test_content_is_not_shown_with_the_structure(client: TestClient) -> None:
    send(client, raw_span(1, {"gen_ai.prompt": "my secret", "gen_ai.operation.name": "chat"}))
    answer = client.get(f"/v1/traces/{TRACE_ID}")
    assert "my secret" not in answer.text
    assert answer.json()["data"]["nodes"][0]["holds"] == ["input_messages"]


def test_the_outcome_of_a_review_is_part_of_the_chain(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    event = make_event(1, trace_id=TRACE_ID, verdict=Verdict.ESCALATE)
    raised = RaisedEscalation(event.id, Phase.INPUT, "sha256:1", clock.now.replace(hour=23))
    stores.events.append([msgspec.structs.replace(event, escalation=raised)])
    stores.oversight.resolve(event.id, Judgement(False, "rita", "no"), now=clock())
    nodes = client.get(f"/v1/traces/{TRACE_ID}").json()["data"]["nodes"]
    assert [(node["source"], node.get("status")) for node in nodes] == [
        ("decision", "answered"),
        ("review", "rejected"),
    ]


def test_the_list_takes_filters_and_pages(client: TestClient, stores: Stores) -> None:
    for number in range(1, 4):
        other = bytes([number]) * 16
        send(client, raw_span(1, trace_id=other, failed=number == 2))
    stores.events.append([blocked_event(1, trace_id="03" * 16)])

    def ids(query: str) -> list[str]:
        answer = client.get(f"/v1/traces?{query}").json()
        return [trace["trace_id"][:2] for trace in answer["data"]]

    assert sorted(ids("")) == ["01", "02", "03"]
    assert ids("failed=true") == ["02"]
    assert ids("verdict=blocked") == ["03"]
    assert ids("service=shop&step=other&limit=9&failed=true") == ["02"]
    assert ids("limit=0") == []
    first = client.get("/v1/traces?limit=2").json()
    assert first["meta"]["total"] == 3
    second = client.get(f"/v1/traces?limit=2&cursor={first['meta']['next_cursor']}").json()
    assert len(second["data"]) == 1
    assert client.get("/v1/traces?step=nonsense").status_code == 422
    assert json.loads(client.get("/v1/traces?nope=1").content)["errors"][0]["where"] == "query.nope"


def test_a_content_is_revealed_with_a_reason_on_record(client: TestClient, stores: Stores) -> None:
    send(client, raw_span(1, {"gen_ai.prompt": "my secret", "gen_ai.operation.name": "chat"}))
    address = f"/v1/traces/{TRACE_ID}/spans/{1:016x}/reveal"
    shown = client.post(address, json={"reason": "incident 7"}, headers={"idempotency-key": "k"})
    told = shown.json()["data"]
    assert told["span"]["content"]["attributes"]["gen_ai.prompt"] == "my secret"
    assert told["read"]["input_messages"][0]["parts"][0]["content"] == "my secret"
    (entry,) = client.get("/v1/custody?action=reveal").json()["data"]
    assert entry["object"] == f"span:{TRACE_ID}/{1:016x}"
    assert entry["reason"] == "incident 7"
    again = client.post(address, json={"reason": "incident 7"}, headers={"idempotency-key": "k"})
    assert "my secret" not in again.text
    assert client.post(address, json={"reason": " "}).status_code == 422
    lacking = bearer(make_token(stores, Scope.TRACES_READ))
    assert client.post(address, json={"reason": "x"}, headers=lacking).status_code == 403
