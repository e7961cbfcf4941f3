"""The OpenTelemetry SDK with its OTLP exporter, and the instrumentations that people use, as
clients: what they report stands beside the decision that they asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Instance, new_instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
LIBRARIES = ["openllmetry", "openinference", "openinference-anthropic"]


@pytest.fixture(scope="module")
def traced() -> Iterator[Instance]:
    with new_instance() as made:
        made.start_and_publish()
        yield made


def run_app(library: str, instance: Instance) -> dict[str, str]:
    token = instance.kt("tokens", "create", library, "--scope", "traces:write", "--json").json
    done = subprocess.run(
        [
            sys.executable,
            *("-W", "ignore", "-m", "tests.conformance.instrumented_app"),
            *(library, instance.gateway_url, instance.api_url, token["secret"]),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("OTEL_")},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_an_instrumented_application_reports_stands_beside_our_decision(
    traced: Instance, library: str
) -> None:
    told = run_app(library, traced)
    traced.stored(told["event_id"])
    ran = traced.kt("trace", "show", told["trace_id"], "--json")
    assert ran.code == 0, ran.err
    nodes: list[dict[str, Any]] = ran.json["nodes"]
    by_name = {node["name"]: node for node in nodes}
    decision = next(node for node in nodes if node["source"] == "decision")
    model = next(n for n in nodes if n["source"] == "span" and n["step"] == "model")
    assert decision["id"] == told["event_id"]
    # Some make their span the current one, others leave that to the application's.
    behind = next(node for node in nodes if node["id"] == decision["parent_id"])
    assert behind["step"] == "model" or behind["name"] == "answer a customer"
    assert [node["name"] for node in nodes if node["depth"] == 0] == ["answer a customer"]
    assert by_name["search the handbook"]["step"] == "retrieval"
    assert by_name["refund"]["step"] == "write"
    assert not [node for node in nodes if node["source"] == "missing"]
    attributes = model["attributes"]
    assert attributes["gen_ai.request.model"] in ("sim-tools", "sim-echo")
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert {"input_messages", "output_messages"} <= set(model["holds"])
    table = {line["key"]: line for line in ran.json["completeness"]}
    assert table["writes"]["state"] == "held"
    assert table["joins"]["state"] == "held"
