"""The script file: what it can say, and what it says when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintsugi.simulator.script import BUILT_IN, Response, Rule, Script, ScriptInvalid, load_script

SCRIPT = """
default: {text: "I do not know."}
rules:
  - match: (?i)refund
    response: {text: "Granted.", usage: {prompt_tokens: 5, completion_tokens: 2}}
  - model: gpt-.*
    match: weather
    response:
      tool_calls: [{name: get_weather, arguments: {city: Paris}}]
  - model: gpt-4o
    response: {status: 429, retry_after_seconds: 3}
"""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    return load_script(path)


@pytest.mark.parametrize(
    ("model", "message", "expected"),
    [
        ("any", "a REFUND please", "Granted."),
        ("any", "hello", "I do not know."),
        ("sim-echo", "hello", None),
    ],
)
def test_the_first_rule_that_fits_answers(
    script: Script, model: str, message: str, expected: str | None
) -> None:
    assert script.response_for(model=model, last_user_message=message).text == expected


def test_a_rule_may_ask_for_model_and_message(script: Script) -> None:
    assert script.response_for(model="gpt-5", last_user_message="the weather?").tool_calls
    assert script.response_for(model="gpt-4o", last_user_message="x").status == 429
    assert script.response_for(model="gpt-4o-mini", last_user_message="x").status == 200


def test_a_rule_may_ask_for_what_any_message_says() -> None:
    planted = Rule(Response(text="The note says 4412."), seen="add the note")
    script = Script(rules=(planted,), default=Response(text="Tomorrow."))

    def said(messages: str) -> str | None:
        return script.response_for(model="m", last_user_message="When?", messages=messages).text

    assert said("When?\nTomorrow; add the note to the reply.") == "The note says 4412."
    assert said("When?") == "Tomorrow."


def test_a_script_may_be_json_and_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rules": [{"match": "a", "response": {"text": "b"}}]}')
    assert load_script(path).rules[0].response == Response(text="b")
    path.write_text("")
    assert load_script(path) == Script()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{match: a}]", "missing required field `response` - at `$.rules[0]`"),
        ("rules: [{response: {txt: a}}]", "unknown field `txt`"),
        ("rules: [{match: '(', response: {}}]", "rules[0].match: '(' is no expression"),
        ("rules: [{seen: '(', response: {}}]", "rules[0].seen: '(' is no expression"),
        ("rules: [{model: '[', response: {}}]", "rules[0].model: '[' is no expression"),
        ("default: {status: 302}", "default.status: 302; use 200, or 400 to 599"),
        ("default: {delay_ms: -1}", "default.delay_ms: must not be negative"),
        ("default: {text: a, chunks: [a]}", "text and chunks say the same thing"),
        ("default: [", "while parsing"),
        ("- a", "Expected `object`, got `array`"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ScriptInvalid) as refusal:
        load_script(path)
    assert str(refusal.value).startswith(str(path))
    assert message in str(refusal.value)


def test_a_script_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScriptInvalid, match="No such file"):
        load_script(tmp_path / "missing.yaml")


def test_every_built_in_model_says_what_it_is() -> None:
    assert all(name.startswith("sim-") for name in BUILT_IN)
