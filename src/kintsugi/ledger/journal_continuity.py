"""Whether what a gateway tells of a journal continues what it told before. Pure.

The control plane keeps, for each series, the end of the last range and the gaps below it. Nothing
is ever refused here: evidence that does not fit is stored, and what does not fit about it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from kintsugi.ledger.journal import CHAIN_START
from kintsugi.model.journal import CheckedRange, JournalHead, JournalRange, Link, MissingLines
from kintsugi.model.signal import Observation

_WRONG_SHOWN = 20


class Gap(msgspec.Struct, frozen=True):
    """Lines that have not come.

    Attributes:
        chain_before, chain_after: on both sides of it (hex); empty when not known.
        key: of its signal; the pieces of one gap share it.
    """

    first_seq: int
    last_seq: int
    chain_before: str
    chain_after: str
    key: str


class SeriesState(msgspec.Struct, frozen=True):
    """What is known of one series: the last line that was told, and what is missing below it."""

    seq: int = 0
    chain: str = CHAIN_START.hex()
    gaps: tuple[Gap, ...] = ()


class Continued(msgspec.Struct, frozen=True):
    """What one range does to its series.

    Attributes:
        seen: what somebody should look at.
        over: keys of gaps that are filled now, and by what.
    """

    state: SeriesState
    seen: tuple[Observation, ...] = ()
    over: tuple[tuple[str, str], ...] = ()


def missing_of(states: Mapping[str, SeriesState]) -> tuple[MissingLines, ...]:
    """Every gap of these series."""
    return tuple(
        MissingLines(series, gap.first_seq, gap.last_seq)
        for series, state in states.items()
        for gap in state.gaps
    )


def check_records(
    ranges: Sequence[JournalRange], records: Sequence[bytes]
) -> tuple[CheckedRange, ...]:
    """Hold the records of a batch, as they came, against what was told of them."""
    checked: list[CheckedRange] = []
    start = 0
    for told in ranges:
        own = records[start : start + len(told.links)]
        start += len(told.links)
        pairs = [
            (link, own[place] if place < len(own) else b"") for place, link in enumerate(told.links)
        ]
        wrong = [(link, record) for link, record in pairs if not _holds(link, record)]
        moved = bool(wrong) and _only_moved(wrong)
        checked.append(CheckedRange(told, tuple(link.seq for link, _ in wrong), moved))
    return tuple(checked)


def continue_series(state: SeriesState, checked: CheckedRange) -> Continued:
    """Take a range in."""
    told = checked.range
    seen = [_wrong_records(checked)] if checked.wrong else []
    if told.first_seq > state.seq:
        after = _joined(state, told, seen)
        return Continued(after, tuple(seen))
    if told.rewinds:
        return Continued(SeriesState(told.last_seq, told.chain_after, state.gaps), tuple(seen))
    return _late(state, told, seen)


def catch_up(state: SeriesState, head: JournalHead) -> Continued:
    """Take in that a gateway saw a line acknowledged: what is not known here was lost here."""
    if head.seq <= state.seq:
        return Continued(state)
    key = f"journal_gap:{head.series}:{state.seq + 1}-{head.seq}"
    gap = Gap(state.seq + 1, head.seq, state.chain, head.chain, key)
    seen = _missing(head.series, key, (gap,), lost_here=True)
    return Continued(SeriesState(head.seq, head.chain, (*state.gaps, gap)), (seen,))


def _joined(state: SeriesState, told: JournalRange, seen: list[Observation]) -> SeriesState:
    """Behind the last line that was told: next to it, or with a gap between."""
    gaps = state.gaps
    if told.first_seq > state.seq + 1:
        first, last = state.seq + 1, told.first_seq - 1
        key = f"journal_gap:{told.series}:{first}-{last}"
        gap = Gap(first, last, state.chain, told.chain_before, key)
        gaps = (*gaps, gap)
        seen.append(_missing(told.series, key, (gap,)))
    elif told.chain_before != state.chain:
        seen.append(_fork(told, told.first_seq, state.chain, told.chain_before))
    return SeriesState(told.last_seq, told.chain_after, gaps)


def _late(state: SeriesState, told: JournalRange, seen: list[Observation]) -> Continued:
    """Lines at or below the last one that was told: sent again, or a gap's own that come late."""
    chains = _chains(told)
    if told.last_seq >= state.seq and chains.get(state.seq, state.chain) != state.chain:
        seen.append(_fork(told, state.seq, state.chain, chains[state.seq]))
    left: list[Gap] = []
    touched: set[str] = set()
    for gap in state.gaps:
        if told.last_seq < gap.first_seq or told.first_seq > gap.last_seq:
            left.append(gap)
            continue
        touched.add(gap.key)
        for seq, known in ((gap.first_seq - 1, gap.chain_before), (gap.last_seq, gap.chain_after)):
            if known and chains.get(seq, known) != known:
                seen.append(_fork(told, seq, known, chains[seq]))
        if gap.first_seq < told.first_seq:
            left.append(
                msgspec.structs.replace(
                    gap, last_seq=told.first_seq - 1, chain_after=told.chain_before
                )
            )
        if told.last_seq < gap.last_seq:
            left.append(
                msgspec.structs.replace(
                    gap, first_seq=told.last_seq + 1, chain_before=told.chain_after
                )
            )
    over = []
    for key in sorted(touched):
        rest = tuple(gap for gap in left if gap.key == key)
        if rest:
            seen.append(_missing(told.series, key, rest))
        else:
            over.append((key, f"lines {told.first_seq} to {told.last_seq} came late"))
    end = (told.last_seq, told.chain_after)
    seq, chain = end if told.last_seq > state.seq else (state.seq, state.chain)
    return Continued(SeriesState(seq, chain, tuple(left)), tuple(seen), tuple(over))


def _chains(told: JournalRange) -> dict[int, str]:
    """The chain after every line at which it is told."""
    chains = {told.first_seq - 1: told.chain_before} if told.chain_before else {}
    for link in (*told.links, *told.refused):
        if link.before:
            chains[link.seq - 1] = link.before
        chains[link.seq] = link.after
    chains[told.last_seq] = told.chain_after
    return chains


def _holds(link: Link, record: bytes) -> bool:
    if not link.before:
        return True  # the line before is gone; that the range begins with nothing says so
    return sha256(bytes.fromhex(link.before) + record).hexdigest() == link.after


def _only_moved(wrong: Sequence[tuple[Link, bytes]]) -> bool:
    """Whether every one of these records belongs to another of these lines."""
    if len(wrong) > _WRONG_SHOWN:
        return False  # comparing each with each costs too much; what is wrong is said all the same
    left = [record for _, record in wrong]
    for link, _ in wrong:
        found = next((record for record in left if _holds(link, record)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _where(series: str) -> tuple[str, str]:
    """Gateway and worker."""
    gateway_id, _, rest = series.partition(".")
    return gateway_id, rest.partition(".")[0]


def _missing(series: str, key: str, gaps: Sequence[Gap], *, lost_here: bool = False) -> Observation:
    gateway_id, worker_id = _where(series)
    count = sum(gap.last_seq - gap.first_seq + 1 for gap in gaps)
    what = (
        "were acknowledged and are not here; was an older state restored"
        if lost_here
        else "have not come"
    )
    places = ", ".join(f"{gap.first_seq} to {gap.last_seq}" for gap in gaps)
    return Observation(
        kind="journal_gap",
        key=key,
        severity="high",
        subject=f"gateway:{gateway_id}",
        summary=(
            f"{count} journal lines of gateway {gateway_id}, worker {worker_id} {what}: "
            f"{places} of {series}."
        ),
        detail={
            "gateway_id": gateway_id,
            "worker_id": worker_id,
            "series": series,
            "lines": count,
            "missing": [
                {
                    "first_seq": gap.first_seq,
                    "last_seq": gap.last_seq,
                    "chain_before": gap.chain_before,
                    "chain_after": gap.chain_after,
                }
                for gap in gaps
            ],
        },
    )


def _fork(told: JournalRange, seq: int, expected: str, found: str) -> Observation:
    gateway_id, worker_id = _where(told.series)
    why = (
        f"line {seq} of {told.series} was told with another history before"
        if found
        else f"line {seq} of {told.series} does not follow from the one before it"
    )
    return Observation(
        kind="journal_fork",
        key=f"journal_fork:{told.series}:{seq}:{found or told.chain_after}",
        severity="critical",
        subject=f"gateway:{gateway_id}",
        summary=f"The journal of gateway {gateway_id}, worker {worker_id} was rewritten: {why}.",
        detail={
            "gateway_id": gateway_id,
            "worker_id": worker_id,
            "series": told.series,
            "seq": seq,
            "chain_expected": expected,
            "chain_found": found,
            "range": msgspec.to_builtins(_bare(told)),
        },
    )


def _wrong_records(checked: CheckedRange) -> Observation:
    told = checked.range
    gateway_id, worker_id = _where(told.series)
    lines = ", ".join(map(str, checked.wrong[:_WRONG_SHOWN]))
    if checked.moved:
        kind, what = "journal_reorder", "came in another order than they stand in"
    else:
        kind, what = "journal_fork", "came with other records than stand in"
    return Observation(
        kind=kind,
        key=f"{kind}:{told.series}:records:{checked.wrong[0]}-{checked.wrong[-1]}",
        severity="high" if checked.moved else "critical",
        subject=f"gateway:{gateway_id}",
        summary=(
            f"{len(checked.wrong)} lines of gateway {gateway_id}, worker {worker_id} {what} "
            f"the journal {told.series}: {lines}."
        ),
        detail={
            "gateway_id": gateway_id,
            "worker_id": worker_id,
            "series": told.series,
            "seqs": list(checked.wrong),
            "range": msgspec.to_builtins(_bare(told)),
        },
    )


def _bare(told: JournalRange) -> JournalRange:
    return msgspec.structs.replace(told, links=(), refused=())
