"""``/v1/reports``: sent by people and machines, joined, settled, proven; nothing is lost."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, bearer, make_event, make_token

ALERT = {
    "status": "firing",
    "labels": {"alertname": "HighBlockRate", "severity": "warning", "workflow": "refunds"},
    "annotations": {"summary": "Too much is blocked", "description": "30 % over 5 minutes"},
    "startsAt": "2026-04-23T11:58:00.000Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "c1bb97b2a7f0b1f3",
}
MESSAGE = {"version": "4", "groupKey": "{}", "status": "firing", "alerts": [ALERT]}
PAGERDUTY = {
    "event": {
        "id": "01BBYA6IZHXQR5E0LZ8WE0CTAO",
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": "2026-04-23T11:58:00Z",
        "data": {
            "id": "PGR0VU2",
            "type": "incident",
            "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "status": "triggered",
            "title": "A little bump in the road",
            "service": {"id": "PF9KMXH", "summary": "API Service", "type": "service_reference"},
            "priority": {"id": "PSO75BM", "summary": "P1", "type": "priority_reference"},
            "urgency": "high",
        },
    }
}


def send(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/reports", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def put_source(client: TestClient, name: str = "prom", **body: Any) -> dict[str, Any]:
    answer = client.put(f"/v1/report-sources/{name}", json={"kind": "alertmanager", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def deliver(client: TestClient, message: Any, name: str = "prom") -> dict[str, Any]:
    content = message if isinstance(message, bytes) else msgspec.json.encode(message)
    answer = client.post(
        f"/v1/report-sources/{name}/deliveries",
        content=content,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def test_a_report_opens_an_incident_and_its_receipt_is_provable(client: TestClient) -> None:
    made = send(client, title="It lied", text="about refunds", category="correctness")
    assert (made["status"], made["incident"], made["incident_state"]) == (
        "joined",
        "INC-000001",
        "reported",
    )
    proof = client.get(f"/v1/log/leaves/{made['leaf']}/proof").json()["data"]
    assert made["digest"] in msgspec.json.encode(proof).decode()
    again = send(client, title=" it  LIED", text="About refunds", category="correctness")
    assert again["incident"] == "INC-000001"
    [found] = client.get("/v1/incidents/INC-1/reports").json()["data"]
    assert found["reports"] == 2
    assert client.get("/v1/reports", params={"incident": "INC-1"}).json()["meta"]["total"] == 2


def test_a_dry_run_shows_the_fingerprint_and_what_it_would_join(client: TestClient) -> None:
    body = {"title": "It lied", "workflow": "refunds"}
    before = client.post("/v1/reports?dry_run=true", json=body)
    assert before.status_code == 200
    assert before.json()["data"]["would"] == "open"
    assert before.json()["data"]["fields"] == [["title", "it lied"], ["workflow", "refunds"]]
    assert client.get("/v1/reports").json()["meta"]["total"] == 0
    send(client, **body)
    after = client.post("/v1/reports?dry_run=true", json=body).json()["data"]
    assert (after["would"], after["joins"], after["reports"]) == ("join", "INC-000001", 1)


def test_two_who_tag_the_same_answer_mean_the_same_thing(
    client: TestClient, stores: Stores
) -> None:
    events = [make_event(1, session_id="s1"), make_event(2, session_id="s1")]
    stores.events.append(events)
    about = [{"kind": "event", "id": events[0].id}]
    tag = {"channel": "support", "category": "correctness", "about": about}
    first = send(client, text="wrong sum", labels={"ticket": "4711"}, **tag)
    assert first["report"]["title"] == "wrong sum"
    second = send(client, **{**tag, "channel": "sales"}, text="he is angry")
    assert second["incident"] == first["incident"]
    assert client.get("/v1/incidents/INC-1").json()["data"]["event_count"] == 1
    whole = send(
        client, text="all of it", category="correctness", about=[{"kind": "session", "id": "s1"}]
    )
    assert whole["incident"] == "INC-000002"
    assert client.get("/v1/incidents/INC-2").json()["data"]["event_count"] == 2


def test_bad_input_names_its_field(client: TestClient) -> None:
    unknown = make_event(9).id
    for body, where in (
        ({}, "body.title"),
        ({"title": "x", "category": "corectness"}, "body.category"),
        ({"title": "x", "severity": "urgent"}, "body.severity"),
        ({"title": "x", "channel": "public"}, "body.channel"),
        ({"title": "x", "about": [{"kind": "event", "id": unknown}]}, "body.about.0.id"),
        ({"title": "x" * 301}, "body.title"),
        ({"titel": "x"}, "body.titel"),
        ({"title": "x", "at": "yesterday"}, "at"),
    ):
        answer = client.post("/v1/reports", json=body)
        assert answer.status_code == 422, answer.text
        assert where in answer.text, answer.text
    assert "did you mean" in client.post("/v1/reports", json={"titel": "x"}).text


def test_a_reporter_sees_own_reports_and_no_incidents(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    admin = dict(client.headers)
    scopes = (Scope.INCIDENTS_REPORT, Scope.REPORTS_READ)
    reporters = [bearer(make_token(stores, *scopes, name=name)) for name in ("ana", "bo")]
    made = [
        anonymous.post("/v1/reports", json={"title": "same"}, headers=one).json()["data"]
        for one in reporters
    ]
    assert [one["incident"] for one in made] == ["", ""]
    assert made[0]["incident_state"] == "reported"
    for who, own, other in ((0, 0, 1), (1, 1, 0)):
        headers = reporters[who]
        listed = anonymous.get("/v1/reports", headers=headers).json()
        assert [one["report"]["id"] for one in listed["data"]] == [made[own]["report"]["id"]]
        assert listed["meta"]["total"] == 1
        path = f"/v1/reports/{made[other]['report']['id']}"
        assert anonymous.get(path, headers=headers).status_code == 404
    path = f"/v1/reports/{made[0]['report']['id']}"
    assert anonymous.get(path, headers=reporters[0]).status_code == 200
    aside = anonymous.post(f"{path}/set-aside", json={"reason": "x"}, headers=reporters[0])
    assert aside.status_code == 403
    assert anonymous.get("/v1/reports", headers=admin).json()["meta"]["total"] == 2


def test_alerts_join_by_their_labels_and_say_when_they_are_over(client: TestClient) -> None:
    assert put_source(client)["version"] == 1
    done = deliver(client, MESSAGE)
    assert (done["received"], done["unmapped"]) == (1, 0)
    [view] = done["reports"]
    report = view["report"]
    assert (report["title"], report["severity"], report["workflow"], report["state"]) == (
        *("Too much is blocked", "medium", "refunds", "firing"),
    )
    assert report["happened_at"] == "2026-04-23T11:58:00Z"
    other = {**ALERT, "labels": {**ALERT["labels"], "instance": "gw-2"}}  # type: ignore[dict-item]
    over = {**ALERT, "status": "resolved", "endsAt": "2026-04-23T12:01:00Z"}
    done = deliver(client, {**MESSAGE, "alerts": [ALERT, over, other]})
    assert [one["incident"] for one in done["reports"]] == [
        *("INC-000001", "INC-000001", "INC-000002"),
    ]
    [found] = client.get("/v1/incidents/INC-1/reports").json()["data"]
    assert (found["reports"], found["resolved"], found["firing"]) == (3, 1, False)
    put_source(client, fingerprint=["alertname"])
    done = deliver(client, {**MESSAGE, "alerts": [ALERT, other]})
    assert [one["incident"] for one in done["reports"]] == ["INC-000003", "INC-000003"]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"no json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ({"version": "4"}, 'no array "alerts"'),
        ({**MESSAGE, "version": "5"}, "only version 4"),
        ({**MESSAGE, "alerts": ["x"]}, "alerts[0]: is no object"),
        ({**MESSAGE, "alerts": [{**ALERT, "status": "odd"}]}, "neither firing nor resolved"),
        ({**MESSAGE, "alerts": [{**ALERT, "startsAt": "noon"}]}, "send RFC 3339"),
        ({**MESSAGE, "alerts": [{**ALERT, "labels": []}]}, "labels: is no object"),
    ],
)
def test_what_cannot_be_read_is_kept_and_told(client: TestClient, message: Any, why: str) -> None:
    put_source(client)
    done = deliver(client, message)
    assert (done["received"], done["unmapped"]) == (1, 1)
    [view] = done["reports"]
    assert why in view["reason"]
    raw = message if isinstance(message, bytes) else msgspec.json.encode(message)
    file = view["report"]["files"][0]
    got = client.get(f"/v1/reports/{view['report']['id']}/files/{file['digest']}")
    assert (got.content, got.headers["content-type"]) == (raw, "application/octet-stream")
    assert client.get("/v1/reports?status=unmapped").json()["meta"]["total"] == 1
    path = f"/v1/reports/{view['report']['id']}"
    settled = client.post(f"{path}/settle", json={"reason": "read it", "title": "An alert"})
    assert settled.json()["data"]["incident"] == "INC-000001"
    assert client.post(f"{path}/set-aside", json={"reason": "late"}).status_code == 409


def test_one_bad_alert_does_not_hide_the_others(client: TestClient) -> None:
    put_source(client)
    done = deliver(client, {**MESSAGE, "alerts": [ALERT, {"status": "firing"}]})
    assert [one["status"] for one in done["reports"]] == ["joined", "unmapped"]


def test_pagerduty_says_who_it_is_by_its_signature(
    client: TestClient, anonymous: TestClient
) -> None:
    secret = "k3/dWtUtIyV0pKNSa+GhQ0x"
    put_source(client, "pd", kind="pagerduty", signing="pagerduty", secret=secret)
    shown = client.get("/v1/report-sources/pd").json()["data"]
    assert shown["signed"]
    assert secret not in client.get("/v1/report-sources").text
    body = msgspec.json.encode(PAGERDUTY)
    good = hmac.digest(secret.encode(), body, "sha256").hex()
    path = "/v1/report-sources/pd/signed-deliveries"
    del anonymous.headers["authorization"]

    def sent(signature: str, content: bytes = body, to: str = path) -> int:
        headers = {"x-pagerduty-signature": signature, "content-type": "application/json"}
        return anonymous.post(to, content=content, headers=headers).status_code

    assert sent(f"v1={'0' * 64},v1={good}") == 202
    for signature, content in ((f"v1={good}", body + b" "), (good, body), ("", body)):
        assert sent(signature, content) == 401
    assert sent(f"v1={good}", to=path.replace("pd", "other")) == 401


def test_pagerduty_incidents_are_one_until_they_are_over(client: TestClient) -> None:
    put_source(client, "pd", kind="pagerduty")
    [first] = deliver(client, PAGERDUTY, "pd")["reports"]
    assert first["report"]["severity"] == "critical"
    over: Any = msgspec.json.decode(msgspec.json.encode(PAGERDUTY))
    over["event"]["event_type"] = "incident.resolved"
    [second] = deliver(client, over, "pd")["reports"]
    assert (second["incident"], second["report"]["state"]) == (first["incident"], "resolved")
    ping = {"event": {"id": "x", "event_type": "pagey.ping", "data": {}}}
    assert deliver(client, ping, "pd")["received"] == 0
    assert deliver(client, {"event": {"event_type": "service.updated"}}, "pd")["unmapped"] == 1


def test_any_json_is_mapped_as_its_preview_says(client: TestClient) -> None:
    mapping = {
        "items": "/issues",
        "title": {"cel": '"score of " + item.model + " fell"'},
        "severity": {"pointer": "/level"},
        "workflow": {"pointer": "/tags/0"},
        "state": {"pointer": "/open"},
        "labels": {"model": {"pointer": "/model"}, "by": {"text": "evals"}},
        "fingerprint": {"model": {"pointer": "/model"}},
    }
    payload = {
        "issues": [
            {"model": "gpt-x", "level": "error", "tags": ["refunds"], "open": True},
            {"level": "error"},
        ]
    }
    body = {"kind": "generic", "mapping": mapping, "payload": payload}
    previews = client.post("/v1/report-sources/preview", json=body).json()["data"]
    assert [one["would"] for one in previews] == ["open", "keep unmapped"]
    assert previews[0]["fields"] == [["model", "gpt-x"], ["source", "preview"]]
    assert "item 1: mapping.title" in previews[1]["why_unmapped"]
    assert client.get("/v1/reports").json()["meta"]["total"] == 0
    put_source(client, "evals", kind="generic", mapping=mapping)
    done = deliver(client, payload, "evals")
    report = done["reports"][0]["report"]
    assert (report["title"], report["severity"], report["workflow"], report["labels"]) == (
        *("score of gpt-x fell", "high", "refunds", {"by": "evals", "model": "gpt-x"}),
    )
    saved = client.post(
        "/v1/report-sources/preview", json={"source": "evals", "payload": payload}
    ).json()["data"]
    assert [one["would"] for one in saved] == ["join", "keep unmapped"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"kind": "generic"}, "body.mapping"),
        ({"kind": "generic", "mapping": {}}, "mapping"),
        ({"kind": "generic", "mapping": {"title": {}}}, "mapping.title"),
        ({"kind": "generic", "mapping": {"title": {"pointer": "x"}}}, "mapping.title.pointer"),
        ({"kind": "generic", "mapping": {"title": {"pointer": "/~2"}}}, "mapping.title.pointer"),
        ({"kind": "generic", "mapping": {"title": {"cel": "item +"}}}, "mapping.title.cel"),
        ({"kind": "generic", "mapping": {"title": {"cel": "nope"}}}, "mapping.title.cel"),
        (
            {"kind": "generic", "mapping": {"title": {"text": "x", "cel": "1"}}},
            "mapping.title",
        ),
        ({"kind": "pagerduty", "signing": "standard-webhooks"}, "body.signing"),
        ({"kind": "alertmanager", "mapping": {}}, "body.mapping"),
        ({"kind": "alertmanager", "signing": "sha256", "secret": "short"}, "body.secret"),
    ],
)
def test_a_source_that_cannot_work_is_refused(
    client: TestClient, body: dict[str, Any], where: str
) -> None:
    answer = client.put("/v1/report-sources/x", json=body)
    assert answer.status_code == 422
    assert where in answer.text, answer.text


def test_standard_webhooks_are_fresh_and_signed(client: TestClient, clock: Clock) -> None:
    made = put_source(client, signing="standard-webhooks")
    secret = made["secret"]
    assert client.get("/v1/report-sources/prom").json()["data"]["secret"] == ""
    body = msgspec.json.encode(MESSAGE)

    def sent(at: str, key: str = secret) -> int:
        text = f"msg_1.{at}.".encode() + body
        digest = base64.b64encode(hmac.digest(base64.b64decode(key[6:]), text, "sha256")).decode()
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": at,
            "webhook-signature": f"v1a,x v1,{digest}",
        }
        path = "/v1/report-sources/prom/signed-deliveries"
        return client.post(path, content=body, headers=headers).status_code

    now = int(clock().timestamp())
    assert sent(str(now)) == 202
    assert [sent(str(now - 301)), sent("soon"), sent("-1")] == [401, 401, 401]
    assert sent(str(now), "whsec_" + base64.b64encode(b"other").decode()) == 401
    put_source(client, signing="standard-webhooks", enabled=False)
    assert sent(str(now)) == 401


def test_a_source_that_is_off_takes_nothing(client: TestClient) -> None:
    put_source(client, enabled=False)
    answer = client.post("/v1/report-sources/prom/deliveries", json=MESSAGE)
    assert answer.status_code == 409
    assert client.post("/v1/report-sources/nope/deliveries", json=MESSAGE).status_code == 404


def test_links_are_made_and_ended(client: TestClient) -> None:
    made = client.post("/v1/report-links", json={"audience": "regulator"}).json()["data"]
    assert made["path"].startswith("/report/by-link/")
    [listed] = client.get("/v1/report-links").json()["data"]
    assert (listed["path"], listed["state"], listed["used"]) == ("", "open", 0)
    ended = client.post(f"/v1/report-links/{made['id']}/revoke", json={}).json()["data"]
    assert ended["state"] == "revoked"
    bad = client.post("/v1/report-links", json={"audience": "x", "expires_in_days": 0})
    assert bad.status_code == 422


def test_a_mail_is_a_report_with_its_attachments(client: TestClient) -> None:
    mail = (
        b"From: Eve <eve@example.org>\r\nTo: ai@example.com\r\nSubject: =?utf-8?q?It_lied?=\r\n"
        b"Message-ID: <1@example.org>\r\nDate: Thu, 23 Apr 2026 13:00:00 +0200\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        b"Content-Type: text/plain\r\n\r\nIt told me a wrong sum.\r\n--b\r\n"
        b"Content-Type: application/x-sh\r\nContent-Disposition: attachment; filename=run.sh\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\ncm0gLXJmIC8=\r\n--b--\r\n"
    )

    def imported(**params: str) -> Any:
        headers = {"content-type": "message/rfc822"}
        return client.post("/v1/reports/email", content=mail, headers=headers, params=params)

    assert imported(dry_run="true").json()["data"]["would"] == "open"
    view = imported().json()["data"]
    report = view["report"]
    assert (report["title"], report["text"], report["contact"]) == (
        *("It lied", "It told me a wrong sum.", "Eve <eve@example.org>"),
    )
    assert report["happened_at"] == "2026-04-23T11:00:00Z"
    assert [one["name"] for one in report["files"]] == ["message.eml", "run.sh"]
    path = f"/v1/reports/{report['id']}/files/{report['files'][1]['digest']}"
    assert client.get(path).content == b"rm -rf /"
    assert imported().json()["data"]["incident"] == view["incident"]
    assert client.post("/v1/reports/email", content=b"  ").status_code == 422
