"""How far an incident reaches, the search for the same, and the repair ledger, over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from tests.api.test_api_freezes import declare, settled
from tests.control_plane import NOON, Clock, bearer, blocked_event, make_event, make_token

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def path(client: TestClient, stores: Stores, clock: Clock) -> str:
    """An incident with a frozen minute, in which one trace wrote a record."""
    at = NOON + timedelta(seconds=1)
    events = [
        make_event(1, trace_id=TRACE, workflow="crm", tenant_id="acme"),
        blocked_event(2),
        make_event(3),
    ]
    stores.events.append([*events, blocked_event(300), make_event(301)])
    wrote = {"kintsugi.records": ["account/17"], "kintsugi.write.system": "crm"}
    stores.spans.append(
        [Span(TRACE, "b7ad6b7169203331", "save", Step.WRITE, at, at, attributes=wrote)]
    )
    clock.advance(minutes=10)
    path = f"/v1/incidents/{declare(client)}"
    body = {"filter": {"since": "1h", "until": "9m"}}
    settled(client, client.post(f"{path}/freeze", json=body).headers["location"])
    return path


def test_the_radius_says_how_sure_it_is(client: TestClient, path: str) -> None:
    found = client.get(f"{path}/blast-radius").json()["data"]
    assert found["events"] == 3
    assert found["counts"]["users"]["count"] == 3
    assert (found["counts"]["workflows"]["count"], found["exact"]) == (1, False)
    assert found["reasons"] == [
        "2 of 3 events name no tenant",
        "2 of 3 events name no workflow",
    ]
    [acme] = found["counts"]["tenants"]["most"]
    assert (acme["name"], acme["events"]) == ("acme", 1)
    assert found["records"] == {"open": 1}
    assert found["people"] == {"to_tell": 5}


def test_the_same_is_found_outside_of_it(client: TestClient, path: str) -> None:
    found = client.post(f"{path}/search").json()["data"]
    assert found["signature"]["reason_code"] == "prompt_injection.detected"
    assert (found["found"], found["tied"], found["outside"], found["exact"]) == (2, 1, 1, True)
    assert found["first_at"] < found["first_outside_at"]
    other = client.post(f"{path}/search", json={"policy": "dlp-filter"}).json()["data"]
    assert (other["found"], other["examples"]) == (0, [])
    refused = client.post(f"{path}/search", json={"fingerprint": "9f86d081884c7d65"})
    assert refused.status_code == 422
    body = {"policy": "prompt-injection", "fingerprint": "9f86d081884c7d65"}
    assert client.post(f"{path}/search", json=body).json()["data"]["found"] == 2


def test_a_record_goes_to_its_end_with_evidence(client: TestClient, path: str) -> None:
    [record] = client.get(f"{path}/records").json()["data"]
    assert record["key"] == "crm/account/17"
    assert record["found_in"] == f"trace:{TRACE}/b7ad6b7169203331"
    body = {"keys": [record["key"]], "status": "corrected"}
    refused = client.post(f"{path}/records/settle", json=body)
    assert [one["code"] for one in refused.json()["errors"]] == ["evidence"]
    done = client.post(f"{path}/records/settle", json={**body, "evidence": "change 8812"})
    assert done.json()["data"][0]["status"] == "corrected"
    assert client.get(f"{path}/records?status=open").json()["meta"]["total"] == 0
    added = {"records": [{"key": "mail/1", "system": "mail"}], "reason": "a customer says so"}
    client.post(f"{path}/records", json=added)
    body = {"keys": ["mail/1"], "status": "unrecoverable", "reason": "it is out"}
    assert client.post(f"{path}/records/settle", json=body).status_code == 200
    told = [one["text"] for one in client.get(f"{path}/timeline").json()["data"]]
    assert "unrecoverable: record mail/1" in told


def test_people_are_told_by_a_channel(client: TestClient, path: str) -> None:
    page = client.get(f"{path}/people?limit=2").json()
    assert [one["key"] for one in page["data"]] == ["support", "acme"]
    rest = client.get(f"{path}/people", params={"cursor": page["meta"]["next_cursor"]}).json()
    assert [one["key"] for one in rest["data"]] == ["user-1", "user-2", "user-3"]
    body = {"keys": ["user-1"]}
    refused = client.post(f"{path}/people/settle", json=body)
    assert [one["code"] for one in refused.json()["errors"]] == ["channel"]
    client.post(f"{path}/people", json={"people": [{"key": "=1+1", "channel": "mail"}]})
    assert client.post(f"{path}/people/settle", json={**body, "channel": "mail"}).is_success
    table = client.get(f"{path}/people.csv")
    assert table.headers["content-type"].startswith("text/csv")
    lines = table.text.splitlines()
    assert lines[0].startswith("kind,key,status,channel")
    assert any(line.startswith("user,user-1,told,mail") for line in lines)
    assert any(line.startswith("user,'=1+1") for line in lines)


def test_events_of_others_take_the_permission_to_see_events(
    client: TestClient, stores: Stores, path: str
) -> None:
    only_incidents = bearer(make_token(stores, Scope.INCIDENTS_READ))
    refused = client.post(f"{path}/search", headers=only_incidents)
    assert (refused.status_code, "events:read" in refused.text) == (403, True)
    both = bearer(make_token(stores, Scope.INCIDENTS_READ, Scope.EVENTS_READ))
    assert client.post(f"{path}/search", headers=both).status_code == 200
