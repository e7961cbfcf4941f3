"""``kt backup`` while everything runs, and ``kt restore`` somewhere else."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import Instance, new_instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_a_backup_restored_elsewhere_has_every_record_and_every_version(
    instance: Instance,
) -> None:
    event_id = instance.ask("Remember this").headers["x-kt-event-id"]
    instance.stored(event_id)
    with new_instance("--workers", "1") as other:
        file = other.state.parent / "kintsugi.backup"
        made = instance.kt("backup", str(file), "--with-vault-key")
        assert made.code == 0, made.err
        assert file.stat().st_mode & 0o077 == 0, "it holds hashed tokens and recorded content"
        refused = instance.kt("backup", str(file))
        assert refused.code == 2
        running = instance.kt("restore", str(file))
        assert running.code == 1
        assert "kt down" in running.err
        restored = other.kt("restore", str(file))
        assert restored.code == 0, restored.err
        other.start()
        assert "Remember this" in other.stored(event_id)["payload"]["request"]
        assert other.kt("config", "list").json == instance.kt("config", "list").json
        answer = other.ask("And go on")
        other.stored(answer.headers["x-kt-event-id"])
