"""Exports of trajectories: the window they belong to, both files, and what cannot be asked."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.api.trajectory_job import FAILURES, MANIFEST, SUCCESSES, line_of, trajectories_around
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.stores import Stores
from kintsugi.model.trajectory import Trajectory
from kintsugi.replay.trajectories import trajectories
from tests.api.test_api_exports import finished
from tests.control_plane import NOON, Clock, make_event
from tests.replay.test_trajectories import exchange, said, user

ALL: dict[str, Any] = {"type": "trajectories"}


def unpacked(client: TestClient, body: dict[str, Any]) -> dict[str, list[Any]]:
    job = finished(client, body)
    assert job["state"] == "done", job
    content = client.get(job["content"])
    assert content.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content.content)) as archive:
        assert archive.namelist() == [SUCCESSES, FAILURES, MANIFEST]
        lines = {
            name: [json.loads(line) for line in archive.read(name).splitlines()]
            for name in (SUCCESSES, FAILURES)
        }
        lines[MANIFEST] = [json.loads(archive.read(MANIFEST))]
    return lines


def test_successes_and_failures_stand_in_files_of_their_own(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append(
        [
            exchange(1, [user("Hi")], said("Hello"), session="good"),
            exchange(2, [user("Hi")], session="bad", status=ExchangeStatus.UPSTREAM_FAILED),
        ]
    )
    clock.advance(hours=1)
    found = unpacked(client, ALL)
    assert [line["subject"] for line in found[SUCCESSES]] == ["good"]
    assert [line["subject"] for line in found[FAILURES]] == ["bad"]
    (manifest,) = found[MANIFEST]
    assert (manifest["successes"], manifest["failures"], manifest["unfinished"]) == (1, 1, 0)
    assert manifest["exchanges"] == 2
    assert msgspec.convert(found[SUCCESSES][0], Trajectory, strict=False).completed


def test_a_run_that_may_go_on_is_not_told_yet(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([exchange(0, [user("Hi")], said("Hello"))])
    clock.advance(minutes=29)
    (manifest,) = unpacked(client, ALL)[MANIFEST]
    assert (manifest["successes"], manifest["unfinished"]) == (0, 1)
    short = {**ALL, "trajectories": {"idle_seconds": 60, "fail_on": []}}
    (manifest,) = unpacked(client, short)[MANIFEST]
    assert (manifest["successes"], manifest["unfinished"]) == (1, 0)


def test_a_run_belongs_whole_to_the_window_in_which_it_ended(
    client: TestClient, stores: Stores, clock: Clock
) -> None:
    minutes = [0, 20, 40]
    events = [
        exchange(n, [user(str(n))], said("x"), at=NOON + timedelta(minutes=minute))
        for n, minute in enumerate(minutes)
    ]
    clock.advance(days=1)
    stores.events.append(events)

    def in_window(since: int, until: int) -> list[int]:
        told = {
            "start_time": (NOON + timedelta(minutes=since)).isoformat(),
            "end_time": (NOON + timedelta(minutes=until)).isoformat(),
        }
        return [
            len(line["exchanges"]) for line in unpacked(client, {**ALL, "filter": told})[SUCCESSES]
        ]

    assert in_window(0, 30) == []
    assert in_window(30, 60) == [3]
    assert in_window(60, 90) == []


def test_filters_that_would_cut_a_run_are_refused_by_name(client: TestClient) -> None:
    body = {**ALL, "filter": {"verdict": "block", "since": "1h", "q": "x", "session": "s"}}
    answer = client.post("/v1/exports", json=body)
    assert answer.status_code == 422
    places = {error["where"] for error in answer.json()["errors"]}
    assert places == {"body.filter.verdict", "body.filter.q"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"type": "trajectories", "format": "csv"}, "body.format"),
        ({"type": "events", "format": "zip"}, "body.format"),
        ({"type": "events", "trajectories": {}}, "body.trajectories"),
        ({"type": "trajectories", "trajectories": {"idle_seconds": 0}}, "body.trajectories"),
        ({"type": "trajectories", "trajectories": {"fail_on": ["nonsense"]}}, "body.trajectories"),
    ],
)
def test_what_does_not_fit_is_refused(client: TestClient, body: dict[str, Any], where: str) -> None:
    answer = client.post("/v1/exports", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"].startswith(where)


def test_the_runs_around_some_events_are_told_whole(stores: Stores) -> None:
    events = [exchange(n, [user(str(n))], said("x")) for n in range(3)]
    other = exchange(5, [user("o")], session="other")
    alone = make_event(6)
    stores.events.append([*events, other, alone])
    found = trajectories_around(stores, [events[1], alone])
    assert [len(one.exchanges) for one in found] == [3, 1]
    assert trajectories_around(stores, []) == []


def test_a_line_is_json_whatever_was_recorded() -> None:
    (one,) = trajectories([exchange(1, [user("a")], said("b"))])
    turn = msgspec.structs.replace(one.conversations[0], value="half \ud800")
    hostile = msgspec.structs.replace(one, conversations=(turn,))
    assert json.loads(line_of(hostile))["conversations"][0] == {
        "from": "human",
        "value": "half \ud800",
    }
