"""Content under keys of its subjects: sealed, revealed on record, erased for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import NotFound, StateConflict, VersionConflict
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.erasure import ErasureJob, Receipt
from kintsugi.model.event import DecisionEvent, ErasedNote, Payload, Unredacted
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from tests.databases import NOON
from tests.store.made import as_sent, event

LATER = NOON + timedelta(hours=1)


def spoken(number: int, words: str = "my secret wish", **changes: Any) -> DecisionEvent:
    asked = f'{{"messages":[{{"role":"user","content":"{words}"}}]}}'
    return event(number, **{"payload": Payload(asked, "answered"), **changes})


def queued(stores: Stores, subject: str, number: int = 1) -> ErasureJob:
    job = ErasureJob(
        id=uuid7(int(NOON.timestamp() * 1000) + number, bytes(10)),
        subject=str(Subject.parse(subject)),
        reason="asked to",
        requested_by="ana/t1",
        state="queued",
        created_at=NOON,
        salt="00" * 16,
    )
    stores.erasures.request(job)
    claimed = stores.erasures.claim(now=NOON, stale_after_seconds=60)
    assert claimed is not None
    return claimed


def swept(stores: Stores, job: ErasureJob, *, limit: int = 2) -> ErasureJob:
    while (after := stores.erasures.sweep(job, limit=limit, now=LATER)) != job:
        job = after
    return job


def erased(stores: Stores, subject: str, number: int = 1) -> ErasureJob:
    job = stores.erasures.destroy(queued(stores, subject, number), now=LATER)
    return stores.erasures.finish(swept(stores, job), now=LATER)


def indexed(stores: Stores) -> None:
    while stores.events.index_pending(limit=100):
        pass


def test_the_record_tells_of_content_without_holding_it(stores: Stores) -> None:
    one = spoken(1, request_digest="sha256:" + "ab" * 32, user_id="ada")
    stores.events.append([one])
    (record,) = stores.log.event(one.id).records
    kept = msgspec.json.decode(record)
    assert kept["payload_digest"].startswith("sha256:")
    assert "secret" not in record
    assert "abab" not in record
    read = stores.events.get(one.id)
    assert as_sent(read) == one
    assert read.payload_digest == kept["payload_digest"]


def test_the_same_content_twice_has_two_digests(stores: Stores) -> None:
    stores.events.append([spoken(1), spoken(2)])
    one, two = (stores.events.get(spoken(number).id) for number in (1, 2))
    assert one.payload == two.payload
    assert one.payload_digest != two.payload_digest


def test_a_writer_cannot_say_what_only_the_vault_may_say(stores: Stores) -> None:
    lie = Payload("asked", erased=ErasedNote(NOON, "never"), unreadable="no")
    stores.events.append([event(1, payload=lie, payload_digest="sha256:made-up")])
    kept = stores.events.get(event(1).id)
    assert kept.payload == Payload("asked")
    assert kept.payload_digest != "sha256:made-up"


def test_readers_get_the_redacted_text_and_reveal_what_was_recorded(stores: Stores) -> None:
    payload = Payload("call [PHONE]", "done", masked=1, unredacted=Unredacted("call 555", "done"))
    stores.events.append([event(1, payload=payload)])
    shown = msgspec.structs.replace(payload, unredacted=None)
    assert stores.events.get(event(1).id).payload == shown
    (scanned,) = stores.events.scan(EventFilter(), payload=True)
    assert scanned.payload == shown
    indexed(stores)
    assert stores.events.count(EventFilter(q="555"), ceiling=9) == 0
    entry = custody_entry("reveal", f"event:{event(1).id}", actor="ana/t1", now=NOON, reason="case")
    assert stores.events.reveal(event(1).id, entry) == Payload("call 555", "done")
    assert stores.custody.page(CustodyFilter(action="reveal"), limit=9)[0] == [entry]


def test_revealing_without_content_leaves_no_entry(stores: Stores) -> None:
    stores.events.append([event(1)])
    for identifier in (event(1).id, event(2).id):
        entry = custody_entry("reveal", f"event:{identifier}", actor="ana/t1", now=NOON)
        with pytest.raises(NotFound):
            stores.events.reveal(identifier, entry)
    assert stores.custody.page(CustodyFilter(), limit=9)[0] == []


@pytest.mark.parametrize(
    ("subject", "gone"),
    [
        ("ada", [1, 2, 3]),
        ("user:ada", [1, 2, 3]),
        ("session:s1", [4]),
        (f"event:{event(6).id}", [6]),
    ],
)
def test_an_erasure_takes_all_of_its_subject_and_nothing_else(
    stores: Stores, subject: str, gone: list[int]
) -> None:
    events = [
        spoken(1, user_id="ada"),
        spoken(2, user_id="ada", session_id="s1"),
        spoken(3, user_id="ada", session_id="s2"),
        spoken(4, session_id="s1"),
        spoken(5, user_id="bob", session_id="s1"),
        spoken(6),
        spoken(7),
    ]
    stores.events.append(events)
    indexed(stores)
    assert stores.erasures.matter(Subject.parse(subject), ceiling=10) == len(gone)
    job = erased(stores, subject)
    assert (job.state, job.erased, job.texts) == ("done", len(gone), len(gone))
    assert len(job.keys) == 1
    for number, one in enumerate(events, 1):
        payload = stores.events.get(one.id).payload
        if number in gone:
            assert payload == Payload(erased=ErasedNote(LATER, job.id))
        else:
            assert payload == one.payload
    left = [one.id for one in stores.events.page(EventFilter(q="secret"), limit=9).events]
    assert sorted(left) == [one.id for n, one in enumerate(events, 1) if n not in gone]
    assert msgspec.structs.astuple(stores.erasures.left(job)) == (0, 0, 0)
    assert stores.erasures.matter(Subject.parse(subject), ceiling=10) == 0


def test_keys_are_destroyed_at_once_and_for_all(stores: Stores) -> None:
    stores.events.append([spoken(number, user_id="ada") for number in range(5)])
    job = stores.erasures.destroy(queued(stores, "ada"), now=LATER)
    assert job.total == 5
    for one in stores.events.scan(EventFilter(), payload=True):
        assert one.payload == Payload(erased=ErasedNote(LATER, job.id))
    entry = custody_entry("reveal", "event:x", actor="ana/t1", now=NOON)
    with pytest.raises(StateConflict, match=job.id):
        stores.events.reveal(spoken(1).id, entry)


def test_an_erasure_goes_on_where_it_was_left(stores: Stores) -> None:
    stores.events.append([spoken(number, user_id="ada") for number in range(7)])
    job = stores.erasures.destroy(queued(stores, "ada"), now=LATER)
    job = stores.erasures.sweep(job, limit=3, now=LATER)
    assert job.erased == 3
    stale = LATER + timedelta(minutes=5)
    again = stores.erasures.claim(now=stale, stale_after_seconds=60)
    assert again is not None
    assert (again.erased, again.destroyed_at) == (3, LATER)
    with pytest.raises(VersionConflict):
        stores.erasures.sweep(job, limit=3, now=stale)
    done = stores.erasures.finish(swept(stores, again), now=stale)
    assert done.erased == 7
    with pytest.raises(VersionConflict):
        stores.erasures.finish(done, now=stale)


def test_content_after_an_erasure_is_kept_and_late_content_from_before_is_not(
    stores: Stores,
) -> None:
    stores.events.append([spoken(1, user_id="ada")])
    job = stores.erasures.destroy(queued(stores, "ada"), now=LATER)
    late = spoken(2, user_id="ada")
    new = spoken(3, user_id="ada", at=LATER + timedelta(seconds=1))
    stores.events.append([late, new])
    job = stores.erasures.finish(swept(stores, job), now=LATER)
    assert stores.events.get(late.id).payload == Payload(erased=ErasedNote(LATER, job.id))
    assert stores.events.get(new.id).payload == new.payload
    assert msgspec.structs.astuple(stores.erasures.left(job)) == (0, 0, 0)


def test_who_was_erased_before_keeps_the_first_date(stores: Stores) -> None:
    stores.events.append([spoken(1, user_id="ada")])
    first = erased(stores, "ada", 1)
    new = spoken(2, user_id="ada", at=LATER + timedelta(seconds=1))
    stores.events.append([new])
    later = LATER + timedelta(hours=2)
    job = stores.erasures.destroy(queued(stores, "ada", 2), now=later)
    stores.erasures.finish(swept(stores, job), now=later)
    assert stores.events.get(spoken(1).id).payload.erased == ErasedNote(LATER, first.id)
    assert stores.events.get(new.id).payload.erased == ErasedNote(later, job.id)


def test_the_leaf_holds_the_digest_of_the_receipt_and_not_whose_it_was(stores: Stores) -> None:
    stores.events.append([spoken(1, user_id="ursula")])
    job = erased(stores, "ursula")
    assert job.leaf is not None
    leaf = stores.log.leaf(job.leaf)
    assert job.finished_at is not None
    receipt = Receipt.of(job, finished_at=job.finished_at)
    assert leaf.kind == "erasure"
    assert msgspec.json.decode(leaf.data)["receipt_digest"] == receipt.digest
    assert "ursula" not in leaf.data
    other = msgspec.structs.replace(receipt, subject="user:bob")
    assert other.digest != receipt.digest
    entries, _ = stores.custody.page(CustodyFilter(action="erase"), limit=9)
    assert [(one.object, one.reason) for one in entries] == [
        (f"subject:{Subject('user', 'ursula').digest}", "asked to")
    ]
    (remembered,) = stores.erasures.destroyed(after=None)
    assert (remembered.id, remembered.subject) == (job.id, "user:ursula")
    assert stores.erasures.destroyed(after=LATER) == []


def test_a_failed_erasure_can_be_queued_again(stores: Stores) -> None:
    stores.events.append([spoken(1, user_id="ada")])
    job = queued(stores, "ada")
    with pytest.raises(StateConflict):
        stores.erasures.retry(job.id, now=LATER)
    failed = msgspec.structs.replace(job, state="failed", error="held")
    stores.erasures.update(failed, now=LATER)
    assert stores.erasures.retry(job.id, now=LATER).state == "queued"
    assert stores.erasures.claim(now=LATER, stale_after_seconds=60) is not None
    with pytest.raises(NotFound):
        stores.erasures.retry("no-such-job", now=LATER)
    with pytest.raises(NotFound):
        stores.erasures.erasure("no-such-job")
    assert [one.id for one in stores.erasures.erasures(limit=5)[0]] == [job.id]


def test_erasures_are_listed_newest_first_page_by_page(stores: Stores) -> None:
    for number in range(5):
        queued(stores, f"user-{number}", number)
    first, cursor = stores.erasures.erasures(limit=3)
    assert cursor is not None
    second, end = stores.erasures.erasures(limit=3, cursor=cursor)
    assert [job.subject for job in first + second] == [f"user:user-{n}" for n in (4, 3, 2, 1, 0)]
    assert end is None


def test_content_stays_readable_while_keys_are_rotated_and_after(stores: Stores) -> None:
    stores.events.append([spoken(number, user_id=f"user-{number}") for number in range(5)])
    (before,) = stores.vault.key_uses()
    assert (before.current, before.data_keys) == (True, 5)
    key = stores.vault.rotate(now=LATER)
    stores.events.append([spoken(5, user_id="user-5"), spoken(6, user_id="user-0")])
    assert stores.vault.status().to_rewrap == 5
    assert [(use.current, use.data_keys) for use in stores.vault.key_uses()] == [
        (True, 1),
        (False, 5),
    ]
    assert stores.vault.rewrap(limit=3, now=LATER) == 3
    assert {one.payload for one in stores.events.scan(EventFilter(), payload=True)} == {
        spoken(0).payload
    }
    while stores.vault.rewrap(limit=3, now=LATER):
        pass
    newest, old = stores.vault.key_uses()
    assert (newest.key.id, newest.data_keys) == (key.id, 6)
    assert (old.key.id, old.data_keys, old.key.retired_at) == (before.key.id, 0, LATER)
    assert stores.vault.status().to_rewrap == 0
    assert len(list(stores.events.scan(EventFilter(q=""), payload=True))) == 7


def test_rotation_does_not_bring_back_what_was_erased(stores: Stores) -> None:
    stores.events.append([spoken(1, user_id="ada"), spoken(2, user_id="bob")])
    stores.erasures.destroy(queued(stores, "ada"), now=LATER)
    stores.vault.rotate(now=LATER)
    while stores.vault.rewrap(limit=3, now=LATER):
        pass
    assert stores.events.get(spoken(1).id).payload.erased is not None
    assert stores.events.get(spoken(2).id).payload == spoken(2).payload
