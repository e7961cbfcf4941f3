"""People: let in, given roles, invited, signed out, and let in no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Role, Scope, scopes_of
from kintsugi.console.sessions import COOKIE
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, bearer, make_token

Json = dict[str, Any]


def add(client: TestClient, name: str = "ana", *roles: str, **more: Any) -> Json:
    answer = client.post("/v1/users", json={"name": name, "roles": roles, **more})
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()["data"]
    return found


def do(client: TestClient, path: str, body: Json | None = None, status: int = 200) -> Json:
    answer = client.post(path, json=body or {})
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def come_in(client: TestClient, code: str) -> str:
    """The token that an invitation gives; the client's cookies hold the session."""
    page = client.post("/invitation", data={"code": code}, headers={"accept": "text/html"})
    assert page.status_code == 200, page.text
    return page.text.partition("<code>kt_")[2].partition("</code>")[0].join(["kt_", ""])


def test_a_person_has_the_scopes_of_all_roles(client: TestClient) -> None:
    made = add(client, "ana", "viewer", "privacy")
    assert made["scopes"] == list(scopes_of(["privacy", "viewer"]))
    assert client.get("/v1/users/ana").json()["data"] == made
    assert client.get(f"/v1/users/{made['id']}").json()["data"] == made
    assert client.get("/v1/users/nobody").status_code == 404


def test_a_name_is_one_persons_for_ever(client: TestClient) -> None:
    add(client, "ana")
    do(client, "/v1/users/ana/deactivate")
    assert do(client, "/v1/users", {"name": "ana"}, 409)["code"] == "state_conflict"


@pytest.mark.parametrize("name", ["", " ana", "ana ", "a/b", "a\nb", "x" * 201])
def test_a_name_that_would_be_misread_is_none(client: TestClient, name: str) -> None:
    assert client.post("/v1/users", json={"name": name}).status_code == 422


def test_people_are_listed_by_whether_they_are_let_in(client: TestClient) -> None:
    add(client, "ana")
    add(client, "bo")
    do(client, "/v1/users/bo/deactivate")

    def names(status: str) -> list[str]:
        answer = client.get("/v1/users", params={"status": status}).json()
        assert answer["meta"]["total"] == len(answer["data"])
        return sorted(one["name"] for one in answer["data"])

    assert (names("active"), names("deactivated"), names("all")) == (["ana"], ["bo"], ["ana", "bo"])


def test_a_persons_token_carries_the_persons_name_and_rights(
    client: TestClient, anonymous: TestClient
) -> None:
    user = add(client, "ana", "responder")
    made = do(client, "/v1/tokens", {"name": "laptop", "user": "ana"}, 201)["data"]
    who = anonymous.get("/v1/whoami", headers=bearer(made["secret"])).json()["data"]
    assert (who["name"], who["user"], who["scopes"]) == ("ana", user["id"], user["scopes"])
    narrow = {"name": "ci", "user": "ana", "scopes": ["incidents:read", "events:read"]}
    made = do(client, "/v1/tokens", narrow, 201)["data"]
    do(client, "/v1/users/ana/set-roles", {"roles": ["reporter"]})
    who = anonymous.get("/v1/whoami", headers=bearer(made["secret"])).json()["data"]
    assert (who["name"], who["scopes"]) == ("ana", [])


def test_roles_count_from_the_next_request_on(client: TestClient, anonymous: TestClient) -> None:
    add(client, "ana")
    headers = bearer(do(client, "/v1/tokens", {"name": "x", "user": "ana"}, 201)["data"]["secret"])
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 403
    do(client, "/v1/users/ana/set-roles", {"roles": ["viewer"]})
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 200
    do(client, "/v1/users/ana/set-roles", {"roles": []})
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 403


def test_whoever_is_deactivated_is_out_at_once(client: TestClient, anonymous: TestClient) -> None:
    code = add(client, "ana", "viewer", invite=True)["invitation"]["code"]
    headers = bearer(come_in(anonymous, code))
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 200
    assert anonymous.get("/").status_code == 200
    do(client, "/v1/users/ana/deactivate")
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 401
    assert anonymous.get("/").status_code == 401
    assert do(client, "/v1/users/ana/invite", status=409)["code"] == "state_conflict"
    do(client, "/v1/users/ana/activate")
    assert anonymous.get("/v1/incidents", headers=headers).status_code == 200
    assert anonymous.get("/").status_code == 401  # a session does not come back


def test_an_invitation_works_once(client: TestClient, anonymous: TestClient) -> None:
    first = add(client, "ana", "viewer", invite=True)["invitation"]["code"]
    second = do(client, "/v1/users/ana/invite")["data"]["invitation"]["code"]
    assert anonymous.post("/invitation", data={"code": first}).status_code == 401
    token = come_in(anonymous, second)
    assert anonymous.get("/v1/whoami", headers=bearer(token)).json()["data"]["name"] == "ana"
    assert anonymous.post("/invitation", data={"code": second}).status_code == 401
    assert client.get("/v1/users/ana").json()["data"]["last_sign_in_at"]


def test_an_invitation_expires(client: TestClient, anonymous: TestClient, clock: Clock) -> None:
    code = add(client, "ana", invite=True)["invitation"]["code"]
    clock.now += timedelta(days=3)
    assert anonymous.post("/invitation", data={"code": code}).status_code == 401


def test_a_repeated_invitation_shows_its_code_once(client: TestClient) -> None:
    body = {"name": "ana", "invite": True}
    first, second = (
        client.post("/v1/users", json=body, headers={"idempotency-key": "k"}).json()["data"]
        for _ in range(2)
    )
    assert first["invitation"]["code"].startswith("kti_")
    assert second["invitation"]["code"] is None


def test_a_change_of_roles_ends_every_session(client: TestClient, anonymous: TestClient) -> None:
    come_in(anonymous, add(client, "ana", "viewer", invite=True)["invitation"]["code"])
    (session,) = client.get("/v1/users/ana/sessions").json()["data"]
    assert (session["address"], session["agent"]) == ("testclient", "testclient")
    do(client, "/v1/users/ana/set-roles", {"roles": ["viewer", "commander"]})
    assert client.get("/v1/users/ana/sessions").json()["data"] == []
    assert anonymous.get("/").status_code == 401


def test_sessions_are_ended_everywhere(client: TestClient, anonymous: TestClient) -> None:
    token = come_in(anonymous, add(client, "ana", "viewer", invite=True)["invitation"]["code"])
    kept = anonymous.cookies[COOKIE]
    anonymous.cookies.clear()
    assert anonymous.post("/sign-in", data={"token": token}).status_code == 303
    assert do(client, "/v1/users/ana/sign-out")["data"] == {"sessions": 2}
    for cookie in (kept, anonymous.cookies[COOKIE]):
        anonymous.cookies.clear()
        anonymous.cookies.set(COOKIE, cookie)
        assert anonymous.get("/").status_code == 401
    anonymous.post("/sign-in", data={"token": token})
    mine = anonymous.post("/v1/whoami/sign-out", headers=bearer(token))
    assert mine.json()["data"] == {"sessions": 1}
    assert do(client, "/v1/whoami/sign-out", status=409)["code"] == "state_conflict"


def test_nobody_reaches_beyond_their_own_rights(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    add(client, "root", "admin")
    mine = scopes_of([Role.VIEWER.value])
    helper = bearer(make_token(stores, Scope.USERS_ADMIN, *map(Scope, mine), name="helper"))
    for path, body in (
        ("/v1/users", {"name": "x", "roles": ["privacy"]}),
        ("/v1/users/root/set-roles", {"roles": []}),
        ("/v1/users/root/invite", {}),
        ("/v1/users/root/deactivate", {}),
        ("/v1/users/root/sign-out", {}),
    ):
        answer = anonymous.post(path, json=body, headers=helper)
        assert answer.status_code == 403, path
    made = anonymous.post("/v1/users", json={"name": "x", "roles": ["viewer"]}, headers=helper)
    assert made.status_code == 201


def test_nobody_locks_themselves_out(client: TestClient, anonymous: TestClient) -> None:
    add(client, "ana", "admin")
    headers = bearer(do(client, "/v1/tokens", {"name": "x", "user": "ana"}, 201)["data"]["secret"])
    answer = anonymous.post("/v1/users/ana/deactivate", headers=headers)
    assert answer.status_code == 409


def test_a_service_goes_by_no_persons_name(client: TestClient) -> None:
    add(client, "ana")
    body = {"name": "ana", "scopes": ["events:read"]}
    assert do(client, "/v1/tokens", body, 409)["code"] == "state_conflict"
    do(client, "/v1/tokens", {**body, "name": "bo"}, 201)
    assert do(client, "/v1/users", {"name": "bo"}, 409)["code"] == "state_conflict"


def test_a_token_of_a_role_has_its_scopes_and_an_owner(
    client: TestClient, anonymous: TestClient
) -> None:
    made = do(client, "/v1/tokens", {"name": "bot", "roles": ["viewer"], "owner": "ana"}, 201)
    who = anonymous.get("/v1/whoami", headers=bearer(made["data"]["secret"])).json()["data"]
    assert who["scopes"] == list(scopes_of(["viewer"]))
    assert (who["owner"], who["roles"]) == ("ana", ["viewer"])
    made = do(client, "/v1/tokens", {"name": "bot", "scopes": ["events:read"]}, 201)["data"]
    assert made["owner"] == "test"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "user": "ana", "roles": ["viewer"]},
        {"name": "x", "user": "ana", "owner": "bo"},
    ],
)
def test_a_token_that_makes_no_sense_is_refused(client: TestClient, body: Json) -> None:
    add(client, "ana")
    assert client.post("/v1/tokens", json=body).status_code == 422


def test_a_rotated_token_works_on_for_the_overlap(
    client: TestClient, anonymous: TestClient, clock: Clock
) -> None:
    ends = (clock.now + timedelta(days=30)).isoformat()
    body = {"name": "bot", "roles": ["viewer"], "expires_at": ends}
    old = do(client, "/v1/tokens", body, 201)["data"]
    clock.advance(days=10)
    path = f"/v1/tokens/{old['id']}/rotate"
    new = do(client, path, {"overlap_seconds": 60}, 201)["data"]
    assert (new["name"], new["roles"], new["owner"]) == ("bot", ["viewer"], "test")
    assert new["expires_at"] == (clock.now + timedelta(days=30)).isoformat().replace("+00:00", "Z")
    for secret in (old["secret"], new["secret"]):
        assert anonymous.get("/v1/incidents", headers=bearer(secret)).status_code == 200
    clock.advance(seconds=60)
    assert anonymous.get("/v1/incidents", headers=bearer(old["secret"])).status_code == 401
    assert anonymous.get("/v1/incidents", headers=bearer(new["secret"])).status_code == 200
    assert do(client, path, status=409)["code"] == "state_conflict"
    assert do(client, "/v1/tokens/nope/rotate", status=404)["code"] == "not_found"
