"""After a death: torn tails cut, the undecided decided, exactly once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from kintsugi.gateway import recovery
from kintsugi.gateway.journal_records import peek
from kintsugi.gateway.recovery import Recovered, recover
from kintsugi.ledger.journal_files import RECOVERY_WORKER_ID, is_live, list_segments
from kintsugi.ledger.journal_reader import read_segment
from kintsugi.ledger.journal_segments import Disk, SegmentSeries
from kintsugi.model.content import Identity
from kintsugi.model.event import Admission, DecisionEvent, ExchangeStatus
from kintsugi.model.verdict import Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def admission(number: int) -> Admission:
    return Admission(
        id=f"01900000-0000-7000-8000-{number:012d}",
        timestamp=NOON,
        gateway_id="gw-1",
        worker_id="w0",
        dialect="openai-chat",
        config_version="support@3",
        revision="sha256:aa",
        request_digest="sha256:bb",
        model="sim-echo",
        identity=Identity(user_id="u-1", workflow="refunds", trace_id="f" * 32),
    )


def decision(number: int) -> DecisionEvent:
    return DecisionEvent(
        id=admission(number).id,
        timestamp=NOON,
        gateway_id="gw-1",
        worker_id="w0",
        dialect="openai-chat",
        config_version="support@3",
        revision="sha256:aa",
        engine_version="1",
        verdict=Verdict.ALLOW,
        reason_code="policy.passed",
        status=ExchangeStatus.ANSWERED,
    )


def write(directory: Path, *records: Admission | DecisionEvent) -> SegmentSeries:
    """A worker's journal; the worker lives until it is closed."""
    series = SegmentSeries(
        directory,
        gateway_id="gw-1",
        worker_id="w0",
        clock=lambda: NOON,
        segment_bytes_max=1 << 20,
        disk=Disk(),
    )
    series.write([msgspec.json.encode(record) for record in records])
    series.sync()
    return series


def run(directory: Path) -> Recovered:
    return recover(directory, gateway_id="gw-1", engine_version="2", clock=lambda: NOON)


def interrupted(directory: Path) -> list[DecisionEvent]:
    events: list[DecisionEvent] = []
    for segment in list_segments(directory):
        if segment.worker_id != RECOVERY_WORKER_ID:
            continue
        path = directory / segment.file_name
        lines = read_segment(path, on_damage=lambda damage: pytest.fail(str(damage)))
        events += [
            msgspec.json.decode(line.record, type=DecisionEvent)
            for line in lines
            if peek(line.record)[0] == "decision"
        ]
    return events


def test_a_first_start_has_nothing_to_recover(tmp_path: Path) -> None:
    assert run(tmp_path / "journal") == Recovered()


def test_an_admission_without_a_decision_is_decided_as_interrupted(tmp_path: Path) -> None:
    write(tmp_path, admission(1), admission(2), decision(1)).close()
    found = run(tmp_path)
    assert found.interrupted == 1
    (event,) = interrupted(tmp_path)
    assert event.id == admission(2).id
    assert event.timestamp == NOON
    assert event.status is ExchangeStatus.INTERRUPTED
    assert (event.verdict, event.reason_code) == (Verdict.ALLOW, "exchange.interrupted")
    assert (event.user_id, event.workflow, event.trace_id) == ("u-1", "refunds", "f" * 32)
    assert (event.config_version, event.revision) == ("support@3", "sha256:aa")
    assert (event.model, event.request_digest) == ("sim-echo", "sha256:bb")
    assert event.evaluations == ()


def test_recovering_again_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path, admission(1)).close()
    assert run(tmp_path).interrupted == 1
    assert run(tmp_path) == Recovered()
    assert len(interrupted(tmp_path)) == 1


def test_what_a_live_worker_has_under_way_is_left_alone(tmp_path: Path) -> None:
    series = write(tmp_path, admission(1))
    assert run(tmp_path).interrupted == 0
    series.close()
    assert run(tmp_path).interrupted == 1


def test_a_worker_that_begins_a_segment_meanwhile_is_still_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = write(tmp_path, admission(1))
    turned_over = False

    def look(path: Path) -> bool:
        nonlocal turned_over
        if not turned_over:
            turned_over = True
            series.turn_over()
        return is_live(path)

    monkeypatch.setattr(recovery, "is_live", look)
    assert run(tmp_path).interrupted == 0
    assert turned_over
    series.close()


def test_a_decision_in_a_later_segment_counts(tmp_path: Path) -> None:
    series = write(tmp_path, admission(1))
    series.turn_over()
    series.write([msgspec.json.encode(decision(1))])
    series.sync()
    series.close()
    assert run(tmp_path).interrupted == 0


def test_a_torn_tail_is_cut_and_reported(tmp_path: Path) -> None:
    series = write(tmp_path, admission(1), decision(1))
    series.close()
    whole = series.path.read_bytes()
    series.path.write_bytes(whole[:-7])
    found = run(tmp_path)
    assert whole.startswith(series.path.read_bytes())
    assert series.path.read_bytes().endswith(b"}\n")
    (torn,) = found.damages
    assert (torn.file, torn.damage.torn) == (series.path.name, True)
    assert torn.damage.offset == series.path.stat().st_size
    assert found.interrupted == 1, "the decision was in the torn line, so it never counted"


def test_corruption_in_the_middle_is_reported_and_not_touched(tmp_path: Path) -> None:
    series = write(tmp_path, admission(1), decision(1), admission(2), decision(2))
    series.close()
    content = bytearray(series.path.read_bytes())
    content[content.index(b'"worker_id":"w0","dialect"', 400)] ^= 1
    series.path.write_bytes(bytes(content))
    found = run(tmp_path)
    assert [damage.damage.torn for damage in found.damages] == [False]
    assert series.path.read_bytes() == bytes(content)


@pytest.mark.parametrize("killed_in", ["_write", "write_whole"])
def test_a_recovery_that_dies_half_way_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    write(tmp_path, admission(1), admission(2)).close()

    class Killed(BaseException):
        pass

    def dies(*_arguments: object, **_named: object) -> None:
        (tmp_path / ".gw-1.recovery.1.000000.jsonl.new").write_bytes(b'{"crc":"0')
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(recovery, killed_in, dies)
        with pytest.raises(Killed):
            run(tmp_path)
    assert interrupted(tmp_path) == []
    assert run(tmp_path).interrupted == 2
    assert run(tmp_path).interrupted == 0
    assert len(interrupted(tmp_path)) == 2
    assert list(tmp_path.glob(".*.new")) == []


def test_two_deaths_at_the_same_moment_get_two_recovery_journals(tmp_path: Path) -> None:
    write(tmp_path, admission(1)).close()
    run(tmp_path)
    write(tmp_path, admission(2)).close()
    run(tmp_path)
    assert {event.id for event in interrupted(tmp_path)} == {admission(1).id, admission(2).id}


def test_records_of_another_field_order_are_told_apart_too() -> None:
    assert peek(b'{"id":"x","kind":"decision"}') == ("decision", b"x")
    assert peek(b'{"id":"x","kind":"admitted"}') == ("admitted", b"x")
    assert peek(b'{"kind":"note"}') == ("other", b"")
    assert peek(b"[]") == ("other", b"")
    assert peek(msgspec.json.encode(admission(1))) == ("admitted", admission(1).id.encode())
    assert peek(msgspec.json.encode(decision(1))) == ("decision", decision(1).id.encode())
