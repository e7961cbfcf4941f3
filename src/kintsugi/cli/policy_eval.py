"""``kt policy eval``: what a policy is worth on labelled texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output, harmless, one_line, report_error, table
from kintsugi.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from kintsugi.model.config import Config
    from kintsugi.replay.evaluate import Evaluation, Rates

EXIT_COULD_NOT_RUN = 1
BYTES_MAX = 512 << 20


def evaluate_file(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET.jsonl", help="One record a line: text and label.")
    ],
    kind: Annotated[
        str, typer.Option("--kind", metavar="POLICY", help="Which policy is measured.")
    ] = "prompt-injection",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Configuration whose options count.",
            show_default="the policy's defaults",
        ),
    ] = None,
    place: Annotated[
        Literal["user", "tool"],
        typer.Option(help="Who says the texts, where a record has no place of its own."),
    ] = "user",
    threshold_report: Annotated[
        bool, typer.Option("--threshold-report", help="Also count at other thresholds.")
    ] = False,
    errors: Annotated[
        int, typer.Option(min=0, max=1_000, help="How many wrongly judged records to show.")
    ] = 10,
    as_json: JsonOption = False,
) -> None:
    """Measure a policy on labelled texts: precision, recall, F1, false-positive rate and cost.

    Nothing is sent anywhere. Exit codes: 0 measured, 1 a file cannot be read or is not a data
    set, 2 usage.
    """
    from kintsugi.replay.evaluate import evaluate, read_records  # here: it needs the rules

    output = Output(json=as_json)
    try:
        records = list(read_records(_read(dataset), file=str(dataset)))
        with _progress(output, len(records)) as progress:
            found = evaluate(
                records,
                kind=kind.replace("_", "-"),
                config=_config(file),
                place=place,
                thresholds=threshold_report,
                mistakes_max=errors,
                progress=progress,
            )
    except InvalidInput as error:
        report_error(str(error), next_step="the format: manual, Measuring detectors")
        raise typer.Exit(EXIT_COULD_NOT_RUN) from error
    output.result(as_value(found), lambda: as_text(found))


def as_value(found: Evaluation) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "kind": found.kind,
        "records": found.records,
        "total": _rates(found.total),
        "groups": [
            {"source": source, "category": category, **_rates(rates)}
            for source, category, rates in found.groups
        ],
        "spans": [{"type": name, **_rates(rates, places=True)} for name, rates in found.spans],
        "thresholds": [{"threshold": bar, **_rates(rates)} for bar, rates in found.thresholds],
        "cost_microseconds": found.cost,
        "errors": found.mistakes,
    }


def as_text(found: Evaluation) -> RenderableType:
    """The report as a terminal has it."""
    from rich.console import Group  # here: only text output pays for it
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(f"{found.kind}: {found.records} records"),
        table(
            ("source", "category", *_HEADINGS),
            [
                *((source, category, *_row(rates)) for source, category, rates in found.groups),
                ("all", "", *_row(found.total)),
            ],
            empty="no records",
        ),
    ]
    if found.spans:
        rows = [(name, *_row(rates)[:3], *_row(rates)[4:]) for name, rates in found.spans]
        headings = ("type", "labelled", "false", "recall", "precision", "F1")
        parts += [Text("\nplaces"), table(headings, rows, empty="")]
    if found.thresholds:
        rows = [(f"{bar:.2f}", *_row(rates)) for bar, rates in found.thresholds]
        parts += [Text("\nat other thresholds"), table(("from", *_HEADINGS), rows, empty="")]
    cost = found.cost
    parts.append(
        Text(
            f"\ncost in microseconds: {cost.p50:g} (median), {cost.p99:g} (99th percentile),"
            f" {cost.per_kilocharacter:g} for 1,024 characters"
        )
    )
    if found.mistakes:
        parts.append(Text("\nworst errors (personal data and secrets masked)"))
        parts += [
            Text(
                f"{one.kind:11} {one.score:.2f} {harmless(one.source)} {harmless(one.id)}"
                f" {', '.join(one.rules)}\n    {one_line(one.excerpt, width_max=90)}"
            )
            for one in found.mistakes
        ]
    return Group(*parts)


_HEADINGS = ("with", "without", "recall", "false alarms", "precision", "F1")


def _row(rates: Rates) -> tuple[Any, ...]:
    return (
        rates.found + rates.missed,
        rates.false + rates.passed,
        _share(rates.recall),
        _share(rates.false_positive_rate),
        _share(rates.precision),
        _share(rates.f1),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rates(rates: Rates, *, places: bool = False) -> dict[str, Any]:
    found = {
        "found": rates.found,
        "missed": rates.missed,
        "false": rates.false,
        "passed": rates.passed,
        "recall": rates.recall,
        "precision": rates.precision,
        "f1": rates.f1,
        "false_positive_rate": rates.false_positive_rate,
    }
    if places:  # places that are rightly not reported cannot be counted
        del found["passed"], found["false_positive_rate"]
    return found


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > BYTES_MAX:
            raise InvalidInput(f"{path}: larger than {BYTES_MAX >> 20} MiB; measure a part of it")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error


def _config(file: Path | None) -> Config | None:
    if file is None:
        return None
    from kintsugi.policy.parse import check_config

    config, diagnostics = check_config(_read(file), file=str(file))
    if config is None:
        first = diagnostics[0]
        raise InvalidInput(f"{first.file}:{first.position.line}: {first.message}")
    return config


@contextmanager
def _progress(output: Output, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on stderr while it runs; nothing where stderr is no terminal."""
    console = output.talk_console()
    if not console.is_terminal:
        yield None
        return
    from rich.progress import Progress  # here: only a terminal pays for it

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("judging", total=total)
        yield lambda done: bar.update(task, completed=done)
