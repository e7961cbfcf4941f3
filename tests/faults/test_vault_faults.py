"""An erasure under kill -9, an older backup after it, a lost key: on the installed program."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from kintsugi.model.event import DecisionEvent, Payload
from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.control_plane import make_event

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(240)]

WORDS = "the swordfish flies at noon"


def spoken(count: int, user: str, *, first: int = 0) -> list[DecisionEvent]:
    base = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    payload = Payload(f'{{"messages":[{{"role":"user","content":"{WORDS}"}}]}}', "noted")
    return [
        make_event(number, base=base, user_id=user, payload=payload)
        for number in range(first, first + count)
    ]


def send(instance: Instance, events: list[DecisionEvent]) -> None:
    body = b"\n".join(map(msgspec.json.encode, events))
    token = (instance.state / "admin-token").read_text().strip()
    answer = httpx2.post(
        f"{instance.api_url}/v1/events",
        content=body,
        headers={"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text


def erasure(instance: Instance) -> dict[str, Any]:
    found = eventually(lambda: instance.api("/v1/erasures"), within_seconds=40)
    job: dict[str, Any] = found[0]
    return job


def test_an_erasure_that_is_killed_again_and_again_comes_to_its_end() -> None:
    dice = random.Random(7)
    with new_instance("--workers", "1") as instance:
        instance.start()
        ada, bob = spoken(6_000, "ada"), spoken(5, "bob", first=7_000)
        send(instance, ada[:3_000])
        send(instance, ada[3_000:] + bob)
        asked = instance.kt("erase", "--subject", "ada", "--reason", "asked", "--no-wait")
        assert asked.code == 0, asked.err
        for _ in range(3):
            time.sleep(dice.uniform(0.05, 0.6))
            os.kill(instance.status()["pids"]["server"], signal.SIGKILL)
            eventually(lambda: instance.api("/v1/status"), within_seconds=40)
        eventually(lambda: erasure(instance)["state"] == "done", within_seconds=60)
        job = erasure(instance)
        assert job["events"] == len(ada)
        verified = instance.kt("erase", "--verify", job["id"], "--json")
        assert verified.code == 0, verified.err
        for one in (ada[0], ada[-1]):
            payload = instance.api(f"/v1/events/{one.id}")["payload"]
            assert payload["erased"]["erasure_id"] == job["id"]
        assert WORDS in instance.api(f"/v1/events/{bob[0].id}")["payload"]["request"]
        revealed = instance.kt("events", "reveal", bob[0].id, "--reason", "test", "--json")
        assert WORDS in revealed.json["payload"]["request"]


def test_an_older_backup_brings_no_erased_content_back(tmp_path: Path) -> None:
    with new_instance("--workers", "1") as instance:
        instance.start()
        [ada], [bob] = spoken(1, "ada"), spoken(1, "bob", first=10)
        send(instance, [ada, bob])
        backup = str(instance.state.parent / "older.backup")
        assert instance.kt("backup", backup).code == 0
        assert instance.kt("erase", "--subject", "ada").code == 0
        rotated = instance.kt("keys", "rotate", "--json")
        assert rotated.code == 0, rotated.err
        assert instance.stop().code == 0
        restored = instance.kt("restore", backup, "--replace", "--json")
        assert restored.code == 0, restored.err
        assert restored.json["erased_again"] == 1
        instance.start()
        shown = eventually(lambda: instance.api(f"/v1/events/{ada.id}"))["payload"]
        assert "erased" in shown
        assert WORDS in instance.api(f"/v1/events/{bob.id}")["payload"]["request"]
        eventually(lambda: erasure(instance)["state"] == "done", within_seconds=40)
        assert instance.kt("erase", "--verify", erasure(instance)["id"]).code == 0

        # Without the key nothing is stored, nothing is lost, and everybody is told.
        key = instance.state / "vault-key"
        assert instance.stop().code == 0
        key.rename(tmp_path / "kept-elsewhere")
        instance.start()
        told = eventually(lambda: instance.kt("keys", "list"))
        assert "nothing can be recorded" in told.err
        assert "vault-key" in instance.api(f"/v1/events/{bob.id}")["payload"]["unreadable"]
        answer = instance.ask("is anybody there")
        assert answer.status_code == 200
        (tmp_path / "kept-elsewhere").rename(key)
        instance.stored(answer.headers["x-kt-event-id"], within_seconds=60)
        assert WORDS in instance.api(f"/v1/events/{bob.id}")["payload"]["request"]
