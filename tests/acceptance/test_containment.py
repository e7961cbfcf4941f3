"""Containments over two workers, as processes: in force within a second, also after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

TRIAGE = {"x-workflow": "triage"}


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    with new_instance("--workers", "2") as instance:
        instance.start_and_publish()
        yield instance


def refused(answer: httpx2.Response) -> bool:
    if answer.status_code != 409:
        return False
    error: dict[str, Any] = answer.json()["error"]
    return bool(error["code"] == "contained")


@pytest.mark.alone
def test_harm_stops_within_a_second_and_stays_stopped(running: Instance) -> None:
    assert running.ask("hello", headers=TRIAGE).status_code == 200
    began = time.monotonic()
    made = running.kt(
        *("contain", "stop", "--workflow", "triage", "--reason", "a note leaked", "--json")
    )
    assert made.code == 0, made.err
    assert made.json["everywhere"] is True
    # Starting the command is a part of this; the server's share is far below.
    assert made.json["seconds"] < 1.0
    assert time.monotonic() - began < 5
    for _ in range(8):  # over both workers
        assert refused(running.ask("hello", headers=TRIAGE))
    assert running.ask("hello", headers={"x-workflow": "billing"}).status_code == 200
    identifier = made.json["containment"]["id"]

    answer = running.ask("hello", headers=TRIAGE)
    event = running.stored(answer.headers["x-kt-event-id"])
    assert event["containments"] == [identifier]
    assert event["policy_name"] == f"containment/{identifier}"

    # Every worker is killed: the next ones know it before they serve.
    for pid in running.status()["pids"]["gateway_workers"]:
        os.kill(pid, signal.SIGKILL)

    def asked() -> httpx2.Response | None:
        try:
            answer = running.ask("hello", headers=TRIAGE)
        except httpx2.TransportError:
            return None
        return None if answer.status_code == 503 else answer  # nothing is in force yet

    answer = eventually(asked, within_seconds=20)
    assert refused(answer)

    # Nobody can reach the control plane: it holds all the same, over a restart of everything.
    running.stop()
    running.start()
    assert refused(running.ask("hello", headers=TRIAGE))

    shown = running.kt("containments", "show", identifier, "--json")
    assert shown.json["status"] == "in_force"
    ended = running.kt("release", identifier, "--reason", "template rolled back", "--json")
    assert ended.code == 0, ended.err
    eventually(lambda: running.ask("hello", headers=TRIAGE).status_code == 200)
    assert running.kt("containments", "list", "--json").json == []


def test_an_earlier_version_of_policies_and_of_a_prompt_is_pinned_for_a_while(
    running: Instance, tmp_path: Path
) -> None:
    attack = "all about codename aurora"
    config_id = running.config_id
    [newest] = running.api("/v1/configurations")
    assert "action: block" in newest["content"]
    strict = newest["version"]
    loose = tmp_path / "loose.yaml"
    loose.write_text(newest["content"].replace("action: block", "action: flag"))
    published = running.kt("config", "apply", "--file", str(loose))
    assert published.code == 0, published.err
    eventually(lambda: running.ask(attack, headers=TRIAGE).status_code == 200)
    pinned = running.kt(
        *("contain", "pin-policy", "--to-version", f"{config_id}@{strict}", "--workflow", "triage"),
        *("--reason", "lets attacks through", "--wait-seconds", "30", "--json"),
    )
    assert pinned.code == 0, pinned.err
    assert (pinned.json["everywhere"], pinned.json["pinned"]["weaker"]) == (True, False)
    answer = running.ask(attack, headers=TRIAGE)
    assert answer.status_code == 409
    assert answer.headers["x-kt-config-version"] == f"{config_id}@{strict}"
    assert running.ask(attack, headers={"x-workflow": "billing"}).status_code == 200
    event = running.stored(answer.headers["x-kt-event-id"])
    assert event["pinned_from"] == f"{config_id}@{strict + 1}"

    prompt = tmp_path / "greeting-3.txt"
    prompt.write_text("Answer in one sentence.")
    registered = running.kt(
        *("workflows", "register", "triage", "--business-owner", "ada", "--technical-owner", "bo"),
        *("--prompt-text", f"greeting==3=@{prompt}"),
    )
    assert registered.code == 0, registered.err
    asked = running.kt(
        *("contain", "pin-prompt", "--to-prompt", "greeting==3", "--workflow", "triage"),
        *("--reason", "promises refunds", "--json"),
    )
    assert asked.code == 0, asked.err
    # Both are known to gateways whose control plane is away.
    running.stop()
    running.start()
    assert running.ask(attack, headers=TRIAGE).status_code == 409
    said = [("system", "promise a refund"), ("user", "hello")]
    answer = httpx2.post(
        f"{running.gateway_url}/v1/chat/completions",
        json={
            "model": "sim-echo",
            "messages": [{"role": role, "content": text} for role, text in said],
        },
        headers=TRIAGE,
        trust_env=False,
    )
    event = running.stored(answer.headers["x-kt-event-id"])
    assert [one["detail"] for one in event["changes"]] == ["greeting 3 in place of 1 messages"]
    for one in (pinned, asked):
        identifier = one.json["containment"]["id"]
        ended = running.kt("release", identifier, "--reason", "mended")
        assert ended.code == 0, ended.err


def test_one_that_would_be_about_everybody_must_say_so(running: Instance) -> None:
    refusal = running.kt("contain", "stop", "--reason", "x")
    assert refusal.code == 2
    assert "--everybody" in refusal.err
    wrong = running.kt("contain", "explode", "--reason", "x", "--everybody")
    assert wrong.code == 2
    assert "disable-tools" in wrong.err


def test_a_dry_run_says_what_was_in_scope(running: Instance) -> None:
    told = running.kt(
        *("contain", "stop", "--workflow", "none", "--reason", "x", "--dry-run", "--json")
    )
    assert told.code == 0, told.err
    assert told.json["preview"]["exchanges"] == 0
    assert running.kt("containments", "list", "--json").json == []
