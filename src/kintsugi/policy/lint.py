"""Everything that can be said about a configuration without running it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from kintsugi.model.config import Case, Config, Diagnostic, Pack, Position
from kintsugi.policy.automata import Automaton, PatternInvalid
from kintsugi.policy.diagnostics import CODES, Problems, any_error
from kintsugi.policy.lint_relaxed import check_relaxed
from kintsugi.policy.lint_rules import RulesByPhase, check_rules
from kintsugi.policy.lint_streaming import check_streaming
from kintsugi.policy.lint_tests import check_tested
from kintsugi.policy.parse import DEFAULT_FILE, read_config
from kintsugi.policy.plan import build_rules, revision
from kintsugi.policy.relaxed import Relaxed, relaxed
from kintsugi.policy.rules import KINDS
from kintsugi.policy.suites import read_fragment


class LintReport(msgspec.Struct, frozen=True):
    """What lint found.

    Attributes:
        pack: None when it could not be read, and for a fragment that holds only tests.
        chain: kinds in the order of evaluation, those with errors left out.
        revision: of the compiled plan; empty when it does not compile.
        case_count: test cases that stand in the file.
        relaxed: every setting that is weaker than it could be, with who answers for it.
    """

    file: str
    diagnostics: tuple[Diagnostic, ...]
    pack: Pack | None = None
    chain: tuple[str, ...] = ()
    revision: str = ""
    case_count: int = 0
    relaxed: tuple[Relaxed, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether it may be put in force: no errors; warnings do not count."""
        return not any_error(self.diagnostics)

    @property
    def policy_count(self) -> int:
        """How many policies the chain has."""
        return len(self.chain)


def lint(
    source: str | bytes,
    *,
    file: str = DEFAULT_FILE,
    today: date | None = None,
    cases: Iterable[Case] | None = None,
) -> LintReport:
    """Parse, compile and check a configuration, or a fragment that holds only ``testing:``.

    Never raises, whatever the bytes.

    Args:
        today: for what has a last day (UTC); None asks for none.
        cases: tests that stand in other files. With None nobody knows whether there are any, and
            policies without a test are not reported.
    """
    problems = Problems(file)
    config = read_config(source, problems)
    if config is None:
        if any(problem.code == "E024" for problem in problems.found):  # it holds only tests
            return lint_fragment(source, file=file)
        return LintReport(file, problems.found)
    rules = _rules(config, problems)
    _check_notes(config, problems)
    check_relaxed(config, problems, today=today)
    if rules is not None:
        check_rules(config, rules, problems)
        check_streaming(config, rules, problems)
    if cases is not None:
        check_tested(config, cases, problems)
    return LintReport(
        file,
        problems.found,
        pack=None if problems.reported("pack") else config.pack,
        chain=tuple(block.kind for block in config.chain),
        revision="" if not config.chain or problems.has_errors else revision(config),
        case_count=sum(len(suite.cases) for suite in config.suites),
        relaxed=relaxed(config),
    )


def lint_fragment(
    source: str | bytes, *, file: str, chain: tuple[str, ...] | None = None
) -> LintReport:
    """Check a file that holds only ``testing:``.

    Args:
        chain: of the configuration that its cases are meant for; None when that is not known.
    """
    cases, diagnostics = read_fragment(source, file=file, chain=chain)
    count = sum(len(suite.cases) for suite in cases.suites) if cases else 0
    return LintReport(file, diagnostics, chain=chain or (), case_count=count)


def _rules(config: Config, problems: Problems) -> RulesByPhase | None:
    """The rules of each phase; None when they cannot be built.

    Only what an author can get wrong is compiled: the patterns that come with the kinds are a
    thousand, and the tests have compiled them.
    """
    found = Problems(config.file)
    rules = build_rules(config, found, built_in_patterns=False)
    if not found.has_errors:
        _check_sets(config, rules, found)
    problems.extend(_placed(diagnostic, config) for diagnostic in found.found)
    return None if found.has_errors else rules


def _check_sets(config: Config, rules: RulesByPhase, found: Problems) -> None:
    """Whether the author's own patterns also compile together, as a plan will have them."""
    for in_phase in rules.values():
        for rule in in_phase:
            own = [pattern for pattern in rule.rule.patterns if pattern.path]
            try:
                Automaton(own)
            except PatternInvalid as error:
                path = f"policy.{rule.kind.name}.{own[0].path}"
                at = config.positions.get(path, Position())
                found.add("E014", f"{error.pattern!r}: {error}", at, path)


def _placed(diagnostic: Diagnostic, config: Config) -> Diagnostic:
    """The compiler's diagnostic with a known code, and with the nearest place if it has none."""
    code = diagnostic.code if diagnostic.code in CODES else "E027"
    position, path = diagnostic.position, diagnostic.path
    while position == Position() and path:
        position = config.positions.get(path, Position())
        path = path.rpartition(".")[0]
    return msgspec.structs.replace(diagnostic, code=code, position=position)


def _check_notes(config: Config, problems: Problems) -> None:
    """Options that are understood and change nothing."""
    for block in config.chain:
        for note in KINDS[block.kind].notes(block.options):
            path = f"policy.{block.kind}.{note.path}"
            problems.add(
                "W107",
                f'"{note.path}" {note.message}',
                config.positions.get(path, Position()),
                path,
                help=note.help,
            )
