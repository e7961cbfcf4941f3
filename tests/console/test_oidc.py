"""Sign-in at an OpenID provider: what is sent, what is believed, and everything that is not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey
from starlette.testclient import TestClient

from kintsugi.console.app import build_control_plane
from kintsugi.console.oidc import Provider
from kintsugi.console.oidc_settings import OidcSettings, client_secret, read_oidc_settings
from kintsugi.errors import InvalidInput
from kintsugi.model.audit import AuditFilter
from kintsugi.model.stores import Stores
from tests.console.provider import TestProvider, serving
from tests.control_plane import Clock

ROLES = {"sre": ("responder",), "ciso": ("privacy", "viewer")}


@pytest.fixture
def provider() -> Iterator[TestProvider]:
    made = TestProvider()
    with serving(made):
        yield made


@pytest.fixture
def settings(provider: TestProvider) -> OidcSettings:
    return OidcSettings(
        issuer=provider.issuer,
        client_id="kintsugi",
        public_url="https://kintsugi.example",
        default_roles=("viewer",),
    )


def browser(
    stores: Stores, clock: Clock, tmp_path: Path, settings: OidcSettings
) -> Iterator[TestClient]:
    app = build_control_plane(
        stores, state_dir=tmp_path, clock=clock, provider=Provider(settings, "s3cret", clock)
    )
    with TestClient(app, base_url="https://kintsugi.example", follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(
    stores: Stores, clock: Clock, tmp_path: Path, settings: OidcSettings
) -> Iterator[TestClient]:
    yield from browser(stores, clock, tmp_path, settings)


@pytest.fixture
def by_groups(
    stores: Stores, clock: Clock, tmp_path: Path, settings: OidcSettings
) -> Iterator[TestClient]:
    """A browser where the provider decides about roles."""
    decides = msgspec.structs.replace(settings, roles_claim="groups", roles=ROLES)
    yield from browser(stores, clock, tmp_path, decides)


def leave(client: TestClient, address: str = "/") -> str:
    """The address that the browser is sent to."""
    answer = client.post("/sign-in/oidc", data={"next": address})
    assert answer.status_code == 200, answer.text
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    assert found is not None
    return html.unescape(found[1])


def sign_in(client: TestClient, provider: TestProvider, address: str = "/", **query: str) -> Any:
    back = provider.authorise(leave(client, address))
    return client.get("/sign-in/oidc/callback", params={**back, **query})


def test_somebody_new_is_let_in_with_the_roles_that_newcomers_have(
    client: TestClient, provider: TestProvider, stores: Stores
) -> None:
    answer = sign_in(client, provider, "/log?limit=3")
    assert answer.status_code == 200
    assert 'url=/log?limit=3"' in html.unescape(answer.text)
    assert client.get("/").status_code == 200
    user = stores.users.get("ana")
    assert (user.issuer, user.subject, user.roles) == (provider.issuer, "42", ("viewer",))
    sign_in(client, provider)
    assert stores.users.count(active=None, ceiling=9) == 1
    entry = stores.audit.page(AuditFilter(), limit=9)[0][0]
    assert (entry.operation, entry.actor) == ("return_from_provider", f"ana/{user.id}")


def test_cookies_are_for_https_scripts_see_none_and_the_secret_stays_here(
    client: TestClient, provider: TestProvider
) -> None:
    address = leave(client)
    assert "s3cret" not in address
    query = parse_qs(urlsplit(address).query)
    assert query["redirect_uri"] == ["https://kintsugi.example/sign-in/oidc/callback"]
    assert query["scope"] == ["openid profile email"]
    back = client.get("/sign-in/oidc/callback", params=provider.authorise(address))
    for cookie in back.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
    session = next(c for c in back.headers.get_list("set-cookie") if c.startswith("kt_session="))
    assert "Secure" in session
    assert "SameSite=strict" in session


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["kintsugi", "another"]},  # and no azp
        {"aud": ["kintsugi", "another"], "azp": "another"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_is_not_believed(
    wrong: dict[str, Any], client: TestClient, provider: TestProvider, stores: Stores
) -> None:
    provider.wrong = wrong
    assert sign_in(client, provider).status_code == 403
    assert client.get("/").status_code == 401
    assert stores.users.count(active=None, ceiling=9) == 0


def test_a_token_without_a_signature_is_not_believed(
    client: TestClient, provider: TestProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = provider._token

    def unsigned(asked: dict[str, str]) -> str:
        _, claims, _ = signed(asked).split(".")
        return f"eyJhbGciOiJub25lIn0.{claims}."  # {"alg":"none"}

    monkeypatch.setattr(provider, "_token", unsigned)
    assert sign_in(client, provider).status_code == 403


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES256", ECKey.generate_key("P-256", {"kid": "k1"})),  # somebody else's, of the same name
        ("HS256", OctKey.import_key("s3cret-s3cret-s3cret-s3cret-s3cret")),
    ],
    ids=["ES256", "HS256"],
)
def test_a_token_that_somebody_else_signed_is_not_believed(
    algorithm: str, key: Any, client: TestClient, provider: TestProvider
) -> None:
    provider.header, provider.signing_key = {"alg": algorithm}, key
    assert sign_in(client, provider).status_code == 403


def test_keys_that_the_provider_changed_are_read_again(
    client: TestClient, provider: TestProvider, clock: Clock
) -> None:
    assert sign_in(client, provider).status_code == 200
    provider.rotate()
    clock.advance(minutes=2)
    assert sign_in(client, provider).status_code == 200
    assert provider.asked.count("/keys") == 2


def test_bad_tokens_do_not_make_us_ask_for_keys_all_the_time(
    client: TestClient, provider: TestProvider
) -> None:
    provider.signing_key = ECKey.generate_key("P-256")
    for _ in range(4):
        assert sign_in(client, provider).status_code == 403
    assert provider.asked.count("/keys") <= 2


def test_a_return_is_taken_once(client: TestClient, provider: TestProvider) -> None:
    back = provider.authorise(leave(client))
    assert client.get("/sign-in/oidc/callback", params=back).status_code == 200
    cookies = dict(client.cookies)
    client.cookies.clear()
    client.cookies.update(cookies)
    assert client.get("/sign-in/oidc/callback", params=back).status_code == 403


def test_a_return_is_taken_in_the_browser_that_left_only(
    client: TestClient, provider: TestProvider
) -> None:
    back = provider.authorise(leave(client))
    client.cookies.clear()
    assert client.get("/sign-in/oidc/callback", params=back).status_code == 403
    assert client.get("/").status_code == 401


def test_a_return_is_taken_for_ten_minutes(
    client: TestClient, provider: TestProvider, clock: Clock
) -> None:
    back = provider.authorise(leave(client))
    clock.advance(minutes=10)
    assert client.get("/sign-in/oidc/callback", params=back).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"state": "made-up"},
        {"state": ""},
        {"code": "made-up"},
        {"iss": "https://evil.example"},
        {"error": "access_denied"},
    ],
    ids=str,
)
def test_a_return_with_something_else_is_refused(
    query: dict[str, str], client: TestClient, provider: TestProvider
) -> None:
    assert sign_in(client, provider, **query).status_code == 403


@pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_nobody_is_led_elsewhere(address: str, client: TestClient, provider: TestProvider) -> None:
    answer = sign_in(client, provider, address)
    assert 'content="0; url=/"' in answer.text
    assert "evil.example" not in answer.text


def test_a_session_that_somebody_prepared_is_not_taken_over(
    client: TestClient, provider: TestProvider
) -> None:
    client.cookies.set("kt_session", "ab" * 32, domain="kintsugi.example")
    answer = sign_in(client, provider)
    assert f"kt_session={'ab' * 32}" not in str(answer.headers)


def test_the_provider_decides_about_roles_at_every_sign_in(
    by_groups: TestClient, provider: TestProvider, stores: Stores
) -> None:
    provider.person["groups"] = ["ciso", "unheard-of", 7]
    sign_in(by_groups, provider)
    assert stores.users.get("ana").roles == ("viewer", "privacy")
    provider.person["groups"] = "sre"
    sign_in(by_groups, provider)
    user = stores.users.get("ana")
    assert user.roles == ("responder",)
    assert len(stores.sessions.of(user.id)) == 1  # what was begun with other rights is over
    del provider.person["groups"]
    sign_in(by_groups, provider)
    assert stores.users.get("ana").roles == ()


def test_whoever_is_deactivated_is_not_let_in(
    client: TestClient, provider: TestProvider, stores: Stores, clock: Clock
) -> None:
    sign_in(client, provider)
    stores.users.change("ana", lambda u: msgspec.structs.replace(u, deactivated_at=clock.now))
    assert sign_in(client, provider).status_code == 401


def test_a_name_that_is_taken_is_not_given_to_somebody_else(
    client: TestClient, provider: TestProvider, stores: Stores
) -> None:
    sign_in(client, provider)
    provider.person["sub"] = "43"
    answer = sign_in(client, provider)
    assert answer.status_code == 403
    assert "--subject 43" in answer.text
    assert stores.users.get("ana").subject == "42"


def test_a_name_that_would_be_misread_gives_way_to_the_next_claim(
    client: TestClient, provider: TestProvider, stores: Stores
) -> None:
    provider.person = {"sub": "42", "preferred_username": "a/b", "email": "ana@example.org"}
    sign_in(client, provider)
    assert stores.users.get("ana@example.org").email == "ana@example.org"


def test_a_provider_that_is_not_who_it_should_be_is_not_asked(
    client: TestClient, provider: TestProvider
) -> None:
    for wrong in (
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
    ):
        provider.metadata = wrong
        assert client.post("/sign-in/oidc", data={}).status_code == 503, wrong


def test_where_there_is_no_provider_there_is_no_way_to_it(anonymous: TestClient) -> None:
    assert anonymous.post("/sign-in/oidc", data={}).status_code == 404
    assert "/sign-in/oidc" not in anonymous.get("/sign-in").text


FILE = """\
issuer: https://id.example
client_id: kintsugi
client_secret: {env: KT_OIDC_SECRET}
public_url: https://kintsugi.example
roles_claim: groups
roles: {sre: [responder]}
"""


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    assert read_oidc_settings(tmp_path, {}) is None
    (tmp_path / "oidc.yaml").write_text(FILE)
    settings = read_oidc_settings(tmp_path, {})
    assert settings is not None
    assert settings.callback_url == "https://kintsugi.example/sign-in/oidc/callback"
    assert client_secret(settings, {"KT_OIDC_SECRET": "x"}) == "x"
    with pytest.raises(InvalidInput, match="KT_OIDC_SECRET"):
        client_secret(settings, {})


@pytest.mark.parametrize(
    ("found", "instead", "said"),
    [
        ("issuer: https", "issuer: http", "issuer: use an https address"),
        ("[responder]", "[boss]", "there is no role boss"),
        ("roles_claim: groups\n", "", "roles_claim"),
        ("{env: KT_OIDC_SECRET}", "{}", "name env or file"),
        ("client_id: kintsugi", "client: kintsugi", "client"),
        ("issuer", "- issuer", "elsewhere"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    found: str, instead: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.yaml"
    path.write_text(FILE.replace(found, instead, 1))
    with pytest.raises(InvalidInput, match=said) as refused:
        read_oidc_settings(tmp_path, {"KT_OIDC_FILE": str(path)})
    assert "elsewhere.yaml" in str(refused.value)


def led_to(answer: Any) -> str:
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', answer.text)
    return html.unescape(found[1]) if found is not None else str(answer.headers.get("location"))


def test_signing_out_ends_the_session_here_and_leads_to_the_end_of_the_one_there(
    client: TestClient, provider: TestProvider
) -> None:
    provider.metadata = {"end_session_endpoint": f"{provider.issuer}/logout?tenant=a"}
    sign_in(client, provider)
    address = urlsplit(led_to(client.post("/sign-out")))
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{provider.issuer}/logout"
    assert {name: values[0] for name, values in parse_qs(address.query).items()} == {
        "tenant": "a",
        "client_id": "kintsugi",
        "post_logout_redirect_uri": "https://kintsugi.example/sign-in",
    }
    assert client.get("/").status_code in (303, 401)
    assert led_to(client.post("/sign-out")) == "/sign-in"  # there is nothing left to end


@pytest.mark.parametrize(
    "metadata", [{}, {"end_session_endpoint": "http://elsewhere.example/logout"}]
)
def test_a_provider_without_a_safe_way_out_is_left_alone(
    client: TestClient, provider: TestProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    sign_in(client, provider)
    assert led_to(client.post("/sign-out")) == "/sign-in"


def test_the_session_here_is_over_although_the_provider_does_not_answer(
    client: TestClient, provider: TestProvider, clock: Clock
) -> None:
    sign_in(client, provider)
    clock.advance(minutes=61)  # its metadata is read again
    provider.metadata = {"issuer": "another"}
    assert led_to(client.post("/sign-out")) == "/sign-in"
    assert client.get("/").status_code in (303, 401)
