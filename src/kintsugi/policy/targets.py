"""Checks of ``providers.targets``: where requests may go, and with whose credentials."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from kintsugi.model.config import Position, Routing, Target
from kintsugi.policy.diagnostics import Problems, listed, nearest
from kintsugi.policy.document import Mapping, places, shortened
from kintsugi.policy.shapes import OPENAI_URL
from kintsugi.policy.typed import TypedReader

PROVIDERS = ("openai", "anthropic", "simulator")
BASE_URLS = {"openai": OPENAI_URL, "anthropic": "https://api.anthropic.com/v1"}

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Providers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``providers``."""

    targets: tuple[Target, ...] = ()
    routing: Routing = Routing()


def read_providers(document: Mapping, problems: Problems) -> Providers:
    """Targets and routing with their defaults filled in; what is wrong goes to ``problems``."""
    section = document.entry("providers")
    if section is None:
        if document.entry("mcp") is not None:
            return Providers()  # it stands before MCP servers only
        problems.add(
            "W104",
            "there is no provider target, so the gateway can answer nothing",
            document.position,
            "providers",
            help="add providers: {targets: [{id: local, provider: simulator}]}",
        )
        return Providers()
    reader = TypedReader(problems)
    providers = reader.read(section.value, Providers, "providers", section.position)
    at = dict(places(section.value, "providers"))
    _check_routing(providers.routing, at, problems)
    targets = _check(providers.targets, at, problems)
    _check_fallbacks(targets, at, problems)
    return Providers(targets, providers.routing)


def _check_routing(routing: Routing, at: dict[str, Position], problems: Problems) -> None:
    retry, breaker = routing.retry, routing.breaker
    for path, value, low, high in (
        ("retry.attempts_max", retry.attempts_max, 0, 10),
        ("retry.budget_percent", retry.budget_percent, 0, 100),
        ("retry.backoff_seconds", retry.backoff_seconds, 0.01, 60),
        ("retry.backoff_seconds_max", retry.backoff_seconds_max, 0.01, 60),
        ("breaker.failures", breaker.failures, 1, 1000),
        ("breaker.open_seconds", breaker.open_seconds, 0.1, 3600),
    ):
        whole = f"providers.routing.{path}"
        if whole in at and not low <= value <= high:
            text = f"{value:g} is out of range"
            problems.add("E009", text, at[whole], whole, help=f"use {low:g} to {high:g}")
    for index, status in enumerate(retry.statuses):
        if not 400 <= status <= 599:
            path = f"providers.routing.retry.statuses.{index}"
            text = f"{status} is no status of a failure"
            problems.add("E009", text, at[path], path, help="use 400 to 599")


def _check_fallbacks(
    targets: tuple[Target, ...], at: dict[str, Position], problems: Problems
) -> None:
    ids = [target.id for target in targets]
    providers = {target.id: target.provider for target in targets}
    for index, target in enumerate(targets):
        for number, name in enumerate(target.fallback):
            path = f"providers.targets.{index}.fallback.{number}"
            if problems.reported(path):
                continue
            if name not in ids:
                problems.add(
                    "E008",
                    f'there is no target "{shortened(name)}"',
                    at[path],
                    path,
                    help=f"use one of: {listed(ids)}",
                    suggestion=nearest(name, ids),
                )
            elif name == target.id:
                text = "a target cannot take over from itself"
                problems.add("E008", text, at[path], path, help="name another target")
            elif {target.provider, providers[name]} == BASE_URLS.keys():
                text = f'"{shortened(name)}" speaks another dialect, so it can never take over'
                help_text = f"name a target whose provider is {target.provider} or simulator"
                problems.add("E008", text, at[path], path, help=help_text)


def _check(
    targets: tuple[Target, ...], at: dict[str, Position], problems: Problems
) -> tuple[Target, ...]:
    wrong = problems.reported
    first: dict[str, Position] = {}
    checked = []
    for index, target in enumerate(targets):
        path = f"providers.targets.{index}"
        if wrong(f"{path}.id"):
            pass  # missing or no text: said already
        elif target.id in first:
            problems.add(
                "E011",
                f'target id "{shortened(target.id)}" is used twice',
                at[f"{path}.id"],
                f"{path}.id",
                help=f"it is used at line {first[target.id].line} already",
            )
        elif not _IDENTIFIER.fullmatch(target.id):
            problems.add(
                "E008",
                f'"{shortened(target.id)}" cannot be an id',
                at[f"{path}.id"],
                f"{path}.id",
                help="use letters, digits and . _ - (at most 100), a letter or digit first",
            )
        else:
            first[target.id] = at[f"{path}.id"]
        checked.append(_checked(target, path, at, problems))
    return tuple(checked)


def _checked(target: Target, path: str, at: dict[str, Position], problems: Problems) -> Target:
    for name in ("weight", "first_byte_timeout_seconds", "total_timeout_seconds"):
        value = getattr(target, name)
        if value < 0 and not problems.reported(f"{path}.{name}"):
            where = f"{path}.{name}"
            problems.add("E009", f"{value:g} is too small", at[where], where, help="use 0 or more")
    if target.provider not in PROVIDERS and not problems.reported(f"{path}.provider"):
        problems.add(
            "E008",
            f'unknown provider "{shortened(target.provider)}"',
            at[f"{path}.provider"],
            f"{path}.provider",
            help=f"use one of: {listed(PROVIDERS)}; openai and anthropic take the base_url of any "
            "server that speaks their dialect",
            suggestion=nearest(target.provider, PROVIDERS),
        )
    if target.secret_key_ref is not None and not problems.reported(f"{path}.secret_key_ref"):
        check_secret_name(target.secret_key_ref.env, f"{path}.secret_key_ref.env", at, problems)
    if target.base_url:
        check_url(
            target.base_url,
            f"{path}.base_url",
            at[f"{path}.base_url"],
            problems,
            allow_private_network=target.allow_private_network,
            has_secret=target.secret_key_ref is not None,
        )
    elif target.provider in BASE_URLS:
        return msgspec.structs.replace(target, base_url=BASE_URLS[target.provider])
    return target


def check_secret_name(name: str, path: str, at: dict[str, Position], problems: Problems) -> None:
    """Refuse what cannot be the name of an environment variable."""
    if not _ENVIRONMENT_NAME.fullmatch(name):
        # Never shown: what stands here instead of a name is likely to be the secret.
        problems.add(
            "E018",
            "this is not the name of an environment variable",
            at[path],
            path,
            help="name the variable that holds the secret, such as OPENAI_API_KEY",
        )


def check_url(
    text: str,
    path: str,
    at: Position,
    problems: Problems,
    *,
    allow_private_network: bool,
    has_secret: bool,
    example: str = "https://HOST/v1",
) -> None:
    """Refuse what cannot be the address of an upstream."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError as error:
        problems.add("E012", str(error), at, path, help=f"use {example}")
        return
    if url.username is not None or url.password is not None:
        problems.add(
            "E018",
            "the URL holds credentials",
            at,
            path,
            help="remove them and use secret_key_ref: {env: NAME}",
        )
        return
    trouble = _url_trouble(text, url, host)
    if trouble is not None:
        problems.add("E012", trouble, at, path, help=f"use {example}")
        return
    private = _is_private(host)
    if private and not allow_private_network:
        problems.add(
            "E028",
            f'"{host}" is a private address',
            at,
            path,
            help="add allow_private_network: true if that is meant",
        )
    if url.scheme == "http" and has_secret and not private:
        problems.add(
            "W105",
            "the secret would travel in plain text",
            at,
            path,
            help="use https",
        )


def _url_trouble(text: str, url: SplitResult, host: str) -> str | None:
    if any(c.isspace() or not c.isprintable() for c in text):
        return "the URL holds blanks or control characters"
    if url.scheme not in ("http", "https"):
        return f'"{shortened(text)}" does not begin with http:// or https://'
    if not host:
        return f'"{shortened(text)}" names no host'
    if url.query or url.fragment:
        return "a base URL has no query and no fragment"
    return None


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False  # a name; the gateway judges the addresses that it resolves to
