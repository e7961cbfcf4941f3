"""``kt policy bench``: what each policy of a configuration costs."""

from __future__ import annotations

import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output, table
from kintsugi.errors import InvalidInput
from kintsugi.policy.parse import DEFAULT_FILE, parse_config
from kintsugi.replay.sources import read_source

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kintsugi.replay.measure import Bench

_TEXT_BYTES_MAX = 64 << 20
_COLUMNS = ("policy", "phase", "p50 µs", "p99 µs", "µs per KiB", "share", "8 KiB : 1 KiB")


def bench(
    texts: Annotated[
        Path | None,
        typer.Argument(
            metavar="TEXTS",
            help="A text, or .jsonl with a text in each record.",
            show_default="1 KiB of prose, with and without findings",
        ),
    ] = None,
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Configuration; - reads stdin.")
    ] = DEFAULT_FILE,
    runs: Annotated[
        int, typer.Option(min=1, max=100_000, help="How often each text is judged.")
    ] = 200,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records.")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Measure what each policy costs, alone and all together, in CPU time of one thread.

    Share is the part of the whole chain's time; 8 KiB : 1 KiB tells how it grows, and 8 is linear.
    Exit codes: 0 measured, 2 a file cannot be read, 3 the configuration has errors.
    """
    from kintsugi.replay.measure import measure  # here: only this pays for it

    source = sys.stdin.buffer.read() if file == "-" else read_source(Path(file))
    config = parse_config(source, file="<stdin>" if file == "-" else file)
    given = None if texts is None else _read(texts, limit)
    done = measure(config, given, runs=runs, clock=time.thread_time_ns)
    Output(json=as_json).result(done, lambda: _shown(done))


def _read(path: Path, limit: int) -> list[str]:
    from kintsugi.replay.evaluate import read_records

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    if len(data) > _TEXT_BYTES_MAX:
        raise InvalidInput(f"{path}: more than {_TEXT_BYTES_MAX >> 20} MiB")
    if path.suffix != ".jsonl":
        return [data.decode("utf-8", "replace")]
    found = [r.text for r in islice(read_records(data, file=str(path)), limit) if r.text]
    if not found:
        raise InvalidInput(f"{path}: no record has a text")
    return found


def _shown(done: Bench) -> RenderableType:
    rows = (
        (
            cost.policy,
            cost.phase,
            cost.p50_microseconds,
            cost.p99_microseconds,
            cost.microseconds_per_kib,
            f"{cost.share:.0%}",
            cost.growth,
        )
        for cost in done.costs
    )
    return table(_COLUMNS, rows, empty="nothing runs")
