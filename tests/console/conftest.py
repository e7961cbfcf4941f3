"""The console on memory stores; the fixtures of the API's tests, and a signed-in client."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.api.conftest import anonymous, app, clock, stores
from tests.control_plane import make_token

__all__ = ["anonymous", "app", "clock", "stores"]


@pytest.fixture
def client(anonymous: TestClient, stores: Stores) -> TestClient:
    """A browser that signed in with a token that reads events and gateways."""
    text = make_token(
        stores,
        Scope.EVENTS_READ,
        Scope.GATEWAYS_READ,
        Scope.ESCALATIONS_READ,
        Scope.QUARANTINES_READ,
        Scope.SIGNALS_READ,
        Scope.TRACES_READ,
    )
    anonymous.headers["accept"] = "text/html"
    answer = anonymous.post("/sign-in", data={"token": text})
    assert answer.status_code == 303, answer.text
    return anonymous
