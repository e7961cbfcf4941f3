"""Deciding and releasing in the browser: two steps, a reason, and a refusal that says why."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.decision import Phase
from kintsugi.model.event import DecisionEvent, Quarantine, RaisedEscalation
from kintsugi.model.overrides import Judgement
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import NOON, Clock, make_event, make_token

READING = (
    *(Scope.EVENTS_READ, Scope.GATEWAYS_READ),
    *(Scope.ESCALATIONS_READ, Scope.QUARANTINES_READ),
)
DECIDING = (*READING, Scope.ESCALATIONS_RESOLVE, Scope.QUARANTINES_RELEASE)


def sign_in(client: TestClient, stores: Stores, *scopes: Scope, name: str = "rita") -> TestClient:
    client.headers["accept"] = "text/html"
    client.cookies.clear()
    text = make_token(stores, *(scopes or DECIDING), name=name)
    assert client.post("/sign-in", data={"token": text}).status_code == 303
    return client


def escalated(number: int = 1, *, digest: str = "sha256:action") -> DecisionEvent:
    made = make_event(
        number, verdict=Verdict.ESCALATE, policy_name="human-oversight", user_id="ada"
    )
    raised = RaisedEscalation(made.id, Phase.TOOL, digest, NOON + timedelta(hours=1))
    return msgspec.structs.replace(made, escalation=raised)


def frozen(number: int = 1) -> DecisionEvent:
    made = make_event(number, verdict=Verdict.QUARANTINE, policy_name="secrets-detector")
    return msgspec.structs.replace(made, quarantine=Quarantine(made.id, "session", "s-1"))


def form_key(text: str) -> str:
    found: list[str] = re.findall(r'name="form_key" value="([0-9a-f]+)"', text)
    return found[0]


@pytest.fixture
def rita(anonymous: TestClient, stores: Stores) -> TestClient:
    return sign_in(anonymous, stores)


def test_an_escalation_shows_what_would_be_done_and_for_what_an_approval_is_good(
    rita: TestClient, stores: Stores
) -> None:
    event = escalated()
    stores.events.append([event])
    text = rita.get(f"/escalations/{event.id}").text
    for words in (
        "Where is my order?",
        "sha256:action",
        "support-prod@3",
        event.revision,
        "2026-04-23 13:00:00 UTC",
        "Exactly once, when the caller sends it again",
        "human-oversight",
    ):
        assert words in html.unescape(text), words


def test_approving_takes_a_reason_and_a_second_step(rita: TestClient, stores: Stores) -> None:
    event = escalated()
    stores.events.append([event])
    page = f"/escalations/{event.id}"
    key = form_key(rita.get(page).text)
    form = {"form_key": key, "decide": "approve", "reason": "agreed <b>by phone"}
    empty = rita.post(page, data={**form, "reason": "  "})
    assert empty.status_code == 422
    assert "Nothing was done." in empty.text
    asked = rita.post(page, data=form)
    assert asked.status_code == 200
    assert "Approve this?" in asked.text
    assert "agreed &lt;b&gt;by phone" in asked.text
    assert stores.oversight.escalation(event.id).status == "pending"
    done = rita.post(page, data={**form, "confirmed": "yes"})
    assert (done.status_code, done.headers["location"]) == (303, page)
    found = stores.oversight.escalation(event.id)
    assert (found.status, found.resolved_by) == ("approved", "rita")
    assert found.reason == "agreed <b>by phone"
    shown = rita.get(page).text
    assert "Approved</strong> by rita" in shown
    assert 'name="decide"' not in shown


def test_rejecting_and_claiming_work_the_same_way(rita: TestClient, stores: Stores) -> None:
    event = escalated()
    stores.events.append([event])
    page = f"/escalations/{event.id}"
    form = {"form_key": form_key(rita.get(page).text)}
    assert rita.post(page, data={**form, "decide": "claim"}).status_code == 303
    assert "You have claimed it" in rita.get(page).text
    form |= {"decide": "reject", "reason": "not this account"}
    assert "Reject this?" in rita.post(page, data=form).text
    assert rita.post(page, data={**form, "confirmed": "yes"}).status_code == 303
    assert stores.oversight.escalation(event.id).status == "rejected"


def test_what_somebody_else_decided_first_is_refused_and_shown(
    rita: TestClient, stores: Stores
) -> None:
    event = escalated()
    stores.events.append([event])
    page = f"/escalations/{event.id}"
    form = {"form_key": form_key(rita.get(page).text), "decide": "approve", "reason": "fine"}
    stores.oversight.resolve(event.id, Judgement(False, "otto", "no"), now=NOON)
    late = rita.post(page, data={**form, "confirmed": "yes"})
    assert late.status_code == 409
    assert "the escalation is rejected by now" in late.text
    assert "Rejected</strong> by otto" in late.text


def test_nobody_decides_about_their_own_and_the_page_says_why(
    anonymous: TestClient, stores: Stores
) -> None:
    event = escalated()
    stores.events.append([event])
    ada = sign_in(anonymous, stores, name="Ada")
    page = f"/escalations/{event.id}"
    text = ada.get(page).text
    assert "Nobody decides about their own request" in text
    assert 'name="decide"' not in text
    stores.events.append([other := msgspec.structs.replace(escalated(2), user_id="eve")])
    key = form_key(ada.get(f"/escalations/{other.id}").text)
    form = {"form_key": key, "decide": "approve", "reason": "x", "confirmed": "yes"}
    assert ada.post(page, data=form).status_code == 403
    assert stores.oversight.escalation(event.id).status == "pending"


def test_who_may_only_look_is_told_which_scope_is_missing(
    anonymous: TestClient, stores: Stores
) -> None:
    stores.events.append([event := escalated(), cold := frozen(2)])
    viewer = sign_in(anonymous, stores, *READING)
    for page, scope in (
        (f"/escalations/{event.id}", "escalations:resolve"),
        (f"/quarantines/{cold.id}", "quarantines:release"),
    ):
        text = viewer.get(page).text
        assert scope in text
        assert 'name="reason"' not in text
        assert viewer.post(page, data={"reason": "x", "confirmed": "yes"}).status_code == 403


def test_what_another_reviewer_claimed_has_no_control(rita: TestClient, stores: Stores) -> None:
    stores.events.append([event := escalated()])
    stores.oversight.claim(event.id, by="otto", now=NOON)
    text = html.unescape(rita.get(f"/escalations/{event.id}").text)
    assert '"otto" has claimed this one' in text
    assert 'name="decide"' not in text


def test_what_is_not_known_whole_can_only_be_rejected(rita: TestClient, stores: Stores) -> None:
    stores.events.append([event := escalated(digest="")])
    text = rita.get(f"/escalations/{event.id}").text
    assert 'value="approve"' not in text
    assert 'value="reject"' in text
    assert "no exact action is known" in text


def test_an_escalation_that_is_over_says_so(rita: TestClient, stores: Stores, clock: Clock) -> None:
    stores.events.append([event := escalated()])
    clock.advance(hours=1, minutes=30)
    text = rita.get(f"/escalations/{event.id}").text
    assert "<strong>Expired</strong>" in text
    assert 'name="decide"' not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
    ],
)
def test_another_site_cannot_send_the_forms(
    rita: TestClient, stores: Stores, headers: dict[str, str]
) -> None:
    stores.events.append([event := escalated(), cold := frozen(2)])
    key = form_key(rita.get(f"/escalations/{event.id}").text)
    form = {"form_key": key, "decide": "approve", "reason": "x", "confirmed": "yes"}
    for page in (f"/escalations/{event.id}", f"/quarantines/{cold.id}"):
        assert rita.post(page, data=form, headers=headers).status_code == 403
    assert stores.oversight.escalation(event.id).status == "pending"
    assert stores.oversight.quarantine(cold.id).released_at is None


def test_a_form_of_another_session_is_refused(
    rita: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([event := escalated()])
    page = f"/escalations/{event.id}"
    old = form_key(rita.get(page).text)
    clock.advance(seconds=5)
    sign_in(rita, stores)
    for key in (old, "", "nonsense"):
        form = {"form_key": key, "decide": "reject", "reason": "x", "confirmed": "yes"}
        answer = rita.post(page, data=form)
        assert answer.status_code == 403
        assert "another session" in answer.text
    assert stores.oversight.escalation(event.id).status == "pending"


def test_a_quarantine_is_released_in_two_steps_once(rita: TestClient, stores: Stores) -> None:
    stores.events.append([event := frozen()])
    page = f"/quarantines/{event.id}"
    text = rita.get(page).text
    assert "Session s-1" in text
    assert f"/events/{event.id}" in text
    assert "/?session=s-1" in text
    form = {"form_key": form_key(text), "reason": "the key was rotated"}
    assert "Release it?" in rita.post(page, data=form).text
    assert stores.oversight.quarantine(event.id).released_at is None
    assert rita.post(page, data={**form, "confirmed": "yes"}).status_code == 303
    released = stores.oversight.quarantine(event.id)
    assert (released.released_by, released.release_reason) == ("rita", "the key was rotated")
    assert "Released</strong> by rita" in rita.get(page).text
    again = rita.post(page, data={**form, "confirmed": "yes"})
    assert again.status_code == 409
    assert "released it already" in again.text


def test_lists_have_filters_and_pages(rita: TestClient, stores: Stores) -> None:
    stores.events.append([escalated(number) for number in range(55)])
    stores.oversight.resolve(escalated(3).id, Judgement(True, "otto", "y"), now=NOON)
    first = rita.get("/oversight").text
    assert first.count('href="/escalations/') == 50
    (older,) = re.findall(r'href="([^"]+)">Older escalations', first)
    assert rita.get(html.unescape(older)).text.count('href="/escalations/') == 4
    approved = rita.get("/oversight?status=approved").text
    assert re.findall(r'href="/escalations/([0-9a-f-]+)"', approved) == [escalated(3).id]
    assert 'href="/oversight?status=approved" aria-current="true">Approved' in approved
    assert rita.get("/oversight?status=odd").status_code == 422


def test_what_is_not_there_is_not_found(rita: TestClient) -> None:
    for page in ("/escalations/x", "/quarantines/x", "/configurations/x"):
        assert rita.get(page).status_code in {403, 404}, page
