"""What is found on labelled tool calls, and what judging a call costs.

    python -m benchmarks.tool_calls [DATA_DIR]

DATA_DIR holds ``tool_call_schema.jsonl`` (records with ``tools``, ``call``, ``label`` and
``category``: the tools are given as the request's definitions, the call as the answer's) and
``tool_hijack.jsonl`` (``messages`` and ``label``: each turn is judged as it comes).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.detectors import Counts
from kintsugi.model.config import Config, Gateway, Pack, PolicyBlock
from kintsugi.model.content import ExchangeView, Identity, Part, PartKind
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Counter, CounterNeed, Facts
from kintsugi.policy.decide import decide, needs
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rules import KINDS

FACTS = Facts(
    now=datetime(2026, 1, 1, tzinfo=UTC),
    fingerprint_key=b"benchmark",
    identity=Identity(user_id="ada", session_id="s-1", team_id="support"),
    claims={"x-account-id": "17"},
)
REPEATS = 2_000
MESSAGES = 20


def plan_of(kind: str, options: dict[str, Any]) -> Plan:
    """One policy with some options."""
    block = PolicyBlock(kind, msgspec.convert(options, KINDS[kind].options))
    pack = Pack(name="benchmark", version="1.0.0", id="benchmark")
    return compile_plan(Config(pack, Gateway(), (), (block,), (), "", "", {}))


def definitions(tools: list[dict[str, Any]]) -> Iterator[Part]:
    """The tools of a record as a request of OpenAI's chat dialect offers them."""
    for index, tool in enumerate(tools):
        at, name = f"/tools/{index}/function", tool["name"]
        yield Part("system", "tool_definition", tool["description"], f"{at}/description", 0, name)
        schema = json.dumps(tool["parameters"])
        yield Part("system", "tool_definition", schema, f"{at}/parameters", 0, name)


ANSWER = "/choices/0/message/tool_calls/0/function/arguments"


def call_part(name: str, arguments: str, path: str = ANSWER) -> Part:
    """A call of an answer, or of a conversation."""
    return Part("assistant", "tool_call", arguments, path, 0, name)


def measure_schemas(path: Path) -> None:
    """Print findings by category, and what a call costs with its schema new and known."""
    plan = plan_of("tool-validation", {})
    counts: dict[str, Counts] = defaultdict(Counts)
    new: list[float] = []
    known: list[float] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record: dict[str, Any] = json.loads(line)
        call = record["call"]
        part = call_part(call["name"], json.dumps(call["arguments"]))
        view = ExchangeView([part], list(definitions(record["tools"])))
        started = time.perf_counter()
        decision = decide(plan, Phase.TOOL, view, FACTS)
        between = time.perf_counter()
        decide(plan, Phase.TOOL, view, FACTS)
        new.append((between - started) * 1e6)
        known.append((time.perf_counter() - between) * 1e6)
        hit, wanted = decision.verdict.stops, bool(record["label"])
        for one in (counts[record["category"]], counts["all"]):
            one.found += hit and wanted
            one.missed += not hit and wanted
            one.false += hit and not wanted
            one.passed += not hit and not wanted
    print("\ntool_call_schema: tool-validation")
    print(f"{'category':32} {'pos':>5} {'neg':>5} {'recall':>7} {'FPR':>7} {'precision':>9}")
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        print(counts[name].line(name))
    for word, times in (("new", new), ("known", known)):
        times.sort()
        print(
            f"microseconds with the schema {word}: median {statistics.median(times):.0f},"
            f" 99th percentile {times[int(len(times) * 0.99)]:.0f}"
        )


def turns(messages: list[dict[str, Any]]) -> Iterator[tuple[list[Part], list[Part]]]:
    """A conversation as the gateway saw it: each request, and the calls of its answer."""
    said: list[Part] = []
    for index, message in enumerate(messages):
        at, role = f"/messages/{index}", message["role"]
        calls = [
            call_part(call["function"]["name"], call["function"]["arguments"], f"{at}/{number}")
            for number, call in enumerate(message.get("tool_calls") or ())
        ]
        if role == "assistant":
            yield list(said), calls
        if message.get("content"):
            kind: PartKind = "tool_result" if role == "tool" else "text"
            name = message.get("name", "")
            said.append(Part(role, kind, message["content"], f"{at}/content", 0, name))
        said += calls
    yield said, []


def measure_hijacks(path: Path) -> None:
    """Print how many conversations are noticed: as each call appears, or by its results."""
    plan = plan_of("agent-firewall", {"provenance": {"enabled": True}, "repeats": {}})
    at_once, at_all = Counts(), Counts()
    microseconds: list[float] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record: dict[str, Any] = json.loads(line)
        seen: set[Phase] = set()
        for request, calls in turns(record["messages"]):
            for phase, parts in ((Phase.INPUT, request), (Phase.TOOL, calls)):
                started = time.perf_counter()
                decision = decide(plan, phase, ExchangeView(parts, request), FACTS)
                microseconds.append((time.perf_counter() - started) * 1e6)
                if "hijack_suspected" in decision.reason_code:
                    seen.add(phase)
        wanted = bool(record["label"])
        for counts, hit in ((at_once, Phase.TOOL in seen), (at_all, bool(seen))):
            counts.found += hit and wanted
            counts.missed += not hit and wanted
            counts.false += hit and not wanted
            counts.passed += not hit and not wanted
    print("\ntool_hijack: agent-firewall, provenance")
    print(f"{'':32} {'pos':>5} {'neg':>5} {'recall':>7} {'FPR':>7} {'precision':>9}")
    print(at_once.line("before the call is made"))
    print(at_all.line("that, or by its results"))
    microseconds.sort()
    print(
        f"microseconds per judgement: median {statistics.median(microseconds):.0f},"
        f" 99th percentile {microseconds[int(len(microseconds) * 0.99)]:.0f}"
    )


def conversation() -> list[Part]:
    """Ten calls and their results."""
    parts = [Part("user", "text", "Refund my last order, please.", "/messages/0/content")]
    for index in range(1, MESSAGES, 2):
        at = f"/messages/{index}/tool_calls/0/function/arguments"
        arguments = json.dumps({"account_id": "17", "query": f"order {index}"})
        parts.append(Part("assistant", "tool_call", arguments, at, 0, "look_up"))
        text = json.dumps({"order": index, "status": "shipped", "note": "left at the door " * 10})
        parts.append(Part("tool", "tool_result", text, f"/messages/{index + 1}/content"))
    return parts


CHAINS: dict[str, tuple[str, Phase, dict[str, Any]]] = {
    "agent-firewall, defaults": ("agent-firewall", Phase.TOOL, {}),
    "agent-firewall, everything": (
        "agent-firewall",
        Phase.TOOL,
        {
            "allowed_tools": ["look_*", "refund"],
            "tools": {"roles": {"clerk": {"users": ["ada"], "denied": ["wire_*"]}}},
            "max_actions_per_session": 50,
            "rate_limits": {"default": 20},
            "transaction_limits": {"max_single_transaction": 500, "max_daily_total": 2000},
            "bindings": [{"argument": "account_id", "claim": "X-Account-ID"}],
            "egress": {"allowed_hosts": ["*.example.com"]},
            "kill_switches": {"max_errors_before_halt": 5, "halt_on_pii_in_action": True},
        },
    ),
    "tool-budget": ("tool-budget", Phase.TOOL, {"budgets": {"*": {"max_tokens": 10_000}}}),
    "rbac, tool": ("rbac", Phase.TOOL, {"roles": {"clerk": {"users": ["ada"]}}}),
    "rbac, request": ("rbac", Phase.INPUT, {"roles": {"clerk": {"users": ["ada"]}}}),
    "human-oversight": ("human-oversight", Phase.TOOL, {"tools": ["wire_*"], "amount_above": 900}),
    "rate-limit": ("rate-limit", Phase.INPUT, {"per_user": {"rpm": 60, "tpm": 90_000}}),
    "spend-limit": (
        "spend-limit",
        Phase.INPUT,
        {
            "limits": [{"per": "user", "usd": 25}],
            "prices": {"*": {"input_per_million": 3, "output_per_million": 15}},
        },
    ),
    "data-routing-policy": (
        "data-routing-policy",
        Phase.ROUTE,
        {"rules": [{"data": ["pii"], "regions": ["eu"]}], "require_no_training": True},
    ),
}


def measure_cost(kind: str, phase: Phase, options: dict[str, Any]) -> float:
    """Microseconds for one judgement of one call after ten others, needs included."""
    plan = plan_of(kind, options)
    request = conversation()
    arguments = json.dumps({"account_id": "17", "amount": 20, "url": "https://api.example.com/x"})
    parts = [call_part("refund", arguments)] if phase is Phase.TOOL else request
    view = ExchangeView(parts, request, model="any", target_ids=("a", "b"))
    wanted = needs(plan, phase, view, FACTS)
    counters = {need.key: Counter(used=0) for need in wanted if isinstance(need, CounterNeed)}
    facts = msgspec.structs.replace(FACTS, counters=counters)

    def once() -> None:
        needs(plan, phase, view, facts)
        decide(plan, phase, view, facts)

    return _microseconds(once)


def _microseconds(once: Callable[[], None]) -> float:
    once()
    started = time.perf_counter()
    for _ in range(REPEATS):
        once()
    return (time.perf_counter() - started) / REPEATS * 1e6


def main() -> None:
    """Measure what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.data_dir is not None:
        measure_schemas(arguments.data_dir / "tool_call_schema.jsonl")
        measure_hijacks(arguments.data_dir / "tool_hijack.jsonl")
    print("\nmicroseconds for one call after ten others (requests: eleven messages)")
    for name, (kind, phase, options) in CHAINS.items():
        print(f"{name:32} {measure_cost(kind, phase, options):7.1f}")


if __name__ == "__main__":
    main()
