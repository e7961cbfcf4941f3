"""Checks of the section ``mcp``: which tool servers there are, and with whose credentials."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from kintsugi.model.config import Mcp, McpServer, Position
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import Mapping, places, shortened
from kintsugi.policy.targets import check_secret_name, check_url
from kintsugi.policy.typed import TypedReader

# Part of a path: no spelling of it may need decoding.
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TIMEOUTS = ("first_byte_timeout_seconds", "idle_timeout_seconds", "total_timeout_seconds")


def read_mcp(document: Mapping, problems: Problems) -> Mcp:
    """The section ``mcp``, or one without servers; what is wrong goes to ``problems``."""
    section = document.entry("mcp")
    if section is None:
        return Mcp()
    mcp = TypedReader(problems).read(section.value, Mcp, "mcp", section.position)
    at = dict(places(section.value, "mcp"))
    for name in ("streams_max", "stream_seconds_max"):
        value = getattr(mcp, name)
        if f"mcp.{name}" in at and not problems.reported(f"mcp.{name}") and value <= 0:
            text = f"{value:g} is too small"
            problems.add("E009", text, at[f"mcp.{name}"], f"mcp.{name}", help="use more than 0")
    for index, origin in enumerate(mcp.allowed_origins):
        _check_origin(origin, f"mcp.allowed_origins.{index}", at, problems)
    first: dict[str, Position] = {}
    for index, server in enumerate(mcp.servers):
        path = f"mcp.servers.{index}"
        _check_id(server.id, f"{path}.id", first, at, problems)
        _check_server(server, path, at, problems)
    return mcp


def _check_id(
    name: str,
    path: str,
    first: dict[str, Position],
    at: dict[str, Position],
    problems: Problems,
) -> None:
    if problems.reported(path):
        return
    if name in first:
        problems.add(
            "E011",
            f'server id "{shortened(name)}" is used twice',
            at[path],
            path,
            help=f"it is used at line {first[name].line} already",
        )
    elif not _IDENTIFIER.fullmatch(name):
        problems.add(
            "E008",
            f'"{shortened(name)}" cannot be an id',
            at[path],
            path,
            help="it is part of a path: use letters, digits and . _ - (at most 100), a letter or "
            "digit first",
        )
    else:
        first[name] = at[path]


def _check_server(
    server: McpServer, path: str, at: dict[str, Position], problems: Problems
) -> None:
    if server.secret_key_ref is not None and not problems.reported(f"{path}.secret_key_ref"):
        check_secret_name(server.secret_key_ref.env, f"{path}.secret_key_ref.env", at, problems)
    here = at.get(path, Position())
    if server.provider == "simulator":
        if server.url:
            text = "the simulator's address is known when the gateway starts"
            problems.add("E008", text, at[f"{path}.url"], f"{path}.url", help="remove it")
    elif not server.url and not problems.reported(f"{path}.url"):
        problems.add(
            "E006",
            '"url" is missing',
            here,
            f"{path}.url",
            help="add the server's endpoint: url: https://HOST/mcp",
        )
    elif server.url:
        check_url(
            server.url,
            f"{path}.url",
            at.get(f"{path}.url", here),
            problems,
            allow_private_network=server.allow_private_network,
            has_secret=server.secret_key_ref is not None,
            example="https://HOST/mcp",
        )
    for name in _TIMEOUTS:
        where = f"{path}.{name}"
        value = getattr(server, name)
        if where in at and not problems.reported(where) and value <= 0:
            text = f"{value:g} is too small"
            problems.add("E009", text, at[where], where, help="use more than 0")


def _check_origin(origin: str, path: str, at: dict[str, Position], problems: Problems) -> None:
    if problems.reported(path):
        return
    try:
        url = urlsplit(origin)
        right = url.scheme in ("http", "https") and f"{url.scheme}://{url.netloc}" == origin
        right = right and bool(url.hostname) and "@" not in url.netloc and origin == origin.lower()
    except ValueError:
        right = False
    if not right:
        problems.add(
            "E008",
            f'"{shortened(origin)}" is no origin',
            at[path],
            path,
            help="write it as browsers send it: https://app.example.com, in lower case, no path",
        )
