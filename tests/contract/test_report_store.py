"""Reports: kept whole, joined by fingerprint, proven by the log, settled once."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict, VersionConflict
from kintsugi.incidents.commands import Act, changed, entry
from kintsugi.incidents.intake import fingerprint, settled, taken
from kintsugi.incidents.relations import merged
from kintsugi.ledger.leaves import ReportLeaf, report_leaf
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.incident import Actor, Incident, new_id
from kintsugi.model.report import (
    Arrival,
    KeptReport,
    Recurrence,
    Report,
    ReportFilter,
    Taken,
    content_name,
)
from kintsugi.model.report_doors import ReportLink, Source
from kintsugi.model.stores import Stores
from tests.control_plane import make_event
from tests.databases import NOON

ANA = Actor("ana", "ana/1", may_command=True)
MINUTE = timedelta(minutes=1)


def made(title: str = "It lied", minutes: int = 0, **changes: object) -> Report:
    values = {
        "id": new_id(NOON + minutes * MINUTE),
        "at": NOON + minutes * MINUTE,
        "channel": "internal",
        "sender": "ana/1",
        "title": title,
        "fingerprint": fingerprint({"title": title}),
        **changes,
    }
    return msgspec.convert(values, Report)


def alert(state: str, minutes: int) -> Report:
    return made("down", minutes, channel="alertmanager", state=state)


def take(report: Report, incident: Incident | None, before: Recurrence | None) -> Taken:
    return taken(report, Act(ANA, report.at), incident, before)


def bring(stores: Stores, *reports: Report) -> list[KeptReport]:
    return stores.reports.receive([Arrival(one) for one in reports], take, now=reports[-1].at)


def entries(stores: Stores, incident_id: str) -> list[str]:
    shown, _ = stores.incidents.timeline(
        incident_id, order="recorded_at", pinned_only=False, limit=50
    )
    return [one.entry.text for one in shown]


def test_a_report_opens_an_incident_and_has_its_receipt(stores: Stores) -> None:
    [kept] = bring(stores, made(text="It said 2026-13-01."))
    incident = stores.incidents.get(kept.standing.incident_id)
    assert (incident.state, incident.title) == ("reported", "It lied")
    assert (incident.summary, incident.source) == (
        "It said 2026-13-01.",
        f"report:{kept.report.id}",
    )
    assert stores.reports.get(kept.report.id) == kept
    leaf = msgspec.json.decode(stores.log.leaf(kept.leaf).data, type=ReportLeaf)
    assert leaf == report_leaf(kept.report, now=NOON)
    assert leaf.record_digest == kept.digest
    told, _ = stores.notices.page(type_name="report.received", limit=5)
    assert [one.data["reference"] for one in told] == ["INC-000001"]
    for unknown in ("nonsense", new_id(NOON)):
        with pytest.raises(NotFound):
            stores.reports.get(unknown)


def test_the_same_joins_while_its_incident_is_open(stores: Stores) -> None:
    [first] = bring(stores, made())
    [second, other] = bring(stores, made(minutes=1), made("other", 1))
    assert second.standing.incident_id == first.standing.incident_id
    assert other.standing.incident_id != first.standing.incident_id
    found = stores.reports.joins(first.report.fingerprint.digest)
    assert found is not None
    assert found[0].id == first.standing.incident_id
    assert [one.reports for one in stores.reports.recurrences(found[0].id)] == [2]
    act = Act(ANA, NOON + 2 * MINUTE, reason="no")
    stores.incidents.change(
        [found[0].id],
        lambda seen: (
            changed(
                seen[0],
                [entry(seen[0], "transition", "over", act)],
                act,
                state="not_an_incident",
            ),
        ),
        now=act.now,
    )
    assert stores.reports.joins(first.report.fingerprint.digest) is None
    [third] = bring(stores, made(minutes=3))
    assert third.standing.incident_id != first.standing.incident_id
    assert stores.incidents.get(third.standing.incident_id).number == 3


def test_what_was_merged_gets_what_comes_later(stores: Stores) -> None:
    [first, second] = bring(stores, made("a"), made("b"))
    act = Act(ANA, NOON + MINUTE, reason="the same")
    stores.incidents.change(
        [first.standing.incident_id, second.standing.incident_id],
        lambda seen: merged(seen[0], seen[1], act),
        now=act.now,
    )
    [again] = bring(stores, made("a", 2))
    assert again.standing.incident_id == second.standing.incident_id


def test_the_same_alert_is_counted_and_its_changes_are_told(stores: Stores) -> None:
    kept = [
        bring(stores, alert(state, minute))[0]
        for minute, state in enumerate(
            ("resolved", "firing", "firing", "firing", "resolved", "resolved", "firing")
        )
    ]
    assert [one.standing.status for one in kept] == ["recorded", *["joined"] * 6]
    incident = kept[1].standing.incident_id
    [found] = stores.reports.recurrences(incident)
    assert (found.reports, found.resolved, found.firing) == (6, 2, True)
    assert (found.first_at, found.last_at) == (NOON + MINUTE, NOON + 6 * MINUTE)
    assert entries(stores, incident) == [
        "report: down",
        "report is over: down",
        "report: down",
        "reported",
    ]
    told, _ = stores.notices.page(type_name="report.received", limit=20)
    assert len(told) == 4


def test_what_cannot_be_read_waits_for_a_person(stores: Stores) -> None:
    [kept, other] = bring(stores, made(why_unmapped="no title"), made("x", why_unmapped="no title"))
    assert (kept.standing.status, kept.standing.incident_id) == ("unmapped", "")
    assert kept.standing.reason == "no title"
    act = Act(ANA, NOON + MINUTE, reason="it is one")
    done = stores.reports.settle(
        kept.report.id,
        "",
        lambda found, incident: settled(found, act, incident, title="read by a person"),
        by="ana/1",
        now=act.now,
    )
    assert stores.incidents.get(done.standing.incident_id).title == "read by a person"
    assert stores.reports.get(kept.report.id) == done
    with pytest.raises(StateConflict):
        stores.reports.settle(
            kept.report.id, "", lambda *_: Taken("set_aside"), by="ana/1", now=act.now
        )
    joined = stores.reports.settle(
        other.report.id,
        "INC-1",
        lambda found, incident: settled(found, act, incident),
        by="ana/1",
        now=act.now,
    )
    assert joined.standing.incident_id == done.standing.incident_id
    assert stores.incidents.get("INC-1").version == 2


def test_setting_aside_can_be_taken_back(stores: Stores) -> None:
    [kept] = bring(stores, made(why_unmapped="no title"))
    act = Act(ANA, NOON, reason="spam")
    aside = stores.reports.settle(
        kept.report.id,
        "",
        lambda found, _: settled(found, act, None, set_aside=True),
        by="ana/1",
        now=NOON,
    )
    assert (aside.standing.status, aside.standing.by) == ("set_aside", "ana/1")
    with pytest.raises(NotFound):
        stores.reports.settle(
            kept.report.id, "INC-9", lambda *_: Taken("joined"), by="ana/1", now=NOON
        )
    back = stores.reports.settle(
        kept.report.id, "", lambda found, _: settled(found, act, None), by="ana/1", now=NOON
    )
    assert back.standing.status == "joined"


def test_lists_are_narrowed_and_paged(stores: Stores) -> None:
    kept = [
        *bring(stores, made("a", 1)),
        *bring(stores, made("b", 2, sender="bo/2")),
        *bring(stores, made("c", 3, channel="public", why_unmapped="x")),
    ]
    store = stores.reports
    newest_first = kept[::-1]
    first, cursor = store.page(ReportFilter(), limit=2)
    assert first == newest_first[:2]
    assert store.page(ReportFilter(), limit=2, cursor=cursor) == ([kept[0]], None)
    assert store.page(ReportFilter(sender="bo/2"), limit=9)[0] == [kept[1]]
    assert store.page(ReportFilter(status="unmapped"), limit=9)[0] == [kept[2]]
    assert store.page(ReportFilter(channel="public"), limit=9)[0] == [kept[2]]
    of_first = ReportFilter(incident_id=kept[0].standing.incident_id)
    assert store.page(of_first, limit=9)[0] == [kept[0]]
    assert (store.count(ReportFilter(), ceiling=2), store.count(of_first, ceiling=9)) == (2, 1)


def test_events_are_tied_or_nothing_is_kept(stores: Stores) -> None:
    event = make_event(1)
    stores.events.append([event])

    def tie(*ids: str) -> list[KeptReport]:
        return stores.reports.receive(
            [Arrival(made())],
            lambda report, incident, before: taken(
                report, Act(ANA, report.at), incident, before, events=ids
            ),
            now=NOON,
        )

    with pytest.raises(InvalidInput, match="there is no event"):
        tie(event.id, new_id(NOON))
    assert stores.reports.count(ReportFilter(), ceiling=9) == 0
    [kept] = tie(event.id)
    assert [one.id for one in stores.incidents.incidents_of(event.id)] == [
        kept.standing.incident_id
    ]


def test_files_come_back_byte_for_byte_and_leave_custody(stores: Stores) -> None:
    content = bytes(range(256)) * 5
    name = content_name(content)
    report = made()
    stores.reports.receive([Arrival(report, {name: content})], take, now=NOON)
    note = custody_entry("reveal", f"report:{report.id}", actor="ana/1", now=NOON)
    assert stores.reports.file(report.id, name, note) == content
    assert stores.custody.count(CustodyFilter(action="reveal"), ceiling=9) == 1
    assert (stores.reports.files_of(report.id), stores.reports.files_of("nonsense")) == (1, 0)
    assert (stores.reports.erase_files(report.id), stores.reports.erase_files(report.id)) == (1, 0)
    assert stores.reports.files_of(report.id) == 0
    with pytest.raises(NotFound):
        stores.reports.file(report.id, name, note)
    for report_id, digest in ((report.id, content_name(b"")), (new_id(NOON), name)):
        with pytest.raises(NotFound):
            stores.reports.file(report_id, digest, note)


def test_sources_are_changed_from_what_was_read(stores: Stores) -> None:
    doors = stores.report_doors
    source = Source("prom", "alertmanager", NOON, "ana/1")
    kept = doors.put_source(source, expected_version=0)
    assert (kept.version, doors.source("prom")) == (1, kept)
    for expected in (0, 2):
        with pytest.raises(VersionConflict):
            doors.put_source(source, expected_version=expected)
    doors.put_source(Source("a", "pagerduty", NOON, "ana/1"), expected_version=None)
    assert [one.name for one in doors.sources()] == ["a", "prom"]
    with pytest.raises(NotFound):
        doors.source("b")


def test_a_link_takes_so_many_in_an_hour_until_it_is_revoked(stores: Stores) -> None:
    doors = stores.report_doors
    links = [
        ReportLink(f"l{number}", "regulator", NOON + number * MINUTE, "ana/1", NOON + 9 * MINUTE, 2)
        for number in range(3)
    ]
    for link in links:
        doors.add_link(link)
    assert [doors.use_link("l0", now=NOON) for _ in range(3)] == [True, True, False]
    assert doors.use_link("l0", now=NOON + 60 * MINUTE)
    assert doors.link("l0").used == 3
    shown, cursor = doors.links(limit=2)
    assert [one.link for one in shown] == links[:0:-1]
    assert [one.link.id for one in doors.links(limit=2, cursor=cursor)[0]] == ["l0"]
    ended = doors.revoke_link("l1", by="bo/2", now=NOON)
    assert ended.link.revoked_by == "bo/2"
    assert doors.revoke_link("l1", by="eve/3", now=NOON) == ended
    for use in (doors.link, lambda name: doors.use_link(name, now=NOON)):
        with pytest.raises(NotFound):
            use("l9")
