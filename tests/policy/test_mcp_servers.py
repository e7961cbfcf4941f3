"""The section ``mcp``: servers come from here only, and every mistake has its place."""

from __future__ import annotations

import pytest

from kintsugi.model.config import Diagnostic, Mcp
from kintsugi.policy.parse import check_config, parse_config
from kintsugi.policy.plan import revision

BASE = """\
pack: {name: t, version: 1.0.0}
providers: {targets: [{id: sim, provider: simulator}]}
policies: {chain: [audit-logger]}
policy: {audit-logger: {}}
"""


def found(section: str) -> list[Diagnostic]:
    return list(check_config(BASE + section)[1])


def test_without_the_section_there_are_no_servers() -> None:
    assert parse_config(BASE).mcp == Mcp()


def test_a_server_is_read_with_its_tools_and_its_secret() -> None:
    config = parse_config(
        BASE + "mcp: {servers: [{id: crm, url: 'https://crm.example.com/mcp', secret_key_ref: "
        "{env: CRM}, tools: {allow: ['read_*'], deny: [drop]}}], allowed_origins: ['https://a.example']}\n"
    )
    (server,) = config.mcp.servers
    assert server.secret_key_ref is not None
    assert server.secret_key_ref.env == "CRM"
    assert server.tools.allow == ("read_*",)
    assert server.tools.deny == ("drop",)
    assert config.mcp.allowed_origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("section", "code", "path"),
    [
        ("mcp: {servers: [{id: a}]}", "E006", "mcp.servers.0.url"),
        ("mcp: {servers: [{id: a/b, url: 'https://x.example/m'}]}", "E008", "mcp.servers.0.id"),
        ("mcp: {servers: [{id: ., url: 'https://x.example/m'}]}", "E008", "mcp.servers.0.id"),
        ("mcp: {servers: [{id: a, url: 'ftp://x.example/m'}]}", "E012", "mcp.servers.0.url"),
        ("mcp: {servers: [{id: a, url: 'http://127.0.0.1/m'}]}", "E028", "mcp.servers.0.url"),
        ("mcp: {servers: [{id: a, url: 'https://u:p@x.example'}]}", "E018", "mcp.servers.0.url"),
        ("mcp: {servers: [{id: a, command: npx, url: 'https://x.example'}]}", "E002", ""),
        ("mcp: {servers: [{id: a, provider: simulator, url: 'https://x'}]}", "E008", ""),
        ("mcp: {allowed_origins: ['https://x.example/path']}", "E008", "mcp.allowed_origins.0"),
        ("mcp: {streams_max: 0}", "E009", "mcp.streams_max"),
        (
            "mcp: {servers: [{id: a, provider: simulator, idle_timeout_seconds: -1}]}",
            "E009",
            "mcp.servers.0.idle_timeout_seconds",
        ),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(section: str, code: str, path: str) -> None:
    errors = [one for one in found(section + "\n") if one.code == code]
    assert errors
    assert errors[0].path == path or not path
    assert errors[0].position.line == 5


def test_an_id_is_used_once() -> None:
    section = (
        "mcp:\n  servers:\n  - {id: a, provider: simulator}\n  - {id: a, provider: simulator}\n"
    )
    (error,) = [one for one in found(section) if one.code == "E011"]
    assert error.position.line == 8
    assert "line 7" in error.help


def test_a_gateway_may_stand_before_mcp_servers_only() -> None:
    without = BASE.replace("providers: {targets: [{id: sim, provider: simulator}]}\n", "")
    section = "mcp: {servers: [{id: a, provider: simulator}]}\n"
    assert "W104" not in [one.code for one in check_config(without + section)[1]]
    assert "W104" in [one.code for one in check_config(without)[1]]


def test_a_secret_itself_is_refused_and_not_shown() -> None:
    section = (
        "mcp: {servers: [{id: a, url: 'https://x.example', secret_key_ref: {env: 'sk-1 2'}}]}\n"
    )
    (error,) = [one for one in found(section) if one.code == "E018"]
    assert "sk-1" not in error.message + error.help


def test_what_servers_offer_is_part_of_the_revision() -> None:
    def revised(section: str) -> str:
        return revision(parse_config(BASE + section))

    plain = revised("")
    one = revised("mcp: {servers: [{id: a, provider: simulator}]}\n")
    other = revised("mcp: {servers: [{id: a, provider: simulator, tools: {deny: [x]}}]}\n")
    assert len({plain, one, other}) == 3
    assert plain == revised("mcp: {}\n")
