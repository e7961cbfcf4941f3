"""Retention: what is past its end goes, what a hold or an open incident covers never does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.incidents import relations
from kintsugi.ledger.leaves import RetentionLeaf
from kintsugi.ledger.proof import record_hash
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.holds import Hold
from kintsugi.model.idempotency import SavedAnswer
from kintsugi.model.ids import uuid7
from kintsugi.model.retention import DEFAULTS, Keeper, RetentionPolicy, changed
from kintsugi.model.signal import Observation
from kintsugi.model.stores import Stores
from tests.contract.retention import DAY, claimed, keep, run_all, through, wanted
from tests.contract.test_incident_store import act, declare
from tests.contract.test_span_store import TRACE, span
from tests.contract.test_vault_store import erased
from tests.databases import NOON
from tests.store.made import as_sent, event

OLD = NOON - 200 * DAY


def said(number: int, *, at: datetime = OLD, **changes: Any) -> DecisionEvent:
    return event(number, at=at, payload=Payload(f"asked {number}", "answered"), **changes)


def hold(stores: Stores, name: str = "Doe", **where: Any) -> Hold:
    identifier = uuid7(int(NOON.timestamp() * 1000), name.encode().ljust(10)[:10])
    made = Hold(identifier, name, "the court asks", "ana/t1", NOON, EventFilter(**where))
    entry = custody_entry("hold", f"hold:{made.id}", actor="ana/t1", now=NOON)
    stores.holds.place(made, entry)
    return made


def exported(stores: Stores, number: int, *, at: datetime = OLD, **changes: Any) -> ExportJob:
    job = ExportJob(
        id=uuid7(int(at.timestamp() * 1000), number.to_bytes(10, "big")),
        state="queued",
        created_at=at,
        created_by="ana",
        **{"type": "events", "format": "jsonl", "where": EventFilter(), **changes},
    )
    stores.exports.add(job)
    done = stores.exports.claim(now=at, stale_after_seconds=60)
    assert done is not None
    done = msgspec.structs.replace(
        done, state="done", path=f"exports/{job.id}", sha256="ab" * 32, finished_at=at
    )
    stores.exports.update(done, now=at)
    return done


def tie(stores: Stores, incident_id: str, *event_ids: str) -> None:
    stores.incidents.change(
        [incident_id],
        lambda found: (relations.with_events(found[0], event_ids, act()),),
        now=NOON,
    )


# Settings


def test_before_anybody_decides_the_defaults_hold(stores: Stores) -> None:
    assert stores.retention.settings() == DEFAULTS
    before = DEFAULTS.before("payloads", NOON)
    assert before == NOON - 183 * DAY
    assert DEFAULTS.before("custody", NOON) is None


def test_a_change_is_a_version_and_stands_in_custody(stores: Stores) -> None:
    keep(stores, payloads=365)
    settings = stores.retention.settings()
    assert (settings.version, settings.of("payloads").days) == (1, 365)
    assert settings.of("events") == DEFAULTS.of("events")
    [entry] = stores.custody.of(["retention:settings@1"])
    assert (entry.action, entry.actor, entry.reason) == ("retention", "ana/t1", "decided")


def test_of_two_changes_the_second_is_refused(stores: Stores) -> None:
    one, other = (
        changed(DEFAULTS, [RetentionPolicy("payloads", days)], by="a", reason="", now=NOON)
        for days in (300, 400)
    )
    stores.retention.change(one, expected_version=0)
    for expected in (0, None):
        with pytest.raises(VersionConflict, match="version 1"):
            stores.retention.change(other, expected_version=expected)
    assert stores.retention.settings() == one


# Runs


def test_one_run_at_a_time_and_each_id_once(stores: Stores) -> None:
    stores.retention.request(wanted())
    with pytest.raises(StateConflict, match="not through"):
        stores.retention.request(wanted(2))
    assert not stores.retention.request_unless(wanted(2), since=NOON + DAY)
    run = stores.retention.claim(now=NOON, stale_after_seconds=60)
    assert run is not None
    assert stores.retention.claim(now=NOON, stale_after_seconds=60) is None
    stores.retention.finish(through(stores, run), now=NOON)
    with pytest.raises(InvalidInput):
        stores.retention.request(wanted())


def test_the_daily_run_is_asked_for_once_among_replicas(stores: Stores) -> None:
    assert stores.retention.request_unless(wanted(), since=NOON - DAY)
    run = stores.retention.claim(now=NOON, stale_after_seconds=60)
    assert run is not None
    stores.retention.finish(through(stores, run), now=NOON)
    assert not stores.retention.request_unless(wanted(2), since=NOON - DAY)
    assert stores.retention.request_unless(wanted(2), since=NOON)


def test_runs_come_back_newest_first_page_by_page(stores: Stores) -> None:
    runs = [run_all(stores, number, now=NOON + number * DAY) for number in range(3)]
    shown, cursor = stores.retention.runs(limit=2)
    assert shown == [runs[2], runs[1]]
    assert cursor
    assert stores.retention.runs(limit=2, cursor=cursor) == ([runs[0]], None)
    assert stores.retention.run(runs[0].id) == runs[0]
    with pytest.raises(NotFound):
        stores.retention.run("nonsense")


def test_whoever_was_taken_for_dead_writes_nothing_more(stores: Stores) -> None:
    stores.events.append([said(number) for number in range(4)])
    first = claimed(stores)
    first = stores.retention.remove(first, "payloads", limit=2, now=NOON)
    later = NOON + timedelta(seconds=61)
    second = stores.retention.claim(now=later, stale_after_seconds=60)
    assert second is not None
    assert second.of("payloads").removed == 2
    with pytest.raises(VersionConflict):
        stores.retention.remove(first, "payloads", limit=2, now=later)
    assert through(stores, second, now=later).of("payloads").removed == 4


def test_a_run_ends_in_the_log(stores: Stores) -> None:
    stores.events.append([said(1)])
    run = run_all(stores)
    assert (run.state, run.finished_at) == ("done", NOON)
    assert run.leaf is not None
    told = msgspec.json.decode(stores.log.leaf(run.leaf).data, type=RetentionLeaf)
    assert (told.id, told.outcomes_digest, told.removed) == (run.id, run.digest, {"payloads": 1})


# Contents


def test_old_contents_go_and_say_so_while_their_records_stay(stores: Stores) -> None:
    stores.events.append([said(1), said(2, at=NOON - 183 * DAY + timedelta(minutes=1))])
    while stores.events.index_pending(limit=100):
        pass
    run = run_all(stores)
    outcome = run.of("payloads")
    assert (outcome.outcome, outcome.removed, outcome.kept, outcome.days) == ("done", 1, 0, 183)
    gone, young = (
        stores.events.get(said(1).id),
        stores.events.get(said(2, at=NOON - 183 * DAY + timedelta(minutes=1)).id),
    )
    assert gone.payload.expired is not None
    assert str(gone.payload.expired) == "expired on 2026-04-23 under policy payloads: 183 days"
    assert (gone.payload.expired.run_id, gone.payload.request) == (run.id, "")
    assert gone.payload_digest
    assert young.payload.request == "asked 2"
    assert stores.events.count(EventFilter(q="asked"), ceiling=9) == 1
    entry = custody_entry("reveal", f"event:{gone.id}", actor="ana", now=NOON, reason="x")
    with pytest.raises(StateConflict, match="expired on 2026-04-23"):
        stores.events.reveal(gone.id, entry)
    assert stores.log.event(gone.id).records[0]
    [told] = stores.custody.of(["retention:payloads"])
    assert (told.action, told.digest_before) == ("delete", outcome.digest)
    assert "removed 1, kept 0" in told.reason


def test_what_a_hold_or_an_open_incident_covers_stays_and_the_run_says_which(
    stores: Stores,
) -> None:
    events = [said(number, user_id="ada" if number < 2 else "eve") for number in range(5)]
    stores.events.append(events)
    placed, incident = hold(stores, user="ada"), declare(stores)
    tie(stores, incident.id, events[1].id, events[2].id)
    outcome = run_all(stores).of("payloads")
    assert (outcome.removed, outcome.kept) == (2, 3)
    assert outcome.kept_by == (
        Keeper(f"hold:{placed.id}", "Doe", 2),
        Keeper(f"incident:{incident.id}", "INC-000001", 2),
    )
    kept = [stores.events.get(one.id).payload.expired is None for one in events]
    assert kept == [True, True, True, False, False]


def test_what_was_kept_goes_once_nothing_keeps_it(stores: Stores) -> None:
    stores.events.append([said(1, user_id="ada")])
    placed = hold(stores, user="ada")
    assert run_all(stores, 1).of("payloads").removed == 0
    entry = custody_entry("release", f"hold:{placed.id}", actor="ana", now=NOON)
    stores.holds.release(placed.id, by="ana", reason="over", now=NOON, custody=entry)
    outcome = run_all(stores, 2, now=NOON + DAY).of("payloads")
    assert (outcome.removed, outcome.kept) == (1, 0)
    assert run_all(stores, 3, now=NOON + 2 * DAY).of("payloads").removed == 0


def test_an_event_of_an_incident_that_was_merged_stays_with_the_open_one(stores: Stores) -> None:
    events = [said(1), said(2)]
    stores.events.append(events)
    first, second = declare(stores), declare(stores, "Again")
    tie(stores, first.id, events[0].id)
    stores.incidents.change(
        [first.id, second.id],
        lambda found: relations.merged(found[0], found[1], act()),
        now=NOON,
    )
    outcome = run_all(stores).of("payloads")
    assert outcome.kept_by == (Keeper(f"incident:{second.id}", "INC-000002", 1),)


def test_looking_removes_nothing(stores: Stores) -> None:
    stores.events.append([said(number) for number in range(3)])
    before = NOON - 183 * DAY
    step = stores.retention.look("payloads", before=before, after="", limit=2)
    assert (step.removed, len(step.free)) == (2, 2)
    last = stores.retention.look("payloads", before=before, after=step.cursor, limit=2)
    assert (last.removed, last.cursor) == (1, "")
    assert stores.events.get(said(1).id).payload.request == "asked 1"


def test_erased_contents_stay_erased(stores: Stores) -> None:
    stores.events.append([said(1, user_id="ada")])
    job = erased(stores, "ada")
    assert run_all(stores).of("payloads").removed == 0
    note = stores.events.get(said(1).id).payload
    assert note.expired is None
    assert note.erased is not None
    assert note.erased.erasure_id == job.id


# Traces, files, signals, answers


def test_old_traces_lose_their_steps_and_say_so(stores: Stores) -> None:
    stores.spans.append([span(1, at=OLD), span(2, at=OLD)])
    outcome = run_all(stores).of("traces")
    assert (outcome.removed, outcome.kept) == (1, 0)
    trace = stores.spans.trace(TRACE)
    assert trace is not None
    assert (trace.spans, trace.expired_at) == (0, NOON)
    assert trace.expired_under == "traces: 183 days"
    assert stores.spans.spans(TRACE, limit=9) == []
    assert run_all(stores, 2, now=NOON + DAY).of("traces").removed == 0


@pytest.mark.parametrize("covered", ["user", "decision"])
def test_a_trace_is_held_by_what_it_tells_and_by_its_decisions(
    stores: Stores, covered: str
) -> None:
    stores.spans.append([span(1, at=OLD)])
    stores.events.append([said(1, trace_id=TRACE, workflow="pay")])
    hold(stores, **({"user": "ada"} if covered == "user" else {"workflow": "pay"}))
    outcome = run_all(stores).of("traces")
    assert (outcome.removed, outcome.kept) == (0, 1)
    assert len(stores.spans.spans(TRACE, limit=9)) == 1


def test_a_trace_that_goes_on_is_as_young_as_its_end(stores: Stores) -> None:
    stores.spans.append([span(1, at=OLD), span(2, at=NOON - DAY)])
    assert run_all(stores).of("traces").removed == 0


def test_files_go_by_their_class_each_with_an_entry_of_its_own(stores: Stores) -> None:
    events, package = exported(stores, 1), exported(stores, 2, type="package", format="zip")
    young = exported(stores, 3, at=NOON - DAY)
    run = run_all(stores)
    assert (run.of("exports").removed, run.of("packages").removed) == (1, 0)
    gone = stores.exports.get(events.id)
    assert gone.state == "expired"
    assert gone.expired is not None
    assert gone.expired.policy == "exports: 183 days"
    assert stores.exports.get(package.id).state == stores.exports.get(young.id).state == "done"
    [entry] = stores.custody.of([f"export:{events.id}"])
    assert (entry.action, entry.digest_before) == ("delete", "sha256:" + "ab" * 32)


def test_a_file_with_an_event_that_is_held_stays(stores: Stores) -> None:
    stores.events.append([said(1, user_id="ada"), said(2, user_id="eve")])
    held = exported(stores, 1)
    other = exported(stores, 2, where=EventFilter(user="eve"))
    hold(stores, user="ada")
    outcome = run_all(stores).of("exports")
    assert (outcome.removed, outcome.kept) == (1, 1)
    assert stores.exports.get(held.id).state == "done"
    assert stores.exports.get(other.id).state == "expired"


def test_resolved_signals_go_and_open_ones_stay(stores: Stores) -> None:
    long_ago = NOON - 2000 * DAY
    made = [
        stores.signals.observe(
            Observation(key=key, kind="journal.gap", severity="low", summary=key, subject=key),
            now=long_ago,
        )
        for key in ("old", "open")
    ]
    stores.signals.resolve(made[0].id, by="ana", resolution="fine", now=long_ago)
    assert run_all(stores).of("signals").removed == 1
    with pytest.raises(NotFound):
        stores.signals.get(made[0].id)
    assert stores.signals.get(made[1].id).resolved_at is None


def test_answers_to_repeated_requests_go_after_a_day(stores: Stores) -> None:
    stores.idempotency.save("t1", "k", SavedAnswer("00", 200, b""), now=NOON - 3 * DAY)
    assert run_all(stores).of("idempotency").removed == 1


# Records


def test_records_go_by_whole_months_and_their_proofs_stay(stores: Stores) -> None:
    january, february = (
        datetime(2020, 1, 31, tzinfo=NOON.tzinfo),
        datetime(2020, 2, 1, 5, tzinfo=NOON.tzinfo),
    )
    mixed = [event(1, at=january), event(2, at=february), event(3, at=january)]
    stores.events.append(mixed)
    keep(stores, events=2272)  # from 1 February 2020 on, at noon
    run = run_all(stores)
    assert (run.of("events").removed, run.of("events").kept) == (2, 0)
    for one in (mixed[0], mixed[2]):
        with pytest.raises(NotFound, match="expired on 2026-04-23 under policy events: 2272 days"):
            stores.events.get(one.id)
    assert as_sent(stores.events.get(mixed[1].id)) == mixed[1]
    assert stores.events.count(EventFilter(), ceiling=9) == 1
    [month] = stores.retention.expired_months()
    assert (month.events, month.run_id) == (2, run.id)
    batch = stores.log.batch(1, 3)
    assert [row[0] for row in batch.rows] == [2]
    assert (len(batch.hashes), batch.expired) == (3, (1, 3))
    found = stores.log.event(mixed[1].id)
    assert found.index == 1
    assert tuple(map(record_hash, found.records)) == batch.hashes
    [packed] = stores.packages.batches(EventFilter(), unredacted=False)
    assert packed.records == found.records
    [entry] = stores.custody.of(["events:2020-01"])
    assert "2 records" in entry.reason


def test_a_month_with_anything_that_is_held_stays_whole(stores: Stores) -> None:
    at = datetime(2020, 3, 4, tzinfo=NOON.tzinfo)
    stores.events.append([event(1, at=at, user_id="ada"), event(2, at=at)])
    placed = hold(stores, user="ada")
    outcome = run_all(stores).of("events")
    assert (outcome.removed, outcome.kept) == (0, 2)
    assert outcome.kept_by == (Keeper(f"hold:{placed.id}", "Doe", 1),)
    assert stores.events.count(EventFilter(), ceiling=9) == 2


def test_what_comes_late_into_a_month_that_is_gone_goes_with_the_next_run(stores: Stores) -> None:
    at = datetime(2020, 3, 4, tzinfo=NOON.tzinfo)
    stores.events.append([event(1, at=at)])
    run_all(stores, 1)
    stores.events.append([event(2, at=at)])
    assert stores.events.count(EventFilter(), ceiling=9) == 1
    assert run_all(stores, 2, now=NOON + DAY).of("events").removed == 1
    assert [month.events for month in stores.retention.expired_months()] == [1, 1]
