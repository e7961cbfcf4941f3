"""``kt policy``: check a configuration, test it, and explain what it decided."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, json_text, report_error
from kintsugi.cli.policy_bench import bench
from kintsugi.cli.policy_diff import diff
from kintsugi.cli.policy_eval import evaluate_file
from kintsugi.cli.policy_fmt import fmt
from kintsugi.cli.policy_graph import graph
from kintsugi.cli.policy_new_rule import new_rule
from kintsugi.cli.policy_schema import schema
from kintsugi.errors import InvalidInput
from kintsugi.policy.diagnostics import in_order
from kintsugi.policy.lint import LintReport, lint, lint_fragment
from kintsugi.policy.parse import DEFAULT_FILE
from kintsugi.replay.reports import LINT_FORMATS, RUN_FORMATS, text
from kintsugi.replay.sources import cases_beside, read_source

if TYPE_CHECKING:
    from kintsugi.replay.results import RunReport

EXIT_COULD_NOT_RUN = 1
EXIT_WARNINGS = 2
EXIT_WRONG = 3

LintFormat = Literal["text", "json", "sarif", "junit", "github"]
RunFormat = Literal["text", "json", "junit", "tap", "sarif", "github"]

FragmentsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="CASES",
        help="Further files: YAML with only testing:, or a JSON case.",
        show_default=False,
    ),
]

app = typer.Typer(
    help="Configurations: write, check, test, measure, compare and explain.", no_args_is_help=True
)


@app.command("lint")
def lint_file(
    fragments: FragmentsArgument = None,
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Configuration; - reads stdin.")
    ] = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    file_format: Annotated[LintFormat, typer.Option("--format", help="How to report.")] = "text",
    fail_level: Annotated[
        Literal["error", "warning"], typer.Option(help="warning: exit 2 when there are warnings.")
    ] = "error",
) -> None:
    """Check a configuration without running it, and list what it relaxes.

    Exit codes: 0 valid, 1 the file cannot be read, 2 warnings with --fail-level warning,
    3 errors.
    """
    report = lint(
        _read(file),
        file=_shown(file),
        today=datetime.now(UTC).date(),
        cases=cases_beside(None if file == "-" else Path(file), fragments or []),
    )
    for path in fragments or []:
        more = lint_fragment(_read(str(path)), file=str(path), chain=report.chain)
        report = _joined(report, more)
    _show(
        "json" if as_json else file_format, LINT_FORMATS["json" if as_json else file_format](report)
    )
    if not report.valid:
        raise typer.Exit(EXIT_WRONG)
    if report.diagnostics and fail_level == "warning":
        raise typer.Exit(EXIT_WARNINGS)


@app.command("test")
def run_tests(
    fragments: FragmentsArgument = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Configuration.", show_default=DEFAULT_FILE
        ),
    ] = None,
    pack_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of policy-config.yaml and tests/*.json.",
            show_default="that of the file",
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN", help="Only cases whose SUITE/NAME it finds (regular expression)."
        ),
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show which policies fired and stayed quiet.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Fail below this coverage, in percent."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    file_format: Annotated[RunFormat, typer.Option("--format", help="How to report.")] = "text",
) -> None:
    """Run testing.suites, tests/*.json and further cases through the gateway's decision code.

    Nothing is sent anywhere. Exit codes: 0 all passed, 1 a file cannot be read, 2 usage,
    3 a case failed or could not run, no case was executed, a file has errors, or coverage is
    below the threshold.
    """
    shown = "json" if as_json else file_format
    report = _run(fragments or [], file, pack_dir, _pattern(run), threshold)
    _show(shown, RUN_FORMATS[shown](report))
    if shown == "text" and (coverage or threshold is not None):
        _show(shown, text.coverage(report.coverage))
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


app.command("eval")(evaluate_file)


@app.command("explain")
@online
def explain_event(
    kt: Invocation,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="As x-kt-event-id said.")],
) -> None:
    """Show why a decision came out as it did: every policy, rule, place, version and time."""
    from kintsugi.cli.explain import explain, read_event

    with kt.client() as client:
        found = client.get(f"/v1/events/{event_id}")
    if kt.output.json:
        kt.output.line(json_text(found))
        return
    console = kt.output.console()
    told = explain(read_event(found), columns=console.width)
    # Lines are cut to the width already; what is still longer is one word, such as a digest.
    console.print(text.styled(told), soft_wrap=True)


def _run(
    fragments: list[Path],
    file: Path | None,
    pack_dir: Path | None,
    pattern: re.Pattern[str] | None,
    threshold: float | None,
) -> RunReport:
    from kintsugi.policy.parse import check_config  # here: lint must not pay for the gateway
    from kintsugi.replay.case_runner import run_cases
    from kintsugi.replay.results import RunReport
    from kintsugi.replay.sources import collect

    config_file = file or (pack_dir or Path()) / DEFAULT_FILE
    source = _read(str(config_file))
    beside = config_file.with_name(DEFAULT_FILE)
    if _is_fragment_file(source) and beside != config_file and beside.exists():
        fragments = [config_file, *fragments]
        config_file = beside
        source = _read(str(config_file))
    report = lint(source, file=str(config_file))
    config, diagnostics = check_config(source, file=str(config_file))
    if config is None or not report.valid:
        return RunReport(
            str(config_file), diagnostics=in_order((*report.diagnostics, *diagnostics))
        )
    try:
        cases, troubles = collect(
            config, folder=pack_dir or config_file.parent, fragments=fragments
        )
    except InvalidInput as error:
        raise _could_not_run(error) from error
    return run_cases(
        config, cases, pattern=pattern, threshold_percent=threshold, diagnostics=troubles
    )


def _is_fragment_file(source: bytes) -> bool:
    from kintsugi.policy.diagnostics import Problems
    from kintsugi.policy.document import read_document
    from kintsugi.policy.suites import is_fragment

    document = read_document(source, Problems(""))
    return document is not None and is_fragment(document)


def _pattern(expression: str | None) -> re.Pattern[str] | None:
    if expression is None:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        raise InvalidInput(f'--run "{expression}": {error}') from error


def _joined(report: LintReport, more: LintReport) -> LintReport:
    return msgspec.structs.replace(
        report,
        diagnostics=(*report.diagnostics, *more.diagnostics),
        case_count=report.case_count + more.case_count,
    )


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return read_source(Path(file))
    except InvalidInput as error:
        raise _could_not_run(error) from error


def _could_not_run(error: InvalidInput) -> typer.Exit:
    report_error(str(error), next_step="name a configuration with --file, or make one: kt init")
    return typer.Exit(EXIT_COULD_NOT_RUN)


def _shown(file: str) -> str:
    return "<stdin>" if file == "-" else file


def _show(shown: str, report: str) -> None:
    output = Output()
    if shown == "text" and sys.stdout.isatty():
        output.console().print(text.styled(report), soft_wrap=True)
    else:
        output.line(report)


app.command("schema")(schema)
app.command("diff")(diff)
app.command("fmt")(fmt)
app.command("graph")(graph)
app.command("bench")(bench)
app.command("new-rule")(new_rule)
