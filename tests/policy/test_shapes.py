"""The second documented shape, and what is said about those that are not read."""

from __future__ import annotations

import pytest

from kintsugi.model.config import Config
from kintsugi.policy.parse import check_config

# As the incident guide prints it.
PASSTHROUGH = """\
# emergency-passthrough.yaml — use ONLY during declared incidents
gateway:
  port: 41002
  secret_key_ref:
    env: OPENAI_API_KEY

policies:
  - name: emergency-passthrough
    input:
      - type: content_safety
        action: flag # Log but don't block
    output:
      - type: content_safety
        action: flag
"""


def config_of(source: str) -> Config:
    config, diagnostics = check_config(source)
    assert config is not None, diagnostics
    return config


def found_in(source: str) -> list[tuple[str, str]]:
    return [(d.code, d.path) for d in check_config(source)[1]]


def test_the_emergency_passthrough_is_read_as_printed() -> None:
    config, diagnostics = check_config(PASSTHROUGH)
    assert diagnostics == ()
    assert config is not None
    assert (config.pack.name, config.pack.version) == ("emergency-passthrough", "0.0.0")
    assert config.gateway.port == 41002
    (target,) = config.targets
    assert (target.id, target.base_url) == ("openai", "https://api.openai.com/v1")
    assert target.secret_key_ref is not None
    assert target.secret_key_ref.env == "OPENAI_API_KEY"
    (block,) = config.chain
    assert block.kind == "safety-filter"
    assert (block.options.action, block.options.output_action) == ("flag", "flag")
    assert block.options.phases == ("input", "output")


def test_an_action_may_differ_between_input_and_output() -> None:
    source = PASSTHROUGH[: PASSTHROUGH.rindex("flag")] + "block\n"
    (block,) = config_of(source).chain
    assert (block.options.action, block.options.output_action) == ("flag", "block")


def test_a_step_on_one_side_runs_on_that_side_only() -> None:
    source = "policies: [{name: a, output: [{type: pii_redaction, action: redact}]}]"
    (block,) = config_of(source).chain
    assert (block.kind, block.options.action) == ("pii-detector", "redact")
    assert (block.options.output_action, block.options.phases) == ("", ("output",))


def test_steps_keep_their_order_over_several_policies() -> None:
    source = """\
policies:
  - {name: first, input: [{type: prompt_injection, action: block}, {type: dlp, action: flag}]}
  - {name: second, output: [{type: content_safety, action: block}]}
pack: {name: mine, version: 2.0.0}
"""
    config = config_of(source)
    assert [block.kind for block in config.chain] == [
        "prompt-injection",
        "dlp-filter",
        "safety-filter",
    ]
    assert config.pack.name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("type: content_safety", "type: content_safty", ("E001", "policies.chain.0")),
        ("    input:", "    inputs: []\n    input:", ("E002", "policies.0.inputs")),
        ("action: flag #", "acton: flag #", ("E002", "policy.safety-filter.acton")),
        ("type: content_safety", "kind: content_safety", ("E006", "policies.0.input.0")),
        ("  port: 41002", "  prot: 41002", ("E002", "gateway.prot")),
        ("OPENAI_", "sk-aaaaaaaaaaaaaaaaaaaa_", ("E018", "providers.targets.0.secret_key_ref.env")),
    ],
)
def test_a_mistake_in_the_second_shape_is_found(
    old: str, new: str, expected: tuple[str, str]
) -> None:
    assert old in PASSTHROUGH
    assert expected in found_in(PASSTHROUGH.replace(old, new, 1))


def test_the_place_of_a_mistake_is_that_of_the_authors_own_text() -> None:
    _, diagnostics = check_config(PASSTHROUGH.replace("action: flag #", "acton: flag #"))
    (found,) = [d for d in diagnostics if d.code == "E002"]
    assert (found.position.line, found.position.column) == (11, 9)


def test_one_kind_cannot_stand_twice_on_one_side() -> None:
    source = "policies: [{name: a, input: [{type: pii, action: flag}, {type: pii, action: block}]}]"
    assert ("E020", "policies.0.input.1") in found_in(source)


def test_other_options_cannot_differ_between_the_sides() -> None:
    source = """\
policies:
  - name: a
    input: [{type: dlp, blocked_terms: [a]}]
    output: [{type: dlp, blocked_terms: [b]}]
"""
    assert ("E007", "policies.0.output.0.blocked_terms") in found_in(source)


LIST_OF_STEPS = """\
version: "1"
includes: [common.yaml]
policies:
  - {name: guard, type: prompt_injection, phase: input, action: block}
  - {name: clean, type: pii_redaction, phase: output, action: redact}
"""


def test_a_list_of_typed_steps_is_answered_with_its_canonical_form() -> None:
    _, diagnostics = check_config(LIST_OF_STEPS)
    assert {(d.code, d.path) for d in diagnostics} == {
        ("E019", "version"),
        ("E019", "includes"),
        ("E019", "policies"),
    }
    advice = next(d.help for d in diagnostics if d.path == "policies")
    assert "policies: {chain: [prompt-injection, pii-detector]}" in advice
    assert "policy: {prompt-injection: {...}, pii-detector: {...}}" in advice


def test_a_list_of_filters_is_answered_too() -> None:
    source = """\
gateway: {listen_port: 41002}
policies: [{name: a, type: output_filter, action: block, pattern: x, message: y}]
"""
    assert found_in(source) == [("E019", "policies")]


def test_a_single_policy_document_is_answered_with_a_whole_one() -> None:
    source = "policy: {name: prompt-injection, version: 1.0.0, enabled: true}\ndetection: {}\n"
    ((code, _),) = found_in(source)
    (found,) = check_config(source)[1]
    assert code == "E019"
    assert "policies: {chain: [prompt-injection]}" in found.help
