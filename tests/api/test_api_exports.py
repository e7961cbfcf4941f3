"""Exports: every format right to the last byte, progress, and what a kill leaves behind."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api import export_worker
from kintsugi.api.export_formats import COLUMNS, FORMATS
from kintsugi.api.export_worker import STALE_AFTER_SECONDS, ExportWorker
from kintsugi.api.feed import ChangeFeed
from kintsugi.model.event import Attempt, DecisionEvent, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.stores import Stores
from kintsugi.store.memory_changes import MemoryChanges
from tests.control_plane import NOON, Clock, blocked_event, make_event
from tests.store.made import as_sent

SEED = {
    "type": "events",
    "format": "jsonl",
    "filter": {"start_time": "2026-04-23T12:00:00Z", "end_time": "2026-04-23T12:00:02Z"},
}


def finished(client: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    """The job, once it ended."""
    made = client.post("/v1/exports", json=body)
    assert made.status_code == 202, made.text
    address = made.headers["location"]
    feed = client.app.state.control.feed  # type: ignore[attr-defined]
    for _ in range(200):
        generation = feed.generation(("exports",))
        job: dict[str, Any] = client.get(address).json()["data"]
        if job["state"] in {"done", "failed"}:
            return job
        feed.wait_in_thread("exports", after=generation, timeout_seconds=0.5)
    raise AssertionError(job)


def test_the_export_of_the_documents_holds_exactly_its_window(
    client: TestClient, stores: Stores
) -> None:
    batch = [make_event(number) for number in range(5)]
    stores.events.append(batch)
    job = finished(client, SEED)
    assert (job["state"], job["progress"], job["total"], job["written"]) == ("done", 1.0, 3, 3)
    content = client.get(job["content"])
    assert content.headers["content-type"] == "application/x-ndjson"
    decoder = msgspec.json.Decoder(DecisionEvent)
    assert [as_sent(one) for one in decoder.decode_lines(content.content)] == batch[:3]
    assert hashlib.sha256(content.content).hexdigest() == job["sha256"]
    assert len(content.content) == job["bytes"]


@pytest.mark.parametrize("count", [0, 1, 130])
@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_every_format_holds_every_event_in_order(
    client: TestClient, stores: Stores, format_: str, count: int, tmp_path: Path
) -> None:
    stores.events.append([make_event(number) for number in range(count)])
    job = finished(client, {"type": "events", "format": format_})
    assert job["state"] == "done", job
    content = client.get(job["content"]).content
    assert read_ids(format_, content, tmp_path) == [make_event(n).id for n in range(count)]


def read_ids(format_: str, content: bytes, folder: Path) -> list[str]:
    if format_ == "json":
        return [event["id"] for event in json.loads(content)]
    if format_ == "jsonl":
        return [json.loads(line)["id"] for line in content.splitlines()]
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        return [row["id"] for row in rows]
    path = folder / "read.parquet"
    path.write_bytes(content)
    with duckdb.connect() as database:
        return [row[0] for row in database.execute(f"SELECT id FROM '{path}'").fetchall()]


def test_parquet_columns_have_types(client: TestClient, stores: Stores, tmp_path: Path) -> None:
    stores.events.append([blocked_event(1)])
    job = finished(client, {"type": "events", "format": "parquet"})
    path = tmp_path / "read.parquet"
    path.write_bytes(client.get(job["content"]).content)
    with duckdb.connect() as database:
        described = database.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        kinds = {row[0]: row[1] for row in described}
        row = database.execute(
            f"SELECT verdict, http_status, overhead_ms, masked, epoch_ms(timestamp) FROM '{path}'"
        ).fetchone()
    assert tuple(kinds) == COLUMNS
    assert kinds["timestamp"] == "TIMESTAMP WITH TIME ZONE"
    assert (kinds["streamed"], kinds["http_status"]) == ("BOOLEAN", "BIGINT")
    assert row == ("block", 409, 0.41, 1, int((NOON.timestamp() + 1) * 1000))


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_nested_fields_become_json_text(
    client: TestClient, stores: Stores, tmp_path: Path, format_: str
) -> None:
    attempts = (Attempt("a", 0.5, 10.0, error="upstream.timeout"), Attempt("b", 11.0, 2.0, 200))
    stores.events.append([make_event(1, attempts=attempts), make_event(2)])
    job = finished(client, {"type": "events", "format": format_})
    content = client.get(job["content"]).content
    if format_ == "csv":
        cells = [row["attempts"] for row in csv.DictReader(io.StringIO(content.decode()))]
    else:
        path = tmp_path / "read.parquet"
        path.write_bytes(content)
        with duckdb.connect() as database:
            rows = database.execute(f"SELECT attempts FROM '{path}' ORDER BY id").fetchall()
        cells = [row[0] for row in rows]
    assert msgspec.json.decode(cells[0], type=tuple[Attempt, ...]) == attempts
    assert cells[1] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_a_spreadsheet_runs_no_cell_as_a_formula(
    client: TestClient, stores: Stores, start: str
) -> None:
    text = f'{start}HYPERLINK("http://evil.example","x"),\r\nnext "row"'
    stores.events.append([make_event(1, user_id=text, payload=Payload(request=text))])
    job = finished(client, {"type": "events", "format": "csv"})
    content = client.get(job["content"]).content
    (row,) = csv.DictReader(io.StringIO(content.decode(), newline=""))
    assert row["user_id"] == row["request"] == f"'{text}"
    assert content.count(b"\r\n") - content.count(b",\r\nnext") == 2
    assert row["latency_ms"] == "12.3"


def test_a_broken_download_goes_on_where_it_stopped(client: TestClient, stores: Stores) -> None:
    stores.events.append([make_event(1)])
    job = finished(client, {"type": "events"})
    whole = client.get(job["content"])
    rest = client.get(job["content"], headers={"range": "bytes=10-"})
    assert (rest.status_code, rest.content) == (206, whole.content[10:])
    assert whole.headers["repr-digest"].startswith("sha-256=:")
    assert "attachment" in whole.headers["content-disposition"]
    beyond = client.get(job["content"], headers={"range": f"bytes={job['bytes'] + 5}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize("kind", ["escalations", "incidents"])
def test_what_cannot_be_exported_yet_says_so(client: TestClient, kind: str) -> None:
    problem = client.post("/v1/exports", json={"type": kind}).json()
    assert problem["status"] == 422
    assert "not available yet" in problem["detail"]


def test_filters_of_an_export_are_those_of_the_list(client: TestClient, stores: Stores) -> None:
    blocked = blocked_event(2)
    stores.events.append([make_event(1), blocked])
    job = finished(client, {"type": "events", "filter": {"outcome": "denied", "since": "1h"}})
    assert job["filter"]["verdict"] == "block"
    assert job["filter"]["since"] == "2026-04-23T11:00:00Z"
    assert read_ids("jsonl", client.get(job["content"]).content, Path()) == [blocked.id]


def test_exports_are_listed_newest_first(client: TestClient, clock: Clock) -> None:
    made = []
    for _ in range(3):
        clock.advance(seconds=1)
        made.append(finished(client, {"type": "events"})["id"])
    page = client.get("/v1/exports?limit=2").json()
    assert [job["id"] for job in page["data"]] == made[:0:-1]
    rest = client.get(f"/v1/exports?limit=2&cursor={page['meta']['next_cursor']}").json()
    assert [job["id"] for job in rest["data"]] == made[:1]
    assert client.get(f"/v1/exports/{made[0]}").status_code == 200
    assert client.get("/v1/exports/nope").status_code == 404


# ---- the worker alone ------------------------------------------------------------------------


def queued(stores: Stores) -> ExportJob:
    job = ExportJob(
        id="0190a0c0-0000-7000-8000-000000000001",
        type="events",
        format="jsonl",
        where=EventFilter(),
        state="queued",
        created_at=NOON,
        created_by="test",
    )
    stores.exports.add(job)
    return job


def worker_on(stores: Stores, folder: Path, clock: Clock) -> ExportWorker:
    return ExportWorker(stores, ChangeFeed(MemoryChanges()), folder, clock)


def test_a_job_whose_worker_was_killed_is_written_again_from_the_start(
    stores: Stores, clock: Clock, tmp_path: Path
) -> None:
    stores.events.append([make_event(number) for number in range(3)])
    job = queued(stores)
    dead = stores.exports.claim(now=clock(), stale_after_seconds=STALE_AFTER_SECONDS)
    assert dead is not None
    worker = worker_on(stores, tmp_path, clock)
    assert not worker.work_once()  # the other worker may still be alive
    clock.advance(seconds=STALE_AFTER_SECONDS + 1)
    assert worker.work_once()
    assert stores.exports.get(job.id).state == "done"
    assert stores.exports.get(job.id).written == 3


def test_progress_is_saved_while_a_job_runs(
    stores: Stores, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([make_event(number) for number in range(300)])
    job = queued(stores)
    shown: list[tuple[int, int | None]] = []
    scan = stores.events.scan

    def slow(where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        for event in scan(where, payload=payload):
            clock.advance(seconds=0.01)
            saved = stores.exports.get(job.id)
            shown.append((saved.written, saved.total))
            yield event

    monkeypatch.setattr(stores.events, "scan", slow)
    worker_on(stores, tmp_path, clock).work_once()
    assert sorted(set(shown)) == [(0, 300), (64, 300), (128, 300), (192, 300), (256, 300)]


def test_a_job_that_fails_says_so_and_leaves_no_file(
    stores: Stores, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([make_event(1)])
    job = queued(stores)

    def fail(path: Path) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_worker, "_seal", fail)
    worker_on(stores, tmp_path, clock).work_once()
    failed = stores.exports.get(job.id)
    assert (failed.state, failed.error, failed.path) == ("failed", "OSError", "")
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_server_that_stops_gives_its_job_back(
    stores: Stores, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.events.append([make_event(number) for number in range(200)])
    job = queued(stores)
    worker = worker_on(stores, tmp_path, clock)
    scan = stores.events.scan

    def stopping(where: EventFilter, *, payload: bool) -> Iterator[DecisionEvent]:
        for number, event in enumerate(scan(where, payload=payload)):
            if number == 10:
                worker.stop()
            yield event

    monkeypatch.setattr(stores.events, "scan", stopping)
    worker.work_once()
    assert stores.exports.get(job.id).state == "queued"
    assert list((tmp_path / "exports").iterdir()) == []
    monkeypatch.setattr(stores.events, "scan", scan)
    worker_on(stores, tmp_path, clock).work_once()
    assert stores.exports.get(job.id).state == "done"
