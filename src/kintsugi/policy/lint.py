"""Everything that can be said about a configuration without running it."""

from __future__ import annotations

import msgspec

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Config, Diagnostic, Pack, Position
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.diagnostics import CODES, Problems, any_error
from kintsugi.policy.parse import DEFAULT_FILE, read_config
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rules import KINDS
from kintsugi.policy.suites import read_fragment


class LintReport(msgspec.Struct, frozen=True):
    """What lint found.

    Attributes:
        pack: None when it could not be read, and for a fragment that holds only tests.
        chain: kinds in the order of evaluation, those with errors left out.
        revision: of the compiled plan; empty when it does not compile.
        case_count: test cases that stand in the file.
    """

    file: str
    diagnostics: tuple[Diagnostic, ...]
    pack: Pack | None = None
    chain: tuple[str, ...] = ()
    revision: str = ""
    case_count: int = 0

    @property
    def valid(self) -> bool:
        """Whether it may be put in force: no errors; warnings do not count."""
        return not any_error(self.diagnostics)

    @property
    def policy_count(self) -> int:
        """How many policies the chain has."""
        return len(self.chain)


def lint(source: str | bytes, *, file: str = DEFAULT_FILE) -> LintReport:
    """Parse, compile and check a configuration, or a fragment that holds only ``testing:``.

    Never raises, whatever the bytes.
    """
    problems = Problems(file)
    config = read_config(source, problems)
    if config is None:
        if any(problem.code == "E024" for problem in problems.found):  # it holds only tests
            return lint_fragment(source, file=file)
        return LintReport(file, problems.found)
    plan = _compiled(config, problems) if config.chain else None
    _check_notes(config, problems)
    if plan is not None:
        _check_streaming(plan, problems)
    return LintReport(
        file,
        problems.found,
        pack=None if problems.reported("pack") else config.pack,
        chain=tuple(block.kind for block in config.chain),
        revision="" if plan is None or problems.has_errors else plan.revision,
        case_count=sum(len(suite.cases) for suite in config.suites),
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


def _compiled(config: Config, problems: Problems) -> Plan | None:
    try:
        return compile_plan(config)
    except ConfigurationInvalid as error:
        if not error.diagnostics:
            problems.add("E027", str(error), Position())
        problems.extend(_placed(diagnostic, config) for diagnostic in error.diagnostics)
        return None


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


def _check_streaming(plan: Plan, problems: Problems) -> None:
    """A rule in a streaming mode that cannot enforce it is refused, not quietly weakened."""
    config = plan.config
    mode = config.gateway.streaming
    if mode == "buffer" or not plan.has(Phase.OUTPUT):
        return
    if mode == "observe" and _acts_on_answers(plan):
        reason = "streaming: observe only looks on, and a policy of the chain acts on answers"
        help_text = "use streaming: window or buffer, or set action: flag or mode: monitor"
    elif mode == "window" and plan.hold_chars is None:
        reason = "streaming: window cannot enforce a policy that needs the whole answer"
        help_text = "use streaming: buffer"
    else:
        return
    at = config.positions.get("gateway.streaming", Position())
    problems.add("E023", reason, at, "gateway.streaming", help=help_text)


def _acts_on_answers(plan: Plan) -> bool:
    in_force = plan.phase(Phase.OUTPUT)
    return in_force is not None and any(
        rule.mode is Mode.ENFORCE
        and rule.action.strictness > Verdict.FLAG.strictness
        and (rule.rule.judges or rule.rule.patterns)
        for rule in in_force.rules
    )
