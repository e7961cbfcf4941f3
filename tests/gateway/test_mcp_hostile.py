"""Callers and servers of MCP that mean no good: sessions, origins, headers, spellings."""

from __future__ import annotations

import json

import msgspec
import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.mcp_session import Session, SessionSeal, usable
from kintsugi.model.content import Identity
from tests.gateway.mcp_playbook import (
    McpPlaybook,
    asking,
    call,
    header,
    mcp_in_force,
    result,
    said,
    telling,
)

KEYS = (
    "keys: [{name: ada, sha256: "
    "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}, {name: bob, sha256: "
    "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9}]"
)
ADA: e.Headers = [(b"authorization", b"Bearer alice")]
BOB: e.Headers = [(b"authorization", b"Bearer bob")]
TWO_SERVERS = "[{id: tools, provider: simulator}, {id: other, provider: simulator}]"
REFUSED_TOOL = 'dlp-filter: {action: block, detect_patterns: ["STOPME"]}'


def opened(headers: e.Headers | None = None, upstream_id: bytes = b"of-the-server") -> bytes:
    """The session id that a client gets."""
    book = McpPlaybook(mcp_in_force(gateway=KEYS, servers=TWO_SERVERS))
    book.request(asking("initialize", protocolVersion="2025-11-25"), headers=headers or ADA)
    book.answered(result(protocolVersion="2025-11-25"), head=(b"mcp-session-id", upstream_id))
    return header(book.answer.headers, b"mcp-session-id")


def using(session: bytes, who: e.Headers, target: bytes = b"/mcp/tools") -> McpPlaybook:
    book = McpPlaybook(mcp_in_force(gateway=KEYS, servers=TWO_SERVERS))
    book.request(call(), headers=[*who, (b"mcp-session-id", session)], target=target)
    book.durable()
    return book


# Sessions


def test_a_client_never_sees_the_servers_session_id_and_the_server_always_gets_its_own() -> None:
    session = opened()
    assert session
    assert b"of-the-server" not in session
    book = using(session, ADA)
    assert header(book.call.headers, b"mcp-session-id") == b"of-the-server"


def test_nobody_else_can_use_a_session_and_no_other_server_gets_it() -> None:
    session = opened()
    for who, target in ((BOB, b"/mcp/tools"), (ADA, b"/mcp/other")):
        book = using(session, who, target)
        assert not book.sent(c.CallUpstream)
        assert book.answer.status == 404
        assert book.document["error"]["data"]["code"] == "session_not_found"


@pytest.mark.parametrize("invented", [b"of-the-server", b"x", b"A" * 5000, b"=", b"\xff\xfe", b"-"])
def test_an_invented_session_is_none(invented: bytes) -> None:
    assert using(invented, ADA).answer.status == 404


def test_a_session_id_has_one_spelling() -> None:
    session = opened()
    for other in (session + b"=", session[:-1], session + b"A", session.swapcase(), b" " + session):
        book = using(other, ADA)
        if other.strip() != session:
            assert book.answer.status == 404


def test_a_session_that_is_brought_along_cannot_be_fixed_for_a_new_one() -> None:
    book = McpPlaybook(mcp_in_force(gateway=KEYS, servers=TWO_SERVERS))
    headers = [*ADA, (b"mcp-session-id", opened())]
    book.request(asking("initialize", protocolVersion="2025-11-25"), headers=headers)
    assert not header(book.call.headers, b"mcp-session-id")


def test_only_an_initialisation_opens_a_session() -> None:
    book = McpPlaybook(mcp_in_force(gateway=KEYS, servers=TWO_SERVERS))
    book.request(call(), headers=ADA)
    book.answered(said("ok"), head=(b"mcp-session-id", b"pushed"))
    assert not header(book.answer.headers, b"mcp-session-id")


@pytest.mark.parametrize("bad", [b"a b", b"a\r\nx-evil: 1", b"\xff", b"a" * 2000])
def test_a_servers_session_id_that_is_no_header_is_not_used(bad: bytes) -> None:
    assert not usable(bad)
    assert opened(upstream_id=bad) == b""


def test_every_session_is_sealed_anew() -> None:
    seal = SessionSeal(b"key")
    caller = Identity(user_id="ada")

    def sealed(event_id: str) -> bytes:
        return seal.seal(Session("s"), server_id="a", caller=caller, event_id=event_id)

    assert sealed("1") != sealed("2")
    assert seal.open(sealed("1"), server_id="a", caller=caller) == Session("s")
    assert SessionSeal(b"other").open(sealed("1"), server_id="a", caller=caller) is None


def test_a_session_is_its_tenants_and_those_from_before_tenants_still_open() -> None:
    seal = SessionSeal(b"key")
    caller = Identity(user_id="ada", team_id="red", key_name="k")
    acme = msgspec.structs.replace(caller, tenant_id="acme")
    before = b"kCp-EjfzdflYi6wVecsn_R7MBuURILjodSdQicJZ6Q"  # as 0.1 sealed it, without tenants
    assert seal.open(before, server_id="a", caller=caller) == Session("s")
    assert seal.open(before, server_id="a", caller=acme) is None
    sealed = seal.seal(Session("s"), server_id="a", caller=acme, event_id="2")
    assert seal.open(sealed, server_id="a", caller=acme) == Session("s")
    for other in ("", "other"):
        stranger = msgspec.structs.replace(caller, tenant_id=other)
        assert seal.open(sealed, server_id="a", caller=stranger) is None


def test_a_session_names_itself_on_the_record_without_giving_itself_away() -> None:
    book = using(opened(), ADA)
    book.answered(said("ok"))
    assert book.record.session_id.startswith("mcp-")
    assert "of-the-server" not in book.record.session_id


# Where a request comes from


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil.example",
        b"null",
        b"http://localhost.evil.example",
        b"http://127.0.0.1.evil.example:8080",
        b"http://[::1",
        b"",
        b"https://app.example.evil",
    ],
)
def test_pages_of_strangers_may_not_speak_to_servers(origin: bytes) -> None:
    configuration = mcp_in_force(more=", allowed_origins: ['https://app.example']")
    for method in (b"POST", b"GET", b"DELETE"):
        book = McpPlaybook(configuration)
        book.request(call(), headers=[(b"origin", origin)], method=method)
        book.durable()
        assert book.answer.status == 403
        assert not book.sent(c.CallUpstream)


@pytest.mark.parametrize(
    "origin",
    [b"http://localhost:3000", b"http://127.0.0.1", b"http://[::1]:5", b"https://app.example"],
)
def test_pages_of_this_machine_and_those_that_are_listed_may(origin: bytes) -> None:
    book = McpPlaybook(mcp_in_force(more=", allowed_origins: ['https://app.example']"))
    book.request(call(), headers=[(b"origin", origin)])
    assert book.sent(c.CallUpstream)


def test_a_body_that_a_page_may_send_unasked_is_refused() -> None:
    for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"", b"application/jsonx"):
        book = McpPlaybook(mcp_in_force())
        book.request(call(), headers=[(b"content-type", kind)], plain=True)
        book.durable()
        assert book.answer.status == 415


# Paths and methods


@pytest.mark.parametrize(
    "target",
    [b"/mcp/", b"/mcp/none", b"/mcp/tools/", b"/mcp/tools/x", b"/mcp/TOOLS", b"/mcp/too%6Cs"],
)
def test_a_server_is_named_to_the_letter(target: bytes) -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call(), target=target)
    assert book.answer.status == 404
    assert not book.sent(c.CallUpstream)


def test_a_query_changes_nothing_and_goes_nowhere() -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call(), target=b"/mcp/tools?url=http://evil.example")
    assert book.call.path == b"/mcp"
    assert book.call.origin == "http://127.0.0.1:9"


@pytest.mark.parametrize("method", [b"PUT", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE"])
def test_other_methods_are_refused(method: bytes) -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call(), method=method)
    book.durable()
    assert book.answer.status == 405


def test_a_caller_without_a_key_is_refused_before_anything_is_read() -> None:
    book = McpPlaybook(mcp_in_force(gateway=KEYS))
    book.request(b"{", headers=[(b"authorization", b"Bearer nobody")])
    book.durable()
    assert book.answer.status == 401


def test_a_configuration_that_is_switched_off_answers_nothing() -> None:
    book = McpPlaybook(mcp_in_force(enabled=False))
    book.request(call())
    book.durable()
    assert book.answer.status == 503


# Headers that tell another story than the body


@pytest.mark.parametrize(
    "headers",
    [
        [(b"mcp-method", b"tools/list")],
        [(b"mcp-name", b"harmless")],
        [(b"mcp-name", b"=?base64?aGFybWxlc3M=?=")],
        [(b"mcp-name", b"=?base64?!?=")],
        [(b"mcp-param-q", b"another story")],
        [(b"mcp-protocol-version", b"2025-06-18"), (b"mcp-protocol-version", b"2025-03-26")],
        [(b"mcp-session-id", b"a"), (b"mcp-session-id", b"b")],
    ],
)
def test_a_request_that_tells_two_stories_is_refused(headers: e.Headers) -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call(q="the story"), headers=headers)
    book.durable()
    assert book.answer.status in (400, 404)
    assert not book.sent(c.CallUpstream)


def test_headers_that_repeat_the_body_go_on() -> None:
    headers: e.Headers = [
        (b"mcp-protocol-version", b"2026-07-28"),
        (b"mcp-method", b"tools/call"),
        (b"mcp-name", b"=?base64?bG9va191cA==?="),
        (b"mcp-param-q", b"the story"),
        (b"mcp-param-flag", b"true"),
    ]
    book = McpPlaybook(mcp_in_force())
    book.request(call(q="the story", flag=True), headers=headers)
    sent = dict(book.call.headers)
    assert [sent[name] for name, _ in headers] == [value for _, value in headers]


def test_what_is_redacted_in_the_body_does_not_go_on_in_a_header() -> None:
    redacting = r"""dlp-filter: {action: redact, detect_patterns: ['\d{3}-\d{2}-\d{4}']}"""
    book = McpPlaybook(mcp_in_force(redacting))
    headers: e.Headers = [(b"mcp-param-q", b"123-45-6789"), (b"mcp-param-n", b"7")]
    book.request(call(q="123-45-6789", n=7), headers=headers)
    assert b"123-45-6789" not in book.call.body
    assert not header(book.call.headers, b"mcp-param-q")
    assert header(book.call.headers, b"mcp-param-n") == b"7"
    book = McpPlaybook(mcp_in_force(redacting))
    uri = "file:///123-45-6789"
    book.request(asking("resources/read", uri=uri), headers=[(b"mcp-name", uri.encode())])
    assert not header(book.call.headers, b"mcp-name")


@pytest.mark.parametrize("version", [b"a b", b"\xff", b"x" * 100, b"2025-11-25, 2025-03-26"])
def test_a_protocol_version_is_a_word(version: bytes) -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call(), headers=[(b"mcp-protocol-version", version)])
    book.durable()
    assert book.answer.status == 400


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":[]}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    book = McpPlaybook(mcp_in_force(REFUSED_TOOL))
    book.request(body)
    book.durable()
    assert book.answer.status == 400
    assert "error" in json.loads(book.answer.body)
    assert not book.sent(c.CallUpstream)


def test_a_batch_is_judged_as_a_whole_where_the_version_knows_batches() -> None:
    good, bad = json.loads(call(number=1, q="fine")), json.loads(call(number=2, q="STOPME"))
    body = json.dumps([good, bad, json.loads(telling("notifications/initialized"))]).encode()
    book = McpPlaybook(mcp_in_force(REFUSED_TOOL))
    book.request(body)
    book.durable()
    assert not book.sent(c.CallUpstream)
    assert [one["id"] for one in book.document] == [1, 2]
    for version, status in ((b"2025-06-18", 400), (b"2025-03-26", 200)):
        book = McpPlaybook(mcp_in_force(REFUSED_TOOL))
        book.request(json.dumps([good]).encode(), headers=[(b"mcp-protocol-version", version)])
        if status == 200:
            assert book.sent(c.CallUpstream)
        else:
            book.durable()
            assert book.answer.status == status


def test_every_answer_of_a_batch_is_judged() -> None:
    body = b"[" + call(number=1) + b"," + call(number=2) + b"]"
    book = McpPlaybook(mcp_in_force(REFUSED_TOOL))
    book.request(body)
    book.answered(b"[" + said("fine", 1) + b"," + said("STOPME", 2) + b"]")
    assert b"STOPME" not in book.answer.body
    assert [one["result"]["isError"] for one in book.document] == [True, True]


def test_an_initialisation_cannot_hide_in_a_batch() -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(b"[" + asking("initialize") + b"]")
    book.durable()
    assert book.answer.status == 400


def test_a_compressed_answer_is_not_let_through() -> None:
    book = McpPlaybook(mcp_in_force(REFUSED_TOOL))
    book.request(call())
    book.answered(b"\x1f\x8b", head=(b"content-encoding", b"gzip"))
    assert book.answer.status == 502
    assert header(book.call.headers, b"accept-encoding") == b"identity"


def test_cookies_and_headers_of_its_own_stay_with_the_server() -> None:
    book = McpPlaybook(mcp_in_force())
    book.request(call())
    book.answered(said("ok"), head=(b"set-cookie", b"a=b"))
    assert not header(book.answer.headers, b"set-cookie")
