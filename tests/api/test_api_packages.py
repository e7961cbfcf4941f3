"""Packages as export jobs: what is in them, that they hold, and who may read them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyrage import x25519
from starlette.testclient import TestClient

from kintsugi.api import export_worker
from kintsugi.api.export_worker import ExportWorker
from kintsugi.api.feed import ChangeFeed
from kintsugi.api.permissions import Scope
from kintsugi.ledger.log_keys import load_keys
from kintsugi.ledger.package.check import check_package
from kintsugi.ledger.package.files import open_package, unpack
from kintsugi.ledger.package.findings import PackageReport
from kintsugi.model.custody import custody_entry
from kintsugi.model.decision import Phase
from kintsugi.model.event import Payload, RaisedEscalation, Unredacted
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.holds import Hold
from kintsugi.model.ids import uuid7
from kintsugi.model.signal import Observation
from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from kintsugi.store.memory_changes import MemoryChanges
from tests.api.test_api_exports import finished
from tests.api.test_api_freezes import declare, settled
from tests.control_plane import NOON, Clock, bearer, blocked_event, make_event, make_token

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Unpacked:
    """A package that was fetched, with its report."""

    def __init__(self, job: dict[str, Any], report: PackageReport, folder: Path) -> None:
        self.job, self.report, self.folder = job, report, folder

    def lines(self, name: str) -> list[Any]:
        text = (self.folder / "data" / name).read_bytes()
        return [json.loads(line) for line in text.splitlines()]

    def document(self, name: str) -> Any:
        return json.loads((self.folder / "data" / name).read_bytes())


@pytest.fixture
def fetch(client: TestClient, tmp_path: Path) -> Any:
    def fetched(identities: Any = (), **body: Any) -> Unpacked:
        job = finished(client, {"type": "package", **body})
        assert job["state"] == "done", job
        archive = tmp_path / f"{job['id']}.package"
        archive.write_bytes(client.get(job["content"]).content)
        keys = [key.verifier for key in load_keys(tmp_path / "log-key")]
        report = check_package(archive, trusted=keys, identities=identities)
        folder = tmp_path / f"{job['id']}.folder"
        if not identities:
            files = open_package(archive)
            unpack(files, folder)
            files.close()
        return Unpacked(job, report, folder)

    return fetched


def publish(stores: Stores) -> None:
    for content in ("a: 1", "a: 2", "a: 3"):
        stores.configurations.put(
            config_id="support-prod",
            content=content,
            revision="sha256:0",
            author="ana",
            note="",
            pack_version="1",
            now=NOON,
        )


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_package_of_a_window_holds_and_has_everything_of_it(
    stores: Stores, fetch: Any, kind: str
) -> None:
    publish(stores)
    stores.events.append([make_event(0), blocked_event(1)])
    stores.events.append([make_event(2), make_event(3)])
    window = {"start_time": "2026-04-23T12:00:01Z", "end_time": "2026-04-23T12:00:02Z"}
    found = fetch(format=kind, filter=window, reason="asked by the auditor")
    assert found.report.findings == ()
    assert found.report.holds
    assert [event["id"] for event in found.lines("events.jsonl")] == [
        blocked_event(1).id,
        make_event(2).id,
    ]
    assert (found.folder / "data/configurations/support-prod@3.yaml").read_text() == "a: 3"
    told = found.document("package.json")
    assert (told["reason"], told["content"], told["events"]) == (
        "asked by the auditor",
        "redacted",
        2,
    )
    kinds = [line["kind"] for line in found.lines("timeline.jsonl")]
    assert kinds == ["configuration", "decision"]
    assert "asked by the auditor" in (found.folder / "data/README.html").read_text()
    crate = found.document("ro-crate-metadata.json")["@graph"]
    parts = {part["@id"] for part in crate[1]["hasPart"]}
    assert "events.jsonl" in parts
    assert "configurations/support-prod@3.yaml" in parts


def test_a_package_of_one_event_has_that_event_and_its_custody(
    client: TestClient, stores: Stores, fetch: Any
) -> None:
    stores.events.append([make_event(0), make_event(1), make_event(2)])
    about = f"event:{make_event(1).id}"
    client.post("/v1/custody", json={"action": "transfer", "object": about, "reason": "a copy"})
    found = fetch(filter={"event": make_event(1).id})
    assert found.report.holds, found.report.findings
    assert [event["id"] for event in found.lines("events.jsonl")] == [make_event(1).id]
    assert [entry["object"] for entry in found.lines("custody.jsonl")] == [about]


def test_a_package_of_a_trace_has_the_steps_that_applications_reported(
    stores: Stores, fetch: Any
) -> None:
    stores.events.append([make_event(0, trace_id=TRACE, parent_span_id=f"{1:016x}")])
    stores.events.append([make_event(1)])
    spans = [
        Span(TRACE, f"{n:016x}", step.value, step, NOON, NOON + timedelta(seconds=n))
        for n, step in enumerate((Step.AGENT, Step.RETRIEVAL, Step.WRITE), 1)
    ]
    stores.spans.append(spans)
    found = fetch(filter={"trace": TRACE})
    assert found.report.holds, found.report.findings
    assert len(found.lines("events.jsonl")) == 1
    assert [span["name"] for span in found.lines("spans.jsonl")] == [s.name for s in spans]
    table = {line["key"]: line for line in found.document("completeness.json")}
    assert table["writes"]["state"] == "held"
    assert table["retrieval"]["state"] == "missing"


def test_a_package_has_what_people_were_asked_and_answered(stores: Stores, fetch: Any) -> None:
    raised = RaisedEscalation(make_event(0).id, Phase.INPUT, "sha256:1", NOON + timedelta(hours=1))
    stores.events.append([make_event(0, escalation=raised)])
    found = fetch(filter={"since": "2026-01-01T00:00:00Z"})
    assert found.report.holds, found.report.findings
    table = {line["key"]: line for line in found.document("completeness.json")}
    assert table["review"]["state"] in ("partial", "missing")


def test_a_package_for_recipients_opens_for_them_alone(
    client: TestClient, stores: Stores, fetch: Any, tmp_path: Path
) -> None:
    stores.events.append([make_event(0)])
    mine, other = x25519.Identity.generate(), x25519.Identity.generate()
    found = fetch(identities=[mine], recipients=[str(mine.to_public())])
    assert found.report.holds
    archive = tmp_path / f"{found.job['id']}.package"
    assert b"019dba" not in archive.read_bytes()
    assert [one.code for one in check_package(archive, identities=[other]).findings] == [
        "encryption.broken"
    ]
    text = bytearray(archive.read_bytes())
    text[len(text) // 2] ^= 1
    archive.write_bytes(bytes(text))
    assert not check_package(archive, identities=[mine]).holds
    download = client.get(found.job["content"])
    assert download.headers["content-type"] == "application/age-encryption"
    assert ".zip.age" in download.headers["content-disposition"]


def test_making_and_fetching_a_package_are_in_custody(
    client: TestClient, stores: Stores, fetch: Any
) -> None:
    stores.events.append([make_event(0)])
    found = fetch(reason="asked")
    entries = client.get("/v1/custody", params={"object": f"package:{found.job['id']}"}).json()
    assert {entry["action"] for entry in entries["data"]} == {"export", "transfer"}
    assert {entry["digest_after"] for entry in entries["data"]} == {f"sha256:{found.job['sha256']}"}


def test_a_package_of_nothing_fails_and_says_why(client: TestClient) -> None:
    job = finished(client, {"type": "package", "filter": {"user": "nobody"}})
    assert (job["state"], job["error"]) == (
        "failed",
        "nothing matches, so there is nothing to package",
    )


def test_what_does_not_fit_together_is_refused(client: TestClient) -> None:
    for wrong, where in (
        ({"type": "package", "format": "csv"}, "body.format"),
        ({"type": "events", "format": "zip"}, "body.format"),
        ({"type": "events", "recipients": ["age1x"]}, "body.recipients"),
        ({"type": "package", "recipients": ["me@example.org"]}, "body.recipients.0"),
    ):
        answer = client.post("/v1/exports", json=wrong)
        assert answer.status_code == 422, wrong
        assert where in {error["where"] for error in answer.json()["errors"]}


def test_a_job_whose_worker_died_is_made_anew_and_leaves_nothing_behind(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    stores.events.append([make_event(0)])
    stores.exports.add(
        ExportJob("p1", "package", "zip", EventFilter(), "queued", NOON, "ana", actor="ana/1")
    )
    worker = ExportWorker(stores, ChangeFeed(MemoryChanges()), tmp_path, clock)

    class Killed(BaseException):
        """As if the process had gone."""

    def die(*_: object, **__: object) -> None:
        folder = tmp_path / "exports"
        (folder / ".p1.1.1.bag").mkdir()
        (folder / ".p1.1.1.bag" / "events.jsonl").write_text("half")
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(export_worker, "build_package", die)
        with pytest.raises(Killed):
            worker.work_once()
    assert stores.exports.get("p1").state == "running"
    clock.advance(seconds=export_worker.STALE_AFTER_SECONDS + 1)
    assert worker.work_once()
    job = stores.exports.get("p1")
    assert (job.state, job.attempt) == ("done", 2)
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["p1.zip"]
    assert check_package(tmp_path / job.path).holds


def test_a_server_that_stops_gives_the_job_back(stores: Stores, tmp_path: Path) -> None:
    stores.events.append([make_event(0)])
    stores.exports.add(ExportJob("p1", "package", "zip", EventFilter(), "queued", NOON, "ana"))
    worker = ExportWorker(stores, ChangeFeed(MemoryChanges()), tmp_path, Clock())
    worker.stop()
    worker.work_once()
    assert stores.exports.get("p1").state == "queued"
    assert not list((tmp_path / "exports").iterdir())


def test_the_control_plane_checks_what_it_holds_and_records_it(
    client: TestClient, stores: Stores, fetch: Any, tmp_path: Path
) -> None:
    stores.events.append([make_event(0)])
    job = fetch().job
    address = f"/v1/exports/{job['id']}/verify"
    assert client.post(address).json()["data"]["holds"] is True
    file = tmp_path / "exports" / f"{job['id']}.zip"
    text = bytearray(file.read_bytes())
    text[len(text) // 2] ^= 1
    file.write_bytes(bytes(text))
    report = client.post(address).json()["data"]
    assert report["holds"] is False
    wanted = {"object": f"package:{job['id']}", "action": "verify"}
    entries = client.get("/v1/custody", params=wanted).json()["data"]
    assert len(entries) == 2
    assert {one["reason"] for one in entries} == {"holds", f"{len(report['findings'])} findings"}
    changed = [one for one in entries if one["digest_before"] != one["digest_after"]]
    assert len(changed) == 1


def test_only_a_finished_open_package_is_checked_there(client: TestClient, stores: Stores) -> None:
    stores.events.append([make_event(0)])
    assert client.post("/v1/exports/nope/verify").status_code == 404
    events = finished(client, {"type": "events"})
    assert client.post(f"/v1/exports/{events['id']}/verify").status_code == 422
    key = str(x25519.Identity.generate().to_public())
    closed = finished(client, {"type": "package", "recipients": [key]})
    assert client.post(f"/v1/exports/{closed['id']}/verify").status_code == 409


RAW = Payload(
    request='{"mail":"[EMAIL]"}', masked=1, unredacted=Unredacted(request='{"mail":"a@b.c"}')
)


def test_content_is_redacted_unless_it_is_revealed_on_record(
    client: TestClient, stores: Stores, fetch: Any
) -> None:
    stores.events.append([make_event(0, payload=RAW)])
    found = fetch()
    assert found.lines("content.jsonl")[0]["payload"]["request"] == '{"mail":"[EMAIL]"}'
    assert b"a@b.c" not in (found.folder / "data/content.jsonl").read_bytes()
    found = fetch(unredacted=True, reason="the court asked")
    assert found.report.holds, found.report.findings
    assert found.lines("content.jsonl")[0]["payload"]["request"] == '{"mail":"a@b.c"}'
    assert "UNREDACTED" in (found.folder / "data/README.html").read_text()
    wanted = {"object": f"package:{found.job['id']}", "action": "reveal"}
    (entry,) = client.get("/v1/custody", params=wanted).json()["data"]
    assert entry["reason"] == "the court asked"


def test_revealing_needs_its_scope_and_a_reason_to_make_and_to_fetch(
    client: TestClient, anonymous: TestClient, stores: Stores
) -> None:
    stores.events.append([make_event(0, payload=RAW)])
    assert client.post("/v1/exports", json={"type": "package", "unredacted": True}).status_code == (
        422
    )
    body = {"type": "package", "unredacted": True, "reason": "asked"}
    writer = bearer(make_token(stores, Scope.EXPORTS_WRITE))
    assert anonymous.post("/v1/exports", headers=writer, json=body).status_code == 403
    job = finished(client, body)
    reader = bearer(make_token(stores, Scope.EXPORTS_READ))
    assert anonymous.get(job["content"], headers=reader).status_code == 403
    both = bearer(make_token(stores, Scope.EXPORTS_READ, Scope.PAYLOADS_REVEAL))
    assert anonymous.get(job["content"], headers=both).status_code == 200


def test_runs_are_told_whole_successes_and_failures_apart(stores: Stores, fetch: Any) -> None:
    stores.events.append([make_event(n, session_id="s1") for n in range(3)])
    stores.events.append([blocked_event(5, session_id="s2")])
    found = fetch(filter={"event": make_event(1).id})
    assert found.report.holds, found.report.findings
    (run,) = found.lines("trajectories/successes.jsonl")
    assert len(run["exchanges"]) == 3
    assert not (found.folder / "data/trajectories/failures.jsonl").exists()
    found = fetch(filter={"session": "s2"})
    assert len(found.lines("trajectories/failures.jsonl")) == 1


def test_legal_holds_over_it_are_told_and_others_are_not(stores: Stores, fetch: Any) -> None:
    stores.events.append([make_event(0, user_id="ada"), make_event(1, user_id="bo")])
    for name, where in (("ada", EventFilter(user="ada")), ("bo", EventFilter(user="bo"))):
        hold = Hold(uuid7(1, name.encode().ljust(10)), name, "lawsuit", "ana/1", NOON, where)
        entry = custody_entry("hold", f"hold:{hold.id}", actor="ana/1", now=NOON)
        stores.holds.place(hold, entry)
    found = fetch(filter={"user": "ada"})
    assert found.report.holds, found.report.findings
    assert [hold["name"] for hold in found.lines("holds.jsonl")] == ["ada"]
    assert [entry["action"] for entry in found.lines("custody.jsonl")] == ["hold"]


def test_a_package_of_an_incident_holds_the_incident(
    client: TestClient, stores: Stores, fetch: Any
) -> None:
    stores.events.append([make_event(1), blocked_event(2)])
    path = f"/v1/incidents/{declare(client)}"
    stores.signals.observe(
        Observation("block_rate", "b", "high", "gateway:gw-1", "45% are blocked"), now=NOON
    )
    body = {"filter": {"since": "1h", "until": "2026-04-23T12:00:01Z"}}
    frozen = client.post(f"{path}/freeze", json=body)
    where = frozen.headers.get("location", "")
    settled(client, where)
    package = fetch(filter={"incident": path.rpartition("/")[2]})
    assert package.report.findings == ()
    [incident] = package.lines("incident/incident.jsonl")
    assert incident["title"] == "It lied"
    told = [one["entry"]["text"] for one in package.lines("incident/timeline.jsonl")]
    assert "45% are blocked" in told
    assert [one["kind"] for one in package.lines("incident/signals.jsonl")] == ["block_rate"]
    [freeze] = package.lines("incident/freezes.jsonl")
    assert freeze["frozen"] == 1
    affected = {one["key"] for one in package.lines("incident/affected.jsonl")}
    assert affected == {"support", "user-1"}
    objects = {one["object"] for one in package.lines("custody.jsonl")}
    assert f"freeze:{freeze['id']}" in objects
