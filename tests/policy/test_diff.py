"""What changes between two configurations, and in which direction."""

from __future__ import annotations

import pytest

from kintsugi.policy.diff import Change, Difference, compare
from kintsugi.policy.parse import parse_config
from kintsugi.policy.rules import KINDS
from tests.policy.configs import config_of

BASE = """\
pack: {name: p, version: 1.0.0}
gateway: {streaming: buffer, keys: []}
providers:
  targets:
    - {id: local, provider: simulator}
policies: {chain: [pii-detector, dlp-filter, rate-limit, audit-logger]}
policy:
  pii-detector: {action: redact}
  dlp-filter: {blocked_terms: [aurora]}
  rate-limit: {limits: [{requests: 10}]}
  audit-logger: {}
"""


def difference(*edits: tuple[str, str]) -> Difference:
    changed = BASE
    for old, new in edits:
        assert old in changed
        changed = changed.replace(old, new)
    return compare(parse_config(BASE), parse_config(changed))


def told(found: Difference) -> list[tuple[str, str, str]]:
    return [(change.direction, change.what, change.path) for change in found.changes]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{action: redact}", "{mode: enforce, action: redacted, on_error: ''}"),
        ("pack: {name: p", "# a comment\npack: {name: other"),
        ("pii-detector: {", "pii_detector: {"),
    ],
)
def test_another_spelling_of_the_same_is_no_change_of_direction(old: str, new: str) -> None:
    found = difference((old, new))
    assert [change for change in found.changes if change.direction != "changed"] == []
    assert not found.notes


@pytest.mark.parametrize(
    ("old", "new", "direction", "path"),
    [
        ("redact}", "block}", "tightened", "policy.pii-detector.action"),
        ("redact}", "flag}", "relaxed", "policy.pii-detector.action"),
        (
            "redact}",
            "redact, output_action: allow}",
            "relaxed",
            "policy.pii-detector.output_action",
        ),
        ("redact}", "redact, mode: monitor}", "relaxed", "policy.pii-detector.mode"),
        ("redact}", "redact, on_error: allow}", "relaxed", "policy.pii-detector.on_error"),
        ("redact}", "redact, phases: [input]}", "relaxed", "policy.pii-detector.phases"),
        ("buffer", "observe", "relaxed", "gateway.streaming"),
        ("buffer", "window", "changed", "gateway.streaming"),
        ("keys: []", "durability: bounded", "relaxed", "gateway.durability"),
        ("keys: []", "fail_mode: allow", "relaxed", "gateway.fail_mode"),
        ("version: 1.0.0", "version: 1.0.0, enabled: false", "tightened", "pack.enabled"),
        (
            "simulator}",
            "simulator, allow_private_network: true}",
            "relaxed",
            "providers.targets.local.allow_private_network",
        ),
    ],
)
def test_the_direction_is_told_where_it_is_certain(
    old: str, new: str, direction: str, path: str
) -> None:
    assert told(difference((old, new))) == [(direction, "changed", path)]


def test_policies_come_and_go() -> None:
    found = difference(
        ("[pii-detector, dlp-filter", "[dlp-filter, safety-filter"),
        ("pii-detector: {action: redact}", "safety-filter: {}"),
    )
    assert told(found) == [
        ("relaxed", "removed", "policy.pii-detector"),
        ("tightened", "added", "policy.safety-filter"),
    ]


def test_another_order_of_the_chain_is_told_once() -> None:
    found = difference(("pii-detector, dlp-filter", "dlp-filter, pii-detector"))
    assert told(found) == [("changed", "moved", "policies.chain")]


def test_entries_of_lists_come_and_go() -> None:
    found = difference(("[aurora]", "[borealis]"), ("10}", "20}"))
    assert told(found) == [
        ("relaxed", "removed", "policy.dlp-filter.blocked_terms.aurora"),
        ("tightened", "added", "policy.dlp-filter.blocked_terms.borealis"),
        ("changed", "removed", "policy.rate-limit.limits.{requests: 10}"),
        ("changed", "added", "policy.rate-limit.limits.{requests: 20}"),
    ]


def test_targets_are_known_by_their_id() -> None:
    openai = "{id: openai, provider: openai, secret_key_ref: {env: KEY}}"
    found = difference(("    - {id: local", f"    - {openai}\n    - {{region: eu, id: local"))
    assert told(found) == [
        ("changed", "added", "providers.targets.openai"),
        ("changed", "changed", "providers.targets.local.region"),
    ]


def test_who_answers_and_tests_are_noted_and_change_nothing() -> None:
    case = "{name: c, input: {messages: [{}]}, expected: {verdict: allow}}"
    found = difference(
        ("redact}", "redact, relaxed: {owner: a, reason: b, expires: 2026-12-31}}"),
        ("policy:", f"testing: {{suites: [{{name: s, cases: [{case}]}}]}}\npolicy:"),
    )
    assert found.is_empty
    assert [note.path for note in found.notes] == ["policy.pii-detector.relaxed", "testing.s/c"]
    assert found.before == found.after


def test_no_key_is_shown_whole() -> None:
    digest = "ab" * 32
    found = difference(("keys: []", f"keys: [{{name: app, sha256: {digest}}}]"))
    (change,) = found.changes
    assert change == Change(
        "gateway.keys.app", "added", "changed", "", "{name: app, sha256: abababab…}"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_compared(kind: str) -> None:
    before = config_of({kind: {"mode": "enforce"}})
    after = config_of({kind: {"mode": "monitor"}})
    assert compare(before, before).is_empty
    assert told(compare(before, after)) == [("relaxed", "changed", f"policy.{kind}.mode")]
