"""The log of the installed program: proven, witnessed, and checked with OpenSSL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.conftest import Instance, new_instance, run

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

MANUAL = Path(__file__).parents[2] / "docs" / "log.md"


def test_a_decision_is_proven_from_the_gateway_to_a_proof_in_a_file(
    instance: Instance, tmp_path: Path
) -> None:
    event = instance.stored(instance.ask("hello").headers["x-kt-event-id"])
    file = tmp_path / "proof.json"
    ran = instance.kt("log", "prove", event["id"], "--to", str(file), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["what"] == event["id"]
    [key, *_] = instance.kt("log", "keys", "--json").json
    assert instance.kt("log", "verify", str(file), "--key", key).code == 0
    file.write_text(file.read_text().replace('\\"allow\\"', '\\"block\\"', 1))
    assert instance.kt("log", "verify", str(file), "--key", key).code == 3


def test_the_manual_s_check_by_hand_works(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text(instance.kt("log", "checkpoint").out)
    [key, *_] = instance.kt("log", "keys", "--json").json
    by_hand = re.findall(r"```bash\n(.*?)```", MANUAL.read_text(), re.DOTALL)[-1]
    ran = run(by_hand, environ=instance.environ | {"KEY": key}, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "Signature Verified Successfully" in ran.out
    text = (tmp_path / "checkpoint").read_text()
    (tmp_path / "checkpoint").write_text(re.sub(r"\n\d+\n", "\n999999\n", text, count=1))
    assert run(by_hand, environ=instance.environ | {"KEY": key}, cwd=tmp_path).code != 0


def test_one_installation_witnesses_another_over_a_restart() -> None:
    with new_instance() as one, new_instance() as other:
        one.start_and_publish()
        other.start()
        event = one.stored(one.ask("hello").headers["x-kt-event-id"])
        made = other.kt("tokens", "create", "witness", "--scope", "log:witness", "--json")
        one.environ["KT_WITNESS_TOKEN"] = made.json["secret"]
        first = one.kt("log", "witness", "--to", other.api_url, "--json")
        assert first.code == 0, first.err
        one.stored(one.ask("again").headers["x-kt-event-id"])
        second = one.kt("log", "witness", "--to", other.api_url, "--json")
        assert second.json["seen before"] == first.json["size"]
        one.stop()
        one.start()  # the key and the log outlive a restart
        third = one.kt("log", "witness", "--to", other.api_url, "--json")
        assert (third.code, third.json["witness"]) == (0, first.json["witness"])
        assert one.kt("log", "prove", event["id"]).code == 0
