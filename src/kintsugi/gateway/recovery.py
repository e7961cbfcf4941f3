"""After a death: cut torn tails, and write down what was admitted and never decided.

Runs when the gateway starts and when a worker died, over the journals of writers that are gone.
An exchange with an admission and no decision becomes a decision with status ``interrupted``, in a
recovery journal of its own; the dead writer's files are only ever cut, never written.

What such a decision claims is what is known, which is nothing about the rules: no evaluation is
listed, the reason is ``exchange.interrupted``, and the verdict is ``allow``. ``block`` would say
that a policy stopped it; but upstream may have been called and part of a stream may have reached
the client, and whoever counts exposure has to find it among what was let through.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from kintsugi.durable import write_whole
from kintsugi.gateway.journal_records import peek
from kintsugi.ledger.journal import (
    CHAIN_START,
    FORMAT_VERSION,
    Damage,
    Header,
    encode_header,
    encode_line,
)
from kintsugi.ledger.journal_files import (
    RECOVERY_WORKER_ID,
    SegmentName,
    exclusive,
    is_live,
    list_segments,
)
from kintsugi.ledger.journal_reader import read_segment
from kintsugi.model.event import Admission, DecisionEvent, ExchangeStatus
from kintsugi.model.verdict import Verdict

log = structlog.get_logger(__name__)

INTERRUPTED = "exchange.interrupted"


class FoundDamage(msgspec.Struct, frozen=True):
    """A damage and the file it was found in. Torn tails have been cut; the rest is untouched."""

    file: str
    damage: Damage


class Recovered(msgspec.Struct, frozen=True):
    """What recovery found and did.

    Attributes:
        interrupted: exchanges that got their decision from this run.
        journal: where those were written; None when there were none.
    """

    interrupted: int = 0
    damages: tuple[FoundDamage, ...] = ()
    journal: Path | None = None


def recover(
    directory: Path,
    *,
    gateway_id: str,
    engine_version: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Recovered:
    """Bring a journal directory to a state in which every admission of a dead writer is decided.

    Safe to run at any time, beside live writers, again, and after it was killed itself: what it
    writes appears whole or not at all, and counts for the next run.

    Raises:
        OSError: the disk refused; nothing was written, run it again.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One recovery at a time: a second one waits and then finds nothing left to do. And nothing is
    # deleted meanwhile.
    with exclusive(directory):
        _remove_leftovers(directory)
        damages: list[FoundDamage] = []
        open_admissions: dict[bytes, bytes] = {}
        decided: set[bytes] = set()
        for segment in _of_dead_writers(directory):
            found = _read(directory / segment.file_name, open_admissions, decided)
            damages.extend(FoundDamage(segment.file_name, damage) for damage in found)
        missing = [record for key, record in open_admissions.items() if key not in decided]
        journal = None
        if missing:
            events = [_interrupted(record, engine_version) for record in missing]
            journal = _write(directory, gateway_id, events, clock())
            log.warning("recovery.interrupted", exchanges=len(missing), file=str(journal))
        return Recovered(len(missing), tuple(damages), journal)


def _of_dead_writers(directory: Path) -> list[SegmentName]:
    """Segments of series none of whose segments is live."""
    while True:
        segments = list_segments(directory)
        live = {segment.series for segment in segments if is_live(directory / segment.file_name)}
        # A writer that began its next segment in between held neither when they were looked at.
        if list_segments(directory) == segments:
            return [segment for segment in segments if segment.series not in live]


def _read(path: Path, open_admissions: dict[bytes, bytes], decided: set[bytes]) -> list[Damage]:
    damages: list[Damage] = []
    for line in read_segment(path, on_damage=damages.append):
        kind, exchange_id = peek(line.record)
        if kind == "admitted":
            open_admissions[exchange_id] = line.record
        elif kind == "decision" and open_admissions.pop(exchange_id, None) is None:
            # Most pairs close at once; only decisions that come first, or alone, are kept.
            decided.add(exchange_id)
    for damage in damages:
        if damage.torn:
            _cut(path, damage)
        else:
            log.error(
                "recovery.journal_damaged",
                file=str(path),
                offset=damage.offset,
                bytes=damage.resume_at - damage.offset,
                seq=damage.seq,
                why=damage.why,
            )
    return damages


def _cut(path: Path, damage: Damage) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, damage.offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    log.warning(
        "recovery.torn_tail_cut",
        file=str(path),
        offset=damage.offset,
        bytes=damage.resume_at - damage.offset,
    )


def _interrupted(record: bytes, engine_version: str) -> DecisionEvent:
    admission = msgspec.json.decode(record, type=Admission)
    identity = admission.identity
    return DecisionEvent(
        id=admission.id,
        timestamp=admission.timestamp,
        gateway_id=admission.gateway_id,
        worker_id=admission.worker_id,
        dialect=admission.dialect,
        config_version=admission.config_version,
        revision=admission.revision,
        engine_version=engine_version,
        verdict=Verdict.ALLOW,
        reason_code=INTERRUPTED,
        status=ExchangeStatus.INTERRUPTED,
        model=admission.model,
        user_id=identity.user_id,
        team_id=identity.team_id,
        tenant_id=identity.tenant_id,
        session_id=identity.session_id,
        agent_id=identity.agent_id,
        workflow=identity.workflow,
        request_id=identity.request_id,
        trace_id=identity.trace_id,
        parent_span_id=identity.parent_span_id,
        key_name=identity.key_name,
        error="gateway.interrupted",
        request_digest=admission.request_digest,
    )


def _write(directory: Path, gateway_id: str, events: list[DecisionEvent], now: datetime) -> Path:
    name = _free_name(directory, gateway_id, int(now.timestamp() * 1000))
    content, position = encode_header(
        Header(
            format=FORMAT_VERSION,
            gateway_id=gateway_id,
            worker_id=RECOVERY_WORKER_ID,
            segment=0,
            opened_at=now,
            previous_seq=0,
            previous_chain=CHAIN_START.hex(),
            reason="started",
        )
    )
    lines = [content]
    chain = position.chain
    for seq, event in enumerate(events, start=position.seq + 1):
        line, chain = encode_line(msgspec.json.encode(event), seq, chain)
        lines.append(line)
    path = directory / name.file_name
    write_whole(path, b"".join(lines))
    return path


def _free_name(directory: Path, gateway_id: str, unix_ms: int) -> SegmentName:
    name = SegmentName(gateway_id, RECOVERY_WORKER_ID, unix_ms, 0)
    while (directory / name.file_name).exists():
        name = msgspec.structs.replace(name, started_unix_ms=name.started_unix_ms + 1)
    return name


def _remove_leftovers(directory: Path) -> None:
    """Files that were being made when their maker died; they never had a name."""
    for path in directory.glob(".*.new"):
        with contextlib.suppress(FileNotFoundError):
            if not is_live(path):
                path.unlink()
