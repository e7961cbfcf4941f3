"""The sections ``pack`` and ``gateway`` as values, with the checks that their types cannot say."""

from __future__ import annotations

import re

import msgspec

from kintsugi.model.config import Gateway, Pack
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import Mapping, places, shortened
from kintsugi.policy.typed import TypedReader

# https://semver.org, the expression it suggests.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_pack(document: Mapping, problems: Problems) -> Pack:
    """The section ``pack``, its id filled in; what is wrong goes to ``problems``."""
    section = document.entry("pack")
    if section is None:
        problems.add(
            "E006",
            '"pack" is missing',
            document.position,
            "pack",
            help="add pack: {name: my-configuration, version: 1.0.0}",
        )
        return Pack("", "")
    node = section.value
    pack = TypedReader(problems).read(node, Pack, "pack", section.position)
    at = dict(places(node, "pack"))
    wrong = problems.reported
    if not _SEMVER.fullmatch(pack.version) and not wrong("pack.version"):
        problems.add(
            "E010",
            f'"{shortened(pack.version)}" is not a semantic version',
            at["pack.version"],
            "pack.version",
            help="use three numbers: 1.4.0",
        )
    for name, length_max in (("name", 200), ("author", 200), ("description", 2000)):
        text = getattr(pack, name)
        fits = len(text) <= length_max and (name != "name" or text.strip())
        if not fits and not wrong(f"pack.{name}"):
            problems.add(
                "E009",
                f"{len(text)} characters",
                at[f"pack.{name}"],
                f"pack.{name}",
                help=f"use {'1 to' if name == 'name' else 'at most'} {length_max}",
            )
    if pack.id and not _IDENTIFIER.fullmatch(pack.id):
        problems.add(
            "E008",
            f'"{shortened(pack.id)}" cannot be an id',
            at["pack.id"],
            "pack.id",
            help="use letters, digits and . _ - (at most 200), a letter or digit first",
        )
    if not pack.enabled and not wrong("pack.enabled"):
        problems.add(
            "W102",
            "the whole configuration is switched off",
            at["pack.enabled"],
            "pack.enabled",
            help="set enabled: true, or stop the gateway",
        )
    return pack if pack.id else msgspec.structs.replace(pack, id=slug(pack.name))


def slug(name: str) -> str:
    """The configuration id that a pack's name gives: ``Support (prod)`` is ``support-prod``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:200] or "configuration"


def read_gateway(document: Mapping, problems: Problems) -> Gateway:
    """The section ``gateway``, or its defaults; what is wrong goes to ``problems``."""
    section = document.entry("gateway")
    if section is None:
        return Gateway()
    node = section.value
    gateway = TypedReader(problems).read(node, Gateway, "gateway", section.position)
    at = dict(places(node, "gateway"))
    for name in gateway.__struct_fields__:
        path = f"gateway.{name}"
        value = getattr(gateway, name)
        if path not in at or problems.reported(path) or not isinstance(value, int | float):
            continue
        if name == "port" and not 0 <= value <= 65_535:
            problems.add("E009", f"{value} is no port", at[path], path, help="use 0 to 65535")
        elif name != "port" and value < (0 if name == "payload_bytes_max" else 1e-3):
            problems.add("E009", f"{value:g} is too small", at[path], path, help="use more than 0")
    for index, key in enumerate(gateway.keys):
        path = f"gateway.keys.{index}.sha256"
        if not _SHA256.fullmatch(key.sha256) and not problems.reported(path):
            problems.add(
                "E018",
                "this is not a SHA-256 in lower-case hex; a key itself must not stand here",
                at[path],
                path,
                help="print one with: printf %s KEY | sha256sum",
            )
    if gateway.fail_mode == "allow" and gateway.relaxed is None:
        problems.add(
            "W103",
            "a rule that fails lets the exchange through",
            at["gateway.fail_mode"],
            "gateway.fail_mode",
            help="block is the default; if it must be, say who answers for it: "
            "relaxed: {owner: ..., reason: ..., expires: 2026-12-31}",
        )
    return gateway
