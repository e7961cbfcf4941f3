"""Languages: which one a text is in, and which ones may pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kintsugi.errors import ConfigurationInvalid
from kintsugi.model.decision import Phase
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.rules.language_validator.detect import prose_of, read
from kintsugi.policy.rules.language_validator.profiles import LANGUAGES
from tests.policy.configs import config_of
from tests.policy.growth import cpu_seconds

SENTENCES: dict[str, list[str]] = YAML(typ="safe").load(
    (Path(__file__).parent / "language_sentences.yaml").read_text(encoding="utf-8")
)
EVERY = [(language, text) for language, texts in SENTENCES.items() for text in texts]


def plan_of(**options: Any) -> Plan:
    return compile_plan(config_of({"language-validator": options}))


def lead(text: str, allowed: str) -> float:
    return read(prose_of(text)).lead(frozenset([allowed]))


def test_the_figures_on_the_page_hold() -> None:
    assert len(EVERY) == 148
    assert sum(read(prose_of(text)).best == language for language, text in EVERY) >= 135
    assert [text for language, text in EVERY if lead(text, language) >= 0.3] == []
    foreign = [text for language, text in EVERY if language != "en"]
    assert sum(lead(text, "en") >= 0.3 for text in foreign) >= 136


def test_a_paragraph_leaves_no_doubt() -> None:
    for language, texts in SENTENCES.items():
        assert read(prose_of(" ".join(texts))).best == language


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    prose = prose_of(text)
    assert len(prose) == len(text)
    reading = read(prose)
    assert reading.scores.keys() <= LANGUAGES
    assert 0 <= reading.lead(frozenset(["en"])) <= 1


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"allowed_languages": ["en", "xx"]}, "allowed_languages.1"),
        ({"min_letters": 0}, "min_letters"),
        ({"min_confidence": 2}, "min_confidence"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        plan_of(**options)
    assert error.value.diagnostics[0].path == f"policy.language-validator.{path}"


def test_nothing_is_judged_where_every_language_is_allowed() -> None:
    assert not plan_of().judges(Phase.INPUT)
    assert not plan_of(same_as_request=True).judges(Phase.INPUT)
    assert plan_of(same_as_request=True).judges(Phase.OUTPUT)


@pytest.mark.parametrize("piece", ["the ", "é", "字", "a@", "@", "http:", "/a", "#", "'a"])
def test_time_is_linear_in_the_text(piece: str) -> None:
    def seconds(count: int) -> float:
        text = (piece * (count // len(piece) + 1))[:count]
        return cpu_seconds(lambda: read(prose_of(text)))

    small = max(seconds(1 << 16), 0.005)
    assert seconds(1 << 20) < 80 * small
