"""Every reason code has its place in the public lists, or says why it has none."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from kintsugi.cli.main import app
from kintsugi.policy.reasons import REASONS
from kintsugi.policy.standards import ATLAS, MAPPING, OWASP_AGENTIC, OWASP_LLM


def test_every_reason_code_is_mapped() -> None:
    missing = sorted(REASONS.keys() - MAPPING.keys())
    assert not missing, (
        f"no entry in MAPPING of policy/standards.py for {', '.join(missing)}: "
        'add "CODE": Mapped(llm=(...), agentic=(...), atlas=(...), none="why a list is empty")'
    )


def test_nothing_is_mapped_that_is_no_reason_code() -> None:
    assert not MAPPING.keys() - REASONS.keys()


@pytest.mark.parametrize("code", MAPPING)
def test_a_list_without_a_place_is_explained(code: str) -> None:
    places = MAPPING[code]
    whole = bool(places.llm and places.agentic and places.atlas)
    assert whole or places.none, f"{code}: say in none= why a list is left empty"
    assert not (whole and places.none), f"{code}: no list is empty, so none= explains nothing"
    assert not places.none or places.none.endswith(".")


@pytest.mark.parametrize("code", MAPPING)
def test_only_ids_of_the_pinned_editions_are_used(code: str) -> None:
    places = MAPPING[code]
    assert OWASP_LLM.keys() >= set(places.llm)
    assert OWASP_AGENTIC.keys() >= set(places.agentic)
    assert ATLAS.keys() >= set(places.atlas)


def test_the_command_shows_the_places() -> None:
    every = json.loads(CliRunner().invoke(app, ["reasons", "--json"]).stdout)
    shown = {reason["code"]: reason for reason in every}["prompt_injection.detected"]
    assert "LLM01:2025" in shown["owasp_llm"]
    assert "ASI01" in shown["owasp_agentic"]
    assert "AML.T0051" in shown["atlas"]
    one = json.loads(CliRunner().invoke(app, ["reasons", "pii.detected", "--json"]).stdout)
    assert one["owasp_llm"] == ["LLM02:2025"]
    assert one["unmapped"]
