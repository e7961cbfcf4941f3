"""A run of retention under kill -9, and an older backup after it: on the installed program."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kintsugi.model.event import DecisionEvent, Payload
from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.control_plane import make_event
from tests.faults.test_vault_faults import send

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(300)]

WORDS = "the swordfish flies at noon"


def spoken(count: int, user: str, *, first: int = 0, days_ago: int = 200) -> list[DecisionEvent]:
    base = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days_ago)
    payload = Payload(f'{{"messages":[{{"role":"user","content":"{WORDS}"}}]}}', "noted")
    return [
        make_event(number, base=base, user_id=user, payload=payload)
        for number in range(first, first + count)
    ]


def newest(instance: Instance) -> dict[str, Any]:
    run: dict[str, Any] = instance.api("/v1/retention/runs")[0]
    return run


def asked(instance: Instance) -> str:
    """Ask for a run, once the daily one is through."""

    def ask() -> str:
        answer = instance.kt("retention", "run", "--reason", "test", "--no-wait", "--json")
        return str(answer.json["id"]) if answer.code == 0 else ""

    return str(eventually(ask, within_seconds=60))


def through(instance: Instance, run_id: str) -> dict[str, Any]:
    def done() -> Any:
        run = instance.api(f"/v1/retention/runs/{run_id}")
        return run if run["state"] == "done" else None

    found: dict[str, Any] = eventually(done, within_seconds=90)
    return found


def test_a_run_that_is_killed_again_and_again_removes_all_of_it_and_nothing_else() -> None:
    dice = random.Random(11)
    with new_instance("--workers", "1") as instance:
        instance.start()
        old, held = spoken(5_000, "eve"), spoken(500, "ada", first=10_000)
        young = spoken(5, "eve", first=0, days_ago=1)
        for some in (old[:2_500], old[2_500:] + held, young):
            send(instance, some)
        placed = instance.kt("hold", "place", "Doe", "--user", "ada", "--reason", "court")
        assert placed.code == 0, placed.err
        run_id = asked(instance)
        for _ in range(2):
            time.sleep(dice.uniform(0.02, 0.3))
            os.kill(instance.status()["pids"]["server"], signal.SIGKILL)
            eventually(lambda: instance.api("/v1/status"), within_seconds=40)
        run = through(instance, run_id)
        outcome = next(one for one in run["classes"] if one["name"] == "payloads")
        assert (outcome["outcome"], outcome["removed"], outcome["kept"]) == ("done", 5_000, 500)
        assert [(one["name"], one["things"]) for one in outcome["kept_by"]] == [("Doe", 500)]
        for one in (old[0], old[-1]):
            payload = instance.api(f"/v1/events/{one.id}")["payload"]
            assert payload["expired"]["run_id"] == run_id
        for one in (held[0], held[-1], young[0]):
            assert WORDS in instance.api(f"/v1/events/{one.id}")["payload"]["request"]
        entries = instance.kt("custody", "list", "--object", "retention:payloads", "--json")
        assert len(entries.json) == 1
        assert instance.kt("log", "prove", old[0].id).code == 0
        doctor = instance.kt("doctor", "--full", "--json")
        failed = [one for one in doctor.json if one["outcome"] == "failed"]
        assert not failed


def test_retention_applies_again_after_an_older_backup(tmp_path: Path) -> None:
    with new_instance("--workers", "1") as instance:
        instance.start()
        old = spoken(20, "eve")
        send(instance, old)
        saved = tmp_path / "before.ktbackup"
        assert instance.kt("backup", str(saved)).code == 0
        through(instance, asked(instance))
        assert "expired" in instance.api(f"/v1/events/{old[0].id}")["payload"]
        assert instance.kt("down").code == 0
        restored = instance.kt("restore", str(saved), "--replace")
        assert restored.code == 0, restored.err
        assert "past its end" in restored.err
        instance.start()
        eventually(
            lambda: "expired" in instance.api(f"/v1/events/{old[0].id}")["payload"],
            within_seconds=60,
        )
        assert newest(instance)["requested_by"] == "system/restore"
