"""A configuration file into typed values, with everything that is wrong with it at once.

Stages: text → tree (``document.py``) → canonical shape (``shapes.py``) → types (``typed.py``) →
the checks of this file, which look at one file alone. What needs the compiled plan is in
``lint.py``.
"""

from __future__ import annotations

import re

import msgspec

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import (
    Config,
    Diagnostic,
    Gateway,
    Pack,
    PolicyBlock,
    Position,
    Severity,
    Suite,
    Target,
)
from kintsugi.policy.diagnostics import Problems, format_diagnostic, listed, nearest, summary
from kintsugi.policy.document import (
    SECRET_VALUE,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    join,
    noun,
    places,
    read_document,
    shortened,
)
from kintsugi.policy.rules import KINDS
from kintsugi.policy.shapes import canonical_kind, kind_of_type, to_canonical
from kintsugi.policy.suites import is_fragment, read_suites
from kintsugi.policy.targets import check_targets
from kintsugi.policy.typed import TypedReader

DEFAULT_FILE = "policy-config.yaml"
_SECTIONS = ("pack", "gateway", "providers", "policies", "policy", "testing")

# https://semver.org, the expression it suggests.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Providers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``providers``."""

    targets: tuple[Target, ...] = ()


class Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``policies``."""

    chain: tuple[str, ...]


def parse_config(source: str | bytes, *, file: str = DEFAULT_FILE) -> Config:
    """A configuration out of its text.

    Raises:
        ConfigurationInvalid: it has errors; ``diagnostics`` holds them all, warnings included.
    """
    config, diagnostics = check_config(source, file=file)
    if config is None:
        raise invalid(diagnostics)
    return config


def invalid(diagnostics: tuple[Diagnostic, ...]) -> ConfigurationInvalid:
    """The error for a configuration with these diagnostics; its message shows every error."""
    errors = [d for d in diagnostics if d.severity is Severity.ERROR]
    lines = "\n".join(format_diagnostic(diagnostic) for diagnostic in errors)
    return ConfigurationInvalid(f"{summary(errors)}\n{lines}", diagnostics)


def check_config(
    source: str | bytes, *, file: str = DEFAULT_FILE
) -> tuple[Config | None, tuple[Diagnostic, ...]]:
    """As :func:`parse_config`, but never raises, whatever the bytes.

    Returns:
        The configuration, None when there are errors, and all diagnostics in order of place.
    """
    problems = Problems(file)
    config = read_config(source, problems)
    return (None if problems.has_errors else config), problems.found


def read_config(source: str | bytes, problems: Problems) -> Config | None:
    """As much of a configuration as can be read, so that later stages find their problems too.

    Returns:
        With errors in ``problems`` it must not be put in force: what was wrong is blank, and its
        chain holds only the policies whose blocks are right.
    """
    document = read_document(source, problems)
    if document is None:
        return None
    text = source if isinstance(source, str) else source.decode("utf-8-sig")
    return _read(document, text, problems)


def _read(document: Node, source: str, problems: Problems) -> Config | None:
    if not isinstance(document, Mapping):
        problems.add(
            "E005",
            f"expected a mapping, found {noun(document)}",
            document.position,
            help=f"the sections are: {listed(_SECTIONS)}",
        )
        return None
    if is_fragment(document):
        problems.add(
            "E024",
            "this file holds only tests",
            document.position,
            "testing",
            help=f"name a configuration too: kt policy test --file {DEFAULT_FILE} THIS_FILE",
        )
        return None
    canonical = to_canonical(document, problems)
    if canonical is None:
        return None
    _check_sections(canonical, problems)
    pack = _read_pack(canonical, problems)
    gateway = _read_gateway(canonical, problems)
    targets = _read_targets(canonical, problems)
    chain = _read_chain(canonical, problems)
    testing = canonical.get("testing")
    kinds = [block.kind for block in chain]
    suites: tuple[Suite, ...] = ()
    if testing is not None:
        known = None if problems.has_errors else kinds  # after errors it may be incomplete
        suites = read_suites(testing, problems, chain=known)
    _check_plain_secrets(canonical, problems)
    return Config(
        pack=pack,
        gateway=gateway,
        targets=targets,
        chain=chain,
        suites=suites,
        source=source,
        file=problems.file,
        positions=dict(places(canonical)),
    )


def _check_sections(document: Mapping, problems: Problems) -> None:
    reader = TypedReader(problems)
    for entry in document.entries:
        if entry.key not in _SECTIONS:
            reader.unknown_key(entry.key, _SECTIONS, entry.position, entry.key)


def _check_plain_secrets(document: Mapping, problems: Problems) -> None:
    """Test cases may hold anything: detectors of secrets are tested with secrets."""
    for entry in document.entries:
        if entry.key == "testing":
            continue
        for path, scalar in _scalars(entry.value, entry.key):
            if SECRET_VALUE.search(scalar.text) and not problems.reported(path):
                problems.add(
                    "E018",
                    "a secret stands here in plain text",
                    scalar.position,
                    path,
                    help="revoke it, and name the environment variable that holds the new one: "
                    "secret_key_ref: {env: NAME}",
                )


def _scalars(node: Node, path: str) -> list[tuple[str, Scalar]]:
    match node:
        case Scalar():
            return [(path, node)]
        case Mapping():
            below = [(join(path, entry.key), entry.value) for entry in node.entries]
        case Sequence():
            below = [(f"{path}.{index}", item) for index, item in enumerate(node.items)]
    return [found for inner_path, inner in below for found in _scalars(inner, inner_path)]


def _read_pack(document: Mapping, problems: Problems) -> Pack:
    section = _section(document, "pack")
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


def _read_gateway(document: Mapping, problems: Problems) -> Gateway:
    section = _section(document, "gateway")
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
    if gateway.fail_mode == "allow":
        problems.add(
            "W103",
            "a rule that fails lets the exchange through",
            at["gateway.fail_mode"],
            "gateway.fail_mode",
            help="block is the default; every such exchange is recorded as fail_open",
        )
    return gateway


def _read_targets(document: Mapping, problems: Problems) -> tuple[Target, ...]:
    section = _section(document, "providers")
    if section is None:
        problems.add(
            "W104",
            "there is no provider target, so the gateway can answer nothing",
            document.position,
            "providers",
            help="add providers: {targets: [{id: local, provider: simulator}]}",
        )
        return ()
    reader = TypedReader(problems)
    providers = reader.read(section.value, Providers, "providers", section.position)
    return check_targets(providers.targets, section.value, problems)


def _read_chain(document: Mapping, problems: Problems) -> tuple[PolicyBlock, ...]:
    """The blocks of the chain in its order, those with errors left out."""
    section = _section(document, "policies")
    if section is None:
        problems.add(
            "E006",
            '"policies" is missing',
            document.position,
            "policies",
            help=f"add policies: {{chain: [{listed(KINDS)}]}}",
        )
        return ()
    reader = TypedReader(problems)
    policies = reader.read(section.value, Policies, "policies", section.position)
    blocks = _policy_blocks(document, problems)
    at = dict(places(section.value, "policies"))
    if not policies.chain and not problems.reported("policies"):
        problems.add(
            "E021",
            "the chain is empty: nothing would be judged",
            at.get("policies.chain", section.position),
            "policies.chain",
            help=f"name at least one of: {listed(KINDS)}",
        )
    first: dict[str, Position] = {}
    chain = []
    for index, word in enumerate(policies.chain):
        path = f"policies.chain.{index}"
        if problems.reported(path):
            continue
        kind = canonical_kind(word)
        place = at[path]
        if kind in first:
            problems.add(
                "E020",
                f'"{kind}" stands twice in the chain',
                place,
                path,
                help=f"it stands at line {first[kind].line} already",
            )
            continue
        first[kind] = place
        if kind not in KINDS:
            _unknown_kind(word, place, path, problems)
        elif kind not in blocks:
            problems.add(
                "E003",
                f'"{kind}" is in the chain and has no block',
                place,
                path,
                help=f"add policy: {{{kind}: {{}}}}; empty braces take every default",
            )
        else:
            block = blocks[kind]
            below = f"policy.{kind}"
            options = reader.read(block.value, KINDS[kind].options, below, block.position)
            if not problems.reported(below):
                chain.append(PolicyBlock(kind, options))
    for kind, block in blocks.items():
        if kind not in first:
            _check_unused(kind, block, problems)
    if "audit-logger" in first and next(reversed(first)) != "audit-logger":
        problems.add(
            "W106",
            "audit-logger is not the last of the chain",
            first["audit-logger"],
            "policies.chain",
            help="put it last: it records what the others decided, and runs last anyway",
        )
    return tuple(chain)


def _policy_blocks(document: Mapping, problems: Problems) -> dict[str, Entry]:
    """Blocks under ``policy`` by kind."""
    section = _section(document, "policy")
    if section is None or (isinstance(section.value, Scalar) and section.value.value is None):
        return {}
    if isinstance(section.value, Mapping):
        return {entry.key: entry for entry in section.value.entries}
    message = f"expected a mapping, found {noun(section.value)}"
    problems.add("E005", message, section.value.position, "policy")
    return {}


def _check_unused(kind: str, block: Entry, problems: Problems) -> None:
    path = f"policy.{kind}"
    if kind not in KINDS:
        _unknown_kind(block.key, block.position, path, problems)
        return
    TypedReader(problems).read(block.value, KINDS[kind].options, path, block.position)
    problems.add(
        "W101",
        f'"{kind}" is not in the chain and never runs',
        block.position,
        path,
        help="add it to policies.chain, or remove the block",
    )


def _unknown_kind(word: str, at: Position, path: str, problems: Problems) -> None:
    meant = kind_of_type(word)
    problems.add(
        "E001",
        f'unknown policy kind "{shortened(word)}"',
        at,
        path,
        help=f"kinds: {listed(KINDS)}",
        suggestion=meant if meant in KINDS else nearest(word, KINDS),
    )


def _section(document: Mapping, key: str) -> Entry | None:
    return next((entry for entry in document.entries if entry.key == key), None)
