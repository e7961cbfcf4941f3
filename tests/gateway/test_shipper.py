"""Shipping: at least once, never dropping, never wedged, and no longer than needed on disk."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kintsugi.gateway.control_plane import ControlPlane, backoff_seconds
from kintsugi.gateway.kept_segments import NOTHING_KEPT, Keep
from kintsugi.gateway.recovery import recover
from kintsugi.gateway.shipper import BATCH_RECORDS_MAX, Shipper, ShipperTally
from kintsugi.ledger.journal_continuity import SeriesState, continue_series
from kintsugi.ledger.journal_files import exclusive, list_segments
from kintsugi.ledger.journal_segments import Disk, SegmentSeries
from kintsugi.model.journal import MissingLines
from tests.gateway.fake_control_plane import TOKEN, FakeControlPlane, Reply, running

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def identifier(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def decided(number: int, filling: str = "") -> bytes:
    return b'{"kind":"decision","id":"%b","filling":"%b"}' % (
        identifier(number).encode(),
        filling.encode(),
    )


def admitted(number: int) -> bytes:
    return (
        b'{"kind":"admitted","id":"%b","timestamp":"2026-11-21T12:00:00Z","gateway_id":"gw-1",'
        b'"worker_id":"w0","dialect":"openai-chat","config_version":"a@1","revision":"r",'
        b'"request_digest":"d"}' % identifier(number).encode()
    )


def series(journal: Path, worker_id: str = "w0") -> SegmentSeries:
    return SegmentSeries(
        journal,
        gateway_id="gw-1",
        worker_id=worker_id,
        clock=lambda: NOON,
        segment_bytes_max=1 << 20,
        disk=Disk(),
    )


def write(writer: SegmentSeries, *records: bytes) -> None:
    writer.write(records)
    writer.sync()


@pytest.fixture
def fake() -> Iterator[FakeControlPlane]:
    with running() as control_plane:
        yield control_plane


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "journal"
    directory.mkdir()
    return directory


@contextmanager
def shipping(
    journal: Path, fake: FakeControlPlane, *, token: str = TOKEN, keep: Keep = NOTHING_KEPT
) -> Iterator[Shipper]:
    shipper = Shipper(
        journal,
        journal.parent,
        ControlPlane(fake.url, lambda: token, timeout_seconds=30),
        keep=keep,
        poll_seconds=0.01,
        backoff_seconds_max=0.05,
        clock=lambda: NOON,
    )
    shipper.start()
    try:
        yield shipper
    finally:
        shipper.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_decisions_arrive_in_order_and_nothing_else_does(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, admitted(1), decided(1), decided(2))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=2)
        write(writer, decided(3))
        fake.wait(lambda: len(fake.stored) == 3)
    assert fake.stored == [identifier(number) for number in (1, 2, 3)]
    writer.close()


def test_a_long_journal_that_a_recovery_closed_is_deleted_in_the_end(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, *(decided(number) for number in range(2 * BATCH_RECORDS_MAX)), admitted(5_000))
    writer.close()
    assert recover(journal, gateway_id="gw-1", engine_version="2").interrupted == 1
    with shipping(journal, fake):
        until(lambda: not list_segments(journal))
    assert fake.stored[-1] == identifier(5_000)


def test_nothing_is_deleted_while_a_recovery_reads(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, admitted(1), decided(1))
    writer.close()
    with shipping(journal, fake) as shipper:
        with exclusive(journal):
            assert shipper.flush(timeout_seconds=60)
            assert shipper.flush(timeout_seconds=60)
            assert len(list_segments(journal)) == 1
        until(lambda: not list_segments(journal))


def test_batches_hold_no_more_than_a_thousand(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, *(decided(number) for number in range(2500)))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=10)
    assert sum(fake.batches) == len(fake.stored) == 2500
    assert max(fake.batches) <= 1000
    writer.close()


def test_nothing_is_dropped_while_the_control_plane_is_away(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    fake.stop()
    with shipping(journal, fake) as shipper:
        write(writer, *(decided(number) for number in range(10)))
        until(lambda: bool(shipper.tally.last_error))
        until(lambda: shipper.tally.waiting == 10)
        write(writer, *(decided(number) for number in range(10, 25)))
        until(lambda: shipper.tally.waiting == 25)
        assert not shipper.flush(timeout_seconds=0.05)
        fake.start()
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=25)
    assert len(fake.stored) == 25
    writer.close()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_answer_that_is_not_about_the_records_is_tried_again(
    journal: Path, fake: FakeControlPlane, status: int
) -> None:
    writer = series(journal)
    write(writer, decided(1))
    answers: list[Reply] = [(status, {"detail": "no"})] * 3
    fake.answer_events = lambda _lines: answers.pop() if answers else None
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    assert fake.stored == [identifier(1)]
    assert not (journal.parent / "rejected.jsonl").exists()
    writer.close()


def test_a_record_that_is_refused_by_line_is_set_aside_and_the_rest_goes_on(
    journal: Path, fake: FakeControlPlane
) -> None:
    def refuse(lines: list[bytes]) -> Reply | None:
        errors = [
            {"where": f"body line {number}", "message": "Invalid UUID"}
            for number, line in enumerate(lines, start=1)
            if b"awkward" in line
        ]
        return (422, {"detail": "bad", "errors": errors}) if errors else None

    fake.answer_events = refuse
    writer = series(journal)
    write(writer, decided(1), decided(2, "awkward"), decided(3), decided(4, "awkward"), decided(5))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=3, refused=2)
    assert fake.stored == [identifier(number) for number in (1, 3, 5)]
    rejected = [
        json.loads(line) for line in (journal.parent / "rejected.jsonl").read_text().splitlines()
    ]
    assert [entry["record"]["id"] for entry in rejected] == [identifier(2), identifier(4)]
    assert [entry["reason"] for entry in rejected] == ["Invalid UUID"] * 2
    assert rejected[0]["segment"] == writer.path.name
    writer.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_record_that_is_refused_without_a_name_is_found_by_halving(
    journal: Path, fake: FakeControlPlane, status: int
) -> None:
    def refuse(lines: list[bytes]) -> Reply | None:
        return (status, {"detail": "no"}) if any(b"awkward" in line for line in lines) else None

    fake.answer_events = refuse
    writer = series(journal)
    write(writer, *(decided(number, "awkward" if number == 7 else "") for number in range(20)))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=19, refused=1)
    writer.close()


def test_a_restart_goes_on_where_the_last_acknowledgement_was(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, decided(1), decided(2))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    write(writer, decided(3))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=3)
    assert sum(fake.batches) == 3, "something was sent twice"
    writer.close()


def test_an_unreadable_progress_file_sends_everything_again(
    journal: Path, fake: FakeControlPlane
) -> None:
    (journal.parent / "shipper.json").write_bytes(b"{torn")
    writer = series(journal)
    write(writer, decided(1))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    assert fake.stored == [identifier(1)]
    writer.close()


def test_a_live_segment_stays_and_a_finished_one_goes(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, admitted(1), decided(1))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert len(list_segments(journal)) == 1
        writer.turn_over()
        until(lambda: [name.segment for name in list_segments(journal)] == [1])
        writer.close()
        until(lambda: list_segments(journal) == [])
        assert shipper.tally == ShipperTally(shipped=1)


def test_a_segment_with_an_open_admission_stays_until_its_decision_has_arrived(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, admitted(1))
    writer.turn_over()
    write(writer, admitted(2), decided(2))
    writer.turn_over()
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    with shipping(journal, fake) as shipper:  # which has to remember across a restart
        assert shipper.flush(timeout_seconds=60)
        assert [name.segment for name in list_segments(journal)] == [0, 1, 2]
        write(writer, decided(1))
        until(lambda: [name.segment for name in list_segments(journal)] == [2])
    writer.close()


def test_what_recovery_decides_is_shipped_and_everything_is_trimmed(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, admitted(1), admitted(2), decided(1))
    writer.close()
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert len(list_segments(journal)) == 1
        assert recover(journal, gateway_id="gw-1", engine_version="1").interrupted == 1
        until(lambda: list_segments(journal) == [])
        assert shipper.tally == ShipperTally(shipped=2)
    assert fake.stored == [identifier(1), identifier(2)]
    assert recover(journal, gateway_id="gw-1", engine_version="1").interrupted == 0


def test_a_torn_tail_is_left_for_recovery_to_report(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, decided(1))
    writer.close()
    with writer.path.open("ab") as file:
        file.write(b'{"crc":"0')
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.flush(timeout_seconds=60)
        assert writer.path.exists()
        assert recover(journal, gateway_id="gw-1", engine_version="1").damages[0].damage.torn
        until(lambda: not writer.path.exists())


def test_a_damaged_segment_is_shipped_around_and_kept(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, decided(1), decided(2), decided(3))
    writer.close()
    content = writer.path.read_bytes()
    writer.path.write_bytes(content.replace(identifier(2).encode(), b"x" * 36))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=2)
    assert fake.stored == [identifier(1), identifier(3)]
    assert writer.path.exists()


def test_a_full_state_disk_sends_nothing_twice_and_loses_nothing(
    journal: Path, fake: FakeControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()

    def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("kintsugi.gateway.shipper.write_whole", write_whole)
    writer = series(journal)
    write(writer, decided(1), decided(2))
    with shipping(journal, fake) as shipper:
        until(lambda: "No space left" in shipper.tally.last_error or not shipper.tally.waiting)
        assert shipper.flush(timeout_seconds=60)
        full.clear()
        write(writer, decided(3))
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=3)
    assert sum(fake.batches) == 3
    writer.close()


@pytest.mark.alone
def test_stopping_during_an_outage_does_not_wait(journal: Path, fake: FakeControlPlane) -> None:
    fake.stop()
    writer = series(journal)
    write(writer, decided(1))
    with shipping(journal, fake) as shipper:
        until(lambda: bool(shipper.tally.last_error))
        began = time.monotonic()
        shipper.stop()
        assert time.monotonic() - began < 2
    writer.close()


def test_the_token_is_in_no_message(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, decided(1))
    with shipping(journal, fake, token="wrong-secret") as shipper:
        until(lambda: "401" in shipper.tally.last_error)
        assert "wrong-secret" not in shipper.tally.last_error
    writer.close()


def state_of(fake: FakeControlPlane) -> tuple[dict[str, SeriesState], list[str]]:
    """What a control plane knows after everything that it was told."""
    states: dict[str, SeriesState] = {}
    said: list[str] = []
    for checked in fake.told:
        continued = continue_series(states.get(checked.range.series, SeriesState()), checked)
        states[checked.range.series] = continued.state
        said += [seen.summary for seen in continued.seen]
    return states, said


def test_every_line_is_told_over_segments_workers_and_restarts(
    journal: Path, fake: FakeControlPlane
) -> None:
    writers = [series(journal, worker_id) for worker_id in ("w0", "w1")]
    for turn in range(3):
        for number, writer in enumerate(writers):
            first = turn * 20 + number * 10
            write(writer, admitted(first), decided(first), decided(first + 1), admitted(first + 2))
            if turn == 1:
                writer.turn_over()
        with shipping(journal, fake) as shipper:
            assert shipper.flush(timeout_seconds=60)
    states, said = state_of(fake)
    assert said == []
    # One header for each segment, and the last admission has no decision behind it.
    assert [(state.seq, state.gaps) for state in states.values()] == [(13, ())] * 2
    for writer in writers:
        writer.close()


def test_lost_progress_tells_everything_again_and_nothing_new(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, *(decided(number) for number in range(5)))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    (journal.parent / "shipper.json").unlink()
    write(writer, decided(5))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    states, said = state_of(fake)
    assert said == []
    assert [state.seq for state in states.values()] == [7]
    writer.close()


def test_damage_is_told_with_its_lines(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, *(decided(number) for number in range(1, 6)))
    writer.close()
    content = writer.path.read_bytes()
    writer.path.write_bytes(content.replace(identifier(3).encode(), b"x" * 36))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    [state], said = list(state_of(fake)[0].values()), state_of(fake)[1]
    assert [(gap.first_seq, gap.last_seq) for gap in state.gaps] == [(4, 4)]
    assert len(said) == 1


def test_a_record_that_was_set_aside_leaves_no_gap(journal: Path, fake: FakeControlPlane) -> None:
    def refuse(lines: list[bytes]) -> Reply | None:
        return (400, {"detail": "no"}) if any(b"awkward" in line for line in lines) else None

    fake.answer_events = refuse
    writer = series(journal)
    write(writer, *(decided(number, "awkward" if number == 7 else "") for number in range(20)))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
    states, said = state_of(fake)
    assert said == []
    assert [(state.seq, state.gaps) for state in states.values()] == [(21, ())]
    writer.close()


def test_what_the_control_plane_misses_is_sent_again(journal: Path, fake: FakeControlPlane) -> None:
    writer = series(journal)
    write(writer, *(decided(number) for number in range(1, 6)))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        fake.stored = fake.stored[:1]  # set back to an older state
        fake.told = []
        fake.missing = [{"series": list_segments(journal)[0].series, "first_seq": 3, "last_seq": 6}]
        write(writer, decided(6))
        fake.wait(lambda: len(fake.stored) == 6)
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=6), "counted once"
    assert [(one.range.first_seq, one.range.last_seq, one.wrong) for one in fake.told] == [
        (7, 7, ()),
        (3, 6, ()),
    ]
    writer.close()


def test_what_has_arrived_is_kept_for_a_while_and_sent_again_from_there(
    journal: Path, fake: FakeControlPlane
) -> None:
    writer = series(journal)
    write(writer, decided(1), decided(2))
    writer.turn_over()
    with shipping(journal, fake, keep=Keep(1e10, 10_000)) as shipper:
        until(lambda: len(list_segments(journal)) == 1)
        fake.stored, fake.told = [], []
        missing = MissingLines(list_segments(journal)[0].series, 1, 3)
        shipper.send_again([missing, missing])
        fake.wait(lambda: len(fake.stored) == 2)
        assert shipper.flush(timeout_seconds=60)
    assert [(one.range.first_seq, one.range.last_seq) for one in fake.told] == [(1, 3)]
    writer.close()


@pytest.mark.parametrize("keep", [Keep(-1e10, 10_000), Keep(1e10, 300)])
def test_what_is_kept_is_deleted_when_it_is_old_or_much(
    journal: Path, fake: FakeControlPlane, keep: Keep
) -> None:
    writer = series(journal)
    for number in range(5):
        write(writer, decided(number))
        writer.turn_over()
    with shipping(journal, fake, keep=keep):
        until(lambda: len(list_segments(journal)) == 1)
        until(lambda: sum(path.stat().st_size for path in (journal / "kept").iterdir()) <= 300)
    writer.close()


def test_an_older_control_plane_is_sent_records_alone(
    journal: Path, fake: FakeControlPlane
) -> None:
    def refuse(lines: list[bytes]) -> Reply | None:
        error = {"where": "body line 1", "message": "Invalid value 'journal'"}
        known = not lines[0].startswith(b'{"kind":"journal"')
        return None if known else (422, {"detail": "no", "errors": [error]})

    fake.answer_events = refuse
    writer = series(journal)
    write(writer, decided(1), decided(2))
    with shipping(journal, fake) as shipper:
        assert shipper.flush(timeout_seconds=60)
        assert shipper.tally == ShipperTally(shipped=2)
    assert fake.told == []
    writer.close()


@pytest.mark.parametrize("attempt", [1, 2, 5, 100, 10_000])
def test_a_pause_grows_to_its_ceiling_and_is_half_random(attempt: int) -> None:
    least = backoff_seconds(attempt, noise=0, ceiling_seconds=10)
    most = backoff_seconds(attempt, noise=1, ceiling_seconds=10)
    assert least == most / 2
    assert most == min(10, 0.1 * 2 ** min(attempt - 1, 16))


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a control plane"):
        ControlPlane(url, lambda: TOKEN)
