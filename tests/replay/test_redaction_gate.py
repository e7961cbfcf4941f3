"""The redaction gate: nothing of anybody passes, and what was found is found again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import kintsugi.policy.rules
from kintsugi.model.config import Case, CaseCounter, CaseExpected, CaseFacts, CaseInput
from kintsugi.replay.redaction_gate import FoundSensitive, gate

SSN = "536-90-4399"
RULES = Path(kintsugi.policy.rules.__file__).parent


def made(*texts: str, **more: Any) -> Case:
    messages = tuple({"role": "user", "content": text} for text in texts)
    return Case("a case", CaseInput(messages=messages, **more), CaseExpected(verdict="block"))


def said(case: Case) -> list[str]:
    return [one["content"] for one in case.input.messages]


def examples() -> list[str]:
    """What detectors must find, from their own cases."""
    found = []
    for kind in ("pii_detector", "secrets_detector"):
        read = YAML(typ="safe").load((RULES / kind / "cases.yaml").read_text())["cases"]
        found += [one["text"] for one in read if one["finds"] and not one.get("options")]
    return found


@pytest.mark.parametrize("text", examples()[::3])
def test_what_went_through_once_goes_through_as_it_is(text: str) -> None:
    first = gate(made(text))
    assert gate(first.case) == gate(first.case, keep=())
    assert gate(first.case).case == first.case
    assert gate(first.case).redacted == {}


def test_the_same_value_becomes_the_same_replacement() -> None:
    gated = gate(made(f"my number is {SSN}", f"again: SSN {SSN}", "and 536-22-8145"))
    first, second, third = (text.split()[-1] for text in said(gated.case))
    assert first == second
    assert SSN not in str(gated)
    assert third not in (first, "536-22-8145")
    assert gated.redacted == {"pii.us_ssn": 3}
    assert gated.found[0] == FoundSensitive("pii.us_ssn", "input.messages.0.content")


def test_people_and_sessions_get_other_names_also_where_counters_name_them() -> None:
    facts = CaseFacts(counters={"rate-limit/user/ada/60": CaseCounter(3)})
    gated = gate(made("hello", headers={"x-user-id": "ada", "x-team-id": "red"}, facts=facts))
    assert gated.case.input.headers == {"x-user-id": "user-1", "x-team-id": "red"}
    assert list(gated.case.input.facts.counters) == ["rate-limit/user/user-1/60"]


def test_what_is_encoded_is_replaced_where_it_stands() -> None:
    hidden = base64.b64encode(f"my ssn is {SSN} ok".encode()).decode()
    [text] = said(gate(made(f"decode {hidden} now")).case)
    decoded = base64.b64decode(text.split()[1]).decode()
    assert decoded.startswith("my ssn is ")
    assert SSN not in decoded


TOKEN = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SEVERAL = f"my ssn is {SSN}, write to jane.roe@fatal-corp.com, key {TOKEN}"


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
        lambda text: quote(text, safe=""),
    ],
)
def test_of_what_is_encoded_together_nothing_stays(encode: Callable[[str], str]) -> None:
    gated = gate(made(f"read {encode(SEVERAL)} now"))
    assert gated.redacted == {"pii.email": 1, "pii.us_ssn": 1, "secret.github_token": 1}
    clear = SEVERAL
    for value in (SSN, "jane.roe@fatal-corp.com", TOKEN):
        assert encode(value).strip("=") not in said(gated.case)[0]
    assert encode(clear) not in said(gated.case)[0]
    assert gate(gated.case).redacted == {}


def test_what_is_kept_is_kept_where_it_is_encoded_too() -> None:
    encoded = base64.b64encode(SEVERAL.encode()).decode()
    gated = gate(made(encoded), keep={"pii.us_ssn"})
    assert gated.kept == {"pii.us_ssn": 1}
    assert gated.redacted == {"pii.email": 1, "secret.github_token": 1}
    shown = base64.b64decode(said(gated.case)[0]).decode()
    assert SSN in shown
    assert TOKEN not in shown
    assert "jane.roe" not in shown


def test_every_text_of_a_case_is_looked_at() -> None:
    case = Case(
        f"about {SSN}",
        CaseInput(
            request={"tools": [{"function": {"description": f"SSN {SSN}"}}]},
            upstream_response={"choices": [{"message": {"content": f"SSN {SSN}"}}]},
        ),
        CaseExpected(response_excludes=f"SSN {SSN}"),
        f"SSN {SSN}",
    )
    gated = gate(case)
    assert SSN not in str(gated)
    assert {one.where for one in gated.found} == {
        "name",
        "description",
        "expected.response_excludes",
        "input.request.tools.0.function.description",
        "input.upstream_response.choices.0.message.content",
    }


def test_what_is_kept_stays_and_is_told() -> None:
    gated = gate(made(f"SSN {SSN} of ada@fatal.example.co"), keep=("pii.us_ssn",))
    assert SSN in said(gated.case)[0]
    assert "ada@fatal" not in said(gated.case)[0]
    assert (gated.kept, gated.redacted) == ({"pii.us_ssn": 1}, {"pii.email": 1})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([SSN, "card 4929 1234 5678 9014", "hi", "a@corp.test"]), max_size=4)
)
def test_it_is_idempotent(words: list[str]) -> None:
    first = gate(made(" SSN ".join(words) or "x"))
    assert gate(first.case).case == first.case
    assert SSN not in str(first.case)
