"""Archiving under kill -9, and reads of what is away: on the installed program."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
import pytest

from kintsugi.model.event import DecisionEvent
from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.control_plane import blocked_event, make_event

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(300)]

MONTH = datetime(2024, 2, 10, 12, tzinfo=UTC)
WINDOW = "/v1/events?since=2024-02-01T00:00:00Z&until=2024-03-01T00:00:00Z"


def send(instance: Instance, events: list[DecisionEvent]) -> None:
    token = (instance.state / "admin-token").read_text().strip()
    for first in range(0, len(events), 2000):
        answer = httpx2.post(
            f"{instance.api_url}/v1/events",
            content=b"\n".join(map(msgspec.json.encode, events[first : first + 2000])),
            headers={"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text


def made(count: int) -> list[DecisionEvent]:
    return [(make_event if n % 5 else blocked_event)(n, base=MONTH) for n in range(count)]


def archives(instance: Instance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = eventually(
        lambda: instance.api("/v1/archives"), within_seconds=40
    )
    return found


def exported(instance: Instance, name: str) -> list[str]:
    """Every event of the month with its content, as an export gives it."""
    target = instance.state.parent / name
    asked = ("--since", "2024-02-01T00:00:00Z", "--until", "2024-03-01T00:00:00Z")
    done = instance.kt("events", "export", *asked, "--format", "jsonl", "--output", str(target))
    assert done.code == 0, done.err
    return target.read_text().splitlines()


def test_a_month_that_is_archived_under_kills_is_neither_lost_nor_double() -> None:
    dice = random.Random(11)
    with new_instance("--workers", "1") as instance:
        shelf = instance.state.parent / "shelf"
        instance.environ["KT_ARCHIVE_URL"] = str(shelf)
        instance.start()
        events = made(6_000)
        send(instance, events)
        before = exported(instance, "before.jsonl")
        assert instance.kt("archive", "run", "--no-wait").code == 0
        for _ in range(2):
            time.sleep(dice.uniform(0.1, 0.8))
            os.kill(instance.status()["pids"]["server"], signal.SIGKILL)
            eventually(lambda: instance.api("/v1/status"), within_seconds=40)
            # A task that showed no progress for long is taken up by itself; here it is asked for.
            for one in archives(instance):
                if one["state"] == "running":
                    instance.kt("archive", "cancel", one["id"])
                    instance.kt("archive", "run", "2024-02", "--no-wait")
        eventually(lambda: archives(instance)[0]["in_force"], within_seconds=60)
        (archive,) = archives(instance)
        assert archive["events"] == len(events)
        assert exported(instance, "after.jsonl") == before
        assert instance.kt("archive", "verify").code == 0
        proven = instance.kt("log", "prove", events[17].id, "--json")
        assert proven.json["holds"] is True

        backup = instance.state.parent / "kintsugi.backup"
        saved = instance.kt("backup", str(backup), "--json")
        assert saved.json["archives_needed"] == [f"{archive['place']}/2024-02/{archive['id']}"]
        assert instance.stop().code == 0
        shutil.move(shelf, shelf.with_name("elsewhere"))
        told = instance.kt("restore", str(backup), "--replace", "--json")
        assert (told.code, told.json["archives_wrong"]) == (0, 1)
        shutil.rmtree(instance.state / "archive-copies")
        instance.start()
        refused = instance.kt("events", "show", events[0].id)
        assert refused.code == 1
        assert f"2024-02/{archive['id']}" in refused.err
        checked = instance.kt("doctor", "--json")
        assert checked.code == 3
        assert any(one["check"] == "archive" and one["outcome"] == "failed" for one in checked.json)
        shutil.move(shelf.with_name("elsewhere"), shelf)
        assert instance.kt("events", "show", events[0].id).code == 0
