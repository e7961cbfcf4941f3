"""Reports from the browser: colleagues with a session, people outside with a signed link."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.report import ReportFilter
from kintsugi.model.stores import Stores
from tests.console.test_oversight_pages import form_key, sign_in
from tests.control_plane import Clock, bearer, make_event, make_token

REPORTING = (Scope.INCIDENTS_REPORT, Scope.REPORTS_READ)


@pytest.fixture
def ana(anonymous: TestClient, stores: Stores) -> TestClient:
    return sign_in(anonymous, stores, *REPORTING, name="ana")


@pytest.fixture
def link(anonymous: TestClient, stores: Stores) -> str:
    admin = bearer(make_token(stores))
    body = {"audience": "regulator", "per_hour": 2}
    made = anonymous.post("/v1/report-links", json=body, headers=admin).json()["data"]
    anonymous.headers["accept"] = "text/html"
    path: str = made["path"]
    return path


def kept(stores: Stores) -> int:
    return stores.reports.count(ReportFilter(), ceiling=99)


def test_who_may_only_report_comes_to_the_form(ana: TestClient, stores: Stores) -> None:
    ana.cookies.clear()
    text = make_token(stores, *REPORTING, name="bo")
    answer = ana.post("/sign-in", data={"token": text})
    assert answer.headers["location"] == "/report"
    assert ana.get("/").status_code == 403


def test_a_colleague_sends_a_report_and_sees_it(ana: TestClient, stores: Stores) -> None:
    event = make_event(1)
    stores.events.append([event])
    key = form_key(ana.get("/report").text)
    data = {"form_key": key, "title": "It <b>lied</b>", "category": "correctness"}
    answer = ana.post("/report", data={**data, "event": event.id, "severity": "high"})
    assert answer.status_code == 303
    page = ana.get(answer.headers["location"]).text
    assert "Received." in page
    assert "It &lt;b&gt;lied&lt;/b&gt;" in page
    [report], _ = stores.reports.page(ReportFilter(), limit=9)
    assert report.digest in page
    assert (report.report.severity, report.report.channel) == ("high", "internal")
    assert stores.incidents.get("INC-1").event_count == 1


def test_a_form_that_cannot_be_used_keeps_what_was_typed(ana: TestClient, stores: Stores) -> None:
    key = form_key(ana.get("/report").text)
    for data, why in (
        ({"title": "", "text": ""}, "say in a few words"),
        ({"title": "x", "event": "nonsense", "text": "kept"}, "decision: there is no event"),
        ({"title": "x" * 301, "text": "kept"}, "at most 300 characters"),
        ({"title": "x", "severity": "urgent"}, "severity"),
    ):
        answer = ana.post("/report", data={"form_key": key, **data})
        assert answer.status_code == 422
        assert why in html.unescape(answer.text)
        assert data.get("text", "") in answer.text
    assert kept(stores) == 0


def test_another_site_cannot_send_it(ana: TestClient, link: str, stores: Stores) -> None:
    sign_in(ana, stores, *REPORTING, name="ana")
    key = form_key(ana.get("/report").text)
    data = {"form_key": key, "title": "x"}
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert ana.post("/report", data={**data, "form_key": "0" * 64}).status_code == 403
    assert ana.post("/report", data=data, headers=elsewhere).status_code == 403
    assert ana.post(link, data={"title": "x"}, headers=elsewhere).status_code == 403
    assert kept(stores) == 0


def test_somebody_outside_gets_a_receipt_and_sees_only_the_state(
    anonymous: TestClient, link: str, stores: Stores
) -> None:
    page = anonymous.get(link)
    assert page.status_code == 200
    assert "regulator" in page.text
    secret = "\u202egnihtemos <script>"
    answer = anonymous.post(link, data={"title": secret, "text": "deep", "contact": "eve@x.org"})
    assert answer.status_code == 201
    [report], _ = stores.reports.page(ReportFilter(), limit=9)
    assert (report.report.channel, report.report.contact) == ("public", "eve@x.org")
    assert report.report.title == secret
    assert report.digest in answer.text
    [address] = re.findall(r'href="(/report/status/[^"]+)"', answer.text)
    shown = anonymous.get(address)
    assert shown.status_code == 200
    assert "received" in shown.text
    for words in ("gnihtemos", "deep", "eve", "INC-", "regulator"):
        assert words not in shown.text
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert anonymous.get(address[:-1]).status_code == 404
    other = make_event(3).id
    assert anonymous.get(address.replace(report.report.id, other)).status_code == 404


def test_a_link_that_is_forged_over_or_ended_opens_nothing(
    anonymous: TestClient, link: str, stores: Stores, clock: Clock
) -> None:
    claim, _, signature = link.rpartition(".")
    for wrong in (
        f"{claim}.{'A' * len(signature)}",
        f"{claim}x.{signature}",
        claim,
        "/report/by-link/x",
    ):
        assert anonymous.get(wrong).status_code == 404
        assert anonymous.post(wrong, data={"title": "x"}).status_code == 404
    clock.advance(days=31)
    assert anonymous.get(link).status_code == 404
    clock.advance(days=-31)
    [used], _ = stores.report_doors.links(limit=1)
    stores.report_doors.revoke_link(used.link.id, by="ana/1", now=clock())
    assert anonymous.get(link).status_code == 404
    assert kept(stores) == 0


def test_a_link_takes_no_more_than_it_may_and_says_so(
    anonymous: TestClient, link: str, stores: Stores, clock: Clock
) -> None:
    answers = [anonymous.post(link, data={"title": f"no {n}", "text": "mine"}) for n in range(3)]
    assert [one.status_code for one in answers] == [201, 201, 429]
    assert "mine" in answers[2].text
    assert answers[2].headers["retry-after"] == "3600"
    clock.advance(hours=1)
    assert anonymous.post(link, data={"title": "later"}).status_code == 201
    assert kept(stores) == 3


def test_a_program_in_the_trap_is_kept_aside(
    anonymous: TestClient, link: str, stores: Stores
) -> None:
    answer = anonymous.post(link, data={"title": "buy", "website": "https://spam"})
    assert answer.status_code == 201
    [report], _ = stores.reports.page(ReportFilter(), limit=9)
    assert (report.standing.status, report.standing.incident_id) == ("set_aside", "")


def test_an_outsiders_form_is_bounded(anonymous: TestClient, link: str, stores: Stores) -> None:
    for data, status in (
        ({"title": ""}, 422),
        ({"title": "x", "text": "y" * 10_001}, 422),
        ({"title": "x", "text": "y" * 200_000}, 413),
        ({f"f{n}": "x" for n in range(30)}, 422),
    ):
        assert anonymous.post(link, data=data).status_code == status
    assert anonymous.post(link, content=b"\xff\xfe").status_code == 422
    assert anonymous.post(link, data={"title": "nul \0 in it"}).status_code == 201
    assert kept(stores) == 1
