"""Whatever the chunks, a stream's findings and edits are those of the whole text."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.model.content import Edit, ExchangeView
from kintsugi.model.decision import Finding, Phase
from kintsugi.policy.decide import decide, settled
from kintsugi.policy.plan import Plan, compile_plan
from tests.policy.configs import FACTS, answer, config_of, findings

CHAINS: dict[str, dict[str, dict[str, Any]]] = {
    "pii-detector": {"pii-detector": {"healthcare_mode": True, "allow_list": ["support@acme.com"]}},
    "secrets-detector": {"secrets-detector": {"allow_list": ["AKIAIOSFODNN7EXAMPLE"]}},
    "dlp-filter": {
        "dlp-filter": {
            "detect_patterns": [r"AC-\d{2,4}", "aa", r"(?:x|xy|xyz)-[a-z]{1,3}\b", r"\b\d{5}"],
            "blocked_terms": ["Projekt Fälkon", "falcon", "blue whale"],
            "sensitivity_level": "restricted",
        }
    },
    "dlp-filter, fuzzy": {
        "dlp-filter": {
            "blocked_terms": ["project falcon", "whale song"],
            "fuzzy_matching": True,
            "max_distance": 2,
        }
    },
    "safety-filter": {
        "safety-filter": {"action": "redact", "block_if": ["blue whale"], "mode": "education"}
    },
    "all": {
        "pii-detector": {"redaction": {"marker_format": "partial"}},
        "secrets-detector": {},
        "dlp-filter": {"blocked_terms": ["falcon"], "detect_patterns": ["555", "a1"]},
        "safety-filter": {"action": "flag"},
    },
}
PLANS = {name: compile_plan(config_of(chain)) for name, chain in CHAINS.items()}

_PRIVATE_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpQIBAAKCAQEAn6/O8li+SX4m98LLYt/PKSzEmQ++ZBD7Loh9P13\n"
    "yxR5MsXFu9PRsrYQA7/4UTPHiC4y2sAVCBg4C2yyBpUEtMQjyCESi6Y=\n-----END RSA PRIVATE KEY-----\n"
)
PIECES = [
    *("aa", "a", "xyz-ab", "x-", "AC-12", "AC-1234", "falcon", "projekt  fälkon", "project falkon"),
    *(
        "blue",
        " ",
        "blue whale",
        "whale sang",
        "\n",
        ". ",
        "CONFIDENTIAL",
        "internal use only",
        "-",
    ),
    *("4111 1111 1111 1111", "4929129761689154", "378282246310005", "1234", "5", "12-34"),
    *("ssn: 219-09-9998", "219-09-9998", "219099998", "social security", "me@example.com", "@"),
    *(
        "first.last+tag@mail.example.co.uk",
        "support@acme.com",
        "my.support@acme.com",
        "call 020 7946 0958",
    ),
    *("+44 20 7946 0958", "(212) 555-0187", "212-555-0187 x12", "GB82 WEST 1234 5698 7654 32"),
    *("DE89370400440532013000", "10.1.2.3", "2001:db8:85a3::8a2e:370:7334", "born on 12/03/1984"),
    *("passport number is X1234567", "MRN: 1234567", "cvv 123", "Member ID: ABC1234567", "１２３"),
    *("AKIAIOSFODNN7EXAMPLE", "AKIAZ7WQ3KPLMN5RTYUV", "ghp_Dc5EwO2sHkIP5iDDgtTUqbPEn8SzB7lPskBS"),
    *("password: hunter2!X", "password: ", "api_key = '9KvL239PXclColOJ4atgndMReAsEuR9p'", "token"),
    *("https://bob:s3cr3tPw@db.example.com/x", "curl -u admin:Pa55word!", "Authorization: Bearer "),
    *(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_Xg",
        "é",
        "😀",
    ),
    _PRIVATE_KEY,
    *(
        "how to make a pipe bomb",
        "kill yourself",
        "you are pathetic",
        "bullshit",
        "how do i hack my phone",
    ),
    *("Please put 9KvL239PXclColOJ4atgndMReAsEuR9p into the api_key field", "the quick brown fox "),
]

TEXTS = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(alphabet="a1 -.@x5/:\n", max_size=6)), max_size=14
).map("".join)
CUTS = st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=40)


def in_windows(plan: Plan, text: str, sizes: list[int]) -> tuple[list[Finding], list[Edit]]:
    """Judge a text as it arrives in chunks of these sizes, over and over."""
    seen: list[Finding] = []
    edits: list[Edit] = []
    start = arrived = turn = 0
    while True:
        arrived = min(arrived + sizes[turn % len(sizes)], len(text))
        turn += 1
        context = max(0, start - plan.context_chars)
        part = answer(text[context:arrived], start=start - context)
        decision = decide(plan, Phase.OUTPUT, ExchangeView([part]), FACTS)
        whole = arrived == len(text)
        place = len(part.text) if whole else settled(plan, part, decision)
        seen += [
            msgspec.structs.replace(finding, offset=finding.offset + context)
            for finding in findings(decision)
            if finding.offset < place
        ]
        edits += [
            msgspec.structs.replace(edit, start=edit.start + context, end=edit.end + context)
            for edit in decision.masks
            if edit.start < place
        ]
        start = context + place
        if whole:
            return seen, edits


@pytest.mark.parametrize("name", PLANS)
@given(text=TEXTS, sizes=CUTS)
def test_a_stream_is_judged_like_the_whole_text(name: str, text: str, sizes: list[int]) -> None:
    plan = PLANS[name]
    whole = decide(plan, Phase.OUTPUT, ExchangeView([answer(text)]), FACTS)
    in_order = sorted(findings(whole), key=lambda finding: (finding.offset, finding.rule))
    seen, edits = in_windows(plan, text, sizes)
    assert sorted(seen, key=lambda finding: (finding.offset, finding.rule)) == in_order
    assert edits == list(whole.masks)


@pytest.mark.parametrize("name", PLANS)
def test_every_output_rule_can_be_held_back(name: str) -> None:
    hold_chars = PLANS[name].hold_chars
    assert hold_chars is not None
    assert PLANS[name].context_chars <= hold_chars <= 300


@pytest.mark.parametrize("piece", PIECES)
def test_one_character_at_a_time_changes_nothing(piece: str) -> None:
    plan = PLANS["all"]
    text = f"before {piece} after, and some more words so that it settles. " * 3
    whole = decide(plan, Phase.OUTPUT, ExchangeView([answer(text)]), FACTS)
    seen, edits = in_windows(plan, text, [1])
    assert len(seen) == len(findings(whole))
    assert edits == list(whole.masks)
