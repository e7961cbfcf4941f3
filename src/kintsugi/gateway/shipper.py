"""Ships decision records from the journals to the control plane, and trims what has arrived.

At least once, in order, never dropping: a batch is tried until the control plane takes it, however
long it is away; the control plane knows records by their id, so a second copy is harmless. A record
that it refuses for what is in it is set aside in ``rejected.jsonl``, loudly, and the rest goes on.

Each batch tells which lines of which journals its records are (``ledger/journal_ranges.py``). Lines
that the control plane misses, because it was set back to an older state or something between here
and there lost them, are sent again as long as they are here.

A segment is deleted when nobody writes it any more, every record of it has arrived, every
exchange admitted in it has a decision that has arrived, and every earlier segment of its series is
gone. Deleted means put aside in ``kept``, for a while and up to a size: a control plane that is set
back to a backup gets from there what it lost. So what recovery needs is always there, without the
two having to agree on anything.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from kintsugi.durable import sync, write_whole
from kintsugi.errors import ApiUnreachable
from kintsugi.gateway.control_plane import Answer, ControlPlane, backoff_seconds, problem_of
from kintsugi.gateway.journal_backlog import Backlog
from kintsugi.gateway.journal_records import DECISION_IN_LINE, peek
from kintsugi.gateway.kept_segments import NOTHING_KEPT, Keep, KeptSegments
from kintsugi.ledger.journal import Damage
from kintsugi.ledger.journal_files import (
    RECOVERY_WORKER_ID,
    SegmentName,
    exclusive,
    list_segments,
)
from kintsugi.ledger.journal_ranges import RangesLine, Role, Telling, tell, told_up_to
from kintsugi.ledger.journal_reader import Entry, JournalReader, Place, read_segment
from kintsugi.model.journal import JournalHead, MissingLines

log = structlog.get_logger(__name__)

BATCH_RECORDS_MAX = 1000
BATCH_BYTES_MAX = 4 * 1024 * 1024
POLL_SECONDS = 0.05
BACKOFF_SECONDS_MAX = 10.0

_BAD_LINE = re.compile(r"body line (\d+)")
# Statuses that speak about what is in the batch. Every other one is about the way there (a token,
# an address, an overload) and is tried again.
_REFUSES_CONTENT = frozenset({400, 422})
_TOO_LARGE = 413
_HEADS_MAX = 200

_encode = msgspec.json.Encoder().encode


class ShipperTally(msgspec.Struct, frozen=True):
    """Decision records of this gateway. ``decided = shipped + refused + waiting``.

    Attributes:
        shipped: acknowledged by the control plane, since this state folder exists.
        waiting: in the journals and not yet acknowledged.
        refused: for their content, since this state folder exists.
        last_error: why the last attempt failed; empty when it did not.
    """

    shipped: int = 0
    waiting: int = 0
    refused: int = 0
    last_error: str = ""


class _Progress(msgspec.Struct):
    """What ``shipper.json`` keeps: how far every segment has arrived, and every series is told."""

    shipped: int = 0
    refused: int = msgspec.field(default=0, name="quarantined")  # as files of older releases say
    places: dict[str, Place] = {}
    tellings: dict[str, Telling] = {}


class _Stored(msgspec.Struct, frozen=True):
    missing: tuple[MissingLines, ...] = ()


class _Taken(msgspec.Struct, frozen=True):
    """What the control plane answers to a batch."""

    data: _Stored = _Stored()


class _Rejected(msgspec.Struct):
    """One line of ``rejected.jsonl``."""

    rejected_at: datetime
    segment: str
    offset: int
    seq: int
    status: int
    reason: str
    record: msgspec.Raw


class _Stopping(Exception):
    """Unwinds the thread when it is asked to stop while a batch is under way."""


class Shipper:
    """Follows ``journal`` in a thread of its own.

    Args:
        state: the gateway's folder; keeps ``shipper.json`` and ``rejected.jsonl``.
        control_plane: used by this thread alone.
        keep: how long, and how much of, what has arrived is put aside before it is deleted.
        poll_seconds: how often to look for new records; what a record waits at most.
    """

    def __init__(
        self,
        journal: Path,
        state: Path,
        control_plane: ControlPlane,
        *,
        keep: Keep = NOTHING_KEPT,
        poll_seconds: float = POLL_SECONDS,
        backoff_seconds_max: float = BACKOFF_SECONDS_MAX,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._state = state
        self._control_plane = control_plane
        self._kept = KeptSegments(journal, keep, clock)
        self._poll_seconds = poll_seconds
        self._backoff_seconds_max = backoff_seconds_max
        self._clock = clock
        self._progress = self._load_progress()
        self._reader = JournalReader(
            journal, places=self._progress.places, on_damage=self._passed_over
        )
        # Read and not yet acknowledged as a whole.
        self._in_hand: Sequence[Entry] = ()
        self._admitted_in: dict[bytes, SegmentName] = {}
        self._tells = True
        self._wanted: list[MissingLines] = []
        self._asked_for: set[MissingLines] = set()
        self._wanted_lock = threading.Lock()
        self._backlog = Backlog(
            journal, {name: place.offset for name, place in self._progress.places.items()}
        )
        self._last_error = ""
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._rounds = threading.Condition()
        self._round_begun = 0
        self._round_drained = 0
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    @property
    def tally(self) -> ShipperTally:
        """A snapshot; from any thread."""
        return ShipperTally(
            self._progress.shipped,
            max(self._backlog.waiting, 0),
            self._progress.refused,
            self._last_error,
        )

    @property
    def journaled(self) -> int:
        """Decisions in journals that began after this was made; from any thread."""
        return self._backlog.journaled

    def heads(self) -> tuple[JournalHead, ...]:
        """How far each journal that is still here was acknowledged; from any thread."""
        tellings = dict(self._progress.tellings)
        return tuple(
            JournalHead(series, told.first_seq - 1, told.chain_before)
            for series, told in sorted(tellings.items())
            if told.first_seq > 1 and told.chain_before
        )[-_HEADS_MAX:]

    def send_again(self, missing: Sequence[MissingLines]) -> None:
        """Send these lines again, as far as they are still here; from any thread."""
        with self._wanted_lock:
            for lines in missing:
                if lines not in self._asked_for:
                    self._asked_for.add(lines)
                    self._wanted.append(lines)
                    self._wake.set()

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def wake(self) -> None:
        """Look for new records now, and do not wait out a pause after a failure."""
        self._wake.set()

    def flush(self, *, timeout_seconds: float) -> bool:
        """Wait until everything that was in the journals when this was called has arrived.

        Returns:
            False when it has not after ``timeout_seconds``; nothing is lost then, it is shipped
            after the next start.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._rounds:
            # The round under way may have looked already; the one after it has not.
            wanted = self._round_begun + 1
            while self._round_drained < wanted:
                self._wake.set()
                left = deadline - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    return False
                self._rounds.wait(min(left, 0.1))
        return True

    def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """End the thread; a batch under way is sent again after the next start."""
        self._stopping.set()
        self._wake.set()
        self._control_plane.abort()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    # In the thread

    def _run(self) -> None:
        remembered = False
        while not self._stopping.is_set():
            try:
                if not remembered:
                    self._remember_admissions()
                    remembered = True
                self._round()
            except _Stopping:
                break
            except Exception:  # the thread's edge: whatever it is, shipping must not end silently
                log.exception("shipper.failed")
                self._stopping.wait(1.0)
        self._control_plane.close()

    def _round(self) -> None:
        with self._rounds:
            self._round_begun += 1
        try:
            self._backlog.look()
            if not self._in_hand:
                self._in_hand = self._reader.read(
                    lines_max=BATCH_RECORDS_MAX, bytes_max=BATCH_BYTES_MAX
                )
            if self._in_hand:
                self._ship(self._in_hand)
                return
            if self._wanted:
                self._send_again(self._wanted[0])
                del self._wanted[0]
                return
            with exclusive(self._journal, wait=False) as nobody_reads:
                if nobody_reads:
                    self._trim()
        except OSError as error:
            # The journal's or the state folder's disk. What is in hand stays in hand.
            self._failed(f"the state folder cannot be used: {error}")
        else:
            # Everything counted has been read, so more than nothing would be a miscount: records
            # that were counted and then written again elsewhere when their sync failed.
            self._backlog.waiting = min(self._backlog.waiting, 0)
            self._succeeded()
            with self._rounds:
                self._round_drained = self._round_begun
                self._rounds.notify_all()
        self._wake.wait(self._poll_seconds)
        self._wake.clear()

    def _ship(self, entries: Sequence[Entry]) -> None:
        decisions: list[Entry] = []
        for entry in entries:
            kind, exchange_id = peek(entry.line.record)
            if kind == "decision":
                decisions.append(entry)
            elif kind == "admitted":
                self._admitted_in[exchange_id] = entry.segment
        tellings, rejected = self._deliver(entries, self._progress.tellings)
        # Only now: until its decision has arrived an admission keeps its segment.
        for entry in decisions:
            self._admitted_in.pop(peek(entry.line.record)[1], None)
        for entry in entries:
            self._progress.places[entry.segment.file_name] = entry.place
        self._progress.tellings = tellings
        self._progress.shipped += len(decisions) - rejected
        self._progress.refused += rejected
        self._backlog.waiting -= len(decisions)
        self._in_hand = ()
        self._save_progress()

    def _deliver(
        self,
        entries: Sequence[Entry],
        tellings: Mapping[str, Telling],
        aside: frozenset[tuple[str, int]] = frozenset(),
    ) -> tuple[dict[str, Telling], int]:
        """Send until every decision has arrived or is set aside.

        Args:
            entries: every line, so that what is told of the journals has no holes.
            aside: lines that are set aside already, by segment and sequence number.

        Returns:
            How far the journals are told then, and how many records were set aside.
        """
        lines = [(entry, _role(entry, aside)) for entry in entries]
        sent = [place for place, (_, role) in enumerate(lines) if role == "sent"]
        ranges, told = tell(tellings, lines)
        if not sent and not (ranges and self._tells):
            return told, 0
        head = [_encode(RangesLine(ranges))] if ranges and self._tells else []
        answer = self._post([*head, *(entries[place].line.record for place in sent)])
        if answer.status < 300:
            self._note_missing(answer)
            return told, 0
        problem = problem_of(answer)
        named = {
            int(found[1]) - 1: error.message
            for error in problem.errors
            if (found := _BAD_LINE.fullmatch(error.where))
        }
        if head and 0 in named:
            # An older one that does not know this line.
            log.warning("shipper.ranges_refused", why=named[0])
            self._tells = False
            return self._deliver(entries, tellings, aside)
        bad = {
            sent[line - len(head)]: reason
            for line, reason in named.items()
            if 0 <= line - len(head) < len(sent)
        }
        if not bad and len(sent) == 1:
            bad = {sent[0]: problem.detail}
        if bad and (answer.status != _TOO_LARGE or len(sent) == 1):
            for place, reason in bad.items():
                self._set_aside(entries[place], answer.status, reason)
            refused = {_line_of(entries[place]) for place in bad}
            told, others = self._deliver(entries, tellings, aside | refused)
            return told, len(bad) + others
        if not sent:
            return told, 0  # nothing but ranges, and nothing in them that could be sent otherwise
        # Refused as a whole without a word about which: halve until the one is found.
        middle = sent[len(sent) // 2]
        told, first = self._deliver(entries[:middle], tellings, aside)
        told, second = self._deliver(entries[middle:], told, aside)
        return told, first + second

    def _post(self, lines: Sequence[bytes]) -> Answer:
        """Send until there is an answer about the batch itself."""
        body = b"\n".join(lines)
        attempt = 0
        while True:
            try:
                answer = self._control_plane.request(
                    "POST", "/v1/events", body, "application/x-ndjson"
                )
            except ApiUnreachable as error:
                why = str(error)
            else:
                if answer.status < 300:
                    self._succeeded()
                    return answer
                if answer.status in _REFUSES_CONTENT or answer.status == _TOO_LARGE:
                    return answer
                why = f"the control plane answered {answer.status}: {problem_of(answer).detail}"
            attempt += 1
            self._failed(why)
            self._pause(attempt)

    # What the control plane misses

    def _note_missing(self, answer: Answer) -> None:
        try:
            missing = msgspec.json.decode(answer.body, type=_Taken).data.missing
        except msgspec.DecodeError:
            return  # another version; what it misses it will say to people
        self.send_again(missing)

    def _send_again(self, wanted: MissingLines) -> None:
        """Send these lines again, as far as they are still here."""
        found = 0
        tellings: dict[str, Telling] = {}
        for batch in self._lines_before_and_in(wanted, tellings):
            tellings, _ = self._deliver(batch, tellings)
            found += len(batch)
        log.warning(
            "shipper.sent_again" if found else "shipper.lines_gone",
            series=wanted.series,
            first_seq=wanted.first_seq,
            last_seq=wanted.last_seq,
            lines=found,
        )

    def _lines_before_and_in(
        self, wanted: MissingLines, tellings: dict[str, Telling]
    ) -> Iterator[list[Entry]]:
        """The wanted lines in batches; notes in ``tellings`` which line stands before them."""
        batch: list[Entry] = []
        folders = (self._kept.folder, self._journal)
        paths = [
            (segment, folder / segment.file_name)
            for folder in folders
            for segment in list_segments(folder)
            if segment.series == wanted.series
        ]
        for segment, path in paths:
            for line in read_segment(path, on_damage=lambda _damage: None):
                if line.seq == wanted.first_seq - 1:
                    tellings[wanted.series] = told_up_to(line.seq, line.chain.hex())
                if wanted.first_seq <= line.seq <= wanted.last_seq:
                    batch.append(Entry(segment, line))
                if len(batch) == BATCH_RECORDS_MAX:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _pause(self, attempt: int) -> None:
        seconds = backoff_seconds(
            attempt,
            noise=random.random(),  # noqa: S311 spreads load, guards nothing
            ceiling_seconds=self._backoff_seconds_max,
        )
        self._wake.wait(seconds)
        self._wake.clear()
        if self._stopping.is_set():
            raise _Stopping
        self._backlog.look()

    def _failed(self, why: str) -> None:
        if self._stopping.is_set():
            raise _Stopping
        if not self._last_error:
            log.warning("shipper.waits", why=why, waiting=self._backlog.waiting)
        self._last_error = why

    def _succeeded(self) -> None:
        if self._last_error:
            log.info("shipper.goes_on", waiting=self._backlog.waiting)
        self._last_error = ""

    def _set_aside(self, entry: Entry, status: int, reason: str) -> None:
        rejected = _Rejected(
            rejected_at=self._clock(),
            segment=entry.segment.file_name,
            offset=entry.line.offset,
            seq=entry.line.seq,
            status=status,
            reason=reason,
            record=msgspec.Raw(entry.line.record),
        )
        path = self._state / "rejected.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(msgspec.json.encode(rejected) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self._state)
        log.error(
            "shipper.record_rejected",
            segment=rejected.segment,
            seq=rejected.seq,
            status=status,
            reason=reason,
            kept_in=str(path),
        )

    # What has arrived

    def _load_progress(self) -> _Progress:
        path = self._state / "shipper.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Progress)
        except FileNotFoundError:
            return _Progress()
        except msgspec.DecodeError as error:
            # Everything still here is sent again, which is harmless.
            log.warning("shipper.progress_unreadable", file=str(path), why=str(error))
            return _Progress()

    def _save_progress(self) -> None:
        # Not synced: after a power loss an older state is found, and records are sent again.
        write_whole(
            self._state / "shipper.json", msgspec.json.encode(self._progress), durable=False
        )

    def _remember_admissions(self) -> None:
        """Find the admissions whose decision has not arrived, among what was read before."""
        for segment in list_segments(self._journal):
            arrived = self._progress.places.get(segment.file_name, Place()).offset
            if not arrived:
                continue
            for line in read_segment(
                self._journal / segment.file_name, on_damage=lambda _damage: None
            ):
                if line.end > arrived:
                    break
                kind, exchange_id = peek(line.record)
                if kind == "admitted":
                    self._admitted_in[exchange_id] = segment
                elif kind == "decision":
                    self._admitted_in.pop(exchange_id, None)

    def _trim(self) -> None:
        held = set(self._admitted_in.values())
        blocked: set[str] = set()
        deleted = False
        others_left = False
        for segment in list_segments(self._journal):
            if segment.worker_id == RECOVERY_WORKER_ID and others_left:
                break
            if (
                segment.series in blocked
                or segment in held
                or not self._reader.is_finished(segment)
                or self._reader.is_damaged(segment)
                or self._has_tail(segment)
            ):
                blocked.add(segment.series)
                others_left = others_left or self._reader.is_finished(segment)
                continue
            self._kept.put_aside(segment)
            self._progress.places.pop(segment.file_name, None)
            self._backlog.forget(segment)
            deleted = True
        if deleted:
            self._kept.delete_old()
            left = {
                segment.series
                for folder in (self._kept.folder, self._journal)
                for segment in list_segments(folder)
            }
            for series in self._progress.tellings.keys() - left:
                del self._progress.tellings[series]
            self._save_progress()

    def _has_tail(self, segment: SegmentName) -> bool:
        """Whether a torn tail is left, which recovery has to report and cut first."""
        size = (self._journal / segment.file_name).stat().st_size
        return size > self._reader.place(segment).offset

    def _passed_over(self, segment: SegmentName, damage: Damage) -> None:
        path = self._journal / segment.file_name
        with path.open("rb") as file:
            file.seek(damage.offset)
            lost = file.read(damage.resume_at - damage.offset)
        self._backlog.waiting -= lost.count(DECISION_IN_LINE)
        log.error(
            "shipper.journal_damaged",
            file=str(path),
            offset=damage.offset,
            bytes=len(lost),
            seq=damage.seq,
            why=damage.why,
        )


def _line_of(entry: Entry) -> tuple[str, int]:
    return entry.segment.file_name, entry.line.seq


def _role(entry: Entry, aside: frozenset[tuple[str, int]]) -> Role:
    if peek(entry.line.record)[0] != "decision":
        return "other"
    return "refused" if _line_of(entry) in aside else "sent"
