"""What a configuration compiles to, and what keeps it from compiling."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Position, Target
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules import KINDS
from tests.policy.configs import WORDING, config_of

EVERYTHING: dict[str, dict[str, Any]] = {kind: {} for kind in WORDING}


def problem(chain: dict[str, dict[str, Any]], **positions: Position) -> tuple[str, str, Position]:
    """Code, path and place of the one thing that is wrong."""
    config = config_of(
        chain, positions={path.replace("__", "."): at for path, at in positions.items()}
    )
    with pytest.raises(ConfigurationInvalid) as raised:
        compile_plan(config)
    (diagnostic,) = raised.value.diagnostics
    return diagnostic.code, diagnostic.path, diagnostic.position


def test_rules_run_in_the_order_of_the_chain() -> None:
    plan = compile_plan(config_of(EVERYTHING))
    phase = plan.phase(Phase.INPUT)
    assert phase is not None
    assert [rule.kind.name for rule in phase.rules] == [
        "prompt-injection",
        "pii-detector",
        "secrets-detector",
        "dlp-filter",
        "safety-filter",
    ]


def test_a_phase_in_which_nothing_runs_is_absent() -> None:
    plan = compile_plan(config_of({"prompt-injection": {}}))
    assert plan.has(Phase.INPUT)
    assert not plan.has(Phase.OUTPUT)
    assert plan.phase(Phase.OUTPUT) is None
    assert plan.hold_chars == 0


def test_phases_narrow_where_a_rule_runs() -> None:
    plan = compile_plan(config_of({"pii-detector": {"phases": ["output"]}}))
    assert (plan.has(Phase.INPUT), plan.has(Phase.OUTPUT)) == (False, True)


def test_an_answer_may_be_treated_otherwise_than_a_request() -> None:
    plan = compile_plan(config_of({"pii-detector": {"action": "block", "output_action": "flag"}}))
    actions = {phase: plan.phases[phase].rules[0].action for phase in plan.phases}
    assert actions == {Phase.INPUT: Verdict.BLOCK, Phase.OUTPUT: Verdict.FLAG}


@pytest.mark.parametrize(
    ("fail_mode", "option", "verdict"),
    [
        ("block", "", Verdict.BLOCK),
        ("allow", "", Verdict.FLAG),
        ("allow", "block", Verdict.BLOCK),
        ("block", "allowed", Verdict.ALLOW),
    ],
)
def test_a_failing_rule_has_a_verdict(fail_mode: Any, option: str, verdict: Verdict) -> None:
    config = config_of({"dlp-filter": {"on_error": option}}, fail_mode=fail_mode)
    assert compile_plan(config).phases[Phase.INPUT].rules[0].on_error is verdict


def test_accepted_spellings_of_an_action_are_one_action() -> None:
    plan = compile_plan(config_of({"pii-detector": {"action": "blocked"}}))
    assert plan.phases[Phase.INPUT].rules[0].action is Verdict.BLOCK


def test_an_industry_as_mode_enforces() -> None:
    plan = compile_plan(config_of({"safety-filter": {"mode": "education"}}))
    assert plan.phases[Phase.INPUT].rules[0].mode is Mode.ENFORCE


@pytest.mark.parametrize(
    ("chain", "code", "path"),
    [
        ({"pii-detector": {"action": "shred"}}, "E008", "policy.pii-detector.action"),
        ({"pii-detector": {"action": "transform"}}, "E008", "policy.pii-detector.action"),
        ({"pii-detector": {"output_action": "?"}}, "E008", "policy.pii-detector.output_action"),
        ({"pii-detector": {"on_error": "redact"}}, "E008", "policy.pii-detector.on_error"),
        ({"pii-detector": {"entities": ["emial"]}}, "E008", "policy.pii-detector.entities.0"),
        ({"dlp-filter": {"max_distance": 9}}, "E008", "policy.dlp-filter.max_distance"),
        (
            {"dlp-filter": {"blocked_terms": ["a", " "]}},
            "E008",
            "policy.dlp-filter.blocked_terms.1",
        ),
        ({"safety-filter": {"categories": ["fruad"]}}, "E008", "policy.safety-filter.categories.0"),
        ({"audit-logger": {"retention_days": 0}}, "E008", "policy.audit-logger.retention_days"),
        ({"prompt-injection": {"threshold": 0}}, "E008", "policy.prompt-injection.threshold"),
        (
            {"prompt-injection": {"action": "flag", "response": {"action": "block"}}},
            "E008",
            "policy.prompt-injection.response.action",
        ),
        (
            {"prompt-injection": {"detection": {"attack_patterns": ["ok", "(?=no)"]}}},
            "E014",
            "policy.prompt-injection.detection.attack_patterns.1",
        ),
        (
            {"secrets-detector": {"detect_patterns": ["(a)\\1"]}},
            "E014",
            "policy.secrets-detector.detect_patterns.0",
        ),
        (
            {"dlp-filter": {"detect_patterns": ["x*"]}},
            "E014",
            "policy.dlp-filter.detect_patterns.0",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(
    chain: dict[str, dict[str, Any]], code: str, path: str
) -> None:
    # Options that apply in two phases are wrong in both; one diagnostic is enough.
    assert problem(chain) == (code, path, Position())


def test_a_diagnostic_stands_at_the_nearest_written_place() -> None:
    at = Position(12, 5)
    config = config_of({"pii-detector": {"action": "shred"}}, positions={"policy.pii-detector": at})
    with pytest.raises(ConfigurationInvalid) as raised:
        compile_plan(config)
    assert raised.value.diagnostics[0].position == at


def test_a_transformation_must_say_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = msgspec.structs.replace(KINDS["safety-filter"], actions=(Verdict.TRANSFORM,))
    monkeypatch.setattr("kintsugi.policy.plan.KINDS", {"safety-filter": kind})
    with pytest.raises(ConfigurationInvalid, match="needs to know what to change"):
        compile_plan(config_of({"safety-filter": {"action": "transform"}}))


def test_all_problems_are_reported_at_once() -> None:
    chain: dict[str, dict[str, Any]] = {
        "pii-detector": {"action": "x"},
        "dlp-filter": {"max_distance": 99},
    }
    with pytest.raises(ConfigurationInvalid) as raised:
        compile_plan(config_of(chain))
    assert len(raised.value.diagnostics) == 2


def test_the_revision_is_of_the_meaning_and_not_of_the_text() -> None:
    config = config_of(EVERYTHING)
    other = msgspec.structs.replace(
        config,
        source="# a comment",
        file="x.yaml",
        pack=msgspec.structs.replace(config.pack, version="2.0.0"),
    )
    explicit = config_of({**EVERYTHING, "pii-detector": {"pci_mode": True, "entities": []}})
    revision = compile_plan(config).revision
    assert revision.startswith("sha256:")
    assert len(revision) == len("sha256:") + 64
    assert compile_plan(other).revision == revision
    assert compile_plan(explicit).revision == revision


def test_whatever_could_change_a_decision_changes_the_revision() -> None:
    config = config_of(EVERYTHING)
    target = Target(id="a", provider="openai", base_url="https://example.com")
    changed = [
        config,
        config_of({**EVERYTHING, "pii-detector": {"pci_mode": False}}),
        config_of(dict(reversed(EVERYTHING.items()))),
        config_of(EVERYTHING, fail_mode="allow"),
        msgspec.structs.replace(config, targets=(target,)),
        msgspec.structs.replace(
            config, gateway=msgspec.structs.replace(config.gateway, streaming="window")
        ),
    ]
    assert len({compile_plan(one).revision for one in changed}) == len(changed)


@pytest.mark.parametrize(
    ("options", "hold_chars"),
    [
        ({"detect_patterns": [r"AC-\d{4}"]}, 8),
        ({"detect_patterns": [r"AC-\d{4}", "b+"]}, None),
        ({"detect_patterns": ["b+"], "mode": "monitor"}, 1),
        ({"detect_patterns": ["b+"], "phases": ["input"]}, 0),
        ({"blocked_terms": ["abc"]}, 4),
    ],
)
def test_windows_hold_back_as_much_as_a_finding_can_cover(
    options: dict[str, Any], hold_chars: int | None
) -> None:
    assert compile_plan(config_of({"dlp-filter": options})).hold_chars == hold_chars


def test_every_kind_states_its_facts() -> None:
    for kind in KINDS.values():
        assert kind.method
        assert kind.cost
        assert kind.limits
        assert kind.reasons
        assert kind.default_action in kind.actions
        assert kind.detector_version >= 1
