"""Evidence packages of the installed program: made, fetched, checked by us and by others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.acceptance.test_foreign_tools import run as by_hand

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


@pytest.mark.needs("unzip", "sha256sum", "jq", "openssl", "base64")
def test_a_decision_is_packaged_and_holds_here_and_by_hand(
    instance: Instance, tmp_path: Path
) -> None:
    event = instance.stored(instance.ask("hello").headers["x-kt-event-id"])
    file = tmp_path / "evidence.zip"
    made = instance.kt("evidence", "package", "--event", event["id"], "-o", str(file), "--json")
    assert made.code == 0, made.err
    [key, *_] = instance.kt("log", "keys", "--json").json
    checked = instance.kt("verify", str(file), "--key", key, "--json")
    assert checked.code == 0, checked.out + checked.err
    assert (checked.json["events"], checked.json["findings"]) == (1, [])
    acts = instance.kt("custody", "list", "--object", f"package:{made.json['package']}", "--json")
    assert {entry["action"] for entry in acts.json} == {"export", "transfer"}
    ran = by_hand(tmp_path, key)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "every event is in the log as it was recorded" in ran.stdout


def test_a_package_is_finished_although_the_server_is_killed() -> None:
    with new_instance() as instance:
        instance.start_and_publish()
        for number in range(20):
            last = instance.ask(f"hello {number}").headers["x-kt-event-id"]
        instance.stored(last)
        token = (instance.state / "admin-token").read_text().strip()
        answer = httpx2.post(
            f"{instance.api_url}/v1/exports",
            json={"type": "package", "filter": {"since": "1h"}},
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        os.kill(instance.status()["pids"]["server"], signal.SIGKILL)
        address = f"/v1/exports/{answer.json()['data']['id']}"

        def done() -> bool:
            job = instance.api(address)
            return job is not None and job["state"] == "done"

        eventually(done, within_seconds=60)
        made = instance.kt("exports", "show", address.rpartition("/")[2], "--json").json
        file = instance.state / "package.zip"
        instance.kt("exports", "download", made["id"], "-o", str(file))
        assert instance.kt("verify", str(file)).code == 0
