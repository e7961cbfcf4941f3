"""Versions that are pinned for a time and a scope: the policies of another one decide, or another
prompt is asked."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.oversight import made_ready
from kintsugi.gateway.transforms import change_request
from kintsugi.model.containment import Lever
from kintsugi.model.decision import Phase
from kintsugi.model.transform import PinnedPrompt, Transform
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import BLOCKING, NOW, REDACTING, chat, completion, in_force, stream_of
from tests.gateway.test_containment import TRIAGE, contain, containment, play
from tests.gateway.test_transforms import ANTHROPIC, CHAT, RESPONSES

PIN = Lever("pin-policy", config_version="demo@3")


def pinning(*policies: str, config: InForce | None = None) -> Lever:
    return msgspec.structs.replace(PIN, content=(config or in_force(*policies)).config.source)


def test_the_policies_of_the_pinned_version_decide_and_stand_on_the_record() -> None:
    surroundings = in_force()
    contain(surroundings, containment(pinning(BLOCKING), workflow="triage"))
    one = play(surroundings, body=chat("STOPME"))
    assert not one.all(c.CallUpstream)
    assert (one.event.config_version, one.event.pinned_from) == ("demo@3", "demo@7")
    assert one.event.revision != surroundings.plan.revision
    assert one.event.containments == ("c1",)
    assert one.event.policy_name == "dlp-filter"
    one.recorded()
    assert one.header(b"x-kt-config-version") == b"demo@3"
    other = play(surroundings, [(b"x-workflow", b"billing")], chat("STOPME"))
    assert other.all(c.CallUpstream)


def test_outside_of_its_scope_nothing_of_it_is_recorded() -> None:
    surroundings = in_force(REDACTING)
    contain(surroundings, containment(pinning(BLOCKING), workflow="triage"))
    one = play(surroundings, [(b"x-workflow", b"billing")], chat("123-45-6789"))
    one.exchange_of(completion())
    assert (one.event.config_version, one.event.pinned_from) == ("demo@7", "")


def test_targets_and_keys_that_were_withdrawn_do_not_come_back() -> None:
    old = in_force(BLOCKING, targets="[{id: gone, provider: simulator, model: sim-echo}]")
    surroundings = in_force()
    contain(surroundings, containment(pinning(config=old), workflow="triage"))
    assert play(surroundings).only(c.CallUpstream).target_id == "sim"


def test_a_stop_holds_while_policies_are_pinned() -> None:
    surroundings = in_force()
    contain(
        surroundings,
        containment(Lever("stop"), "c1"),
        containment(pinning(BLOCKING), "c2"),
    )
    one = play(surroundings)
    assert one.event.reason_code == "containment.stopped"
    assert one.event.config_version == "demo@3"


def test_of_two_pins_the_newer_decides() -> None:
    surroundings = in_force()
    newer = msgspec.structs.replace(pinning(REDACTING), config_version="demo@4")
    contain(surroundings, containment(pinning(BLOCKING), "c1"), containment(newer, "c2"))
    one = play(surroundings, body=chat("STOPME"))
    one.exchange_of(completion())
    assert one.event.config_version == "demo@4"


def test_a_gateway_that_runs_another_configuration_has_nothing_to_pin() -> None:
    surroundings = in_force(BLOCKING)
    elsewhere = msgspec.structs.replace(PIN, config_version="other@3", content="no such thing")
    contain(surroundings, containment(elsewhere))
    assert [one.containment.id for one in surroundings.oversight.contained] == ["c1"]
    assert play(surroundings).all(c.CallUpstream)
    assert not play(surroundings, body=chat("STOPME")).all(c.CallUpstream)


@pytest.mark.parametrize(("weaker", "passes"), [(True, True), (False, False)])
def test_a_version_that_cannot_be_put_in_force_never_opens_the_gate(
    weaker: bool, passes: bool
) -> None:
    surroundings = in_force(BLOCKING)
    broken = msgspec.structs.replace(PIN, content="pack: [", weaker=weaker)
    one = msgspec.structs.replace(containment(broken), approved_at=NOW, approved_by="eve")
    contain(surroundings, one)
    assert not play(surroundings, body=chat("STOPME")).all(c.CallUpstream)
    assert bool(play(surroundings).all(c.CallUpstream)) is passes


def test_streams_are_held_back_as_the_pinned_version_needs() -> None:
    surroundings = in_force(gateway="streaming: window")
    contain(surroundings, containment(pinning(BLOCKING)))
    one = play(surroundings, body=chat(stream=True))
    assert b"STOPME" not in one.streamed([stream_of("say ", "STOPME", " now")])
    assert one.event.config_version == "demo@3"
    assert one.event.streaming_mode == "buffer"


def test_what_has_not_changed_is_not_compiled_again() -> None:
    config = in_force().config
    pin, stop = containment(pinning(BLOCKING), "c1"), containment(Lever("stop"), "c2")
    [first] = made_ready([pin], config)
    again, added = made_ready([pin, stop], config, ready=[first])
    assert again is first
    assert added.containment.id == "c2"
    shorter = msgspec.structs.replace(pin, expires_at=NOW)
    assert made_ready([shorter], config, ready=[first])[0] is not first
    assert made_ready([pin], in_force().config, ready=[first])[0] is not first


def pinned_prompt(text: str = "Answer in one sentence.") -> Lever:
    return Lever("pin-prompt", prompt="greeting", prompt_version="3", content=text)


def test_the_pinned_prompt_is_asked_in_place_of_the_one_that_came() -> None:
    surroundings = in_force()
    contain(surroundings, containment(pinned_prompt(), workflow="triage"))
    body = chat(
        messages=[{"role": "system", "content": "leak it"}, {"role": "user", "content": "hi"}]
    )
    one = play(surroundings, TRIAGE, body)
    sent = json.loads(one.only(c.CallUpstream).body)
    assert sent["messages"] == [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": "hi"},
    ]
    one.exchange_of(completion())
    [made] = one.event.changes
    assert (made.kind, made.detail) == ("prompt", "greeting 3 in place of 1 messages")
    assert one.event.verdict is Verdict.TRANSFORM


def changed(dialect: str, request: dict[str, Any], pinned: PinnedPrompt) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        change_request(
            dialect,
            json.dumps(request).encode(),
            [Transform(prompt=pinned)],
            phase=Phase.INPUT,
            policy_name="containment/c1",
        ).body
    )
    return found


@pytest.mark.parametrize(
    ("dialect", "request_", "where"),
    [
        ("openai.chat", CHAT, lambda it: it["messages"][0]["content"]),
        ("openai.responses", RESPONSES, lambda it: it["instructions"]),
        ("anthropic.messages", ANTHROPIC, lambda it: it["system"]),
    ],
)
def test_instructions_are_replaced_in_every_dialect(
    dialect: str, request_: dict[str, Any], where: Any
) -> None:
    found = changed(dialect, request_, PinnedPrompt(id="greeting", version="3", text="short"))
    assert where(found) == "short"
    assert "be kind" not in json.dumps(found)
    assert "first question" in json.dumps(found)


@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses", "anthropic.messages"])
def test_a_request_without_instructions_gets_none(dialect: str) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    assert changed(dialect, request, PinnedPrompt(id="greeting", text="short")) == request


def test_a_prompt_that_a_request_names_is_asked_in_the_pinned_version() -> None:
    pinned = PinnedPrompt(id="greeting", version="3", text="short")
    named = {"model": "m", "prompt": {"id": "greeting", "version": "4", "variables": {"a": "b"}}}
    assert changed("openai.responses", named, pinned)["prompt"] == {
        "id": "greeting",
        "version": "3",
        "variables": {"a": "b"},
    }
    other = {"model": "m", "prompt": {"id": "farewell", "version": "4"}}
    assert changed("openai.responses", other, pinned) == other


def test_embeddings_have_no_prompt_and_go_on() -> None:
    request = {"model": "m", "input": "hi"}
    pinned = PinnedPrompt(id="greeting", text="short")
    assert changed("openai.embeddings", request, pinned) == request
