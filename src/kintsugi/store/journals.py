"""What gateways tell of their journals, in PostgreSQL: taken in by the transaction that stores the
records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kintsugi.ledger.journal_continuity import (
    Gap,
    SeriesState,
    catch_up,
    continue_series,
    missing_of,
)
from kintsugi.model.journal import CheckedRange, JournalHead, MissingLines
from kintsugi.store.connections import Connection
from kintsugi.store.signals import observe, over
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("journals")


def take_ranges(
    connection: Connection, told: Sequence[CheckedRange], *, now: datetime
) -> tuple[MissingLines, ...]:
    """Continue each series, raise what does not fit, and say what is missing of them now.

    The caller's transaction holds the lock of ingest.
    """
    before = _states(connection, sorted({one.range.series for one in told}))
    states = dict(before)
    for one in told:
        series = one.range.series
        continued = continue_series(states.get(series, SeriesState()), one)
        states[series] = continued.state
        for seen in continued.seen:
            observe(connection, seen, now=now)
        for key, resolution in continued.over:
            over(connection, key, resolution=resolution, now=now)
    for series, state in states.items():
        _save(connection, series, state, before.get(series, SeriesState()), now=now)
    return missing_of(states)


def take_heads(
    connection: Connection, heads: Sequence[JournalHead], *, now: datetime
) -> tuple[MissingLines, ...]:
    """Note what gateways saw acknowledged and is not known here. Holds the lock of ingest."""
    before = _states(connection, sorted({head.series for head in heads}))
    states = dict(before)
    for head in heads:
        continued = catch_up(states.get(head.series, SeriesState()), head)
        states[head.series] = continued.state
        for seen in continued.seen:
            observe(connection, seen, now=now)
    for series, state in states.items():
        _save(connection, series, state, before.get(series, SeriesState()), now=now)
    return missing_of(states)


def is_behind(
    connection: Connection, heads: Sequence[JournalHead]
) -> tuple[bool, tuple[MissingLines, ...]]:
    """Whether any of these is not known here, and what is missing of them; takes no lock."""
    states = _states(connection, sorted({head.series for head in heads}))
    behind = any(head.seq > states.get(head.series, SeriesState()).seq for head in heads)
    return behind, missing_of(states)


def _states(connection: Connection, series: list[str]) -> dict[str, SeriesState]:
    if not series:
        return {}
    gaps: dict[str, list[Gap]] = {}
    for name, *values in connection.execute(_SQL["gaps"], [series]).fetchall():
        gaps.setdefault(name, []).append(Gap(*values))
    rows = connection.execute(_SQL["series"], [series]).fetchall()
    return {name: SeriesState(seq, chain, tuple(gaps.get(name, ()))) for name, seq, chain in rows}


def _save(
    connection: Connection, series: str, state: SeriesState, before: SeriesState, *, now: datetime
) -> None:
    if state == before:
        return
    connection.execute(_SQL["save_series"], [series, state.seq, state.chain, now])
    if state.gaps != before.gaps:
        connection.execute(_SQL["drop_gaps"], [series])
        for gap in state.gaps:
            values = [gap.first_seq, gap.last_seq, gap.chain_before, gap.chain_after, gap.key]
            connection.execute(_SQL["add_gap"], [series, *values])
