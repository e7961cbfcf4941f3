"""A restricted incident stays restricted: on every route, in every list, count and link."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from kintsugi.api.permissions import Role, Scope, scopes_of
from kintsugi.api.routing import GuardedRoute
from kintsugi.model.containment import Containment, ContainmentScope, Lever
from kintsugi.model.incident import new_id
from kintsugi.model.stores import Stores
from tests.api.test_api_incidents import declare, do
from tests.control_plane import NOON, bearer, make_event, make_token

SECRET = "Canary in the mine"
EVENT = make_event(1).id

# The log proves that nothing was changed unseen, so it has a leaf for everything; a leaf of an
# incident holds its id, its state and digests, no words. Streams have no end.
LEFT_OUT = ("/v1/log", "/tail", "/follow", "/live")


class Case(NamedTuple):
    """A restricted incident, and an open one that is tied to it."""

    secret: dict[str, Any]
    open: dict[str, Any]

    @property
    def words(self) -> tuple[str, ...]:
        """What nobody else may read; its number too, where it is hidden."""
        hidden = self.secret["visibility"] == "hidden"
        return (SECRET, *((self.secret["reference"], self.secret["id"]) if hidden else ()))


@pytest.fixture(params=["reference", "hidden"])
def case(request: pytest.FixtureRequest, client: TestClient, stores: Stores) -> Case:
    stores.events.append([make_event(1)])
    secret = declare(client, SECRET, event_ids=[EVENT])
    opened = declare(client, "A plain one")
    key = secret["reference"]
    do(client, key, "assign", role="commander", person="ana")
    do(client, key, "link", to=opened["id"], kind="related", reason=SECRET)
    do(client, key, "timeline", text=SECRET)
    do(client, key, "moments", kind="aware", moment_at="1h", reason=SECRET)
    do(client, key, "obligations", rules=["sec_8k_105"], reason=SECRET)
    action = {"incident": key, "title": SECRET, "owner": "ana", "kind": "prevent"}
    post(client, "/v1/actions", action, 201)
    post(client, "/v1/exports", {"type": "events", "filter": {"incident": key}}, 202)
    hold = {"name": SECRET, "reason": SECRET, "filter": {"incident": key}}
    post(client, "/v1/holds", hold, 201)
    stores.containments.put(
        Containment(
            id=new_id(NOON),
            lever=Lever("stop"),
            scope=ContainmentScope(workflow="support"),
            reason="harm",
            owner="ana",
            created_by="ana/1",
            created_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            incident_id=secret["id"],
        )
    )
    secret = do(client, key, "restrict", visibility=request.param, reason="about a colleague")
    return Case(secret, opened)


def post(client: TestClient, path: str, body: dict[str, Any], status: int) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text


def outsider(stores: Stores, *roles: Role, name: str = "bo") -> dict[str, str]:
    scopes = scopes_of(role.value for role in roles or (Role.COMMANDER,))
    return bearer(make_token(stores, *map(Scope, scopes), name=name))


def reading_routes(app: FastAPI) -> Iterator[str]:
    for route in app.routes:
        if (
            isinstance(route, GuardedRoute)
            and route.include_in_schema
            and "GET" in (route.methods or ())
            and not any(part in route.path for part in LEFT_OUT)
        ):
            yield route.path


def test_no_list_tells_of_it(
    case: Case, app: FastAPI, anonymous: TestClient, stores: Stores
) -> None:
    headers = outsider(stores)
    for path in reading_routes(app):
        if "{" in path:
            continue
        for query in (
            "",
            f"?event={EVENT}",
            "?status=all",
            "?state=all",
            f"?incident={case.open['id']}",
        ):
            found = anonymous.get(path + query, headers=headers)
            for word in case.words:
                assert word not in found.text, (path, query)


def test_no_route_of_an_incident_shows_it(
    case: Case, app: FastAPI, anonymous: TestClient, stores: Stores
) -> None:
    headers = outsider(stores)
    status = 404 if case.secret["visibility"] == "hidden" else 403
    for key in (case.secret["id"], case.secret["reference"]):
        for path in reading_routes(app):
            if "{incident_id}" not in path:
                continue
            found = anonymous.get(path.replace("{incident_id}", key), headers=headers)
            if "{" not in path.replace("{incident_id}", ""):
                assert found.status_code == status, (path, found.text)
            assert SECRET not in found.text, path


def test_what_belongs_to_it_is_not_found_by_an_id_of_its_own(
    case: Case, client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    owed = client.get("/v1/obligations").json()["data"]
    exports = client.get("/v1/exports").json()["data"]
    holds = client.get("/v1/holds").json()["data"]
    actions = client.get("/v1/actions").json()["data"]
    paths = [
        *(f"/v1/obligations/{one['id']}{more}" for one in owed for more in ("", "/draft")),
        *(f"/v1/exports/{one['id']}{more}" for one in exports for more in ("", "/content")),
        *(f"/v1/holds/{one['id']}" for one in holds),
        *(f"/v1/actions/{one['id']}" for one in actions),
    ]
    assert owed
    assert exports
    assert holds
    assert actions
    headers = outsider(stores)
    for path in paths:
        found = anonymous.get(path, headers=headers)
        assert (found.status_code, SECRET in found.text) == (404, False), path


def test_no_verb_touches_it(
    case: Case, app: FastAPI, anonymous: TestClient, stores: Stores
) -> None:
    headers = outsider(stores)
    before = stores.incidents.get(case.secret["id"])
    bodies: tuple[dict[str, Any], ...] = ({}, {"reason": "x"}, {"person": "bo", "reason": "x"})
    for route in app.routes:
        if not isinstance(route, GuardedRoute) or "POST" not in (route.methods or ()):
            continue
        if not route.path.startswith("/v1/incidents/{incident_id}"):
            continue
        path = route.path.replace("{incident_id}", case.secret["id"])
        for body in bodies:
            found = anonymous.post(path, json=body, headers=headers)
            assert found.status_code in (403, 404, 409, 422), (path, found.text)
            assert SECRET not in found.text, path
            old = {**headers, "if-match": '"1"'}
            assert anonymous.post(path, json=body, headers=old).status_code != 412, path
    assert stores.incidents.get(case.secret["id"]) == before


def test_nothing_is_merged_into_it_and_nothing_linked_to_it_unseen(
    case: Case, anonymous: TestClient, stores: Stores
) -> None:
    headers, key = outsider(stores), case.open["reference"]
    for verb, body in (("merge", {"into": case.secret["id"]}), ("link", {"to": case.secret["id"]})):
        for dry_run in ("", "?dry_run=true"):
            path = f"/v1/incidents/{key}/{verb}{dry_run}"
            answer = anonymous.post(path, json={**body, "reason": "x"}, headers=headers)
            assert answer.status_code in (403, 404), answer.text
            assert SECRET not in answer.text


def test_an_open_incident_shows_no_link_to_it(
    case: Case, client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    path = f"/v1/incidents/{case.open['id']}"
    assert client.get(path).json()["data"]["links"]
    found = anonymous.get(path, headers=outsider(stores))
    assert found.json()["data"]["links"] == []
    timeline = anonymous.get(f"{path}/timeline", headers=outsider(stores)).text
    assert "about an incident that is restricted" in timeline
    assert SECRET not in timeline
    assert case.secret["id"] not in timeline
    # Whoever changes the open one does not take the link away by not seeing it.
    note = anonymous.post(f"{path}/timeline", json={"text": "x"}, headers=outsider(stores))
    assert note.json()["data"]["links"] == []
    assert client.get(path).json()["data"]["links"]


def test_its_events_are_not_found_by_it_nor_revealed(
    case: Case, client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    headers = outsider(stores)
    listed = anonymous.get(f"/v1/events?incident={case.secret['id']}", headers=headers)
    assert listed.status_code in (403, 404)
    body = {"type": "events", "filter": {"incident": case.secret["id"]}}
    assert anonymous.post("/v1/exports", json=body, headers=headers).status_code in (403, 404)
    reveal = anonymous.post(f"/v1/events/{EVENT}/reveal", json={"reason": "x"}, headers=headers)
    assert reveal.status_code == 403
    assert client.post(f"/v1/events/{EVENT}/reveal", json={"reason": "x"}).status_code == 200


def test_others_see_that_it_exists_only_where_it_shows_its_reference(
    case: Case, anonymous: TestClient, stores: Stores
) -> None:
    headers = outsider(stores)
    listed = anonymous.get("/v1/incidents", headers=headers).json()
    shown = [one for one in listed["data"] if one["id"] == case.secret["id"]]
    hidden = case.secret["visibility"] == "hidden"
    assert listed["meta"]["total"] == (1 if hidden else 2)
    if hidden:
        assert not shown
    else:
        assert shown[0]["title"] == "(restricted)"
        assert shown[0]["commander"] == "ana"
        assert shown[0]["event_count"] == 0
    assert len(anonymous.get(f"/v1/incidents?event={EVENT}", headers=headers).json()["data"]) == (
        0 if hidden else 1
    )


def test_those_who_work_on_it_are_granted_sight_and_privacy_see_it(
    case: Case, client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    path = f"/v1/incidents/{case.secret['id']}"
    ana = outsider(stores, Role.RESPONDER, name="ana")
    assert anonymous.get(path, headers=ana).status_code == 200
    assert anonymous.get(path, headers=outsider(stores, Role.PRIVACY)).status_code == 200
    cy = outsider(stores, Role.VIEWER, name="cy")
    assert anonymous.get(path, headers=cy).status_code in (403, 404)
    granted = anonymous.post(f"{path}/grant", json={"person": "cy"}, headers=ana)
    assert granted.json()["data"]["people"][-1] == "cy"
    assert anonymous.get(path, headers=cy).status_code == 200
    assert SECRET in anonymous.get("/v1/incidents", headers=cy).text
    assert anonymous.get("/v1/obligations", headers=cy).json()["data"]
    assert anonymous.post(f"{path}/revoke", json={"person": "cy"}, headers=ana).status_code == 200
    assert anonymous.get(path, headers=cy).status_code in (403, 404)
    do(client, case.secret["id"], "open-up", reason="it was announced")
    assert anonymous.get(path, headers=cy).status_code == 200
    kinds = [one["kind"] for one in anonymous.get(f"{path}/timeline", headers=cy).json()["data"]]
    assert kinds.count("access") == 4


def test_a_critical_incident_is_restricted_by_its_severity_and_whoever_assessed_it_sees_it(
    anonymous: TestClient, client: TestClient, stores: Stores
) -> None:
    made = declare(client)
    path = f"/v1/incidents/{made['id']}"
    bo, cy = outsider(stores, Role.RESPONDER), outsider(stores, Role.RESPONDER, name="cy")
    body = {"factors": {"impact": 3}, "reason": "people were hurt"}
    after = anonymous.post(f"{path}/assess", json=body, headers=bo).json()["data"]
    assert (after["severity"], after["visibility"], after["people"]) == (
        *("critical", "reference"),
        ["bo"],
    )
    assert anonymous.get(path, headers=bo).status_code == 200
    assert anonymous.get(path, headers=cy).status_code == 403


def test_a_part_of_a_restricted_incident_is_as_restricted(
    case: Case, client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    part = do(client, case.secret["id"], "split", title=SECRET, reason="two faults")
    assert part["visibility"] == case.secret["visibility"]
    ana = outsider(stores, Role.VIEWER, name="ana")
    assert anonymous.get(f"/v1/incidents/{part['id']}", headers=ana).status_code == 200
    found = anonymous.get(f"/v1/incidents/{part['id']}", headers=outsider(stores))
    assert found.status_code in (403, 404)


def test_closing_the_door_is_anybodys_and_opening_it_the_commanders(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    path = f"/v1/incidents/{declare(client)['id']}"
    bo = outsider(stores, Role.RESPONDER)
    assert anonymous.post(f"{path}/restrict", json={}, headers=bo).status_code == 409  # no reason
    body = {"reason": "names a child"}
    assert anonymous.post(f"{path}/restrict", json=body, headers=bo).status_code == 200
    assert anonymous.get(path, headers=bo).status_code == 200
    for verb, more in (("open-up", {}), ("grant", {"person": "cy"}), ("revoke", {"person": "bo"})):
        answer = anonymous.post(f"{path}/{verb}", json=body | more, headers=bo)
        assert answer.json()["errors"][0]["code"] == "not_in_command"
