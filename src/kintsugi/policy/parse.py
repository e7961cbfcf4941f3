"""A configuration file into typed values, with everything that is wrong with it at once.

Stages: text → tree (``document.py``) → canonical shape (``shapes.py``) → types (``typed.py``) →
the checks of each section (``sections.py``, ``targets.py``, ``chain.py``, ``suites.py``). What
needs the compiled plan is in ``lint.py``.
"""

from __future__ import annotations

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Config, Diagnostic, Severity, Suite
from kintsugi.policy.chain import read_chain
from kintsugi.policy.diagnostics import Problems, format_diagnostic, listed, summary
from kintsugi.policy.document import (
    SECRET_VALUE,
    Mapping,
    Node,
    Scalar,
    Sequence,
    join,
    noun,
    places,
    read_document,
)
from kintsugi.policy.mcp_servers import read_mcp
from kintsugi.policy.sections import read_gateway, read_pack
from kintsugi.policy.shapes import to_canonical
from kintsugi.policy.suites import is_fragment, read_suites
from kintsugi.policy.targets import read_providers
from kintsugi.policy.typed import TypedReader

DEFAULT_FILE = "policy-config.yaml"
SECTIONS = ("pack", "gateway", "providers", "mcp", "policies", "policy", "testing")


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
            help=f"the sections are: {listed(SECTIONS)}",
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
    pack = read_pack(canonical, problems)
    gateway = read_gateway(canonical, problems)
    providers = read_providers(canonical, problems)
    mcp = read_mcp(canonical, problems)
    chain = read_chain(canonical, problems)
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
        targets=providers.targets,
        chain=chain,
        suites=suites,
        source=source,
        file=problems.file,
        positions=dict(places(canonical)),
        routing=providers.routing,
        mcp=mcp,
    )


def _check_sections(document: Mapping, problems: Problems) -> None:
    reader = TypedReader(problems)
    for entry in document.entries:
        if entry.key not in SECTIONS:
            reader.unknown_key(entry.key, SECTIONS, entry.position, entry.key)


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
