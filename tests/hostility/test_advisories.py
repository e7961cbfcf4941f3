"""What was published against other gateways, tried against this one.

Each test names the advisory whose pattern it repeats. What they have in common: a caller chooses
where a request goes, who it counts as, or what runs.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.hostility.conftest import Target

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
INJECTIONS = (
    "' OR 1=1 --",
    "x'; DROP TABLE kintsugi.events; --",
    "sk-1' UNION SELECT token FROM tokens --",
    '"} OR true',
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%(password)s",
    "../../etc/passwd",
)


def post(target: Target, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.post(
        f"{target.instance.gateway_url}/v1/chat/completions",
        json=body,
        headers=target.headers | (headers or {}),
        timeout=30,
        trust_env=False,
    )


@pytest.mark.parametrize(
    "field",
    [
        "api_base",
        "base_url",
        "custom_host",
        "callback_url",
        "api_key",
        "proxy",
        "custom_llm_provider",
    ],
)
def test_a_body_cannot_choose_where_it_goes(target: Target, field: str) -> None:
    """CVE-2024-6587, CVE-2026-108719: ``api_base`` and ``callback_url`` in the body."""
    url = f"http://127.0.0.1:{target.forbidden.port}/v1"
    before = len(target.provider.requests)
    assert post(target, CHAT | {field: url}).status_code == 200
    assert len(target.provider.requests) == before + 1
    assert not target.forbidden.requests


@pytest.mark.parametrize(
    "name",
    [
        "x-portkey-custom-host",
        "x-portkey-config",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-litellm-api-base",
        "x-base-url",
        "forwarded",
        "x-http-method-override",
    ],
)
def test_a_header_cannot_choose_where_it_goes(target: Target, name: str) -> None:
    """CVE-2025-66405, CVE-2026-110719: a header that names the host."""
    url = f"http://127.0.0.1:{target.forbidden.port}"
    before = len(target.provider.requests)
    assert post(target, CHAT, {name: url}).status_code == 200
    got = target.provider.requests[before]
    assert name not in got.headers
    assert got.target == "/v1/chat/completions"
    assert not target.forbidden.requests


def test_the_credential_goes_to_the_configured_host_alone(target: Target) -> None:
    """CVE-2026-75871: a host override that takes the provider's key with it."""
    before = len(target.provider.requests)
    host = f"127.0.0.1:{target.forbidden.port}"
    post(target, CHAT, {"Host": host})
    got = target.provider.requests[before]
    assert got.headers["host"] == f"127.0.0.1:{target.provider.port}"
    assert got.headers["authorization"] == f"Bearer {target.provider_secret}"
    assert not target.forbidden.requests


@pytest.mark.parametrize(
    "line",
    [
        b"POST http://127.0.0.1/v1/chat/completions HTTP/1.1",
        b"POST //v1/chat/completions HTTP/1.1",
        b"POST /v1/../v1/chat/completions HTTP/1.1",
        b"POST /v1/%2e%2e/v1/chat/completions HTTP/1.1",
        b"POST /v1%2fchat%2fcompletions HTTP/1.1",
        b"POST /health/..%2fv1/chat/completions HTTP/1.1",
        b"POST /v1/chat/completions;x=1 HTTP/1.1",
        b"POST /v1/chat\\completions HTTP/1.1",
        b"POST /V1/CHAT/COMPLETIONS HTTP/1.1",
        b"POST /v1/chat/completions%00 HTTP/1.1",
    ],
)
@pytest.mark.parametrize("host", [b"gateway", b"gateway/health", b"gateway/../metrics"])
def test_no_spelling_of_a_path_gets_past_the_key(target: Target, line: bytes, host: bytes) -> None:
    """CVE-2026-49468, CVE-2026-48710: Host, or the path's spelling, changes the route."""
    before = len(target.provider.requests)
    body = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
    said = target.raw(
        line
        + b"\r\nHost: %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (host, len(body))
        + body
    )
    assert int(said.split(b" ")[1]) in (400, 401, 404, 405)
    assert len(target.provider.requests) == before


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_key_is_compared_and_never_interpreted(target: Target, text: str) -> None:
    """CVE-2026-42208: SQL in the key, reached through the path that reports errors."""
    for url in (
        f"{target.instance.gateway_url}/v1/chat/completions",
        f"{target.instance.api_url}/v1/events",
        f"{target.instance.api_url}/v1/configurations/x/versions/1",
    ):
        for header in ("Authorization", "x-api-key"):
            answer = httpx2.post(
                url, json=CHAT, headers={header: f"Bearer {text}"}, trust_env=False
            )
            assert answer.status_code in (401, 405), (url, header)
            assert text not in answer.text


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_a_caller_says_of_itself_is_stored_as_text(target: Target, text: str) -> None:
    """The same through identity headers, into the store, the query strings and back."""
    answer = post(target, CHAT, {"X-User-ID": text, "X-Team-ID": text, "X-Session-ID": text})
    event = target.instance.stored(answer.headers["x-kt-event-id"])
    assert event["user_id"] == text
    ran = target.instance.kt("events", "tail", "--user", text, "--json")
    assert ran.code == 0, ran.err
    assert event["id"] in ran.out


def test_a_near_miss_of_a_key_is_nobody(target: Target) -> None:
    """CVE-2026-35030: a cache whose key collides gives one caller another's identity."""
    for key in (
        target.caller_key[:-1],
        target.caller_key + "0",
        target.caller_key.upper(),
        target.caller_key + "\x00",
    ):
        answer = target.raw(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nConnection: close\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: 2\r\n\r\n{}" % key.encode()
        )
        assert int(answer.split(b" ")[1]) in (400, 401)


@pytest.mark.parametrize(
    "section",
    [
        "mcp: {servers: [{id: x, command: 'touch owned'}]}",
        "guardrails: [{code: 'import os'}]",
        "policy: {custom: {python: 'import os'}}",
        "plugins: ['http://127.0.0.1/x.py']",
    ],
)
def test_no_configuration_runs_a_program(target: Target, section: str) -> None:
    """CVE-2026-42271, CVE-2026-40217: a command, or code, that comes in through the API."""
    content = f"pack: {{name: evil, version: 1.0.0, enabled: true}}\n{section}\n"
    token = (target.instance.state / "admin-token").read_text().strip()
    answer = httpx2.put(
        f"{target.instance.api_url}/v1/configurations/evil",
        json={"content": content, "note": "probe"},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_template_in_a_prompt_stays_text(target: Target) -> None:
    """CVE-2024-2952: server-side template injection."""
    before = len(target.provider.requests)
    text = "{{ 7 * 7 }} ${7*7} #{7*7} <%= 7*7 %> {% raw %}"
    post(target, {"model": "m", "messages": [{"role": "user", "content": text}]})
    assert text.encode() in target.provider.requests[before].body


def test_every_route_of_the_control_plane_wants_a_token(target: Target) -> None:
    """CVE-2026-12772: administration without authentication; CVE-2026-44338: off by default."""
    document = httpx2.get(f"{target.instance.api_url}/openapi.json", trust_env=False)
    if document.status_code == 401:
        token = (target.instance.state / "admin-token").read_text().strip()
        document = httpx2.get(
            f"{target.instance.api_url}/openapi.json",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
    paths = document.json()["paths"]
    assert len(paths) > 10
    for path, operations in paths.items():
        for method, operation in operations.items():
            if method not in ("get", "post", "put", "patch", "delete"):
                continue
            if operation.get("security") == []:
                continue  # declared open: health
            url = target.instance.api_url + path.replace("{", "").replace("}", "")
            answer = httpx2.request(method.upper(), url, trust_env=False)
            assert answer.status_code == 401, (method, path, answer.status_code)


def test_nobody_is_trusted_for_where_they_come_from(target: Target) -> None:
    """CVE-2026-110719: localhost counted as trusted while nothing was configured."""
    answer = httpx2.post(
        f"{target.instance.gateway_url}/v1/chat/completions",
        json=CHAT,
        headers={"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        trust_env=False,
    )
    assert answer.status_code == 401


def test_two_instances_share_no_secret(target: Target) -> None:
    """GHSA-g53w-w6mj-hrpp: a secret that is the same in every installation."""
    state = target.instance.state
    found = {(state / name).read_text().strip() for name in ("admin-token", "gateway-token")}
    assert len(found) == 2
    assert all(len(token) >= 32 for token in found)
    assert all(
        (state / name).stat().st_mode & 0o077 == 0 for name in ("admin-token", "gateway-token")
    )
