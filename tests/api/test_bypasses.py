"""A bypass: asked for in an incident, approved by another person, and judged once it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.bypasses import SETTLES_IN, BypassJudge
from kintsugi.api.permissions import Scope
from kintsugi.model.config import Config
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.event import DecisionEvent
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from kintsugi.policy.bypassed import BypassTally
from kintsugi.policy.parse import parse_config
from tests.control_plane import NOON, Clock, bearer, evaluation, make_event, make_token

AT = "/v1/containments"
SAYING = {"reason": "the filter blocks half of all traffic"}


def asking(incident: str, **more: Any) -> dict[str, Any]:
    lever = {"name": "bypass", "policies": ["dlp-filter"]}
    scope = {"workflow": "triage"}
    return {"lever": lever, "scope": scope, "incident_id": incident, **SAYING, **more}


def declared(client: TestClient) -> str:
    answer = client.post("/v1/incidents", json={"title": "over-block"})
    return str(answer.json()["data"]["reference"])


def passed(number: int, containment: str, *wanted: Verdict) -> DecisionEvent:
    """An exchange under a bypass, and what the filter wanted."""
    return make_event(
        number,
        workflow="triage",
        containments=(containment,),
        evaluations=tuple(
            evaluation("dlp-filter", Phase.INPUT, verdict, mode=Mode.MONITOR) for verdict in wanted
        ),
    )


def test_another_person_approves_and_its_time_runs_from_then_on(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    incident = declared(client)
    made = client.post(AT, json=asking(incident, expires_in_seconds=600))
    assert made.status_code == 201, made.text
    assert made.json()["data"]["status"] == "waiting"
    at = f"{AT}/{made.json()['data']['containment']['id']}"
    assert client.get(AT).json()["data"] == []
    assert len(client.get(f"{AT}?status=waiting").json()["data"]) == 1
    refused = client.post(f"{at}/approve", json={})
    assert refused.status_code == 403
    assert "another person" in refused.json()["detail"]
    second = bearer(make_token(stores, Scope.CONTAINMENTS_APPROVE, name="eve"))
    clock.advance(seconds=300)
    approved = client.post(f"{at}/approve", json={}, headers=second)
    assert approved.status_code == 200, approved.text
    found = approved.json()["data"]
    assert found["status"] == "in_force"
    assert stores.containments.get(found["containment"]["id"]).expires_at == NOON + timedelta(
        seconds=900
    )
    again = client.post(f"{at}/approve", json={}, headers=second)
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"incident_id": ""}, "incident_id"),
        ({"expires_in_seconds": 5 * 3600}, "expires_in_seconds"),
        ({"lever": {"name": "bypass", "policies": ["unheard-of"]}}, "lever.policies"),
    ],
)
def test_control_is_not_loosened_without_what_that_takes(
    client: TestClient, change: dict[str, Any], names: str
) -> None:
    refused = client.post(AT, json={**asking(declared(client)), **change})
    assert refused.status_code == 422, refused.text
    assert names in refused.text
    assert client.get(f"{AT}?status=all").json()["data"] == []


def test_control_is_not_loosened_for_what_is_only_reported(client: TestClient) -> None:
    reported = client.post("/v1/incidents", json={"title": "odd", "state": "reported"})
    reference = reported.json()["data"]["reference"]
    refused = client.post(AT, json=asking(reference))
    assert refused.status_code == 409
    assert "declared" in refused.json()["detail"]
    assert client.post(AT, json=asking("INC-99")).status_code == 404


def test_what_went_through_is_judged_told_and_tied_to_the_incident(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    incident = declared(client)
    identifier = client.post(AT, json=asking(incident)).json()["data"]["containment"]["id"]
    clock.advance(seconds=1)
    stores.containments.approve(identifier, by="eve/2", now=clock.now)
    events = [
        passed(10, identifier, Verdict.ALLOW),
        passed(11, identifier, Verdict.BLOCK),
        passed(12, identifier, Verdict.FLAG, Verdict.REDACT),
        passed(13, "another", Verdict.BLOCK),
    ]
    stores.events.append(events)
    judge = BypassJudge(stores, clock)
    assert judge.judge_once() is False  # it is not over
    clock.advance(hours=1)
    assert judge.judge_once() is False  # gateways may still be shipping
    clock.now += SETTLES_IN
    assert judge.judge_once() is True
    assert judge.judge_once() is False
    found = stores.containments.get(identifier).bypassed
    assert found is not None
    assert found.exchanges == 3
    assert found.would_have == {"allow": 1, "block": 1, "redact": 1}
    assert found.by_policy == {"dlp-filter": 2}
    [signal], _ = stores.signals.page("open", kind="bypass_let_through", limit=9)
    assert "2 of 3" in signal.summary
    tied = client.get(f"/v1/events?incident={incident}").json()["data"]
    assert {one["id"] for one in tied} == {events[1].id, events[2].id}
    shown = client.get(f"{AT}/{identifier}").json()["data"]["containment"]
    assert shown["bypassed"]["exchanges"] == 3


def test_a_bypass_shows_as_relaxed_while_it_is_in_force(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    identifier = client.post(AT, json=asking(declared(client))).json()["data"]["containment"]["id"]
    assert client.get("/v1/status").json()["data"]["relaxed"] == []
    stores.containments.approve(identifier, by="eve/2", now=clock.now)
    [one] = client.get("/v1/status").json()["data"]["relaxed"]
    assert (one["source"], one["setting"]) == ("containment", "bypass: dlp-filter")
    assert (one["state"], one["days_left"]) == ("in_time", 0)
    assert one["address"] == f"/containments/{identifier}"
    assert 'kintsugi_api_relaxed_settings{state="in_time"} 1.0' in client.get("/metrics").text
    clock.advance(hours=2)
    assert client.get("/v1/status").json()["data"]["relaxed"] == []


def test_where_nothing_would_have_been_stopped_nobody_is_called(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    identifier = client.post(AT, json=asking(declared(client))).json()["data"]["containment"]["id"]
    stores.containments.approve(identifier, by="eve/2", now=clock.now)
    clock.now += timedelta(hours=1) + SETTLES_IN
    assert BypassJudge(stores, clock).judge_once() is True
    assert stores.signals.page("open", kind="bypass_let_through", limit=9)[0] == []
    found = stores.containments.get(identifier).bypassed
    assert found is not None
    assert (found.exchanges, found.acted_on) == (0, 0)


def test_what_only_watches_by_itself_was_not_bypassed() -> None:
    config = parse_config(
        """
        pack: {name: p, version: 1.0.0}
        providers: {targets: [{id: a, provider: simulator}]}
        policies: {chain: [dlp-filter, pii-detector]}
        policy:
          dlp-filter: {mode: monitor, blocked_terms: [x]}
          pii-detector: {action: redact}
        """
    )

    def known(name: str) -> Config | None:
        return config if name == "p@1" else None

    def tally(*policies: str, version: str = "p@1") -> dict[str, int]:
        event = make_event(
            1,
            config_version=version,
            evaluations=(
                evaluation("dlp-filter", Phase.INPUT, Verdict.BLOCK, mode=Mode.MONITOR),
                evaluation("pii-detector", Phase.INPUT, Verdict.REDACT, mode=Mode.MONITOR),
                evaluation("agent-firewall", Phase.TOOL, Verdict.BLOCK),
            ),
        )
        found = BypassTally(policies, known, keep_max=1)
        found.add(event)
        found.add(msgspec.structs.replace(event, id="another"))
        assert len(found.stopped) <= 1
        return found.result().by_policy

    assert tally() == {"pii-detector": 2}
    assert tally("dlp-filter") == {}
    assert tally(version="gone@2") == {"dlp-filter": 2, "pii-detector": 2}
