"""Events in, events out, under every name of every filter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api import event_query, events
from kintsugi.api.answers import One
from kintsugi.model.event import DecisionEvent
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import NOON, Clock, blocked_event, make_event
from tests.store.made import as_sent

NDJSON = {"content-type": "application/x-ndjson"}


def lines(*batch: DecisionEvent) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in batch)


def ids(answer: Any) -> list[str]:
    return [event["id"] for event in answer.json()["data"]]


def test_a_batch_is_stored_once_however_often_it_is_sent(client: TestClient) -> None:
    batch = lines(*(make_event(number) for number in range(3)))
    first = client.post("/v1/events", content=batch, headers=NDJSON)
    again = client.post("/v1/events", content=batch, headers=NDJSON)
    assert first.json() == {"data": {"stored": 3, "duplicates": 0}}
    assert again.json() == {"data": {"stored": 0, "duplicates": 3}}


@pytest.mark.parametrize("form", ["object", "array", "envelope"])
def test_json_bodies_hold_one_event_or_many(client: TestClient, form: str) -> None:
    event = msgspec.to_builtins(make_event(1))
    body = {"object": event, "array": [event], "envelope": {"events": [event]}}[form]
    assert client.post("/v1/events", json=body).json()["data"]["stored"] == 1


def test_an_empty_batch_stores_nothing(client: TestClient) -> None:
    assert client.post("/v1/events", content=b"", headers=NDJSON).json()["data"]["stored"] == 0


def test_bad_lines_are_named_and_nothing_is_stored(client: TestClient, stores: Stores) -> None:
    body = lines(make_event(1)) + b'{"kind":"decision"}\n\nnot json\n' + lines(make_event(2))
    problem = client.post("/v1/events", content=body, headers=NDJSON).json()
    assert problem["status"] == 422
    assert [error["where"] for error in problem["errors"]] == ["body line 2", "body line 4"]
    assert "id" in problem["errors"][0]["message"]
    assert stores.events.last_position() == 0


def test_an_event_that_the_store_refuses_is_named_by_its_line(
    client: TestClient, stores: Stores
) -> None:
    liar = make_event(2, timestamp=NOON + timedelta(hours=3))
    body = lines(make_event(1), liar)
    problem = client.post("/v1/events", content=body, headers=NDJSON).json()
    assert (problem["status"], problem["errors"][0]["where"]) == (422, "body line 2")
    assert stores.events.last_position() == 0


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'"\\ud800"', b"null", b"{}"]
)
def test_hostile_bytes_are_refused_in_both_forms(client: TestClient, body: bytes) -> None:
    for media_type in ("application/x-ndjson", "application/json"):
        answer = client.post("/v1/events", content=body, headers={"content-type": media_type})
        assert answer.status_code == 422, media_type


def test_a_nul_character_never_stops_the_shipping_of_evidence(
    client: TestClient, stores: Stores
) -> None:
    event = make_event(1, model="a\0b", user_id="\0")
    assert client.post("/v1/events", content=lines(event), headers=NDJSON).status_code == 200
    kept = stores.events.get(event.id)
    assert (kept.model, kept.user_id) == ("a\u2400b", "\u2400")


def test_another_media_type_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/events", content=b"a=b", headers={"content-type": "text/csv"})
    assert answer.status_code == 415


def test_a_body_beyond_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/sql", content=b" " * (2 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body.too_large"


@pytest.mark.parametrize(
    "query",
    ["verdict=block", "verdict=blocked", "decision=deny", "outcome=denied", "outcome=Blocked"],
)
def test_a_verdict_is_found_under_every_name(
    client: TestClient, stores: Stores, query: str
) -> None:
    blocked = blocked_event(2)
    stores.events.append([make_event(1), blocked, make_event(3)])
    assert ids(client.get(f"/v1/events?{query}")) == [blocked.id]


@pytest.mark.parametrize(
    ("parameter", "field", "value"),
    [
        ("gateway", "gateway_id", "gw-x"),
        ("user", "user_id", "ana"),
        ("team", "team_id", "risk"),
        ("tenant", "tenant_id", "acme"),
        ("workflow", "workflow", "refunds"),
        ("agent", "agent_id", "a1"),
        ("session", "session_id", "s1"),
        ("model", "model", "gpt-4o"),
        ("policy", "policy_name", "dlp-filter"),
        ("reason_code", "reason_code", "pii.detected"),
        ("config_version", "config_version", "other@9"),
        ("trace", "trace_id", "ab" * 16),
        ("incident", "incident_id", "inc-1"),
    ],
)
def test_every_filter_finds_its_event(
    client: TestClient, stores: Stores, parameter: str, field: str, value: str
) -> None:
    wanted = msgspec.structs.replace(make_event(2), **{field: value})
    stores.events.append([make_event(1), wanted])
    assert ids(client.get("/v1/events", params={parameter: value})) == [wanted.id]


def test_reason_codes_and_policies_are_found_under_their_other_spelling(
    client: TestClient, stores: Stores
) -> None:
    blocked = blocked_event(1)
    stores.events.append([blocked, make_event(2)])
    for query in ("reason_code=prompt_injection_detected", "policy=prompt_injection"):
        assert ids(client.get(f"/v1/events?{query}")) == [blocked.id]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("since=2026-04-23T12:00:02Z", [3, 2]),
        ("since=2026-04-23T14:00:02%2B02:00", [3, 2]),
        ("since=2026-04-23T14:00:02+02:00", [3, 2]),  # the plus sign arrives as a space
        ("until=2026-04-23T12:00:01Z", [1, 0]),
        ("start_time=2026-04-23T12:00:01Z&end_time=2026-04-23T12:00:02Z", [2, 1]),
        ("since=8s", [3, 2]),
        ("since=1h", [3, 2, 1, 0]),
        ("since=7d&until=9s", [1, 0]),
    ],
)
def test_windows_are_given_as_times_or_as_so_long_ago(
    client: TestClient, stores: Stores, clock: Clock, query: str, numbers: list[int]
) -> None:
    batch = [make_event(number) for number in range(4)]
    stores.events.append(batch)
    clock.now = NOON + timedelta(seconds=10)
    assert ids(client.get(f"/v1/events?{query}")) == [batch[number].id for number in numbers]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=2026-04-23T12:00:02", "no time zone"),
        ("since=soon", "is no time"),
        ("since=1h&until=2h", "lies before since"),
        ("verdict=block&decision=allow", "different things"),
        ("verdict=maybe", "use one of"),
        ("limit=1001", "1000"),
        ("cursor=%21", "cursor"),
        ("since=1h&start_time=2h", "different things"),
    ],
)
def test_a_filter_that_cannot_be_used_says_why(client: TestClient, query: str, words: str) -> None:
    answer = client.get(f"/v1/events?{query}")
    assert answer.status_code == 422
    assert words in answer.text


def test_cursors_walk_the_whole_list_once(client: TestClient, stores: Stores) -> None:
    batch = [make_event(number) for number in range(7)]
    stores.events.append(batch)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/events", params=params)
        seen += ids(answer)
        cursor = answer.json()["meta"]["next_cursor"]
    assert seen == [event.id for event in reversed(batch)]


def test_a_limit_of_zero_gives_only_the_total(client: TestClient, stores: Stores) -> None:
    stores.events.append([make_event(number) for number in range(4)])
    assert client.get("/v1/events?limit=0").json() == {
        "data": [],
        "meta": {
            "total": 4,
            "total_is_floor": False,
            "next_cursor": None,
            "from_archive": [],
            "not_searched": [],
        },
    }


def test_a_total_beyond_the_ceiling_says_that_it_is_a_floor(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (events, event_query):
        monkeypatch.setattr(module, "TOTAL_CEILING", 3)
    stores.events.append([make_event(number) for number in range(4)])
    meta = client.get("/v1/events?limit=0").json()["meta"]
    assert (meta["total"], meta["total_is_floor"]) == (3, True)


def test_one_event_is_shown_as_it_was_recorded(client: TestClient, stores: Stores) -> None:
    event = blocked_event(1)
    stores.events.append([event])
    shown = client.get(f"/v1/events/{event.id}")
    assert as_sent(msgspec.json.decode(shown.content, type=One[DecisionEvent]).data) == event
    assert client.get(f"/v1/events/{event.id[:-1]}0").status_code == 404


def test_minutes_count_by_verdict(client: TestClient, stores: Stores, clock: Clock) -> None:
    stores.events.append([make_event(1), make_event(2), blocked_event(3), make_event(61)])
    clock.now = NOON + timedelta(minutes=2)
    rows = client.get("/v1/events/minutes?since=10m").json()["data"]
    counted = [(row["minute"][11:16], row["verdict"], row["count"]) for row in rows]
    assert counted == [("12:00", "allow", 2), ("12:00", "block", 1), ("12:01", "allow", 1)]
    assert client.get("/v1/events/minutes?since=30d").status_code == 422


def test_escalated_decisions_are_pending_until_somebody_can_decide(
    client: TestClient, stores: Stores
) -> None:
    empty = client.get("/v1/escalations?status=pending&limit=0").json()
    assert empty["meta"]["total"] == 0
    escalated = [
        make_event(number, verdict=Verdict.ESCALATE, policy_name="safety-filter")
        for number in (1, 2)
    ]
    stores.events.append([*escalated, make_event(3)])
    page = client.get("/v1/escalations?status=queued").json()
    assert page["meta"]["total"] == 2
    assert [row["policy_name"] for row in page["data"]] == ["safety-filter"] * 2
    assert page["data"][-1]["created_at"].startswith("2026-04-23T12:00:01")
    assert client.get("/v1/escalations?status=resolved").json()["meta"]["total"] == 0
    assert client.get("/v1/escalations?status=lost").status_code == 422
