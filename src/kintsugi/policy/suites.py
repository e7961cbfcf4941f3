"""Test cases out of documents: ``testing.suites``, fragments with nothing else, golden files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Mapping as AbstractMapping

import msgspec

from kintsugi.model.config import (
    CASE_ENDPOINTS,
    MCP_ENDPOINT,
    Case,
    Diagnostic,
    Position,
    Suite,
)
from kintsugi.model.verdict import Verdict
from kintsugi.policy.diagnostics import Problems, listed, nearest
from kintsugi.policy.document import (
    Mapping,
    Node,
    Sequence,
    places,
    read_document,
    shortened,
)
from kintsugi.policy.json_document import read_json_document
from kintsugi.policy.reasons import nearest_reason_code, parse_reason_code
from kintsugi.policy.shapes import canonical_kind
from kintsugi.policy.typed import TypedReader

GOLDEN_SUITE = "golden"
_ALWAYS = ("response_contains", "")


class Testing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``testing``."""

    suites: tuple[Suite, ...] = ()


class CaseFile(msgspec.Struct, frozen=True):
    """Cases that stand outside the configuration.

    Attributes:
        positions: dotted path to place in that file.
    """

    file: str
    suites: tuple[Suite, ...]
    positions: AbstractMapping[str, Position]


def read_suites(
    node: Node, problems: Problems, *, chain: Collection[str] | None
) -> tuple[Suite, ...]:
    """The suites of a ``testing`` section, checked; empty when there were errors.

    Args:
        chain: kinds that a case may name; None when the configuration is not known.
    """
    testing = TypedReader(problems).read(node, Testing, "testing")
    _check_names(node, problems)
    at = _Places(node, "testing")
    suites = []
    for index, suite in enumerate(testing.suites):
        path = f"testing.suites.{index}"
        if not suite.cases and not problems.reported(f"{path}.cases"):
            problems.add(
                "E016",
                f'suite "{shortened(suite.name)}" has no cases',
                at(path),
                path,
                help="add a case, or remove the suite: it would look tested",
            )
        cases = tuple(
            _checked(case, f"{path}.cases.{number}", at, problems, chain)
            for number, case in enumerate(suite.cases)
        )
        suites.append(msgspec.structs.replace(suite, cases=cases))
    return tuple(suites)


def read_fragment(
    source: str | bytes, *, file: str, chain: Collection[str] | None
) -> tuple[CaseFile | None, tuple[Diagnostic, ...]]:
    """A file that holds only ``testing:``; None when it has errors."""
    problems = Problems(file)
    document = read_document(source, problems)
    if document is None:
        return None, problems.found
    if not is_fragment(document):
        at = document.position
        problems.add(
            "E005",
            "expected a file that holds testing: and nothing else",
            at,
            help="name a configuration with --file",
        )
        return None, problems.found
    assert isinstance(document, Mapping)  # noqa: S101  # is_fragment says so
    testing = document.entries[0].value
    suites = read_suites(testing, problems, chain=chain)
    if problems.has_errors:
        return None, problems.found
    return CaseFile(file, suites, dict(places(document))), problems.found


def read_golden(
    source: str | bytes, *, file: str, chain: Collection[str] | None
) -> tuple[CaseFile | None, tuple[Diagnostic, ...]]:
    """A golden file: one case as JSON, ``{"name", "input", "expected"}``."""
    problems = Problems(file)
    document = read_json_document(source, problems)
    if document is None:
        return None, problems.found
    case = TypedReader(problems).read(document, Case, "")
    case = _checked(case, "", _Places(document, ""), problems, chain)
    if problems.has_errors:
        return None, problems.found
    suite = Suite(name=GOLDEN_SUITE, cases=(case,))
    return CaseFile(file, (suite,), dict(places(document))), problems.found


def is_fragment(document: Node) -> bool:
    """Whether a document holds ``testing:`` and nothing else."""
    return isinstance(document, Mapping) and document.keys() == ("testing",)


class _Places:
    """Looks places up, falling back to the nearest place above."""

    def __init__(self, node: Node, path: str) -> None:
        self._root = node.position
        self._known = dict(places(node, path))

    def __call__(self, path: str) -> Position:
        while path and path not in self._known:
            path = path.rpartition(".")[0]
        return self._known.get(path, self._root)


def _check_names(node: Node, problems: Problems) -> None:
    """Names must be there and tell cases apart."""
    suites = node.get("suites") if isinstance(node, Mapping) else None
    if not isinstance(suites, Sequence):
        return
    _check_unique(suites, "suite", "testing.suites", problems)
    for index, suite in enumerate(suites.items):
        cases = suite.get("cases") if isinstance(suite, Mapping) else None
        if isinstance(cases, Sequence):
            _check_unique(cases, "case", f"testing.suites.{index}.cases", problems)


def _check_unique(nodes: Sequence, word: str, path: str, problems: Problems) -> None:
    first: dict[str, Position] = {}
    for index, node in enumerate(nodes.items):
        name = node.get("name") if isinstance(node, Mapping) else None
        text = getattr(name, "text", None)
        if name is None or not isinstance(text, str):
            continue
        below = f"{path}.{index}.name"
        if not text.strip():
            problems.add("E009", f"the {word}'s name is empty", name.position, below)
        elif text in first:
            problems.add(
                "E015",
                f'{word} name "{shortened(text)}" is used twice',
                name.position,
                below,
                help=f"it is used at line {first[text].line} already",
            )
        else:
            first[text] = name.position


def _checked(
    case: Case,
    path: str,
    at: Callable[[str], Position],
    problems: Problems,
    chain: Collection[str] | None,
) -> Case:
    """The case with its words in canonical spelling; what is wrong goes to ``problems``."""
    prefix = f"{path}." if path else ""
    expected = case.expected
    verdict, reason_code, policy = expected.verdict, expected.reason_code, expected.policy
    # Every answer contains the empty text.
    asserts = any(
        getattr(expected, name) is not None and (name, getattr(expected, name)) != _ALWAYS
        for name in expected.__struct_fields__
    )
    if not asserts and not problems.reported(f"{prefix}expected"):
        problems.add(
            "E017",
            f'case "{shortened(case.name)}" asserts nothing',
            at(f"{prefix}expected"),
            f"{prefix}expected",
            help=f"expect at least one of: {listed(expected.__struct_fields__)}",
        )
    _check_endpoint(case.input.endpoint, f"{prefix}input.endpoint", at, problems)
    sends = case.input.messages or case.input.request is not None
    if case.input.endpoint.startswith(MCP_ENDPOINT) and case.input.request is None:
        problems.add(
            "E026",
            f'case "{shortened(case.name)}" sends an MCP server nothing',
            at(f"{prefix}input"),
            f"{prefix}input",
            help="add request: {method: tools/call, params: {name: ..., arguments: {...}}}",
        )
    elif not sends and not problems.reported(f"{prefix}input"):
        problems.add(
            "E026",
            f'case "{shortened(case.name)}" sends nothing',
            at(f"{prefix}input"),
            f"{prefix}input",
            help='add messages: [{role: user, content: "..."}]',
        )
    if verdict is not None:
        verdict = _verdict(verdict, f"{prefix}expected.verdict", at, problems)
    if reason_code is not None:
        reason_code = _reason(reason_code, f"{prefix}expected.reason_code", at, problems)
    if policy is not None:
        policy = canonical_kind(policy)
        if chain is not None and policy not in chain:
            where = f"{prefix}expected.policy"
            problems.add(
                "E025",
                f'policy "{shortened(policy)}" is not in the chain',
                at(where),
                where,
                help=f"the chain is: {listed(chain)}",
                suggestion=nearest(policy, chain),
            )
    canonical = msgspec.structs.replace(
        expected, verdict=verdict, reason_code=reason_code, policy=policy
    )
    return msgspec.structs.replace(case, expected=canonical)


def _check_endpoint(
    endpoint: str, path: str, at: Callable[[str], Position], problems: Problems
) -> None:
    if endpoint in CASE_ENDPOINTS or endpoint.removeprefix(MCP_ENDPOINT) not in (endpoint, ""):
        return
    problems.add(
        "E008",
        f'no case can be sent to "{shortened(endpoint)}"',
        at(path),
        path,
        help=f"use one of: {listed((*CASE_ENDPOINTS, MCP_ENDPOINT + 'SERVER'))}",
        suggestion=nearest(endpoint, CASE_ENDPOINTS),
    )


def _verdict(word: str, path: str, at: Callable[[str], Position], problems: Problems) -> str:
    try:
        canonical: str = Verdict.parse(word).value
    except ValueError:
        words = [verdict.value for verdict in Verdict]
        problems.add(
            "E008",
            f'unknown verdict "{shortened(word)}"',
            at(path),
            path,
            help=f"use one of: {listed(words)}",
            suggestion=nearest(word, words),
        )
        return word
    return canonical


def _reason(code: str, path: str, at: Callable[[str], Position], problems: Problems) -> str:
    try:
        return parse_reason_code(code)
    except ValueError:
        problems.add(
            "E013",
            f'unknown reason code "{shortened(code)}"',
            at(path),
            path,
            help="kt reasons lists them all",
            suggestion=nearest_reason_code(code),
        )
        return code
