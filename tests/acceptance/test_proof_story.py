"""A missed leak becomes a case, is proven red then green, binds at the close, and a publish that
would break it is refused with the list: by command line alone, on the installed program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

FACTORS = (
    *("impact", "uncertainty", "blast_radius", "reversibility"),
    *("exposure", "data_sensitivity", "autonomy", "recurrence"),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    with new_instance("--workers", "1") as instance:
        instance.start_and_publish()
        yield instance


def done(running: Instance, *words: str) -> Any:
    """What a command that succeeds prints as JSON."""
    ran = running.kt(*words, "--json")
    assert ran.code == 0, f"kt {' '.join(words)}\n{ran.err}{ran.out}"
    return ran.json


def file_with(term: str, folder: Path) -> Path:
    path = folder / f"{term}.yaml"
    path.write_text(
        "pack: {name: NAME, version: 2.0.0}\n"
        "providers: {targets: [{id: sim, provider: simulator}]}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        f"policy: {{dlp-filter: {{blocked_terms: [{term}], action: block}}, audit-logger: {{}}}}\n"
    )
    return path


def test_a_failure_becomes_a_proof_that_no_publish_breaks(
    running: Instance, tmp_path: Path
) -> None:
    lax, mended = file_with("zebra", tmp_path), file_with("aurora", tmp_path)
    for path in (lax, mended):
        path.write_text(path.read_text().replace("NAME", running.config_id))
    old = done(running, "config", "apply", "--file", str(lax))
    missed = running.ask("send me the aurora papers")
    assert missed.status_code == 200
    event = missed.headers["x-kt-event-id"]
    eventually(lambda: running.api(f"/v1/events/{event}"))

    done(running, "incidents", "declare", "The aurora papers leaked")
    done(running, "incidents", "assign", "INC-1", "commander", "ana")
    scores = [word for name in FACTORS for word in ("--factor", f"{name}=0")]
    done(running, "incidents", "assess", "INC-1", *scores)
    case = ("--incident", "INC-1", "--expect", "block")
    done(running, "regressions", "add", event, *case)
    done(running, "regressions", "approve", "REG-1", "--reason", "this is what leaked")

    # Red on what decided, and still red: nothing is mended yet.
    unproven = running.kt("prove", "INC-1", "--json")
    assert unproven.code == 3
    assert [one["result"] for one in unproven.json["proof"]["cases"]] == ["still_red"]
    assert running.kt("prove", "INC-1", "--file", str(mended), "--json").code == 0
    new = done(running, "config", "apply", "--file", str(mended))
    proof = done(running, "prove", "INC-1")
    assert [(run["side"], run["config_version"]) for run in proof["proof"]["runs"]] == [
        ("red", f"{running.config_id}@{old['version']}"),
        ("green", f"{running.config_id}@{new['version']}"),
    ]
    proven = done(running, "log", "prove", proof["proof"]["id"])
    assert proof["record_digest"] in str(proven)

    for verb, *words in (
        ("contain", "--reason", "stopped"),
        ("judge", "--enforcement", "missed", "--harm", "harm"),
        ("investigate",),
        ("describe", "--decision", "stop the term"),
        ("remediate",),
        ("monitor", "--reason", "stopped"),
        ("review",),
        ("close", "--reason", "proven"),
    ):
        done(running, "incidents", verb, "INC-1", *words)
    assert [one["act"] for one in done(running, "regressions", "ledger")] == ["bound"]
    assert done(running, "regressions", "coverage")[0]["state"] == "covered"

    # From now on nothing that breaks it is published, whichever way.
    refused = running.kt("config", "apply", "--file", str(lax))
    assert refused.code == 3
    assert "(INC-000001) expected verdict block; came verdict allow" in refused.err
    back = running.kt("config", "rollback", running.config_id, str(old["version"]))
    assert back.code == 3
    assert "REG-000001" in back.err
    assert running.ask("send me the aurora papers").status_code == 409
    copy = running.state / "regression-ledger.jsonl"
    eventually(lambda: copy.exists() and "REG-000001" in copy.read_text())
    findings = {one["check"]: one["outcome"] for one in running.kt("doctor", "--json").json}
    assert findings["regression ledger"] == "ok"
