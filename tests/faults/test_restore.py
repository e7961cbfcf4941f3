"""An older state is restored: gateways and witnesses notice, and what can come back comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance
from tests.faults.load import all_stored

pytestmark = [pytest.mark.faults, pytest.mark.acceptance, pytest.mark.timeout(240)]


def test_a_restored_older_state_is_noticed_and_filled_from_what_gateways_still_have(
    tmp_path: Path,
) -> None:
    witness = str(tmp_path / "log.checkpoint")
    with new_instance("--workers", "1") as instance:
        instance.start()
        before = ask(instance, 4)
        backup = str(instance.state.parent / "older.backup")
        assert instance.kt("backup", backup).code == 0
        after = ask(instance, 6)
        assert instance.kt("log", "witness", "--to", witness).code == 0
        assert instance.stop().code == 0
        restored = instance.kt("restore", backup, "--replace")
        assert restored.code == 0, restored.err

        instance.start()
        assert eventually(lambda: all_stored(instance, before | after), within_seconds=40)
        signals = eventually(lambda: instance.api("/v1/signals?status=resolved"))
        assert {signal["kind"] for signal in signals} == {"journal_gap"}
        assert "came late" in signals[0]["resolution"]
        eventually(lambda: instance.api("/v1/status")["gateways"][0]["differences"] == [])

        refused = instance.kt("log", "witness", "--to", witness)
        assert refused.code == 3
        doctor = instance.kt("doctor", "--full", "--witness", witness, "--json")
        assert doctor.code == 3
        found = {one["check"]: one for one in doctor.json}
        assert found[f"witness {witness}"]["outcome"] == "failed"
        assert "an older state" in found[f"witness {witness}"]["next"]
        assert found["log"]["outcome"] == "ok", "the log of now is whole all the same"


def test_what_no_gateway_has_any_more_stays_named(tmp_path: Path) -> None:
    with new_instance("--workers", "1") as instance:
        instance.start()
        before = ask(instance, 2)
        backup = str(instance.state.parent / "older.backup")
        assert instance.kt("backup", backup).code == 0
        ask(instance, 3)
        assert instance.stop().code == 0
        for kept in instance.state.glob("gateway/*/journal/kept"):
            for segment in kept.iterdir():
                segment.write_bytes(segment.read_bytes()[:100])  # nothing whole is left of it
        assert instance.kt("restore", backup, "--replace").code == 0
        instance.start()
        [signal] = eventually(lambda: instance.api("/v1/signals?kind=journal_gap"))
        [missing] = signal["detail"]["missing"]
        assert missing["last_seq"] > missing["first_seq"] > 1
        assert signal["severity"] == "high"
        more = ask(instance, 2)
        assert eventually(lambda: all_stored(instance, before | more))
        [still] = instance.api("/v1/signals?kind=journal_gap")
        assert still["id"] == signal["id"]


def ask(instance: Instance, count: int) -> set[str]:
    """Answered requests, once their records have arrived."""
    answered = {instance.ask(f"question {n}").headers["x-kt-event-id"] for n in range(count)}
    assert eventually(lambda: all_stored(instance, answered))
    return answered
