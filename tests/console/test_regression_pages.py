"""Regression cases in the browser: made of a decision, their expectation edited, decided about."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.incidents.commands import Act
from kintsugi.incidents.opening import opened
from kintsugi.incidents.relations import merged
from kintsugi.model.incident import Actor
from kintsugi.model.proof import CaseProof, Proof, ProofResult
from kintsugi.model.stores import Stores
from tests.api.test_api_regressions import ATTACK, published, stored
from tests.console.test_oversight_pages import form_key, sign_in
from tests.control_plane import NOON

__all__ = ["published"]

READING = (Scope.EVENTS_READ, Scope.GATEWAYS_READ, Scope.REGRESSIONS_READ)
DECIDING = (*READING, Scope.REGRESSIONS_WRITE, Scope.REGRESSIONS_APPROVE)


@pytest.fixture
def event_id(published: Stores) -> str:
    """A decision that went wrong, tied to an incident."""
    event = stored(published, ATTACK)
    act = Act(Actor("ana", "ana/1", may_command=False), NOON)
    change = opened("A leak", act, state="declared", events=[event.id])
    published.incidents.change([], lambda _: (change,), now=NOON)
    return event.id


def test_a_decision_becomes_a_case_and_a_person_decides(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    text = rita.get(f"/events/{event_id}").text
    assert ('data-key="r"' in text, 'value="INC-000001"' in text) == (True, True)
    form = {"form_key": form_key(text), "incident": "INC-000001"}
    made = rita.post(f"/events/{event_id}/regression", data=form)
    assert (made.status_code, made.headers["location"]) == (303, "/regressions/REG-000001")
    text = rita.get("/regressions/REG-000001").text
    assert ("reveal secrets" in text, "proposed" in text) == (True, True)
    assert "REG-000001" in rita.get("/regressions").text

    edited = {"form_key": form_key(text), "version": "1", "verdict": "escalate"}
    assert rita.post("/regressions/REG-000001/edit", data=edited).status_code == 303
    stale = rita.post("/regressions/REG-000001/approve", data=edited)
    assert stale.status_code == 412
    assert "Nothing was done" in stale.text
    done = rita.post("/regressions/REG-000001/approve", data={**edited, "version": "2"})
    assert done.status_code == 303
    text = rita.get("/regressions/REG-000001").text
    assert ("flag on demo@1" in text, "Decide</h2>" in text) == (True, False)
    weaker = {**edited, "version": "3", "verdict": "allow"}
    refused = rita.post("/regressions/REG-000001/edit", data=weaker)
    assert (refused.status_code, "it is approved" in refused.text) == (409, True)


def test_a_case_says_what_the_newest_proof_found(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    form = {"form_key": form_key(rita.get(f"/events/{event_id}").text), "incident": "INC-1"}
    assert rita.post(f"/events/{event_id}/regression", data=form).status_code == 303
    assert "Newest proof" not in rita.get("/regressions/REG-000001").text
    incident = published.incidents.get("INC-1")
    results: tuple[ProofResult, ...] = ("still_red", "proved")
    for result in results:
        case = CaseProof("REG-000001", 1, "case", "sha256:0", result, "demo@1", "demo@2")
        published.proofs.add(
            Proof(
                id="",
                incident_id=incident.id,
                reference=incident.reference,
                at=NOON,
                by="ana",
                passed=result == "proved",
                cases=(case,),
                runs=(),
            )
        )
    text = rita.get("/regressions/REG-000001").text
    assert "PRF-000002: failed then, holds now, from demo@1 to demo@2" in text
    assert "kt proofs show PRF-000002" in text


def test_the_incident_that_others_were_merged_into_is_proposed_for_the_case(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    act = Act(Actor("ana", "ana/1", may_command=True), NOON, reason="the same leak")
    duplicate = opened("Once more", act, state="reported", events=[event_id])
    [made] = published.incidents.change([], lambda _: (duplicate,), now=NOON)
    rita = sign_in(anonymous, published, *DECIDING)
    assert 'value="INC-' not in rita.get(f"/events/{event_id}").text, "it is in two incidents"
    published.incidents.change(
        [made.id, "INC-1"], lambda found: merged(found[0], found[1], act), now=NOON
    )
    assert 'value="INC-000001"' in rita.get(f"/events/{event_id}").text


def test_what_cannot_become_a_case_says_why_on_the_page_of_the_decision(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    other = stored(published, ATTACK, 2)
    key = form_key(rita.get(f"/events/{other.id}").text)
    form = {"form_key": key, "incident": ""}
    answer = rita.post(f"/events/{other.id}/regression", data=form)
    assert answer.status_code == 422
    assert ("it is tied to none" in answer.text, "autofocus" in answer.text) == (True, True)
    form["incident"] = "INC-9"
    answer = rita.post(f"/events/{other.id}/regression", data=form)
    assert (answer.status_code, 'value="INC-9"' in answer.text) == (404, True)
    form["incident"] = "INC-1"
    assert rita.post(f"/events/{event_id}/regression", data=form).status_code == 303
    again = rita.post(f"/events/{event_id}/regression", data=form)
    assert (again.status_code, "REG-000001 is this case already" in again.text) == (409, True)


def test_the_page_says_whether_it_can_be_approved_as_it_is_now(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    form = {"form_key": form_key(rita.get(f"/events/{event_id}").text), "incident": "INC-1"}
    rita.post(f"/events/{event_id}/regression", data=form)
    assert "it fails there, as it has to" in rita.get("/regressions/REG-000001").text
    form |= {"version": "1", "verdict": "flag"}
    assert rita.post("/regressions/REG-000001/edit", data=form).status_code == 303
    text = rita.get("/regressions/REG-000001").text
    assert "it cannot be approved" in text
    assert "a case that cannot fail proves nothing" in text
    assert published.regressions.get("REG-1").state == "proposed"


def test_every_expectation_is_edited_in_place_and_what_is_left_alone_stays(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    form = {"form_key": form_key(rita.get(f"/events/{event_id}").text), "incident": "INC-1"}
    rita.post(f"/events/{event_id}/regression", data=form)
    form |= {"version": "1", "policy": "prompt-injection", "response_excludes": "one\r\ntwo "}
    assert rita.post("/regressions/REG-000001/edit", data=form).status_code == 303
    expected = published.regressions.get("REG-1").case.expected
    assert (expected.verdict, expected.policy) == ("block", "prompt-injection")
    assert expected.response_excludes == "one\ntwo"
    text = rita.get("/regressions/REG-000001").text
    assert ('value="prompt-injection"' in text, "one\ntwo</textarea>" in text) == (True, True)
    form |= {"version": "2", "policy": ""}
    assert rita.post("/regressions/REG-000001/edit", data=form).status_code == 303
    expected = published.regressions.get("REG-1").case.expected
    assert (expected.policy, expected.response_excludes) == (None, "one\ntwo")


def test_a_rejection_takes_a_reason(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    rita = sign_in(anonymous, published, *DECIDING)
    form = {"form_key": form_key(rita.get(f"/events/{event_id}").text), "incident": "INC-1"}
    rita.post(f"/events/{event_id}/regression", data=form)
    form["version"] = "1"
    assert rita.post("/regressions/REG-000001/reject", data=form).status_code == 422
    form["reason"] = "not ours"
    assert rita.post("/regressions/REG-000001/reject", data=form).status_code == 303
    assert "not ours" in rita.get("/regressions/REG-000001").text


def test_who_may_only_read_is_offered_nothing(
    anonymous: TestClient, published: Stores, event_id: str
) -> None:
    viewer = sign_in(anonymous, published, *READING, name="vera")
    assert "/regression" not in viewer.get(f"/events/{event_id}").text.replace("/regressions", "")
    assert "There are none." in viewer.get("/regressions?state=approved").text
