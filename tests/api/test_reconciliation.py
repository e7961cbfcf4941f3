"""A gateway's counters beside what is stored: what does not agree is named, with since when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from starlette.testclient import TestClient

from kintsugi.model.gateways import GatewayReport
from kintsugi.model.journal import JournalHead
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, make_event, make_report

SECOND = timedelta(seconds=1)


def report(client: TestClient, made: GatewayReport) -> dict[str, Any]:
    answer = client.put(f"/v1/gateways/{made.id}", json=msgspec.to_builtins(made))
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["data"]
    return shown


def differing(client: TestClient) -> list[tuple[str, int]]:
    [gateway] = client.get("/v1/status").json()["data"]["gateways"]
    return [(one["name"], one["count"]) for one in gateway["differences"]]


def test_counters_that_agree_raise_nothing(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    gateway_id = make_report(now=clock()).id
    stores.events.append([make_event(1, gateway_id=gateway_id)])
    report(client, make_report(now=clock(), shipped=1))
    assert differing(client) == []
    assert stores.signals.count_unresolved() == 0


def test_a_lasting_difference_is_a_signal_until_it_is_over(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    gateway_id = make_report(now=clock()).id
    since = clock()
    for _ in range(15):
        view = report(client, make_report(now=clock(), shipped=1))
        [one] = view["counters"]["differences"]
        assert (one["name"], one["count"]) == ("gap", 1)
        assert stores.signals.count_unresolved() == 0, "two processes never count at one moment"
        clock.now += 2 * SECOND
    report(client, make_report(now=clock(), shipped=1))
    [signal], _ = stores.signals.page("open", limit=5)
    assert (signal.kind, signal.severity) == ("counters_differ", "critical")
    assert signal.detail == {
        "gateway_id": gateway_id,
        "difference": "gap",
        "count": 1,
        "since": since.isoformat(),
    }
    stores.events.append([make_event(1, gateway_id=gateway_id)])
    report(client, make_report(now=clock(), shipped=1))
    assert stores.signals.get(signal.id).resolution == "they agree again"


def test_decisions_without_a_journal_and_exchanges_without_a_decision_are_told_apart(
    client: TestClient, clock: Clock
) -> None:
    made = make_report(now=clock(), shipped=0, unjournaled=3)
    first, second = made.workers
    made = msgspec.structs.replace(
        made, workers=(msgspec.structs.replace(first, admitted=52), second)
    )
    report(client, made)
    assert differing(client) == [("undecided", 2), ("unjournaled", 3)]


def test_refused_records_are_a_signal_each_time_there_are_more(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    for refused in (0, 2, 2, 3):
        report(client, make_report(now=clock(), shipped=0, refused=refused))
    kinds = [signal.detail["refused"] for signal in stores.signals.page("open", limit=5)[0]]
    assert sorted(kinds) == [2, 3]


def test_what_a_gateway_saw_acknowledged_and_is_not_here_is_asked_for(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    head = JournalHead("gw-1.w0.17", 40, "ab" * 32)
    for _ in range(2):
        view = report(client, make_report(now=clock(), shipped=0, journals=(head,)))
    [signal], _ = stores.signals.page("open", kind="journal_gap", limit=5)
    assert "was an older state restored" in signal.summary
    assert signal.detail["missing"][0]["last_seq"] == 40
    [missing] = view["missing"]
    assert (missing["first_seq"], missing["last_seq"]) == (1, 40)
