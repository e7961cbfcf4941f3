"""No route without a permission; no permission without its token."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.testclient import TestClient

from kintsugi.api.app import require_permissions
from kintsugi.api.permissions import (
    ADMIN_SCOPES,
    MACHINE_SCOPES,
    ROLES,
    Access,
    Role,
    Scope,
    scopes_of,
)
from kintsugi.api.routing import Guard, GuardedRoute
from kintsugi.model.stores import Stores
from tests.control_plane import bearer, make_token

PUBLIC = {
    ("GET", "/health"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/status/feed.json"),
    ("GET", "/status/feed.atom"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-out"),
    ("GET", "/invitation"),
    ("POST", "/invitation"),
    ("POST", "/sign-in/oidc"),
    ("GET", "/sign-in/oidc/callback"),
    ("GET", "/static/{version}/{name:path}"),
    # The signature of the message counts instead.
    ("POST", "/v1/report-sources/{name}/signed-deliveries"),
    # The signature in the address counts instead.
    ("GET", "/report/by-link/{link}"),
    ("POST", "/report/by-link/{link}"),
    ("GET", "/report/status/{text}"),
}

# The pages of the console know sessions, not tokens; tests/console has their matrix.
CONSOLE = {
    *("/", "/events/{event_id}", "/traces/{trace_id}", "/live", "/oversight", "/signals", "/log"),
    *("/escalations/{escalation_id}", "/quarantines/{quarantine_id}"),
    *("/containments", "/containments/{containment_id}"),
    *("/regressions", "/regressions/{regression_id}", "/events/{event_id}/regression"),
    *(f"/regressions/{{regression_id}}/{verb}" for verb in ("edit", "approve", "reject")),
    *("/configurations", "/configurations/{config_id}"),
    "/configurations/{config_id}/versions/{version}",
    "/events/{event_id}/reveal",
    "/report",
}


def guarded(app: FastAPI) -> list[GuardedRoute]:
    require_permissions(app.routes)
    return [route for route in app.routes if isinstance(route, GuardedRoute)]


def call(client: TestClient, route: GuardedRoute, **options: Any) -> int:
    method = next(iter(route.methods or ()))
    address = route.path
    for name in ("event_id", "config_id", "gateway_id", "export_id", "token_id"):
        address = address.replace(f"{{{name}}}", "x1")
    address = address.replace("{version}", "1")
    return client.request(method, address, **options).status_code


def with_scope(app: FastAPI) -> list[GuardedRoute]:
    """The routes of the API that ask for a scope and come to an end."""
    return [
        route
        for route in guarded(app)
        if isinstance(route.guard.permission, Scope)
        and route.path not in CONSOLE
        and not route.path.endswith(("/tail", "/follow"))  # endless once they are open
    ]


def test_only_these_routes_answer_without_a_token(app: FastAPI) -> None:
    public = {
        (next(iter(route.methods or ())), route.path)
        for route in guarded(app)
        if route.guard.permission is Access.PUBLIC
    }
    assert public == PUBLIC


def test_every_other_route_refuses_a_caller_without_a_token(
    app: FastAPI, anonymous: TestClient
) -> None:
    answers = {
        route.path: call(anonymous, route)
        for route in guarded(app)
        if route.guard.permission is not Access.PUBLIC
    }
    assert set(answers.values()) == {401}, answers


def test_every_scope_opens_its_own_routes_and_no_others(
    app: FastAPI, anonymous: TestClient, stores: Stores
) -> None:
    tokens = {scope: make_token(stores, scope) for scope in Scope}
    for route in with_scope(app):
        for scope, text in tokens.items():
            status = call(anonymous, route, headers=bearer(text))
            allowed = scope in {route.guard.permission, Scope.ADMIN}
            assert (status != 403) is allowed, (route.path, scope, status)


@pytest.mark.parametrize("role", Role)
def test_every_role_opens_the_routes_of_its_scopes_and_no_others(
    role: Role, app: FastAPI, anonymous: TestClient, stores: Stores
) -> None:
    text = make_token(stores, *map(Scope, scopes_of([role.value])))
    for route in with_scope(app):
        status = call(anonymous, route, headers=bearer(text))
        allowed = route.guard.permission in ROLES[role] or role is Role.ADMIN
        assert (status != 403) is allowed, (route.path, role, status)


def test_every_scope_belongs_to_a_role_of_people_or_is_named_as_one_of_machines_or_admins() -> None:
    of_people = {scope for role in Role if role is not Role.ADMIN for scope in ROLES[role]}
    assert of_people | MACHINE_SCOPES | ADMIN_SCOPES == set(Scope)
    assert not of_people & (MACHINE_SCOPES | ADMIN_SCOPES)


def test_a_role_that_nobody_knows_gives_nothing() -> None:
    assert scopes_of(["emperor"]) == ()


def test_few_may_release_what_many_may_stop() -> None:
    may = {scope: {role for role in Role if scope in ROLES[role]} for scope in Scope}
    assert may[Scope.CONTAINMENTS_RELEASE] < may[Scope.CONTAINMENTS_APPLY]
    assert may[Scope.QUARANTINES_RELEASE] == {Role.COMMANDER}


def test_a_route_without_a_permission_cannot_be_made() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="must declare its permission"):
        GuardedRoute("/v1/open", lambda: None, guard=Guard(permission=nothing))


def test_an_application_with_an_unguarded_route_does_not_start() -> None:
    with pytest.raises(TypeError, match="declares no permission"):
        require_permissions([Route("/v1/open", lambda _: None)])
