"""Proofs over the API, the learning gate, what binds, and publishes that would break it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.permissions import Scope
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.proof import RESULTS
from kintsugi.model.regression import ERASED, CaseKind, CaseSource, RedRun, Regression
from kintsugi.model.regression_ledger import LedgerFilter
from kintsugi.model.stores import Stores
from tests.control_plane import NOON, Clock, bearer, make_event, make_report, make_token

LOW = dict.fromkeys(
    (
        *("impact", "uncertainty", "blast_radius", "reversibility"),
        *("exposure", "data_sensitivity", "autonomy", "recurrence"),
    ),
    0,
)


def config(*terms: str, name: str = "support", version: str = "1.0.0") -> str:
    return (
        f"pack: {{name: {name}, version: {version}}}\n"
        "providers: {targets: [{id: sim, provider: simulator}]}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        f"policy: {{dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}, "
        "audit-logger: {}}\n"
    )


OLD, NEW = config("zebra"), config("zebra", "aurora")


def publish(client: TestClient, content: str, *, name: str = "support", **params: Any) -> Any:
    return client.put(f"/v1/configurations/{name}", json={"content": content}, params=params)


def do(client: TestClient, key: str, verb: str, **body: Any) -> Any:
    answer = client.post(f"/v1/incidents/{key}/{verb}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["data"]


def declared(client: TestClient) -> str:
    answer = client.post("/v1/incidents", json={"title": "A note leaked"})
    return str(answer.json()["data"]["reference"])


def in_review(client: TestClient, key: str) -> None:
    """Everything that a low severity asks for, up to the review."""
    do(client, key, "assign", role="commander", person="ana")
    do(client, key, "assess", factors=LOW)
    do(client, key, "contain", reason="stopped")
    do(client, key, "judge", enforcement="missed", harm="harm")
    do(client, key, "investigate")
    do(client, key, "describe", decision="stop the term")
    do(client, key, "remediate")
    do(client, key, "monitor", reason="stopped")
    do(client, key, "review")


def add_case(
    stores: Stores,
    client: TestClient,
    key: str,
    text: str = "the aurora papers",
    *,
    kind: CaseKind = "case",
    verdict: str = "block",
    approve: bool = True,
    **more: Any,
) -> Regression:
    incident = client.get(f"/v1/incidents/{key}").json()["data"]["id"]
    values: dict[str, Any] = {
        "id": "",
        "version": 0,
        "kind": kind,
        "state": "proposed",
        "incident_id": incident,
        "config_id": "support",
        "case": Case(
            "case",
            CaseInput(messages=({"role": "user", "content": text},)),
            CaseExpected(verdict=verdict),
        ),
        "source": CaseSource("event", "e", config_version="support@1"),
        "created_at": NOON,
        "created_by": "ana/1",
        "changed_at": NOON,
        "changed_by": "ana/1",
    }
    [one] = stores.regressions.add([Regression(**{**values, **more})], now=NOON)
    return change(stores, one.id, state="approved") if approve else one


def change(stores: Stores, name: str, **fields: Any) -> Regression:
    return stores.regressions.change(
        name, lambda before: msgspec.structs.replace(before, changed_by="otto/2", **fields)
    )


def prove(client: TestClient, key: str, **body: Any) -> Any:
    return do(client, key, "prove", **body)


def results(told: Any) -> dict[str, str]:
    return {one["regression_id"]: one["result"] for one in told["proof"]["cases"]}


def learning(client: TestClient, key: str) -> list[str]:
    gates = client.get(f"/v1/incidents/{key}/gates").json()["data"]
    [found] = [one["missing"] for one in gates if one["gate"] == "learning"]
    return list(found)


def acts(stores: Stores) -> list[tuple[str, str]]:
    found, _ = stores.ledger.page(LedgerFilter(), limit=99)
    return [(one.act, one.regression_id) for one in reversed(found)]


def test_a_severity_that_was_lowered_to_close_without_proof_shows(client: TestClient) -> None:
    publish(client, OLD)
    key = declared(client)
    do(client, key, "override-severity", severity="high", reason="it leaked")
    in_review(client, key)
    do(client, key, "override-severity", severity="low", reason="it was nothing")
    do(client, key, "close")
    [one] = client.get("/v1/regressions/coverage").json()["data"]
    assert (one["state"], one["severest"], one["severity"]) == ("lowered", "high", "low")
    assert one["lowered_by"].startswith("test/")


def test_a_proof_stands_in_the_timeline_of_its_incident(
    client: TestClient, stores: Stores, key: str
) -> None:
    add_case(stores, client, key)
    prove(client, key)
    publish(client, NEW)
    prove(client, key)
    entries = client.get(f"/v1/incidents/{key}/timeline").json()["data"]
    assert [one["text"] for one in entries if one["text"].startswith("PRF")] == [
        "PRF-000002: proved: 1 proved",
        "PRF-000001: not proved: 1 still red",
    ]


@pytest.fixture
def key(client: TestClient) -> str:
    """An incident of the time when the first version was in force."""
    assert publish(client, OLD).status_code == 200
    return declared(client)


@pytest.fixture
def closed(client: TestClient, stores: Stores, key: str) -> str:
    """The same, closed with a case that is proven, and a twin."""
    add_case(stores, client, key)
    add_case(stores, client, key, "hello", kind="twin", verdict="allow")
    publish(client, NEW)
    assert prove(client, key)["proof"]["passed"]
    in_review(client, key)
    do(client, key, "close")
    return key


def test_an_incident_is_proven_red_then_green_and_both_runs_are_in_the_log(
    client: TestClient, stores: Stores, key: str
) -> None:
    one = add_case(stores, client, key)
    add_case(stores, client, key, "hello", kind="twin", verdict="allow")
    before = prove(client, key)
    assert not before["proof"]["passed"]
    assert results(before)[one.id] == "still_red"
    publish(client, NEW)
    told = prove(client, key)
    proof = told["proof"]
    assert proof["passed"]
    assert [(run["side"], run["config_version"]) for run in proof["runs"]] == [
        ("red", "support@1"),
        ("green", "support@2"),
    ]
    assert proof["cases"][0]["digest"] == one.digest
    assert "aurora" not in msgspec.json.encode(told).decode()
    leaf = client.get(f"/v1/log/leaves/{told['leaf']}/proof").json()["data"]
    assert told["record_digest"] in msgspec.json.encode(leaf).decode()
    shown = client.get(f"/v1/proofs/{proof['id'].lower()}").json()["data"]
    assert (shown["proof"], shown["leaf"]) == (proof, told["leaf"])
    listed = client.get("/v1/proofs", params={"incident": key}).json()["data"]
    assert [one["passed"] for one in listed] == [True, False]
    assert listed[0]["results"] == {"proved": 2}
    failed = client.get("/v1/proofs", params={"passed": False}).json()["data"]
    assert [one["id"] for one in failed] == [before["proof"]["id"]]


def test_a_candidate_is_tried_before_it_is_published(
    client: TestClient, stores: Stores, key: str
) -> None:
    one = add_case(stores, client, key)
    tried = prove(client, key, content=NEW)
    assert (tried["proof"]["passed"], tried["proof"]["cases"][0]["green"]) == (True, "support")
    assert learning(client, key) == [
        f"{one.id} was proven on support, and support@1 is in force: prove it again"
    ]
    # What it means is what is published then: the proof still counts.
    publish(client, NEW)
    assert learning(client, key) == []
    assert results(prove(client, key, config_version="support@1")) == {one.id: "still_red"}
    assert learning(client, key) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"config_version": "support@1", "content": NEW}, "not both"),
        ({"config_version": "support"}, "write ID@NUMBER"),
        ({"config_version": "support@99"}, "there is no configuration"),
        ({"content": "nonsense: ["}, "has errors"),
        ({"content": NEW.replace("support", "sales")}, "test: support"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    client: TestClient, stores: Stores, key: str, body: dict[str, str], told: str
) -> None:
    add_case(stores, client, key)
    answer = client.post(f"/v1/incidents/{key}/prove", json=body)
    assert answer.status_code in (404, 422)
    assert told in answer.text
    assert client.get("/v1/proofs").json()["data"] == []


def test_a_dry_run_keeps_nothing(client: TestClient, stores: Stores, key: str) -> None:
    add_case(stores, client, key)
    answer = client.post(f"/v1/incidents/{key}/prove", params={"dry_run": True})
    assert answer.json()["data"]["proof"]["id"] == ""
    assert client.get("/v1/proofs").json()["data"] == []


def test_an_incident_without_a_case_is_not_proven(client: TestClient, key: str) -> None:
    told = prove(client, key)
    assert not told["proof"]["passed"]
    assert "no approved case" in told["proof"]["reasons"][0]


def test_the_red_side_is_what_decided_then_or_was_in_force_then(
    client: TestClient, stores: Stores, clock: Clock, key: str
) -> None:
    event = add_case(stores, client, key, source=CaseSource("event", "e", "", "support@1"))
    clock.advance(hours=1)
    publish(client, NEW)
    report = add_case(stores, client, key, source=CaseSource("report", "r"))
    own = stores.configurations.get("support", 1).revision
    file = add_case(stores, client, key, source=CaseSource("event", "e", "", "support@1.0.0", own))
    gone = add_case(stores, client, key, source=CaseSource("event", "e", "", "other@7", "sha256:x"))
    told = prove(client, key)["proof"]
    assert [(one["regression_id"], one["red"], one["result"]) for one in told["cases"]] == [
        (event.id, "support@1", "proved"),
        (report.id, "support@1", "proved"),
        (file.id, "support@1", "proved"),
        (gone.id, "other@7", "could_not_run"),
    ]
    [missing] = [run["error"] for run in told["runs"] if run["config_version"] == "other@7"]
    assert "is not kept here" in missing


def test_the_run_says_where_the_engine_means_something_else_and_a_kept_red_run_counts(
    client: TestClient, stores: Stores, key: str
) -> None:
    then = CaseSource("event", "e", "", "support@1", "sha256:of an older engine")
    one = add_case(stores, client, key, source=then)
    publish(client, NEW)
    red = prove(client, key)["proof"]["runs"][0]
    assert red.get("same_engine", False) is False
    assert (red["recorded_revision"], red["cases"][0]["regression_id"]) == (then.revision, one.id)


def test_the_gate_names_everything_that_is_missing_at_once(
    client: TestClient, stores: Stores, key: str
) -> None:
    none = "it has no approved regression case (kt regressions add EVENT)"
    assert learning(client, key) == [none]
    waiting = add_case(stores, client, key, approve=False)
    never = add_case(stores, client, key, "a zebra")
    still = add_case(stores, client, key, "a yak")
    fine = add_case(stores, client, key)
    rejected = add_case(stores, client, key, approve=False)
    change(stores, rejected.id, state="rejected")
    publish(client, NEW)
    proof = prove(client, key)["proof"]["id"]
    late = add_case(stores, client, key)
    found = learning(client, key)
    assert found == [
        f"nobody has decided about {waiting.id}, which is proposed",
        f"{never.id} is not proven: it {RESULTS['never_red']} ({proof})",
        f"{still.id} is not proven: it {RESULTS['still_red']} ({proof})",
        f"{late.id} has no red and green run (kt prove)",
    ]
    publish(client, config("zebra", "aurora", "gnu"))
    now = f"{fine.id} was proven on support@2, and support@3 is in force: prove it again"
    assert now in learning(client, key)


def test_an_erased_case_wants_a_replacement(client: TestClient, stores: Stores, key: str) -> None:
    one = add_case(stores, client, key)
    publish(client, NEW)
    change(stores, one.id, state="erased", lost=ERASED, lost_digest=one.digest)
    assert f"{one.id} wants a replacement: it was erased with a person's data" in learning(
        client, key
    )


def test_cases_of_merged_incidents_are_proven_with_the_other(
    client: TestClient, stores: Stores, key: str
) -> None:
    other = declared(client)
    one = add_case(stores, client, other)
    do(client, other, "merge", into=key, reason="the same")
    publish(client, NEW)
    assert "no red and green run" in learning(client, key)[0]
    assert results(prove(client, key)) == {one.id: "proved"}
    assert learning(client, key) == []


def test_what_is_proven_binds_when_the_incident_closes(
    client: TestClient, stores: Stores, closed: str
) -> None:
    assert acts(stores) == [("bound", "REG-000001"), ("bound", "REG-000002")]
    entries = client.get("/v1/regressions/ledger", params={"incident": closed}).json()["data"]
    assert entries[0]["proof_id"] == "PRF-000001"
    assert client.get("/v1/regressions/ledger/check").json()["data"] == {
        "entries": 2,
        "findings": [],
    }


def test_a_publish_that_breaks_what_binds_is_refused_with_the_list(
    client: TestClient, stores: Stores, closed: str
) -> None:
    for dry_run in (True, False):
        refused = publish(client, OLD, dry_run=dry_run)
        assert refused.status_code == 409
        problem = refused.json()
        assert problem["code"] == "blocked"
        assert [error["where"] for error in problem["errors"]] == ["REG-000001"]
        assert problem["errors"][0]["message"] == (
            f"({closed}) expected verdict block; came verdict allow"
        )
    back = client.post("/v1/configurations/support/rollback", json={"version": 1})
    assert back.status_code == 409
    twin = publish(client, config("aurora", "hello"))
    assert [error["where"] for error in twin.json()["errors"]] == ["REG-000002"]
    assert stores.configurations.get("support").version == 2
    told, _ = stores.notices.page(type_name="regression.refused_publish", limit=9)
    assert [one.data["regression_ids"] for one in told] == [["REG-000002"], ["REG-000001"]]
    assert publish(client, config("aurora", "yak")).status_code == 200
    assert publish(client, NEW).status_code == 200


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("action: block", "action: block, mode: monitor"),
        ("action: block", "action: flag"),
        ("[dlp-filter, audit-logger]", "[audit-logger]"),
        ("aurora", "auror"),
    ],
)
def test_no_quiet_change_of_a_policy_gets_past_what_binds(
    client: TestClient, stores: Stores, closed: str, before: str, after: str
) -> None:
    refused = publish(client, NEW.replace(before, after))
    assert refused.status_code == 409, refused.text
    assert closed in refused.text
    assert stores.configurations.get("support").version == 2


def test_other_configurations_are_free_until_a_gateway_that_ran_this_one_follows_them(
    client: TestClient, stores: Stores, key: str
) -> None:
    def follows(config_id: str) -> None:
        stores.gateways.put(make_report(now=NOON, config_id=config_id), now=NOON)

    follows("support")
    add_case(stores, client, key)
    publish(client, NEW)
    prove(client, key)
    in_review(client, key)
    do(client, key, "close")
    lax = config("zebra", name="sales")
    assert publish(client, lax, name="sales").status_code == 200
    follows("sales")
    refused = publish(client, config("yak", name="sales"), name="sales")
    assert refused.status_code == 409
    assert publish(client, config("aurora", name="sales"), name="sales").status_code == 200


def test_a_case_of_an_incident_that_one_may_not_see_binds_all_the_same(
    client: TestClient, stores: Stores, closed: str
) -> None:
    answer = client.post(
        f"/v1/incidents/{closed}/visibility", json={"visibility": "hidden", "reason": "x"}
    )
    if answer.status_code != 200:
        answer = client.post(
            f"/v1/incidents/{closed}/restrict", json={"visibility": "hidden", "reason": "x"}
        )
    assert answer.status_code == 200, answer.text
    scopes = (Scope.CONFIGURATIONS_WRITE, Scope.CONFIGURATIONS_READ, Scope.REGRESSIONS_READ)
    other = bearer(make_token(stores, *scopes, name="eve"))
    refused = client.put("/v1/configurations/support", json={"content": OLD}, headers=other)
    assert refused.status_code == 409
    assert "a restricted incident" in refused.json()["errors"][0]["message"]
    assert closed not in refused.text
    for path in ("/v1/proofs", "/v1/regressions/ledger", "/v1/regressions/coverage"):
        assert client.get(path, headers=other).json()["data"] == []
    assert client.get("/v1/proofs/PRF-1", headers=other).status_code == 404


def test_what_was_changed_around_the_ledger_is_refused_and_not_run(
    client: TestClient, stores: Stores, closed: str
) -> None:
    forged = stores.regressions.get("REG-000001")
    weak = msgspec.structs.replace(forged.case, expected=CaseExpected(verdict="allow"))
    stores.regressions._cases[1].append(  # type: ignore[attr-defined]
        msgspec.structs.replace(forged, case=weak)
    )
    refused = publish(client, config("yak", "aurora"))
    [error] = refused.json()["errors"]
    assert error["code"] == "not_as_bound"


def test_coverage_shows_every_closed_incident_and_whether_it_is_covered(
    client: TestClient, stores: Stores, closed: str
) -> None:
    unproven = declared(client)
    in_review(client, unproven)
    do(client, unproven, "close")
    first, second = client.get("/v1/regressions/coverage").json()["data"]
    assert (first["reference"], first["state"], first["cases"]) == (unproven, "not_asked", [])
    assert (second["reference"], second["state"]) == (closed, "covered")
    assert [(one["regression_id"], one["in_force"]) for one in second["cases"]] == [
        ("REG-000001", "support@2"),
        ("REG-000002", "support@2"),
    ]
    # Somebody published around the API, in the database.
    stores.configurations.put(
        config_id="support", content=OLD, revision="sha256:x", author="eve", note="",
        pack_version="1", now=NOON,
    )  # fmt: skip
    [broken] = [
        one
        for one in client.get("/v1/regressions/coverage").json()["data"]
        if one["reference"] == closed
    ]
    assert broken["state"] == "broken"
    assert broken["cases"][0]["breach"]["code"] == "broken"


def test_what_is_proven_after_the_close_binds_from_then_on(
    client: TestClient, stores: Stores, closed: str
) -> None:
    one = add_case(stores, client, closed, "aurora again")
    told = prove(client, closed)
    assert told["bound"] == [one.id]
    assert acts(stores)[2:] == [("bound", one.id)]
    assert prove(client, closed)["bound"] == []
    do(client, closed, "reopen", reason="it came back")
    late = add_case(stores, client, closed, "one more aurora")
    assert prove(client, closed, config_version="support@2")["bound"] == []
    assert prove(client, closed)["bound"] == [late.id]


def test_an_open_incident_binds_nothing_by_its_proofs(
    client: TestClient, stores: Stores, key: str
) -> None:
    add_case(stores, client, key)
    publish(client, NEW)
    prove(client, key)
    assert acts(stores) == []


def test_a_case_binds_the_gateway_that_its_decision_was_made_on(
    client: TestClient, stores: Stores, key: str
) -> None:
    event = make_event(1, config_version="support@1")
    stores.events.append([event])
    source = CaseSource("event", event.id, event.id, "support@1")
    add_case(stores, client, key, source=source)
    publish(client, NEW)
    prove(client, key)
    in_review(client, key)
    do(client, key, "close")
    [entry], _ = stores.ledger.page(LedgerFilter(), limit=9)
    assert entry.gateways == (event.gateway_id,)


def test_what_binds_may_not_come_to_ask_for_what_does_not_hold(
    client: TestClient, stores: Stores, closed: str
) -> None:
    path = "/v1/regressions/REG-1"
    refused = client.put(path, json={"expected": {"response_contains": "sorry"}, "reason": "x"})
    assert refused.status_code == 409
    assert [error["code"] for error in refused.json()["errors"]] == ["not_held"]
    held = client.put(path, json={"expected": {"policy": "dlp-filter"}, "reason": "x"})
    assert held.status_code == 200, held.text
    assert acts(stores)[2:] == [("strengthened", "REG-000001")]
    assert publish(client, OLD).status_code == 409
    assert closed


def test_the_red_run_of_its_approval_counts_where_the_engine_means_something_else(
    client: TestClient, stores: Stores, key: str
) -> None:
    then = CaseSource("event", "e", "", "support@1", "sha256:of an older engine")
    one = add_case(stores, client, key, source=then)
    red = RedRun("support@1", then.revision, "0.0.9", True, NOON, met=False, verdict="allow")
    change(stores, one.id, red=red)
    publish(client, NEW)
    told = prove(client, key)["proof"]
    assert told["runs"][0]["engine_version"] == "0.0.9"
    assert told["passed"]
