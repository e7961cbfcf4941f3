"""Every call that may change something, and every read of unredacted content, is written down."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from kintsugi.api.permissions import MACHINE_SCOPES, Access, Scope
from kintsugi.api.routing import GuardedRoute
from kintsugi.errors import StoreUnavailable
from kintsugi.model.audit import AuditEntry, AuditFilter
from kintsugi.model.stores import Stores
from tests.api.test_api_exports import finished
from tests.control_plane import bearer, make_event, make_token


def entries(stores: Stores) -> list[AuditEntry]:
    return stores.audit.page(AuditFilter(), limit=100)[0]


def test_a_call_is_written_down_with_who_what_and_what_became_of_it(
    client: TestClient, stores: Stores
) -> None:
    headers = {"x-request-id": "ticket-4711"}
    answer = client.post("/v1/incidents", json={"title": "It lied"}, headers=headers)
    assert answer.headers["x-request-id"] == "ticket-4711"
    (entry,) = entries(stores)
    (token,) = stores.tokens.list()
    assert (entry.actor, entry.operation, entry.method, entry.object) == (
        *(f"test/{token.id}", "declare_incident", "POST", "/v1/incidents"),
    )
    assert (entry.result, entry.status, entry.request_id) == ("done", 201, "ticket-4711")
    assert entry.address == "testclient"


def test_a_refusal_names_the_permission_that_was_missing(
    anonymous: TestClient, stores: Stores
) -> None:
    headers = bearer(make_token(stores, Scope.EVENTS_READ))
    assert anonymous.post("/v1/holds", json={}, headers=headers).status_code == 403
    (entry,) = entries(stores)
    assert (entry.result, entry.status, entry.permission, entry.code) == (
        *("refused", 403, "holds:write", "auth.forbidden"),
    )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/v1/incidents", {"titel": "x"}, 422), ("/v1/incidents/INC-9/close", {}, 404)],
)
def test_what_is_refused_for_other_reasons_is_written_down_too(
    path: str, body: dict[str, Any], status: int, client: TestClient, stores: Stores
) -> None:
    assert client.post(path, json=body).status_code == status
    (entry,) = entries(stores)
    assert (entry.result, entry.status, entry.permission) == ("refused", status, "")
    assert entry.code


def test_a_dry_run_says_so(client: TestClient, stores: Stores) -> None:
    client.post("/v1/incidents", json={"title": "It lied"})
    client.post("/v1/incidents/INC-1/contain?dry_run=true", json={"reason": "stopped"})
    assert [entry.dry_run for entry in entries(stores)] == [True, False]


def test_what_cannot_be_done_is_written_down_as_failed(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(stores.incidents, "change", away)
    assert client.post("/v1/incidents", json={"title": "x"}).status_code == 503
    (entry,) = entries(stores)
    assert (entry.result, entry.status, entry.code) == ("failed", 503, "store.unavailable")


def test_no_answer_leaves_when_its_entry_cannot_be_written(
    client: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([make_event(1)])

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(stores.audit, "add", away)
    path = f"/v1/events/{make_event(1).id}/reveal"
    answer = client.post(path, json={"reason": "a complaint"})
    assert answer.status_code == 503
    assert "my order" not in answer.text


def test_a_caller_whom_nobody_knows_cannot_fill_the_log(
    anonymous: TestClient, stores: Stores
) -> None:
    assert anonymous.post("/v1/incidents", json={"title": "x"}).status_code == 401
    assert entries(stores) == []


@pytest.mark.parametrize("given", ["", "with blank", "x" * 65, "naïve"])
def test_a_request_id_that_could_do_harm_is_replaced(given: str, client: TestClient) -> None:
    answer = client.get("/v1/whoami", headers={b"x-request-id": given.encode()})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 24


def test_all_that_may_change_something_is_audited_but_for_what_machines_send(app: FastAPI) -> None:
    for route in app.routes:
        assert isinstance(route, GuardedRoute)
        (method,) = (route.methods or set()) - {"HEAD"}
        permission = route.guard.permission
        if method != "GET" and permission is not Access.PUBLIC:
            assert route.guard.audited is (permission not in MACHINE_SCOPES), route.path


def test_reading_a_file_of_evidence_is_audited(app: FastAPI) -> None:
    audited = {
        route.path
        for route in app.routes
        if isinstance(route, GuardedRoute)
        and route.guard.audited
        and "GET" in (route.methods or ())
    }
    assert "/v1/exports/{export_id}/content" in audited


def test_the_log_is_listed_and_filtered_for_those_who_may(
    client: TestClient, stores: Stores
) -> None:
    client.post("/v1/incidents", json={"title": "It lied"})
    client.post("/v1/incidents/INC-9/close", json={})
    listed = client.get("/v1/audit", params={"result": "refused"}).json()
    assert [one["operation"] for one in listed["data"]] == ["incident_close"]
    assert listed["meta"]["total"] == 1
    assert client.get("/v1/audit", params={"limit": 0}).json()["meta"]["total"] == 2
    below = client.get("/v1/audit", params={"object": "/v1/incidents/"}).json()
    assert [one["object"] for one in below["data"]] == ["/v1/incidents/INC-9/close"]
    assert client.get("/v1/audit", params={"since": "1h", "until": "2h"}).json()["data"] == []
    headers = bearer(make_token(stores, Scope.EVENTS_READ))
    assert client.get("/v1/audit", headers=headers).status_code == 403


@pytest.mark.parametrize("file_format", ["jsonl", "json", "csv"])
def test_the_log_is_exported(file_format: str, client: TestClient, stores: Stores) -> None:
    client.post("/v1/incidents", json={"title": "It lied"}, headers={"x-request-id": "=1+1"})
    client.post("/v1/incidents/INC-9/close", json={})
    job = finished(client, {"type": "audit", "format": file_format})
    text = client.get(job["content"]).text
    if file_format == "csv":
        rows = [*csv.DictReader(text.splitlines())]
    else:
        rows = json.loads(text) if file_format == "json" else [*map(json.loads, text.splitlines())]
    # Asking for the export may stand in it too.
    told = [row["operation"] for row in rows if row["operation"] != "create_export"]
    assert told[:2] == ["incident_close", "declare_incident"]
    body = {"type": "audit", "filter": {"user": "ana"}}
    assert client.post("/v1/exports", json=body).status_code == 422
    body = {"type": "audit", "format": "parquet"}
    assert client.post("/v1/exports", json=body).status_code == 422
    headers = bearer(make_token(stores, Scope.EXPORTS_WRITE, Scope.EXPORTS_READ))
    assert client.post("/v1/exports", json={"type": "audit"}, headers=headers).status_code == 403
    assert client.get(job["content"], headers=headers).status_code == 403
