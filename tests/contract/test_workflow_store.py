"""Workflows: versions that never change, and traffic held against the newest of them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import NotFound, VersionConflict
from kintsugi.ledger.leaves import WorkflowLeaf, workflow_leaf
from kintsugi.model.seen_parts import SeenKind, Sighting, of_events
from kintsugi.model.span import Span, Step
from kintsugi.model.stores import Stores
from kintsugi.model.workflow import FURTHER, Part, Prompt, Workflow
from tests.control_plane import make_event
from tests.databases import NOON

MINUTE = timedelta(minutes=1)


def made(name: str = "refunds", **changes: object) -> Workflow:
    values = {
        "name": name,
        "business_owner": "ada",
        "technical_owner": "bob",
        "at": NOON,
        "by": "ana/1",
        "models": (Part("sim-echo"),),
        **changes,
    }
    return msgspec.convert(values, Workflow)


def open_signals(stores: Stores) -> dict[str, str]:
    found, _ = stores.signals.page("unresolved", limit=50)
    return {one.key: one.kind for one in found}


def test_every_version_is_kept_and_has_its_leaf(stores: Stores) -> None:
    first = stores.workflows.put(made(), expected_version=0)
    second = stores.workflows.put(made(description="more", at=NOON + MINUTE), expected_version=1)
    assert (first.version, second.version) == (1, 2)
    assert stores.workflows.get("refunds") == second
    assert stores.workflows.get("refunds", 1) == first
    assert stores.workflows.versions("refunds") == [second, first]
    leaves = [one for one in stores.log.leaves(before=None, limit=9) if one.kind == "workflow"]
    told = [msgspec.json.decode(one.data, type=WorkflowLeaf) for one in leaves]
    assert told == [workflow_leaf(second), workflow_leaf(first)]


def test_a_change_from_another_version_is_refused(stores: Stores) -> None:
    with pytest.raises(VersionConflict, match="not registered"):
        stores.workflows.put(made(), expected_version=4)
    stores.workflows.put(made(), expected_version=0)
    for expected in (0, 2):
        with pytest.raises(VersionConflict, match="version 1"):
            stores.workflows.put(made(), expected_version=expected)
    stores.workflows.put(made(), expected_version=None)
    for name, version in (("refunds", 3), ("other", None), ("refunds", 0)):
        with pytest.raises(NotFound):
            stores.workflows.get(name, version)


def test_the_list_has_the_newest_of_each_by_name(stores: Stores) -> None:
    for name in ("b", "a", "c"):
        stores.workflows.put(made(name), expected_version=0)
    stores.workflows.put(made("b", status="retired"), expected_version=1)
    store = stores.workflows
    assert [one.name for one in store.page(None, limit=9)] == ["a", "b", "c"]
    assert [one.name for one in store.page("active", limit=1, after="a")] == ["c"]
    assert [one.version for one in store.page("retired", limit=9)] == [2]
    assert (store.count(None), store.count("active"), store.count("retired")) == (3, 2, 1)


def test_traffic_from_nobodys_workflow_is_counted_and_said_once(stores: Stores) -> None:
    events = [make_event(number, workflow="refunds", model="gpt-x") for number in range(3)]
    stores.events.append(events)
    stores.events.append([*events, make_event(9, workflow="refunds", response_model="sim-2")])
    [found] = stores.workflows.strangers(limit=9)
    assert (found.name, found.standing, found.events) == ("refunds", "unregistered", 4)
    assert (found.first_seen_at, found.last_seen_at) == (
        events[0].timestamp,
        make_event(9).timestamp,
    )
    assert [(one.name, one.version, one.times) for one in found.parts] == [
        ("gpt-x", "sim-echo", 3),
        ("sim-echo", "sim-2", 1),
    ]
    assert stores.workflows.count_strangers() == 1
    assert stores.workflows.strangers(limit=9, after="refunds") == []
    assert open_signals(stores) == {"workflow_unregistered:refunds": "workflow_unregistered"}


def test_registering_settles_the_signal_and_retiring_raises_it_again(stores: Stores) -> None:
    stores.events.append([make_event(1, workflow="refunds")])
    stores.workflows.put(made(), expected_version=0)
    assert open_signals(stores) == {}
    assert stores.workflows.count_strangers() == 0
    seen = stores.workflows.seen("refunds")
    assert seen is not None
    assert (seen.standing, [one.named for one in seen.parts]) == ("registered", [True])
    stores.events.append([make_event(2, workflow="refunds")])
    assert open_signals(stores) == {}
    stores.workflows.put(made(status="retired"), expected_version=1)
    stores.events.append([make_event(3, workflow="refunds")])
    assert open_signals(stores) == {"workflow_unregistered:refunds": "workflow_unregistered"}
    assert [one.standing for one in stores.workflows.strangers(limit=9)] == ["retired"]


def test_what_a_registration_does_not_name_is_drift_until_it_is_named(stores: Stores) -> None:
    stores.workflows.put(made(), expected_version=0)
    request = '{"tools": [{"type": "function", "function": {"name": "pay"}}, {"name": "look"}]}'
    event = make_event(1, workflow="refunds", model="gpt-x", response_model="gpt-x")
    payload = msgspec.structs.replace(event.payload, request=request)
    stores.events.append([msgspec.structs.replace(event, payload=payload)])
    assert open_signals(stores) == {
        "workflow_drift:refunds:model:gpt-x@": "workflow_drift",
        "workflow_drift:refunds:tool:pay@": "workflow_drift",
        "workflow_drift:refunds:tool:look@": "workflow_drift",
    }
    tools = (Part("pay"), Part("look"))
    stores.workflows.put(made(tools=tools), expected_version=1)
    assert open_signals(stores) == {"workflow_drift:refunds:model:gpt-x@": "workflow_drift"}
    stores.workflows.put(made(models=(Part("gpt-x"),), tools=tools), expected_version=2)
    assert open_signals(stores) == {}
    stores.workflows.put(made(tools=tools), expected_version=3)
    stores.events.append([make_event(2, workflow="refunds", model="gpt-x", response_model="")])
    assert open_signals(stores) == {"workflow_drift:refunds:model:gpt-x@": "workflow_drift"}


def test_spans_tell_of_prompts_and_sources(stores: Stores) -> None:
    span = Span(
        "0af7651916cd43dd8448eb211c80319c",
        "b7ad6b7169203331",
        "retrieve",
        Step.RETRIEVAL,
        NOON,
        NOON,
        attributes={
            "gen_ai.workflow.name": "refunds",
            "gen_ai.prompt.name": "greeting",
            "gen_ai.prompt.version": "4",
            "gen_ai.data_source.id": "wiki",
        },
    )
    stores.workflows.put(made(prompts=(Prompt("greeting", "3"),)), expected_version=0)
    stores.spans.append([span])
    stores.spans.append([span])
    seen = stores.workflows.seen("refunds")
    assert seen is not None
    assert seen.events == 0
    assert [(one.kind, one.name, one.version, one.times) for one in seen.parts] == [
        ("data_source", "wiki", "", 1),
        ("prompt", "greeting", "4", 1),
    ]
    assert len(open_signals(stores)) == 2


def test_names_and_parts_beyond_the_most_are_counted_together(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kintsugi.store.seen_workflows.NAMES_SEEN_MAX", 2)
    monkeypatch.setattr("kintsugi.store.seen_workflows.PARTS_SEEN_MAX", 2)

    def told(name: str, *parts: str) -> Sighting:
        return Sighting(name, NOON, NOON, 1, {("tool", part, ""): 1 for part in parts})

    stores.workflows.note([told("a", "1", "2", "3", "4"), told("b")], now=NOON)
    stores.workflows.note([told("a", "5"), told("c"), told("d", "1")], now=NOON)
    found = {one.name: one for one in stores.workflows.strangers(limit=9)}
    assert {name: one.events for name, one in found.items()} == {"a": 2, "b": 1, FURTHER: 2}
    assert {part.name: part.times for part in found["a"].parts} == {"1": 1, "2": 1, FURTHER: 3}
    assert found[FURTHER].parts == ()


def test_hostile_names_are_kept_as_text(stores: Stores) -> None:
    name = "'; DROP TABLE x; --\0\ud800" + "a" * 500
    stores.events.append([make_event(1, workflow="\u202ea/b c")])
    assert [one.name for one in stores.workflows.strangers(limit=9)] == ["\u202ea/b c"]
    [sighting] = of_events([make_event(2, workflow=name)])
    stores.workflows.note([sighting], now=NOON)
    assert max(len(one.name) for one in stores.workflows.strangers(limit=9)) == 200


def test_states_that_only_traffic_tells_are_no_drift_and_the_oldest_are_forgotten(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("workflows", "memory_workflows"):
        monkeypatch.setattr(f"kintsugi.store.{place}.STATES_SEEN_MAX", 2)
    stores.workflows.put(made(), expected_version=0)
    for number in range(4):
        at = NOON + number * MINUTE
        parts: dict[tuple[SeenKind, str, str], int] = {
            ("instructions", "system prompt", f"v{number}"): 1,
            ("tool_schema", "pay", "x"): 1,
        }
        stores.workflows.note([Sighting("refunds", at, at, 1, parts)], now=at)
    seen = stores.workflows.seen("refunds")
    assert seen is not None
    assert [(one.kind, one.version, one.named) for one in seen.parts] == [
        ("instructions", "v2", True),
        ("instructions", "v3", True),
        ("tool_schema", "x", True),
    ]
    assert open_signals(stores) == {}
