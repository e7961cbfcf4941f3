"""``/v1/communications`` and the feeds; reminders of what was promised."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.api.reminders import Reminders
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, bearer, make_token

ATOM = "{http://www.w3.org/2005/Atom}"
FIELDS = {
    "description_plain": "The assistant invented <b>a policy</b>.",
    "affected_services": "support chat",
    "measures_taken": "ana stopped it \x0b & more",
    "user_guidance": None,
}


def post(client: TestClient, path: str, token: str = "", **body: Any) -> dict[str, Any]:
    headers = bearer(token) if token else {}
    answer = client.post(f"/v1/{path}", json=body, headers=headers)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


@pytest.fixture
def people(client: TestClient, stores: Stores) -> dict[str, str]:
    """Tokens of two people with roles in the one incident that there is."""
    post(client, "incidents", title="Refund policy invented")
    scopes = (Scope.INCIDENTS_READ, Scope.INCIDENTS_RESPOND)
    tokens = {name: make_token(stores, *scopes, name=name) for name in ("ana", "bo")}
    post(client, "incidents/INC-1/assign", role="risk_owner", person="ana")
    post(client, "incidents/INC-1/assign", role="communications", person="bo")
    return tokens


def signals(stores: Stores) -> list[str]:
    return sorted(one.kind for one in stores.signals.page("unresolved", limit=100)[0])


def test_a_message_to_the_public_goes_from_draft_to_feed(
    client: TestClient, people: dict[str, str]
) -> None:
    nobody = {"authorization": ""}
    made = post(client, "communications", incident="INC-1", audience="public", fields=FIELDS)
    assert {one["name"]: one["status"] for one in made["fields"]}["user_guidance"] == "unknown"
    path = f"communications/{made['id']}"
    refused = client.post(f"/v1/{path}/send", json={"to": "page", "channel": "page"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "approvals")
    for token in people.values():
        post(client, f"{path}/approve", token)
    sent = post(client, f"{path}/send", to="status page", channel="page", reference="T-1")
    assert (sent["state"], len(sent["approvals"])) == ("sent", 2)
    assert client.get("/status/feed.json", headers=nobody).json()["items"] == []
    dry = client.post(f"/v1/{path}/publish", json={}, params={"dry_run": "true"}).json()["data"]
    assert "the risk owner stopped it" in dry["publication"]["text"]
    assert client.get("/status/feed.json", headers=nobody).json()["items"] == []
    post(client, f"{path}/publish", people["bo"])

    public = client.get("/status/feed.json", headers=nobody)
    assert public.headers["content-type"].startswith("application/feed+json")
    assert public.json()["version"] == "https://jsonfeed.org/version/1.1"
    [item] = public.json()["items"]
    assert "the risk owner stopped it" in item["content_text"]
    assert "<b>" in item["content_text"]
    feed = ElementTree.fromstring(client.get("/status/feed.atom", headers=nobody).content)  # noqa: S314 - our own
    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == item["title"]
    assert "<b>a policy</b>" in (feed.findtext(f"{ATOM}entry/{ATOM}content") or "")
    assert feed.findtext(f"{ATOM}id", "").startswith("urn:uuid:")

    refused = client.get("/v1/communications/feed.json", headers={"authorization": ""})
    assert refused.status_code == 401
    [inside] = client.get("/v1/communications/feed.json").json()["items"]
    assert "ana stopped it" in inside["content_text"]
    assert client.get("/v1/communications/feed.atom", params={"audience": "team"}).is_success
    post(client, f"{path}/unpublish", people["bo"], reason="wrong")
    assert client.get("/status/feed.json", headers=nobody).json()["items"] == []


def test_drafts_are_edited_listed_and_withdrawn(client: TestClient, people: Any) -> None:
    made = post(client, "communications", incident="INC-1", audience="team")
    assert made["version"] == 1
    path = f"communications/{made['id']}"
    edited = post(client, f"{path}/edit", body="Only {reference}.", next_update_at="+2h")
    assert edited["text"] == "Only INC-000001."
    found = client.get("/v1/communications", params={"incident": "INC-1", "audience": "team"})
    assert [one["id"] for one in found.json()["data"]] == [made["id"]]
    assert post(client, f"{path}/withdraw", reason="not now")["state"] == "withdrawn"
    assert client.get("/v1/communications", params={"state": "sent"}).json()["data"] == []
    assert "customers" in client.get("/v1/communications/templates").json()["data"]["audiences"]
    wrong = client.post("/v1/communications", json={"incident": "INC-1", "audience": "press"})
    assert (wrong.status_code, "known: team" in wrong.json()["detail"]) == (422, True)


def test_what_is_promised_and_not_kept_is_a_signal_until_it_is_kept(
    client: TestClient, clock: Clock, stores: Stores, people: Any
) -> None:
    post(client, "incidents/INC-1/override-severity", severity="high", reason="press")
    action = post(client, "actions", incident="INC-1", title="Rebuild it", kind="fix")

    def tell() -> None:
        body = {"incident": "INC-1", "audience": "team", "body": "Still here: {reference}."}
        made = post(client, "communications", **body)
        post(client, f"communications/{made['id']}/send", to="#inc", channel="chat")

    tell()
    reminders = Reminders(stores, clock)
    reminders.look()
    assert signals(stores) == []
    clock.advance(hours=2)
    reminders.look()
    reminders.look()
    assert signals(stores) == ["communication_overdue", "update_overdue"]
    tell()
    reminders.look()
    assert signals(stores) == []
    clock.advance(days=6)
    reminders.look()
    [soon] = stores.notices.page(type_name="action.due_soon", limit=10)[0]
    assert soon.data["action_id"] == action["id"]
    clock.advance(days=2)
    reminders.look()
    assert "action_overdue" in signals(stores)
    post(client, f"actions/{action['id']}/reschedule", due_at="+1d", reason="holidays")
    reminders.look()
    assert "action_overdue" not in signals(stores)


def test_actions_of_an_incident_that_has_ended_are_chased_and_its_promises_are_not(
    client: TestClient, clock: Clock, stores: Stores
) -> None:
    post(client, "incidents", title="Odd answer", state="reported")
    post(client, "actions", incident="INC-1", title="Look again", kind="process", due_at="+1d")
    made = post(client, "communications", incident="INC-1", audience="team", body="Noted.")
    post(client, f"communications/{made['id']}/send", to="#inc", channel="chat")
    answers = {"systematic": "no", "regulated_or_vulnerable": "no", "scales_silently": "no"}
    post(client, "incidents/INC-1/triage", **answers)
    post(client, "incidents/INC-1/dismiss", outcome="quality_issue", reason="a typo")
    clock.advance(days=3)
    Reminders(stores, clock).look()
    assert signals(stores) == ["action_overdue"]
    assert not client.get(f"/v1/communications/{made['id']}").json()["data"]["overdue"]
