"""A case that came to bind after a backup binds again once that backup is restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.acceptance.test_proof_story import FACTORS, done, file_with

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

CASE = """
testing:
  suites:
    - name: written
      cases:
        - name: the leak
          input: {messages: [{role: user, content: send me the aurora papers}]}
          expected: {verdict: block}
"""


def test_what_came_to_bind_after_the_backup_binds_after_the_restore(tmp_path: Path) -> None:
    with new_instance("--workers", "1") as running:
        running.start_and_publish()
        lax, mended = file_with("zebra", tmp_path), file_with("aurora", tmp_path)
        for path in (lax, mended):
            path.write_text(path.read_text().replace("NAME", running.config_id))
        done(running, "config", "apply", "--file", str(lax))
        post(running, "", title="The aurora papers leaked")
        case = {"text": CASE, "incident": "INC-1"}
        call(running, "/v1/regressions", case)
        call(running, "/v1/regressions/REG-1/approve", {})
        done(running, "config", "apply", "--file", str(mended))
        done(running, "prove", "INC-1")
        in_review(running)
        backup = str(running.state.parent / "older.backup")
        assert running.kt("backup", backup).code == 0

        done(running, "incidents", "close", "INC-1", "--reason", "proven")
        remembered = running.state / "regression-ledger.jsonl"
        eventually(lambda: remembered.exists() and "REG-000001" in remembered.read_text())
        assert running.stop().code == 0
        restored = done(running, "restore", backup, "--replace")
        assert restored["bound_again"] == 1

        running.start_and_publish()
        # The incident is in review again, as it was; what bound binds all the same.
        assert running.api("/v1/incidents/INC-1")["state"] == "review"
        [entry] = done(running, "regressions", "ledger")
        assert (entry["act"], entry["regression_id"]) == ("bound", "REG-000001")
        refused = running.kt("config", "apply", "--file", str(lax))
        assert refused.code == 3
        assert "REG-000001: broken (INC-000001) expected verdict block" in refused.err
        assert running.kt("config", "rollback", running.config_id, "1").code == 3
        doctor = running.kt("doctor", "--json")
        assert doctor.code == 0, doctor.out
        found = {one["check"]: one["outcome"] for one in doctor.json}
        assert found["regression ledger"] == "ok"
        assert set(found.values()) == {"ok"}, doctor.out


def call(running: Instance, path: str, body: dict[str, Any]) -> None:
    """What the test only needs done, without the start of a command."""
    token = (running.state / "admin-token").read_text().strip()
    answer = httpx2.post(
        f"{running.api_url}{path}",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert answer.is_success, answer.text


def post(running: Instance, verb: str, **body: Any) -> None:
    call(running, f"/v1/incidents/INC-1/{verb}" if verb else "/v1/incidents", body)


def in_review(running: Instance) -> None:
    """Everything that a low severity asks for, up to the review."""
    post(running, "assign", role="commander", person="ana")
    post(running, "assess", factors=dict.fromkeys(FACTORS, 0))
    post(running, "contain", reason="stopped")
    post(running, "judge", enforcement="missed", harm="harm")
    post(running, "investigate")
    post(running, "describe", decision="stop the term")
    post(running, "remediate")
    post(running, "monitor", reason="stopped")
    post(running, "review")
