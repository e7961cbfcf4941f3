"""Tokens: made, shown once, cached briefly, revoked at once."""

from __future__ import annotations

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from kintsugi.api.auth import CACHE_SECONDS, Authenticator
from kintsugi.api.credentials import ensure_first_tokens, mint, secret_sha256
from kintsugi.api.permissions import GATEWAY_SCOPES, Scope
from kintsugi.errors import Unauthenticated
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, Clock, bearer, make_token

FILES = ("admin-token", "gateway-token")


def test_the_first_start_leaves_two_working_tokens_that_only_the_owner_reads(
    anonymous: TestClient, stores: Stores, tmp_path: Path
) -> None:
    ensure_first_tokens(stores, tmp_path, now=NOON)
    for file in FILES:
        path = tmp_path / file
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        who = anonymous.get("/v1/whoami", headers=bearer(path.read_text().strip()))
        assert who.status_code == 200
    gateway = next(token for token in stores.tokens.list() if token.name == "first gateway")
    assert gateway.scopes == tuple(scope.value for scope in GATEWAY_SCOPES)


def test_the_second_start_keeps_them(stores: Stores, tmp_path: Path) -> None:
    ensure_first_tokens(stores, tmp_path, now=NOON)
    before = [(tmp_path / file).read_text() for file in FILES]
    ensure_first_tokens(stores, tmp_path, now=NOON + timedelta(days=400))
    assert [(tmp_path / file).read_text() for file in FILES] == before
    assert len(stores.tokens.list()) == 2


def test_a_token_that_the_store_does_not_know_is_replaced(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text(mint("other store", [Scope.ADMIN], now=NOON)[1])
    ensure_first_tokens(stores, tmp_path, now=NOON)
    digest = secret_sha256((tmp_path / "admin-token").read_text().strip())
    assert digest is not None
    assert stores.tokens.find(digest) is not None


def test_the_secret_is_in_no_log(
    stores: Stores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_first_tokens(stores, tmp_path, now=NOON)
    output = "".join(capsys.readouterr())
    for file in FILES:
        assert (tmp_path / file).read_text().strip().rpartition("_")[2] not in output


def test_a_new_token_shows_its_secret_once(client: TestClient) -> None:
    made = client.post("/v1/tokens", json={"name": "ci", "scopes": ["events:read"]})
    assert made.status_code == 201
    secret = made.json()["data"]["secret"]
    assert client.get("/v1/events", headers=bearer(secret)).status_code == 200
    assert secret.rpartition("_")[2] not in client.get("/v1/tokens").text


def test_a_repeated_request_gets_the_same_token_without_its_secret(
    client: TestClient, stores: Stores
) -> None:
    body = {"name": "ci", "scopes": ["events:read"]}
    first, second = (
        client.post("/v1/tokens", json=body, headers={"idempotency-key": "k1"}).json()["data"]
        for _ in range(2)
    )
    assert second == {**first, "secret": None}
    assert [token.name for token in stores.tokens.list()].count("ci") == 1


def test_nobody_gives_away_more_than_they_have(anonymous: TestClient, stores: Stores) -> None:
    text = make_token(stores, Scope.TOKENS_ADMIN, Scope.EVENTS_READ)
    headers = bearer(text)
    for scopes, status in ((["events:read"], 201), (["admin"], 403), (["sql:read"], 403)):
        body = {"name": "x", "scopes": scopes}
        assert anonymous.post("/v1/tokens", json=body, headers=headers).status_code == status


def test_a_revoked_token_ends_at_once(client: TestClient, stores: Stores) -> None:
    text = make_token(stores, Scope.EVENTS_READ)
    assert client.get("/v1/events", headers=bearer(text)).status_code == 200
    token_id = text.split("_")[1]
    assert client.post(f"/v1/tokens/{token_id}/revoke").status_code == 200
    assert client.get("/v1/events", headers=bearer(text)).status_code == 401
    assert client.post(f"/v1/tokens/{token_id}/revoke").status_code == 200


def test_a_token_ends_when_it_expires(client: TestClient, clock: Clock) -> None:
    ends = (clock.now + timedelta(hours=1)).isoformat()
    body = {"name": "short", "scopes": ["events:read"], "expires_at": ends}
    secret = client.post("/v1/tokens", json=body).json()["data"]["secret"]
    assert client.get("/v1/events", headers=bearer(secret)).status_code == 200
    clock.advance(hours=1)
    assert client.get("/v1/events", headers=bearer(secret)).status_code == 401


def test_a_token_that_expired_already_is_not_made(client: TestClient, clock: Clock) -> None:
    body = {"name": "late", "scopes": ["events:read"], "expires_at": clock.now.isoformat()}
    assert client.post("/v1/tokens", json=body).status_code == 422


def test_a_revocation_by_another_server_counts_within_a_second(stores: Stores) -> None:
    assert CACHE_SECONDS <= 1
    text = make_token(stores, Scope.EVENTS_READ)
    seconds = 0.0
    authenticator = Authenticator(stores, lambda: NOON, lambda: seconds)

    async def scenario() -> None:
        nonlocal seconds
        token = await authenticator.bearer(f"Bearer {text}")
        stores.tokens.revoke(token.id, now=NOON)
        await authenticator.bearer(f"Bearer {text}")  # still remembered
        seconds += CACHE_SECONDS
        with pytest.raises(Unauthenticated):
            await authenticator.bearer(f"Bearer {text}")

    asyncio.run(scenario())


def test_use_is_noted_at_most_once_a_minute(
    anonymous: TestClient, stores: Stores, clock: Clock
) -> None:
    text = make_token(stores, Scope.EVENTS_READ)
    anonymous.get("/v1/events", headers=bearer(text))
    (token,) = stores.tokens.list()
    assert token.last_used_at == clock.now


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic a2V5OmtleQ==", "Bearer kt_abc_" + "g" * 64, "Bearer kt__"],
)
def test_what_is_no_token_is_refused_without_asking_the_store(
    anonymous: TestClient, stores: Stores, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.delattr(type(stores.tokens), "find")
    answer = anonymous.get("/v1/events", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_session_cookie_is_no_token_for_the_api(client: TestClient) -> None:
    authorization = client.headers["authorization"]
    del client.headers["authorization"]
    text = authorization.removeprefix("Bearer ")
    assert client.post("/sign-in", data={"token": text}).status_code == 303
    assert client.get("/").status_code == 200
    assert client.get("/v1/events").status_code == 401
