"""Twins come out the same on both configurations, or are not proposed."""

from __future__ import annotations

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.policy.parse import parse_config
from kintsugi.replay.driver import put_in_force
from kintsugi.replay.minimise import minimise
from kintsugi.replay.reproduction import reproduces
from kintsugi.replay.twins import FRAMES, Neighbour, Twins, is_over_block, nearest, twins


def blocking(*terms: str) -> InForce:
    """A configuration that blocks some words and no others."""
    source = (
        "pack: {name: shop, version: 1.0.0}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        "policy:\n"
        f"  dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}\n"
        "  audit-logger: {}\n"
    )
    return put_in_force(parse_config(source, file="c.yaml"))


def case(text: str, **expected: str) -> Case:
    messages = ({"role": "user", "content": text},)
    return Case("case", CaseInput(messages=messages), CaseExpected(**expected))


def neighbours(*texts: str) -> list[Neighbour]:
    return [Neighbour(f"event-{number}", case(text)) for number, text in enumerate(texts)]


def of(one: Case, red: InForce, green: InForce, *near: str) -> Twins:
    left = minimise(one, reproduces(one, red, green))
    return twins(
        one,
        minimised=left.case,
        remainder=left.remainder,
        neighbours=neighbours(*near),
        red=red,
        green=green,
    )


def content(one: Case) -> str:
    text: str = one.input.messages[0]["content"]
    return text


OPEN, FIXED, TYPO = blocking("nothing here"), blocking("aurora"), blocking("aurora", "order")
MISS = case("Dear team, aurora ships in May.", verdict="block")
OVER_BLOCK = case("Where is my order, please?", verdict="allow")


def test_what_surrounded_the_trigger_is_a_twin() -> None:
    found = of(MISS, OPEN, FIXED)
    assert [(one.technique, content(one.case)) for one in found.proposed] == [
        ("remainder", "Dear team, ships in May.")
    ]
    assert found.proposed[0].case.expected == CaseExpected("allow")
    assert found.differing == len(FRAMES)  # this rule does not tell talking about it from saying it


def test_frames_are_proposed_where_both_configurations_let_them_through() -> None:
    precise = put_in_force(
        parse_config(
            "pack: {name: shop, version: 1.0.0}\n"
            "policies: {chain: [dlp-filter, audit-logger]}\n"
            "policy:\n"
            "  dlp-filter: {detect_patterns: ['^aurora'], action: block}\n"
            "  audit-logger: {}\n",
            file="c.yaml",
        )
    )
    found = of(case("aurora ships", verdict="block"), OPEN, precise)
    assert {*FRAMES} <= {one.technique for one in found.proposed}


def test_recorded_neighbours_that_a_fix_would_stop_are_no_twins() -> None:
    found = of(
        MISS,
        OPEN,
        FIXED,
        "Dear team, the borealis ships in May.",
        "Dear team, aurora really ships in May.",
        "What is the weather like?",
    )
    near = [(one.event_id, content(one.case)) for one in found.proposed if one.event_id]
    assert near == [("event-0", "Dear team, the borealis ships in May.")]
    assert found.differing == len(FRAMES) + 1


def test_the_twin_of_an_over_block_is_the_attack_that_stays_blocked() -> None:
    assert is_over_block(OVER_BLOCK)
    assert not is_over_block(MISS)
    found = of(
        OVER_BLOCK,
        TYPO,
        FIXED,
        "Where is my aurora, please?",
        "Where is my second order, please?",
        "Where is my parcel, please?",
    )
    (twin,) = found.proposed
    assert (twin.event_id, twin.technique) == ("event-0", "neighbour")
    assert twin.case.expected == CaseExpected("block", "dlp.term_matched")
    assert found.differing == 2


def test_the_nearest_are_taken_once_each() -> None:
    texts = [
        "ship my order to Bonn today",
        "SHIP my order, to Bonn today!",
        "my order to Bonn",
        "nothing like it",
    ]
    found = list(nearest(case("ship my order to Bonn"), neighbours(*texts)))
    assert [one.event_id for one in found] == ["event-0", "event-2"]


def test_the_case_itself_is_not_its_neighbour() -> None:
    assert not list(nearest(MISS, neighbours(content(MISS))))
