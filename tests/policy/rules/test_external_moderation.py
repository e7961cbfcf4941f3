"""Moderation services: how they are asked, and what their answers mean."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.config import Target
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts, RemoteAnswer, RemoteNeed
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, needs
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.remote import RemoteUnreadable
from kintsugi.policy.rules.external_moderation.providers import PROVIDERS, Reply, scores_in
from tests.policy.configs import FACTS, config_of, user
from tests.policy.growth import cpu_seconds

TARGETS = [Target(id="moderation", provider="simulator")]


def plan_of(**options: Any) -> Plan:
    options = {"target": "moderation", **options}
    return compile_plan(config_of({"external-moderation": options}, targets=TARGETS))


def asked(plan: Plan, text: str) -> list[RemoteNeed]:
    found = needs(plan, Phase.INPUT, ExchangeView(user(text)), FACTS)
    return [need for need in found if isinstance(need, RemoteNeed)]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"target": "moderatoin"}, "target"),
        ({"target": ""}, "target"),
        ({"endpoint": "https://example.com"}, "endpoint"),
        ({"provider": "openai"}, "provider"),
        ({"timeout_seconds": 60}, "timeout_seconds"),
        ({"threshold": 5}, "threshold"),
        ({"thresholds": {"hate": -1}}, "thresholds.hate"),
        ({"path": "moderations"}, "path"),
        ({"reply": {"scores": "scores"}}, "reply.scores"),
        ({"reply": {"scale": 0}}, "reply.scale"),
        ({"piece_chars": 10}, "piece_chars"),
    ],
)
def test_what_cannot_be_asked_is_said_when_the_configuration_is_read(
    options: dict[str, Any], path: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        plan_of(**options)
    (found, *_) = error.value.diagnostics
    assert found.path == f"policy.external-moderation.{path}"
    assert found.help


def test_nothing_is_asked_but_the_target_within_its_time() -> None:
    (need,) = asked(plan_of(provider="openai-moderation", timeout_seconds=0.5), "hello")
    assert (need.target_id, need.path, need.timeout_seconds) == ("moderation", "/moderations", 0.5)
    assert json.loads(need.body) == {"model": "omni-moderation-latest", "input": "hello"}


@given(st.integers(1, 12_000), st.integers(1_000, 3_000))
def test_pieces_hold_every_stretch_of_a_text(length: int, size: int) -> None:
    text = "".join(chr(ord("a") + index % 23) + str(index) for index in range(length))[:length]
    pieces = [json.loads(need.body)["input"] for need in asked(plan_of(piece_chars=size), text)]
    assert all(len(piece) <= size for piece in pieces)
    for start in range(0, max(length - 200, 1), 97):
        assert any(text[start : start + 200] in piece for piece in pieces)


def test_a_text_that_is_too_long_is_an_error_and_is_not_cut_short() -> None:
    plan = plan_of(piece_chars=1_000)
    text = "a" * 20_000
    assert asked(plan, text) == []
    decision = decide(plan, Phase.INPUT, ExchangeView(user(text)), FACTS)
    assert decision.evaluations[0].why == "TextTooLong"
    assert decision.verdict is Verdict.BLOCK


def test_a_megabyte_is_cut_into_pieces_at_once() -> None:
    plan = plan_of(piece_chars=100_000)
    text = "a" * (1 << 20)
    assert len(asked(plan, text)) == 11
    assert cpu_seconds(lambda: asked(plan, text)) < 0.5


def test_what_a_planted_text_says_is_asked_about_too() -> None:
    parts = [*user("hello"), Part("tool", "tool_result", "planted", "/messages/1/content")]
    (need,) = needs(plan_of(), Phase.INPUT, ExchangeView(parts), FACTS)
    assert isinstance(need, RemoteNeed)
    assert "planted" in json.loads(need.body)["input"]


def _facts(answer: RemoteAnswer) -> Facts:
    return msgspec.structs.replace(FACTS, remote={"external-moderation/input/0": answer})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (RemoteAnswer(error="timeout"), "RemoteTimeout"),
        (RemoteAnswer(error="connect_failed"), "RemoteFailed"),
        (RemoteAnswer(200, "<html>"), "RemoteUnreadable"),
        (RemoteAnswer(200, "{}"), "RemoteUnreadable"),
    ],
)
def test_why_a_service_could_not_be_heard_is_on_record(answer: RemoteAnswer, why: str) -> None:
    decision = decide(plan_of(), Phase.INPUT, ExchangeView(user("x")), _facts(answer))
    assert decision.evaluations[0].why == why


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(ANYTHING, st.sampled_from(sorted(PROVIDERS)))
def test_whatever_a_service_answers_is_read_or_refused(document: Any, provider: str) -> None:
    with suppress(RemoteUnreadable):
        for score in scores_in(document, PROVIDERS[provider].reply).values():
            assert 0 <= score <= 1


def test_a_category_with_a_strange_name_is_not_quoted() -> None:
    scores = scores_in({"scores": {"<b>my secret</b>": 0.9}}, Reply())
    assert scores == {"other": 0.9}


def test_an_answer_of_64_kibibytes_is_read_quickly() -> None:
    body = json.dumps({"scores": {f"category {n}": 0.1 for n in range(200)}, "x": "y" * 60_000})
    plan, facts = plan_of(), _facts(RemoteAnswer(200, body))
    view = ExchangeView(user("x"))
    assert cpu_seconds(lambda: decide(plan, Phase.INPUT, view, facts)) < 0.1
