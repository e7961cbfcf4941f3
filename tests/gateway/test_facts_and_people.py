"""Facts, tool calls, changes and people in one exchange, as plain events and commands."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.oversight import Oversight, action_digest
from kintsugi.model.content import Identity
from kintsugi.model.decision import Phase
from kintsugi.model.event import ExchangeStatus, Quarantine, Unfinished, UsedApproval
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.model.oversight import Resolution
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import (
    BLOCKING,
    DONE,
    EVENT_ID,
    MS,
    NOW,
    Playbook,
    chat,
    completion,
    frame,
    in_force,
)

LIMIT = "rate-limit: {limits: [{per: user, requests: 5, tokens: 1000, window_seconds: 3600}]}"
DENY = "agent-firewall: {denied_tools: [run_shell]}"
HOLD = (
    'dlp-filter: {action: escalate, detect_patterns: ["STOPME"], phases: [input], '
    "escalation: {hold_seconds: 30}}"
)
ASK = 'dlp-filter: {action: escalate, detect_patterns: ["STOPME"], phases: [input]}'
FREEZE = (
    'dlp-filter: {action: quarantine, quarantine: agent, detect_patterns: ["STOPME"], '
    "phases: [input]}"
)
CALL = {"id": "1", "type": "function", "function": {"name": "run_shell", "arguments": '{"c":"ls"}'}}


def begin(book: Playbook, body: bytes | None = None, **headers: str) -> list[c.Command]:
    told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return book.step(
        e.RequestReceived(
            book.tick(),
            EVENT_ID,
            NOW,
            b"POST",
            b"/v1/chat/completions",
            told,
            body or chat(),
            "203.0.113.7",
        )
    )


def one(commands: list[c.Command], kind: type[Any]) -> Any:
    found = [command for command in commands if isinstance(command, kind)]
    assert len(found) == 1, commands
    return found[0]


def none(commands: list[c.Command], kind: type[Any]) -> bool:
    return not any(isinstance(command, kind) for command in commands)


def answer(book: Playbook, body: bytes, *, stream: bool = False) -> list[c.Command]:
    kind = b"text/event-stream" if stream else b"application/json"
    book.step(e.AdmissionDurable(book.tick()))
    commands = book.step(e.UpstreamHead(book.tick(), 200, [(b"content-type", kind)]))
    commands += book.step(e.UpstreamData(book.tick(), body))
    return commands + book.step(e.UpstreamEnd(book.tick()))


def error_of(commands: list[c.Command], book: Playbook) -> dict[str, Any]:
    commands = commands + book.step(e.RecordDurable(book.tick()))
    found: dict[str, Any] = json.loads(one(commands, c.Answer).body)["error"]
    return found


# Facts


def gathered(book: Playbook, commands: list[c.Command], *, granted: bool = True) -> e.Gathered:
    wish = one(commands, c.Gather)
    counters = {need.key: Counter(0.0, granted) for need in wish.counters}
    return e.Gathered(book.tick(), counters, {}, 7)


def test_nothing_is_gathered_where_no_policy_asks() -> None:
    assert none(begin(Playbook(in_force(BLOCKING))), c.Gather)


def test_an_exchange_is_admitted_before_anybody_is_asked_and_called_after() -> None:
    book = Playbook(in_force(LIMIT))
    first = begin(book, x_user_id="ada")
    assert [type(command) for command in first] == [c.Admit, c.Gather]
    assert none(first, c.CallUpstream)
    one(book.step(gathered(book, first)), c.CallUpstream)


def test_what_was_gathered_is_recorded_and_what_was_used_is_settled() -> None:
    book = Playbook(in_force(LIMIT))
    wish = begin(book, x_user_id="ada")
    book.step(gathered(book, wish))
    commands = answer(book, completion())
    settled = one(commands, c.Settle)
    tokens = [key for key in settled.used if "tokens" in key]
    assert settled.reservation == 7
    assert [settled.used[key] for key in tokens] == [18.0]
    event = one(commands, c.Record).event
    assert event.facts is not None
    assert len(event.facts.counters) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_blocked_or_failed_exchange_gives_back_what_it_reserved(fails: bool) -> None:
    book = Playbook(in_force(LIMIT))
    commands = book.step(gathered(book, begin(book), granted=fails))
    if fails:
        commands = book.step(e.UpstreamFailed(book.tick(), "upstream.timeout"))
    else:
        assert one(commands, c.Record).event.verdict is Verdict.BLOCK
    assert one(commands, c.Settle).used is None


def test_a_client_that_leaves_while_upstream_works_has_used_its_estimate() -> None:
    book = Playbook(in_force(LIMIT))
    book.step(gathered(book, begin(book)))
    assert one(book.step(e.ClientAborted(book.tick())), c.Settle).used == {}


def test_a_client_that_leaves_while_facts_are_gathered_is_recorded_and_not_called_for() -> None:
    book = Playbook(in_force(LIMIT))
    wish = begin(book)
    commands = book.step(e.ClientAborted(book.tick()))
    event = one(commands, c.Record).event
    assert (event.status, event.unfinished) == (
        ExchangeStatus.CLIENT_ABORTED,
        Unfinished("gathering", waits=1),
    )
    assert book.step(gathered(book, wish)) == []


@pytest.mark.parametrize(
    "ending", [e.ClientAborted(0), e.GatewayFailed(0, "draining"), e.AdmissionFailed(0)]
)
def test_the_record_says_where_an_exchange_ended_that_nobody_ended(ending: e.Event) -> None:
    book = Playbook(in_force(LIMIT))
    book.step(gathered(book, begin(book)))
    event = one(book.step(msgspec.structs.replace(ending, at_ns=book.tick())), c.Record).event
    assert event.unfinished == Unfinished("calling")


def test_a_whole_exchange_is_not_unfinished_because_its_client_left_after_it() -> None:
    book = Playbook(in_force(LIMIT))
    begin(book)
    event = one(book.step(e.Gathered(book.tick())), c.Record).event
    book.step(e.ClientAborted(book.tick()))
    assert event.unfinished is None


def test_counters_that_do_not_answer_block_by_default() -> None:
    book = Playbook(in_force(LIMIT))
    begin(book)
    event = one(book.step(e.Gathered(book.tick())), c.Record).event
    assert event.verdict is Verdict.BLOCK
    assert event.reason_code == "rule.error"


def test_another_machine_is_asked_at_a_configured_address_only() -> None:
    targets = (
        "[{id: sim, provider: simulator, model: sim-echo}, "
        '{id: check, provider: openai, base_url: "https://check.example.com/v1"}]'
    )
    book = Playbook(
        in_force(
            "external-moderation: {target: check, provider: openai-moderation}", targets=targets
        )
    )
    wish = begin(book, authorization="Bearer client-secret")
    call = one(wish, c.Gather).remote[0]
    assert (call.origin, call.path) == ("https://check.example.com", b"/v1/moderations")
    assert all(b"client-secret" not in value for _, value in call.headers)
    said = json.dumps({"results": [{"category_scores": {"violence": 0.99}}]})
    commands = book.step(e.Gathered(book.tick(), {}, {call.key: RemoteAnswer(200, said)}))
    event = one(commands, c.Record).event
    assert event.reason_code == "moderation.flagged"
    assert event.facts is not None
    assert event.facts.remote[call.key].body == said


# Tool calls


def test_a_tool_call_is_stopped_by_name_and_said_to_be_one() -> None:
    book = Playbook(in_force(DENY))
    begin(book)
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    error = error_of(answer(book, completion(choices=[message])), book)
    assert error["code"] == "tool_blocked"
    assert error["policy"] == "agent-firewall"


def test_an_answer_without_calls_leaves_the_tool_policies_clear() -> None:
    book = Playbook(in_force(DENY))
    begin(book)
    event = one(answer(book, completion()), c.Record).event
    phases = [(found.policy_name, found.phase) for found in event.evaluations]
    assert ("agent-firewall", Phase.TOOL) in phases
    assert event.verdict is Verdict.ALLOW


def called(arguments: str, *, name: str = "run_shell") -> bytes:
    head = {"index": 0, "id": "1", "type": "function", "function": {"name": name, "arguments": ""}}
    frames = [
        frame({"role": "assistant", "content": "I will look."}),
        frame({"tool_calls": [head]}),
    ]
    frames += [
        frame({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in arguments
    ]
    return b"".join([*frames, frame({}, finish="tool_calls"), DONE])


@given(
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    mode=st.sampled_from(["buffer", "window"]),
    name=st.sampled_from(["run_shell", "look_up"]),
)
def test_no_byte_of_a_refused_call_leaves_however_it_is_split(
    cuts: list[int], mode: str, name: str
) -> None:
    stream = called('{"c":"ls -la"}', name=name)
    book = Playbook(in_force(DENY, gateway=f"streaming: {mode}"))
    begin(book, chat(stream=True))
    book.step(e.AdmissionDurable(book.tick()))
    kind = [(b"content-type", b"text/event-stream")]
    commands = book.step(e.UpstreamHead(book.tick(), 200, kind))
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    for start, end in pairwise(places):
        commands += book.step(e.UpstreamData(book.tick(), stream[start:end]))
    before = b"".join(x.data for x in commands if isinstance(x, c.SendData))
    assert b"tool_calls" not in before
    assert b"run_shell" not in before
    commands += book.step(e.UpstreamEnd(book.tick()))
    event = one(commands, c.Record).event
    commands += book.step(e.RecordDurable(book.tick()))
    sent = b"".join(x.data for x in commands if isinstance(x, c.SendData))
    sent += b"".join(x.body for x in commands if isinstance(x, c.Answer))
    if name == "run_shell":
        assert event.verdict is Verdict.BLOCK
        assert b"ls -la" not in sent
        assert b"tool_calls" not in sent
        assert b"tool_blocked" in sent
    else:
        assert event.verdict is Verdict.ALLOW
        assert sent.startswith(stream.removesuffix(DONE)) or stream in sent


def test_observing_lets_a_call_go_and_records_what_would_have_been() -> None:
    book = Playbook(in_force(DENY, gateway="streaming: observe"))
    begin(book, chat(stream=True))
    event = one(answer(book, called("{}"), stream=True), c.Record).event
    assert event.verdict is Verdict.FLAG


def test_failed_tools_in_a_request_are_on_its_record() -> None:
    result = {"role": "tool", "tool_call_id": "1", "content": '{"exit_code": 2}'}
    messages = [{"role": "assistant", "tool_calls": [CALL]}, result]
    book = Playbook(in_force(BLOCKING))
    begin(book, json.dumps({"model": "sim-echo", "messages": messages}).encode())
    event = one(answer(book, completion()), c.Record).event
    assert [(found.tool, found.kind) for found in event.tool_failures] == [("run_shell", "exit")]


# Changes

CHANGE = (
    'dlp-filter: {action: transform, detect_patterns: ["STOPME"], phases: [input], '
    "transform: {inject_text: Be careful., max_output_tokens: 5}}"
)


def test_a_changed_request_goes_on_changed_and_says_what_changed() -> None:
    book = Playbook(in_force(CHANGE))
    call = one(begin(book, chat("STOPME")), c.CallUpstream)
    sent = json.loads(call.body)
    assert sent["messages"][0] == {"role": "system", "content": "Be careful."}
    assert sent["max_completion_tokens"] == 5
    event = one(answer(book, completion()), c.Record).event
    assert event.verdict is Verdict.TRANSFORM
    assert [change.kind for change in event.changes] == ["max_output_tokens", "inject_text"]


def test_another_model_is_routed_anew() -> None:
    targets = (
        "[{id: sim, provider: simulator, model: sim-echo}, "
        "{id: small, provider: simulator, model: sim-small}]"
    )
    swap = CHANGE.replace("inject_text: Be careful., max_output_tokens: 5", "model: sim-small")
    book = Playbook(in_force(swap, targets=targets))
    call = one(begin(book, chat("STOPME")), c.CallUpstream)
    assert call.target_id == "small"
    assert json.loads(call.body)["model"] == "sim-small"
    event = one(answer(book, completion()), c.Record).event
    assert (event.model, event.target_id) == ("sim-echo", "small")


CONFIRM = (
    'dlp-filter: {action: transform, detect_patterns: ["STOPME"], phases: [input], '
    "transform: {confirmation: May I?}}"
)


@pytest.mark.parametrize("stream", [False, True])
def test_a_confirmation_stands_in_for_the_calls(stream: bool) -> None:
    book = Playbook(in_force(CONFIRM, gateway="streaming: window"))
    begin(book, chat("STOPME", stream=stream))
    whole = completion(choices=[{"role": "assistant", "content": "ok", "tool_calls": [CALL]}])
    commands = answer(book, called('{"c":"ls"}') if stream else whole, stream=stream)
    event = one(commands, c.Record).event
    assert [change.kind for change in event.changes] == ["confirmation"]
    commands += book.step(e.RecordDurable(book.tick()))
    sent = b"".join(x.data for x in commands if isinstance(x, c.SendData))
    sent += b"".join(x.body for x in commands if isinstance(x, c.Answer))
    assert b"May I?" in sent
    assert b"tool_calls" not in sent


# People


def approval_of(wish: Any) -> UsedApproval:
    return UsedApproval(wish.escalation_id, "rita", NOW)


def test_an_escalation_that_is_not_held_says_so_at_once() -> None:
    book = Playbook(in_force(ASK))
    commands = begin(book, chat("STOPME"))
    event = one(commands, c.Record).event
    assert event.escalation is not None
    assert event.escalation.action_digest.startswith("sha256:")
    assert event.escalation.expires_at == NOW + timedelta(hours=1)
    error = error_of(commands, book)
    assert (error["code"], error["escalation_id"]) == ("escalation_required", EVENT_ID)


def approved(oversight: Oversight, digest: str, revision: str, *, seconds: float = 60) -> None:
    expires_at = NOW + timedelta(seconds=seconds)
    oversight.replace_resolutions([Resolution("esc-1", digest, revision, expires_at, True, "rita")])


def digest_of(source: str, body: bytes, **headers: str) -> str:
    commands = begin(Playbook(in_force(source)), body, **headers)
    escalation = one(commands, c.Record).event.escalation
    assert escalation is not None
    digest: str = escalation.action_digest
    return digest


def test_an_approval_is_for_this_request_of_this_person_under_this_plan() -> None:
    body = chat("STOPME")
    digest = digest_of(ASK, body, x_user_id="ada")
    assert digest == digest_of(ASK, body, x_user_id="ada", x_request_id="r-2")
    assert digest != digest_of(ASK, chat("STOPME!"), x_user_id="ada")
    assert digest != digest_of(ASK, body, x_user_id="bob")
    force = in_force(ASK)
    approved(force.oversight, digest, "sha256:another plan")
    assert none(begin(Playbook(force), body, x_user_id="ada"), c.Redeem)
    approved(force.oversight, digest, force.plan.revision, seconds=0)
    assert none(begin(Playbook(force), body, x_user_id="ada"), c.Redeem)


def test_an_approval_is_for_a_tenant_and_those_from_before_tenants_are_still_good() -> None:
    def digest(tenant_id: str = "") -> str:
        return action_digest(
            dialect="openai.chat",
            phase="input",
            identity=Identity(user_id="ada", tenant_id=tenant_id),
            request_digest="sha256:00",
            parts=(),
        )

    before = "sha256:3e72f5185659b35e5427e8ecf30ac210278d18bbe711bab0016d1307ef110104"
    assert digest() == before
    assert len({before, digest("acme"), digest("other")}) == 3


@pytest.mark.parametrize("good", [True, False])
def test_an_approval_lets_it_through_where_it_can_still_be_used(good: bool) -> None:
    force = in_force(ASK)
    body = chat("STOPME")
    approved(force.oversight, digest_of(ASK, body), force.plan.revision)
    book = Playbook(force)
    wish = one(begin(book, body), c.Redeem)
    commands = book.step(e.Redeemed(book.tick(), approval_of(wish) if good else None))
    if not good:
        assert one(commands, c.Record).event.verdict is Verdict.ESCALATE
        return
    one(commands, c.CallUpstream)
    event = one(answer(book, completion()), c.Record).event
    assert event.approval == approval_of(wish)
    assert event.verdict is Verdict.FLAG
    assert event.evaluations[0].verdict is Verdict.ESCALATE


@pytest.mark.parametrize(
    ("approval", "code"), [(None, "escalation_required"), (False, "escalation_rejected")]
)
def test_a_held_answer_ends_when_nobody_agrees(approval: bool | None, code: str) -> None:
    book = Playbook(in_force(HOLD))
    commands = begin(book, chat("STOPME"))
    held = one(commands, c.Hold)
    assert held.seconds == 30
    assert "REDACTED" in held.report.payload.request
    assert none(commands, c.Record)
    over = book.step(e.HoldOver(book.tick(30_000), approval))
    event = one(over, c.Record).event
    assert event.escalation is not None
    assert event.escalation.held
    assert event.overhead_ms < 100  # a person's time is none of ours
    assert error_of(over, book)["code"] == code


def test_a_held_answer_goes_on_once_it_is_approved_and_that_is_used_up() -> None:
    book = Playbook(in_force(HOLD))
    begin(book, chat("STOPME"))
    wish = one(book.step(e.HoldOver(book.tick(), True)), c.Redeem)
    assert wish.escalation_id == EVENT_ID
    one(book.step(e.Redeemed(book.tick(), approval_of(wish))), c.CallUpstream)


def test_a_client_that_leaves_while_it_is_held_is_recorded() -> None:
    book = Playbook(in_force(HOLD))
    begin(book, chat("STOPME"))
    event = one(book.step(e.ClientAborted(book.tick())), c.Record).event
    assert event.status is ExchangeStatus.CLIENT_ABORTED
    assert event.unfinished == Unfinished("holding", waits=1)
    assert book.step(e.HoldOver(book.tick(), True)) == []


def test_only_so_many_are_held_at_once() -> None:
    force = in_force(HOLD)
    force.oversight.held = 10_000
    assert none(begin(Playbook(force), chat("STOPME")), c.Hold)


# Quarantine


def test_a_quarantine_freezes_who_the_policy_says_and_answers_contained() -> None:
    book = Playbook(in_force(FREEZE))
    commands = begin(book, chat("STOPME"), x_agent_id="bot")
    frozen = one(commands, c.Freeze).quarantine
    assert (frozen.scope, frozen.subject) == ("agent", "bot")
    assert one(commands, c.Record).event.quarantine == frozen
    assert error_of(commands, book)["code"] == "contained"


def test_who_does_not_say_who_they_are_is_frozen_by_address() -> None:
    frozen = one(begin(Playbook(in_force(FREEZE)), chat("STOPME")), c.Freeze).quarantine
    assert (frozen.scope, frozen.subject) == ("source", "203.0.113.7")


def test_what_is_frozen_is_stopped_before_anybody_reads_it() -> None:
    force = in_force(FREEZE)
    force.oversight.freeze(Quarantine("019aa5e0-0000-7000-8000-00000000000f", "agent", "bot"))
    book = Playbook(force)
    commands = begin(book, chat("hello"), x_agent_id="bot")
    event = one(commands, c.Record).event
    assert (event.verdict, event.reason_code) == (Verdict.QUARANTINE, "quarantine.in_force")
    assert event.payload.request == ""
    assert none(commands, c.Freeze)
    one(begin(Playbook(force), chat("hello"), x_agent_id="other"), c.CallUpstream)


def test_waiting_for_facts_is_not_our_own_time_only_counting_is() -> None:
    book = Playbook(in_force(LIMIT))
    wish = begin(book)
    counters = {need.key: Counter(0.0) for need in one(wish, c.Gather).counters}
    book.step(e.Gathered(book.tick(40), counters, {}, 1))
    event = one(answer(book, completion()), c.Record).event
    assert event.overhead_ms >= 40
    assert event.latency_ms * MS >= 40
