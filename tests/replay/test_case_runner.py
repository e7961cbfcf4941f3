"""Cases run through the gateway's own exchange, the same way every time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kintsugi.model.config import Case, CaseExpected, CaseInput, Config, Position
from kintsugi.model.verdict import Verdict
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan
from kintsugi.replay.case_runner import run_cases
from kintsugi.replay.driver import carry, put_in_force
from kintsugi.replay.results import CaseOutcome, CaseResult, RunReport
from kintsugi.replay.sources import Located
from kintsugi.replay.visible_text import visible_text

# The one kind that finds exactly what it is told to find.
DLP = """\
pack: {name: dlp, version: 1.2.3}
policies: {chain: [dlp-filter, audit-logger]}
policy:
  dlp-filter: {blocked_terms: [aurora], detect_patterns: ['T-[0-9]{4}'], action: ACTION}
  audit-logger: {}
"""


def config_of(action: str = "redact", **pack: Any) -> Config:
    source = DLP.replace("ACTION", action)
    for key, value in pack.items():
        source = source.replace("version: 1.2.3", f"version: 1.2.3, {key}: {value}")
    return parse_config(source, file="c.yaml")


def case(
    content: Any = "hello",
    *,
    response: dict[str, Any] | str | None = None,
    stream: bool = False,
    skip: str = "",
    name: str = "case",
    headers: dict[str, str] | None = None,
    **expected: str,
) -> Case:
    return Case(
        name=name,
        skip=skip,
        input=CaseInput(
            messages=({"role": "user", "content": content},),
            upstream_response=response,
            stream=stream,
            headers=headers or {},
        ),
        expected=CaseExpected(**expected),
    )


def located(*cases: Case) -> list[Located]:
    return [Located("suite", one, "c.yaml", Position(7, 3)) for one in cases]


def run(config: Config, *cases: Case, **options: Any) -> RunReport:
    return run_cases(config, located(*cases), **options)


def result_of(config: Config, one: Case) -> CaseResult:
    (result,) = run(config, one).results
    return result


def test_a_case_that_meets_its_expectations_passes() -> None:
    result = result_of(
        config_of(),
        case(
            "about aurora",
            verdict="redact",
            reason_code="dlp.term_matched",
            policy="dlp-filter",
            request_excludes="aurora",
            response_contains="about",
        ),
    )
    assert result.outcome is CaseOutcome.PASS
    assert (result.status, result.http_status) == ("answered", 200)
    assert [e.policy_name for e in result.evaluations] == [
        "dlp-filter",
        "dlp-filter",
        "audit-logger",
    ]


@pytest.mark.parametrize(
    ("expected", "field", "wanted", "got"),
    [
        ({"verdict": "allow"}, "verdict", "allow", "redact"),
        ({"reason_code": "pii.detected"}, "reason_code", "pii.detected", "dlp.term_matched"),
        ({"policy": "audit-logger"}, "policy", "audit-logger", "dlp-filter"),
    ],
)
def test_what_was_expected_and_what_came_are_told_apart(
    expected: dict[str, str], field: str, wanted: str, got: str
) -> None:
    one = msgspec.structs.replace(case("about aurora"), expected=CaseExpected(**expected))
    result = result_of(config_of(), one)
    assert result.outcome is CaseOutcome.FAIL
    (mismatch,) = result.mismatches
    assert (mismatch.field, mismatch.expected, mismatch.got) == (field, wanted, got)


@pytest.mark.parametrize("stream", [False, True])
def test_answers_are_compared_as_the_caller_reads_them(stream: bool) -> None:
    config = config_of()
    answer = "ticket T-1234 is “open”"
    good = case(
        response=answer, stream=stream, response_contains="is “open”", response_excludes="T-1234"
    )
    bad = case(response=answer, stream=stream, response_contains="T-1234", response_excludes="open")
    assert result_of(config, good).passed
    assert {m.field for m in result_of(config, bad).mismatches} == {
        "response_contains",
        "response_excludes",
    }


def test_what_reaches_upstream_is_compared_too() -> None:
    result = result_of(config_of("flag"), case("about aurora", request_excludes="aurora"))
    assert result.outcome is CaseOutcome.FAIL
    assert result.mismatches[0].field == "request_excludes"


def test_a_block_never_reaches_upstream() -> None:
    in_force = put_in_force(config_of("block"))
    carried = carry(in_force, case("about aurora"), 1)
    assert (carried.sent, carried.status) == (b"", 409)
    assert "dlp.term_matched" in visible_text(carried.body, streamed=False)


def test_a_stream_that_is_blocked_does_not_show_what_it_was_blocked_for() -> None:
    carried = carry(
        put_in_force(config_of("block")), case(response="all about aurora", stream=True), 1
    )
    assert carried.event is not None
    assert carried.event.verdict is Verdict.BLOCK
    assert "aurora" not in visible_text(carried.body, streamed=True)


def test_the_same_case_gives_the_same_event() -> None:
    in_force = put_in_force(config_of())
    one = case("about aurora", stream=True, headers={"X-User-ID": "ada"})
    first, second = carry(in_force, one, 1).event, carry(in_force, one, 1).event
    assert first == second
    assert first is not None
    assert (first.user_id, first.config_version) == ("ada", "dlp@1.2.3")


def test_a_request_that_the_gateway_refuses_could_not_run() -> None:
    result = result_of(config_of(), case(5, verdict="block"))
    assert result.outcome is CaseOutcome.ERROR
    assert "HTTP 422" in result.why
    assert not result.passed


def test_a_skipped_case_is_neither_passed_nor_failed() -> None:
    report = run(config_of(), case(verdict="allow"), case(skip="until spring", verdict="block"))
    assert report.ok
    assert [r.outcome for r in report.results] == [CaseOutcome.PASS, CaseOutcome.SKIP]
    assert (report.results[1].why, report.results[1].passed) == ("until spring", False)


@pytest.mark.parametrize(
    ("cases", "pattern", "words"),
    [
        ((), None, "no case was found"),
        ((case(verdict="allow"),), "nowhere", "--run matches none of 1"),
        ((case(skip="later", verdict="allow"),), None, "all 1 are skipped"),
    ],
)
def test_a_run_that_executes_nothing_is_not_ok(
    cases: tuple[Case, ...], pattern: str | None, words: str
) -> None:
    report = run(config_of(), *cases, pattern=re.compile(pattern) if pattern else None)
    assert not report.ok
    assert words in report.trouble[0]


def test_a_pattern_chooses_by_suite_and_name() -> None:
    both = (case(name="one", verdict="allow"), case(name="two", verdict="block"))
    report = run(config_of(), *both, pattern=re.compile("^suite/one$"))
    assert [r.id for r in report.results] == ["suite/one"]
    assert report.ok


def test_coverage_wants_every_policy_to_fire_and_to_stay_quiet() -> None:
    fired = run(config_of(), case("about aurora and T-1234", verdict="redact"))
    (policy,) = fired.coverage.policies  # audit-logger judges nothing
    assert (policy.fired, policy.quiet, fired.coverage.percent) == (1, 0, 50.0)
    assert len(policy.rules) == 2
    both = run(config_of(), case("about aurora", verdict="redact"), case(verdict="allow"))
    assert both.coverage.percent == 100.0


def test_coverage_below_the_threshold_is_not_ok() -> None:
    report = run(config_of(), case(verdict="allow"), threshold_percent=80)
    assert not report.ok
    assert report.trouble == ("coverage 50.0 % is below the threshold of 80 %",)
    assert run(config_of(), case(verdict="allow"), threshold_percent=50).ok


def test_policies_are_tested_even_when_the_gateway_would_not_serve() -> None:
    config = config_of(enabled="false")
    assert config.targets == ()
    assert result_of(config, case(verdict="allow")).passed


def test_the_report_carries_the_revision_of_the_file_itself() -> None:
    config = config_of()
    report = run(config, case(verdict="allow"))
    assert (report.revision, report.config_version) == (compile_plan(config).revision, "dlp@1.2.3")


def test_a_case_may_send_any_request() -> None:
    one = Case(
        name="raw",
        input=CaseInput(
            request={
                "model": "anything",
                "messages": [{"role": "system", "content": "about aurora"}],
                "n": 2,
            }
        ),
        expected=CaseExpected(verdict="redact"),
    )
    assert result_of(config_of(), one).passed


def test_a_tool_call_in_an_answer_is_judged() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"aurora"}'}}
    for stream in (False, True):
        one = case(response={"tool_calls": [call]}, stream=stream, verdict="block")
        assert result_of(config_of("block"), one).passed


GOVERNED = """\
pack: {name: governed, version: 1.0.0, enabled: true}
policies: {chain: [rate-limit, agent-firewall, human-oversight]}
policy:
  rate-limit: {per_user: {rpm: 60, tpm: TOKENS}}
  agent-firewall:
    bindings: [{argument: account_id, claim: X-Account-ID}]
    transaction_limits: {require_approval_above: 100, max_daily_total: 1000}
  human-oversight: {tools: [delete_*], escalation: {hold_seconds: 30}}
"""


def call_answer(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tool", "arguments", "verdict", "reason_code"),
    [
        ("refund", '{"account_id": "A1", "amount": 20}', "allow", "policy.passed"),
        ("refund", '{"account_id": "A2"}', "block", "agent_firewall.binding_violated"),
        ("refund", '{"amount": 200}', "escalate", "agent_firewall.approval_required"),
        ("refund", '{"amount": 2000}', "block", "agent_firewall.transaction_limit"),
        ("delete_user", "{}", "escalate", "human_oversight.required"),
    ],
)
def test_tool_rules_are_tested_with_counters_of_their_own(
    tool: str, arguments: str, verdict: str, reason_code: str, stream: bool
) -> None:
    one = case(
        response=call_answer(tool, arguments),
        stream=stream,
        headers={"X-User-ID": "ada", "X-Account-ID": "A1"},
        verdict=verdict,
        reason_code=reason_code,
    )
    governed = parse_config(GOVERNED.replace("TOKENS", "5000"))
    results = run(governed, one, one).results  # the first leaves nothing behind for the second
    assert [result.outcome for result in results] == [CaseOutcome.PASS] * 2


def test_a_limit_that_no_request_can_meet_is_reached_at_once() -> None:
    one = case(headers={"X-User-ID": "ada"}, verdict="block", reason_code="rate_limit.exceeded")
    governed = parse_config(GOVERNED.replace("TOKENS", "5"))
    assert result_of(governed, one).outcome is CaseOutcome.PASS


LIMITED = """\
pack: {name: limited, version: 1.0.0}
providers:
  targets:
    - {id: sim, provider: simulator}
    - {id: checker, provider: openai, base_url: "https://moderation.example.com/v1"}
policies: {chain: [rate-limit, external-moderation]}
policy:
  rate-limit: {limits: [{per: user, requests: 3, window_seconds: 3600}]}
  external-moderation: {target: checker, provider: openai-moderation, on_error: flag}
testing:
  suites:
    - name: limits
      cases:
CASES
"""


def run_stating(*facts: str, **expected: str) -> CaseResult:
    """One case with these facts."""
    wanted = ", ".join(f"{key}: {value}" for key, value in expected.items())
    lines = [
        "        - name: c",
        "          input:",
        "            messages: [{role: user, content: hello}]",
        *(f"            {line}" for line in facts),
        f"          expected: {{{wanted}}}",
    ]
    config = parse_config(LIMITED.replace("CASES", "\n".join(lines)), file="c.yaml")
    suite = config.suites[0]
    located = [Located(suite.name, one, config.file, Position()) for one in suite.cases]
    [result] = run_cases(config, located).results
    return result


def test_a_case_states_what_counters_and_other_machines_say() -> None:
    used = 'facts: {counters: {"rate-limit/*": {used: 3, retry_after_seconds: 60}}}'
    assert run_stating(used, verdict="block", reason_code="rate_limit.exceeded").passed
    fits = 'facts: {counters: {"rate-limit/*": {used: 2}}}'
    assert run_stating(fits, reason_code="rule.error").passed  # nobody answers the other question
    said = 'facts: {remote: {"*": {body: {results: [{category_scores: {violence: 0.97}}]}}}}'
    assert run_stating(said, reason_code="moderation.flagged").passed


def test_the_same_file_works_without_facts() -> None:
    assert run_stating(verdict="flag").passed


def test_facts_that_nobody_asks_for_are_an_error() -> None:
    result = run_stating("facts: {counters: {spend: {used: 3}}}", verdict="allow")
    assert result.outcome is CaseOutcome.ERROR
    assert "no policy asks for spend" in result.why


GUIDE = Path(__file__).parents[2] / "docs/tools.md"


@pytest.mark.parametrize(
    ("tool", "arguments", "verdict", "policy"),
    [
        ("refund", '{"account_id": "A1", "amount": 20}', "allow", None),
        ("refund", '{"account_id": "A2", "amount": 20}', "block", "agent-firewall"),
        ("refund", '{"account_id": "A1", "amount": 900}', "block", "agent-firewall"),
        ("refund", '{"account_id": "A1", "amount": 200}', "escalate", "agent-firewall"),
        ("refund", '{"account_id": "A1", "amount": 20, "x": 1}', "block", "tool-validation"),
        ("close_case", "{}", "block", "rbac"),
    ],
)
def test_the_guide_to_tools_keeps_its_word(
    tool: str, arguments: str, verdict: str, policy: str | None
) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    guide = parse_config("pack: {name: guide, version: 1.0.0, enabled: true}\n" + example)
    one = case(
        response=call_answer(tool, arguments),
        headers={"X-User-ID": "ada", "X-Account-ID": "A1"},
    )
    expected = CaseExpected(verdict=verdict, policy=policy)
    request = {"model": "small-1", "messages": [{"role": "user", "content": "my refund, please"}]}
    given = msgspec.structs.replace(one.input, request=request)
    result = result_of(guide, msgspec.structs.replace(one, input=given, expected=expected))
    assert result.outcome is CaseOutcome.PASS, result


def test_a_keys_name_stands_for_the_key() -> None:
    keys = "\n".join(f"    - {{name: {name}, sha256: '{'0' * 64}'}}" for name in ("a", "b"))
    source = f"gateway:\n  keys:\n{keys}\n" + GOVERNED.replace("TOKENS", "5000")
    bound = put_in_force(parse_config(source))
    told = [
        carry(bound, case(headers=headers), 1).event
        for headers in ({}, {"Authorization": "Bearer b"})
    ]
    assert [event.key_name for event in told if event] == ["a", "b"]
