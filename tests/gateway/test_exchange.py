"""Playbooks of whole exchanges: events in, commands out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from kintsugi.gateway import commands as c
from kintsugi.gateway import events as e
from kintsugi.gateway.in_force import Secret
from kintsugi.model.decision import Phase
from kintsugi.model.event import ExchangeStatus
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import (
    BLOCKING,
    CHAT,
    DONE,
    EVENT_ID,
    FLAGGING,
    NOW,
    REDACTING,
    Playbook,
    chat,
    completion,
    error_of,
    frame,
    in_force,
    kinds_of,
    stream_of,
)


def sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def test_a_clean_request_goes_through_with_its_bytes_unchanged() -> None:
    play = Playbook(in_force(BLOCKING))
    body = (
        b'{ "messages":[{"role":"user","content":"h\\u00e9"}],\n "model":"sim-echo", "x_new": 1.50}'
    )
    assert kinds_of(play.request(body)) == ["Admit", "CallUpstream"]
    call = play.only(c.CallUpstream)
    assert (call.origin, call.path, call.body) == (
        "http://127.0.0.1:9999",
        b"/v1/chat/completions",
        body,
    )
    answer = completion("fine")
    play.admitted()
    assert play.head() == []
    assert play.data(answer[:40]) == []
    assert play.data(answer[40:]) == []
    assert kinds_of(play.end()) == ["Record"]
    (reply,) = play.recorded()
    assert isinstance(reply, c.Answer)
    assert (reply.status, reply.body) == (200, answer)
    assert play.exchange.finished
    assert play.event.status is ExchangeStatus.ANSWERED


def test_every_answer_carries_the_headers_of_the_contract() -> None:
    play = Playbook(in_force())
    play.request()
    play.exchange_of(completion())
    assert play.header(b"x-kt-event-id") == EVENT_ID.encode()
    assert play.header(b"x-kt-decision") == b"allow"
    assert play.header(b"x-kt-config-version") == b"demo@7"
    assert float(play.header(b"x-kt-overhead-ms")) > 0


def test_a_blocked_request_never_reaches_upstream_and_says_why() -> None:
    play = Playbook(in_force(BLOCKING))
    assert kinds_of(play.request(chat("please STOPME now"))) == ["Admit", "Record"]
    assert kinds_of(play.recorded()) == ["Answer"]
    answer = play.only(c.Answer)
    assert answer.status == 409
    error = error_of(answer)
    assert error["type"] == "policy_violation"
    assert error["code"] == "input_blocked"
    assert error["param"] is None
    assert error["policy"] == "dlp-filter"
    assert error["event_id"] == EVENT_ID
    assert error["reason_code"] == play.event.reason_code
    assert "STOPME" not in answer.body.decode()
    # The SDKs would repeat a 409 twice by themselves.
    assert (b"x-should-retry", b"false") in answer.headers
    assert play.event.status is ExchangeStatus.BLOCKED
    assert play.event.verdict is Verdict.BLOCK
    assert play.event.http_status == 409
    assert play.event.upstream_status == 0


def test_a_blocked_answer_is_replaced_and_nothing_of_it_leaves() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    answer = play.exchange_of(completion("well, STOPME"))
    assert answer.status == 409
    assert error_of(answer)["code"] == "output_blocked"
    assert b"STOPME" not in answer.body
    assert play.event.upstream_status == 200
    assert play.event.response_digest == sha256(completion("well, STOPME"))


def test_redaction_changes_what_upstream_and_client_get_and_what_is_kept() -> None:
    play = Playbook(in_force(REDACTING))
    play.request(chat("my number is 123-45-6789."))
    assert b"123-45-6789" not in play.only(c.CallUpstream).body
    assert b"my number is [REDACTED" in play.only(c.CallUpstream).body
    answer = play.exchange_of(completion("yours is 987-65-4321"))
    assert answer.status == 200
    assert b"987-65-4321" not in answer.body
    assert json.loads(answer.body)["choices"][0]["message"]["content"].startswith("yours is [REDA")
    event = play.event
    assert event.verdict is Verdict.REDACT
    assert (event.status, play.header(b"x-kt-decision")) == (ExchangeStatus.ANSWERED, b"redact")
    assert event.payload.masked == 2
    assert "123-45-6789" not in event.payload.request
    assert "987-65-4321" not in event.payload.response
    assert event.request_digest == sha256(chat("my number is 123-45-6789."))
    assert event.response_digest == sha256(completion("yours is 987-65-4321"))


def test_log_probabilities_do_not_give_a_redacted_text_away() -> None:
    play = Playbook(in_force(REDACTING))
    play.request()
    body = json.loads(completion("it is 123-45-6789"))
    body["choices"][0]["logprobs"] = {"content": [{"token": "123-45-6789", "logprob": -0.1}]}
    answer = play.exchange_of(json.dumps(body).encode())
    assert b"123-45-6789" not in answer.body
    assert json.loads(answer.body)["choices"][0]["logprobs"] is None
    assert "123-45-6789" not in play.event.payload.response


def test_every_choice_and_tool_call_of_an_answer_is_judged() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"q":"STOPME"}'}}
    for message in (
        {"role": "assistant", "content": "STOPME"},
        {"role": "assistant", "content": None, "refusal": "STOPME"},
        {"role": "assistant", "content": "x", "reasoning_content": "STOPME"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "assistant", "content": None, "function_call": call["function"]},
        {"role": "assistant", "content": "x", "invented_tomorrow": {"deep": ["STOPME"]}},
    ):
        play = Playbook(in_force(BLOCKING))
        play.request()
        clean = {"role": "assistant", "content": "fine"}
        answer = play.exchange_of(completion(choices=[clean, message]))
        assert answer.status == 409, message


def test_the_record_says_what_happened() -> None:
    play = Playbook(in_force(FLAGGING, "audit-logger: {}"))
    headers = [
        (b"x-user-id", b"ada"),
        (b"x-team-id", b"red"),
        (b"x-tenant-id", b" ac\x00me "),
        (b"x-conversation-id", b"s-1"),
        (b"x-agent-id", b"planner"),
        (b"x-workflow", b"refunds"),
        (b"x-request-id", b"r-1"),
        (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
    ]
    play.request(chat("call 123-45-6789"), headers=headers)
    called_at_ns = play.tick(3)
    play.admitted()
    play.tick(40)
    play.head(called_at_ns=called_at_ns)
    play.data(completion("ok"))
    play.end()
    play.recorded()
    event = play.event
    assert (event.id, event.timestamp) == (EVENT_ID, NOW)
    assert (event.gateway_id, event.worker_id, event.dialect) == ("gw-1", "w-1", "openai.chat")
    assert (event.config_version, event.engine_version) == ("demo@7", "0.1.0")
    assert event.revision.startswith("sha256:")
    assert (event.verdict, event.policy_name) == (Verdict.FLAG, "dlp-filter")
    assert (event.user_id, event.team_id, event.session_id) == ("ada", "red", "s-1")
    assert event.tenant_id == "acme"
    assert (event.agent_id, event.workflow, event.request_id) == ("planner", "refunds", "r-1")
    assert (event.trace_id, event.parent_span_id) == ("a" * 32, "b" * 16)
    assert (event.model, event.response_model) == ("sim-echo", "sim-echo-1")
    assert (event.provider, event.target_id) == ("simulator", "sim")
    assert (event.input_tokens, event.output_tokens) == (11, 7)
    assert (event.http_status, event.upstream_status) == (200, 200)
    assert event.request_bytes == len(chat("call 123-45-6789"))
    assert event.response_bytes == len(completion("ok"))
    assert [(x.policy_name, x.phase) for x in event.evaluations] == [
        ("dlp-filter", Phase.INPUT),
        ("dlp-filter", Phase.OUTPUT),
        ("audit-logger", Phase.AUDIT),
    ]
    # Received at 1 ms, written at 4 ms, the last of the answer at 48 ms.
    assert event.latency_ms == 47.0
    assert event.overhead_ms == 3.0
    assert float(play.header(b"x-kt-overhead-ms")) == 4.0
    assert not event.streamed
    admission = play.only(c.Admit).admission
    assert (admission.id, admission.identity.user_id) == (EVENT_ID, "ada")
    assert admission.request_digest == event.request_digest


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"not json", "JSON"),
        (b"[]", "object"),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":["x"]}', "messages/0"),
        (b'{"model":"m","messages":[{"content":"x"}]}', "role"),
        (b'{"model":"m","messages":[{"role":"user","content":7}]}', "content"),
        (b'{"model":"m","messages":[{"role":"user","content":[7]}]}', "content/0"),
        (b'{"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]}', "stream"),
        (b'{"model":"m","tools":{},"messages":[{"role":"user","content":"x"}]}', "tools"),
        (b'{"model":"m","messages":[{"role":"user","content":"x","content":"y"}]}', "twice"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"Messages":[]}', "case"),
        (b'{"model":"m","messages":[{"role":"user","content":"x","Content":"y"}]}', "case"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"mes\\u017fages":[]}', "case"),
    ],
)
def test_a_body_that_cannot_be_read_one_way_is_rejected_and_recorded(
    body: bytes, part: str
) -> None:
    play = Playbook(in_force(BLOCKING))
    assert kinds_of(play.request(body)) == ["Admit", "Record"]
    play.recorded()
    answer = play.only(c.Answer)
    assert answer.status == 422
    assert error_of(answer)["code"] == "request.invalid"
    assert part in error_of(answer)["message"]
    assert play.event.status is ExchangeStatus.REJECTED
    assert play.event.error == "request.invalid"
    assert play.event.evaluations == ()
    assert play.event.reason_code == "exchange.rejected"  # never "passed": no policy saw it
    assert play.event.payload.request == ""  # never judged, so never masked, so not kept


def test_unknown_fields_pass_unharmed_and_are_judged() -> None:
    play = Playbook(in_force(BLOCKING))
    assert kinds_of(play.request(chat("x", documents=[{"text": "STOPME"}]))) == ["Admit", "Record"]
    play = Playbook(in_force(BLOCKING))
    body = chat("x", documents=[{"text": "fine"}], top_secret_setting=7)
    play.request(body)
    assert play.only(c.CallUpstream).body == body


def test_no_credential_of_the_client_reaches_upstream() -> None:
    targets = (
        "[{id: up, provider: openai, model: m, base_url: 'https://api.example/v1/',"
        " secret_key_ref: {env: K}}]"
    )
    play = Playbook(in_force(targets=targets, secrets={"up": Secret("sk-upstream")}))
    headers = [
        (b"authorization", b"Bearer client-canary"),
        (b"x-api-key", b"client-canary"),
        (b"cookie", b"client-canary"),
        (b"openai-organization", b"client-canary"),
        (b"x-user-id", b"ada"),
        (b"accept-encoding", b"gzip"),
        (b"host", b"gateway"),
        (b"content-length", b"1"),
        (b"user-agent", b"openai-python"),
        (b"idempotency-key", b"i-1"),
        (b"openai-beta", b"assistants=v2"),
    ]
    play.request(chat(model="m"), headers=headers)
    call = play.only(c.CallUpstream)
    assert not any(b"canary" in value for _, value in call.headers)
    assert dict(call.headers) == {
        b"user-agent": b"openai-python",
        b"idempotency-key": b"i-1",
        b"openai-beta": b"assistants=v2",
        b"accept-encoding": b"identity",
        b"authorization": b"Bearer sk-upstream",
    }
    assert (call.origin, call.path) == ("https://api.example", b"/v1/chat/completions")
    assert "sk-upstream" not in repr(call)
    assert "sk-upstream" not in repr(play.exchange._in_force.upstreams)


def test_upstream_headers_are_chosen_by_name() -> None:
    play = Playbook(in_force())
    play.request()
    play.admitted()
    play.head(
        200,
        b"application/json",
        (b"set-cookie", b"a=b"),
        (b"x-ratelimit-remaining", b"9"),
        (b"x-kt-decision", b"forged"),
        (b"x-request-id", b"up-1"),
        (b"connection", b"close"),
    )
    play.data(completion())
    play.end()
    play.recorded()
    names = [name for name, _ in play.only(c.Answer).headers]
    assert sorted(names) == [
        b"content-type",
        b"x-kt-config-version",
        b"x-kt-decision",
        b"x-kt-event-id",
        b"x-kt-overhead-ms",
        b"x-ratelimit-remaining",
        b"x-request-id",
    ]
    assert play.header(b"x-kt-decision") == b"allow"


KEY = "kt-secret"
KEYS = f"keys: [{{name: app, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}]"


@pytest.mark.parametrize(
    "header", [(b"authorization", b"Bearer kt-secret"), (b"x-api-key", b"kt-secret")]
)
def test_a_configured_key_is_accepted_and_named(header: tuple[bytes, bytes]) -> None:
    play = Playbook(in_force(gateway=KEYS))
    play.request(headers=[header])
    play.exchange_of(completion())
    assert play.event.key_name == "app"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"Basic kt-secret")],
        [(b"x-api-key", b"")],
    ],
)
def test_without_a_configured_key_nothing_is_judged_or_called(headers: e.Headers) -> None:
    play = Playbook(in_force(BLOCKING, gateway=KEYS))
    assert kinds_of(play.request(headers=headers)) == ["Admit", "Record"]
    play.recorded()
    assert play.only(c.Answer).status == 401
    assert error_of(play.only(c.Answer))["code"] == "invalid_api_key"
    assert play.event.status is ExchangeStatus.REJECTED


def test_routing_takes_the_exact_model_then_the_target_for_any_model() -> None:
    targets = (
        "[{id: any, provider: openai, base_url: 'http://a.example'},"
        " {id: exact, provider: openai, model: m, base_url: 'http://b.example/openai'}]"
    )
    for model, origin, path in (
        ("m", "http://b.example", b"/openai/chat/completions"),
        ("other", "http://a.example", b"/v1/chat/completions"),
    ):
        play = Playbook(in_force(targets=targets))
        play.request(chat(model=model))
        call = play.only(c.CallUpstream)
        assert (call.origin, call.path) == (origin, path)


def test_an_unknown_model_is_not_found_and_the_answer_lists_what_there_is() -> None:
    play = Playbook(in_force())
    play.request(chat(model="gpt-9"))
    play.recorded()
    answer = play.only(c.Answer)
    assert answer.status == 404
    assert error_of(answer)["code"] == "model_not_found"
    assert error_of(answer)["param"] == "model"
    assert "sim-echo" in error_of(answer)["message"]


def test_a_target_whose_secret_is_missing_answers_502_and_calls_nobody() -> None:
    targets = (
        "[{id: up, provider: openai, base_url: 'https://api.example', secret_key_ref: {env: K}}]"
    )
    play = Playbook(in_force(targets=targets))
    play.request()
    play.recorded()
    assert play.only(c.Answer).status == 502
    assert error_of(play.only(c.Answer))["code"] == "upstream.secret_missing"
    assert play.event.status is ExchangeStatus.UPSTREAM_FAILED
    assert not play.all(c.CallUpstream)


def test_without_a_simulator_its_target_answers_502() -> None:
    play = Playbook(in_force(simulator_url=""))
    play.request()
    play.recorded()
    assert error_of(play.only(c.Answer))["code"] == "upstream.not_configured"


def test_a_pack_that_is_switched_off_answers_503() -> None:
    play = Playbook(in_force(enabled=False))
    play.request()
    play.recorded()
    assert play.only(c.Answer).status == 503
    assert error_of(play.only(c.Answer))["code"] == "pack.disabled"


def test_errors_of_upstream_pass_unchanged_and_are_recorded() -> None:
    for status in (400, 429, 500):
        body = b'{"error":{"message":"slow down","type":"requests"}}'
        play = Playbook(in_force(BLOCKING))
        play.request()
        play.admitted()
        play.head(status, b"application/json", (b"retry-after", b"7"))
        play.data(body)
        play.end()
        play.recorded()
        answer = play.only(c.Answer)
        assert (answer.status, answer.body) == (status, body)
        assert play.header(b"retry-after") == b"7"
        assert play.event.status is ExchangeStatus.ANSWERED
        assert play.event.upstream_status == status


def test_an_error_of_upstream_is_judged_like_any_other_text() -> None:
    play = Playbook(in_force(REDACTING))
    play.request()
    answer = play.exchange_of(b"<h1>oops 123-45-6789</h1>", 500)
    assert answer.status == 500
    assert answer.body.startswith(b"<h1>oops [REDACTED")
    assert "123-45-6789" not in play.event.payload.response


@pytest.mark.parametrize(
    "code", ["upstream.connect_failed", "upstream.timeout", "upstream.reset", "upstream.invented"]
)
def test_an_upstream_that_fails_is_a_502_and_recorded_as_such(code: str) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    play.admitted()
    assert kinds_of(play.failed(code)) == ["Record"]
    play.recorded()
    answer = play.only(c.Answer)
    assert answer.status == 502
    assert error_of(answer)["type"] == "upstream_error"
    assert error_of(answer)["code"] == code
    assert (play.event.status, play.event.error) == (ExchangeStatus.UPSTREAM_FAILED, code)
    assert play.event.http_status == 502


def test_half_an_answer_is_a_502_with_the_digest_of_that_half() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    play.admitted()
    play.head()
    play.data(b'{"choices"')
    play.failed()
    play.recorded()
    assert play.only(c.Answer).status == 502
    assert play.event.response_digest == sha256(b'{"choices"')


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"choices":{}}', b'{"choices":[{"a":1}]}', b""]
)
def test_an_answer_that_cannot_be_judged_takes_the_fail_mode(body: bytes) -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    answer = play.exchange_of(body)
    assert answer.status == 502
    assert error_of(answer)["code"] == "upstream.unreadable"
    assert play.event.status is ExchangeStatus.UPSTREAM_FAILED
    assert not play.event.fail_open

    play = Playbook(in_force(BLOCKING, gateway="fail_mode: allow"))
    play.request()
    answer = play.exchange_of(body)
    assert (answer.status, answer.body) == (200, body)
    assert play.event.fail_open

    play = Playbook(in_force())
    play.request()
    assert play.exchange_of(body).body == body
    assert not play.event.fail_open  # there was nothing to judge it with


def test_a_compressed_answer_is_refused_where_a_rule_would_have_read_it() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    play.admitted()
    commands = play.head(200, b"application/json", (b"content-encoding", b"gzip"))
    assert kinds_of(commands) == ["AbortUpstream", "Record"]
    assert play.data(b"\x1f\x8b") == []
    play.recorded()
    assert error_of(play.only(c.Answer))["code"] == "upstream.encoded"

    play = Playbook(in_force())
    play.request()
    play.admitted()
    play.head(200, b"text/event-stream", (b"content-encoding", b"gzip"))
    play.data(b"\x1f\x8b")
    play.end()
    play.recorded()
    assert play.only(c.Answer).body == b"\x1f\x8b"
    assert play.header(b"content-encoding") == b"gzip"


def test_a_client_that_leaves_ends_the_call_and_is_recorded() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request()
    assert kinds_of(play.step(e.ClientAborted(play.tick()))) == ["AbortUpstream", "Record"]
    assert play.event.status is ExchangeStatus.CLIENT_ABORTED
    assert play.event.http_status == 0
    assert play.admitted() == []
    assert play.head() == []
    assert play.recorded() == []
    assert play.exchange.finished


def test_evidence_that_cannot_be_kept_means_that_nothing_is_answered() -> None:
    play = Playbook(in_force())
    play.request()
    play.admitted()
    play.head()
    play.data(completion("the answer"))
    play.end()
    correction, answer = play.step(e.RecordFailed(play.tick()))
    assert isinstance(correction, c.Correct)
    assert correction.event.status is ExchangeStatus.REJECTED
    assert (correction.event.http_status, correction.event.error) == (503, "evidence_unavailable")
    assert isinstance(answer, c.Answer)
    assert answer.status == 503
    assert error_of(answer)["code"] == "evidence_unavailable"
    assert dict(answer.headers)[b"retry-after"] == b"1"
    assert b"the answer" not in answer.body
    assert play.exchange.finished


def test_an_admission_that_cannot_be_kept_ends_the_call_and_leaves_a_record() -> None:
    play = Playbook(in_force())
    play.request()
    commands = play.step(e.AdmissionFailed(play.tick()))
    assert kinds_of(commands) == ["AbortUpstream", "Record", "Answer"]
    assert play.only(c.Answer).status == 503
    assert play.event.error == "evidence_unavailable"
    assert play.recorded() == []


def test_a_defect_in_the_gateway_ends_closed_and_recorded() -> None:
    play = Playbook(in_force())
    play.request()
    assert kinds_of(play.step(e.GatewayFailed(play.tick()))) == ["AbortUpstream", "Record"]
    play.recorded()
    assert play.only(c.Answer).status == 500
    assert play.event.error == "gateway.internal"


@pytest.mark.parametrize(
    ("code", "status", "recorded"),
    [
        ("request.too_large", 413, True),
        ("request.timeout", 408, True),
        ("request.malformed", 400, True),
        ("overloaded", 503, False),
        ("draining", 503, False),
    ],
)
def test_what_the_shell_refuses_is_answered_in_the_dialect(
    code: str, status: int, recorded: bool
) -> None:
    play = Playbook(in_force())
    play.step(e.RequestRefused(play.tick(), EVENT_ID, NOW, b"POST", CHAT, [], code))
    play.recorded()
    answer = play.only(c.Answer)
    assert (answer.status, error_of(answer)["code"]) == (status, code)
    assert bool(play.all(c.Record)) is recorded
    assert (b"retry-after" in dict(answer.headers)) is (status == 503)


def test_models_lists_what_is_configured_without_a_record() -> None:
    targets = (
        "[{id: sim, provider: simulator}, {id: a, provider: openai, model: gpt-x, base_url: 'http://a.example'},"
        " {id: any, provider: openai, base_url: 'http://a.example'}]"
    )
    play = Playbook(in_force(targets=targets))
    (answer,) = play.request(b"", target=b"/v1/models", method=b"GET")
    assert isinstance(answer, c.Answer)
    assert [model["id"] for model in json.loads(answer.body)["data"]] == ["sim-echo", "gpt-x"]
    play = Playbook(in_force(targets=targets))
    (answer,) = play.request(b"", target=b"/v1/models/gpt-x", method=b"GET")
    assert isinstance(answer, c.Answer)
    assert json.loads(answer.body)["owned_by"] == "a"
    play = Playbook(in_force(targets=targets))
    (answer,) = play.request(b"", target=b"/v1/models/none", method=b"GET")
    assert isinstance(answer, c.Answer)
    assert answer.status == 404


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/chat/completions/",
        b"/v1/chat%2fcompletions",
        b"/v1/../v1/chat/completions",
        b"http://elsewhere/v1/chat/completions",
        b"//v1/chat/completions",
        b"/v1/files",
        b"*",
    ],
)
def test_a_path_that_is_not_exactly_ours_is_not_served(target: bytes) -> None:
    play = Playbook(in_force())
    (answer,) = play.request(target=target)
    assert isinstance(answer, c.Answer)
    assert answer.status == 404


def test_only_post_reaches_the_chat_route() -> None:
    play = Playbook(in_force())
    play.request(b"", method=b"GET")
    play.recorded()
    assert play.only(c.Answer).status == 405


@pytest.mark.parametrize("capture", ["redacted", "full", "none"])
def test_the_payload_is_kept_as_the_configuration_says(capture: str) -> None:
    play = Playbook(in_force(REDACTING, gateway=f"payload: {capture}"))
    play.request(chat("it is 123-45-6789"))
    play.exchange_of(completion("ok"))
    payload = play.event.payload
    assert ("[REDACTED" in payload.request) is (capture != "none")
    assert "123-45-6789" not in payload.request
    if capture == "full":
        assert payload.unredacted is not None
        assert "123-45-6789" in payload.unredacted.request
        assert payload.unredacted.response == payload.response
    else:
        assert payload.unredacted is None


def test_everything_is_kept_once_where_nothing_is_masked() -> None:
    play = Playbook(in_force(REDACTING, gateway="payload: full"))
    play.request(chat("nothing to hide"))
    play.exchange_of(completion("ok"))
    assert "nothing to hide" in play.event.payload.request
    assert play.event.payload.unredacted is None


def test_what_was_never_judged_is_for_nobody_to_read_unrevealed() -> None:
    play = Playbook(in_force(REDACTING, gateway="payload: full"))
    play.request(b'{"messages": 123-45-6789')
    payload = play.event.payload
    assert payload.request == ""
    assert payload.unredacted is not None
    assert "123-45-6789" in payload.unredacted.request


def test_a_long_payload_is_cut_and_says_so() -> None:
    play = Playbook(in_force(gateway="payload_bytes_max: 100"))
    body = chat("é" * 200)
    play.request(body)
    play.exchange_of(completion("ok"))
    assert len(play.event.payload.request.encode()) <= 100
    assert play.event.payload.truncated
    assert play.event.request_digest == sha256(body)


def test_an_edit_that_cannot_be_made_becomes_a_block() -> None:
    # The match begins inside a structure and ends outside it: no redaction leaves valid JSON.
    rule = r"""dlp-filter: {action: redact, detect_patterns: ['x":"y']}"""
    play = Playbook(in_force(rule))
    assert kinds_of(play.request(chat("hi", odd={"x": "y"}))) == ["Admit", "Record"]
    play.recorded()
    assert play.only(c.Answer).status == 409
    assert play.event.verdict is Verdict.BLOCK


def test_a_stream_that_breaks_is_cut_off_and_never_ended_properly() -> None:
    play = Playbook(in_force())
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    assert kinds_of(play.data(frame({"content": "half"}))) == ["StartStream", "SendData"]
    assert kinds_of(play.failed()) == ["Record"]
    assert kinds_of(play.recorded()) == ["DropClient"]
    assert play.event.status is ExchangeStatus.STREAM_BROKEN
    assert play.event.error == "upstream.reset"
    assert not play.all(c.EndStream)


def test_a_stream_that_breaks_before_a_byte_left_is_a_502() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    assert play.data(frame({"content": "held"})) == []
    play.failed()
    play.recorded()
    assert play.only(c.Answer).status == 502
    assert play.event.status is ExchangeStatus.STREAM_BROKEN


def test_no_byte_of_a_stream_leaves_before_the_admission_is_durable() -> None:
    play = Playbook(in_force())
    play.request(chat(stream=True))
    play.head(200, b"text/event-stream")
    assert play.data(frame({"content": "one"})) == []
    assert play.data(frame({"content": "two"})) == []
    start, sent = play.admitted()
    assert isinstance(start, c.StartStream)
    assert isinstance(sent, c.SendData)
    assert sent.data == frame({"content": "one"}) + frame({"content": "two"})


def test_the_end_of_a_stream_waits_for_its_record() -> None:
    play = Playbook(in_force())
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    play.data(frame({"content": "one"}))
    assert play.data(frame({}, finish="stop") + DONE) == []
    assert kinds_of(play.end()) == ["Record"]
    sent, end = play.recorded()
    assert isinstance(sent, c.SendData)
    assert sent.data.startswith(frame({}, finish="stop") + DONE)
    assert b"\n: kt decision=allow overhead_ms=" in sent.data
    assert isinstance(end, c.EndStream)
    assert play.event.streamed
    assert play.header(b"content-type") == b"text/event-stream"


def test_a_record_that_fails_cuts_a_started_stream_off() -> None:
    play = Playbook(in_force())
    play.request(chat(stream=True))
    play.admitted()
    play.head(200, b"text/event-stream")
    play.data(frame({"content": "one"}))
    play.data(DONE)
    play.end()
    correction, drop = play.step(e.RecordFailed(play.tick()))
    assert isinstance(correction, c.Correct)
    assert correction.event.status is ExchangeStatus.STREAM_BROKEN
    assert isinstance(drop, c.DropClient)


def test_usage_and_model_of_a_stream_are_recorded() -> None:
    play = Playbook(in_force())
    play.request(chat(stream=True))
    usage: dict[str, Any] = {"prompt_tokens": 5, "completion_tokens": 2}
    final = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    body = stream_of("a", "b").removesuffix(DONE) + final + DONE
    play.streamed([body])
    assert (play.event.input_tokens, play.event.output_tokens) == (5, 2)
    assert play.event.response_model == "sim-echo-1"
    assert (play.event.response_bytes, play.event.response_digest) == (len(body), sha256(body))


def test_an_answer_that_is_no_stream_is_judged_whole_though_a_stream_was_asked_for() -> None:
    play = Playbook(in_force(BLOCKING))
    play.request(chat(stream=True))
    assert play.exchange_of(completion("STOPME")).status == 409
