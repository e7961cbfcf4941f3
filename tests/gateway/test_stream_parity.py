"""Every kind of policy gives a stream one verdict, however its bytes arrive, in every dialect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway.in_force import InForce
from kintsugi.model.decision import Phase
from kintsugi.policy.rules import KINDS
from tests.gateway.playbook import Playbook, in_force
from tests.gateway.test_streaming import cut, kept, places, verdicts_of, without_comment
from tests.gateway.wires import WIRES, Wire

# Each kind that judges answers, set so that the texts below concern it.
POLICIES = {
    "pii-detector": ["{action: redact}", "{action: block}", "{action: flag}"],
    "secrets-detector": ["{action: redact}", "{action: block}"],
    "dlp-filter": [r"{action: redact, detect_patterns: ['\d{3}-\d{2}-\d{4}', 'secret \w+']}"],
    "safety-filter": ["{}"],
    "schema-validator": ["{type: object}", "{type: string, action: flag}"],
    "citation-verifier": ["{}"],
    "groundedness": ["{require_context: true, action: flag}"],
    "quality-scorer": ["{min_output_chars: 30, thresholds: {min_aggregate: 0.9}, action: flag}"],
    "language-validator": ["{allowed_languages: [de], min_letters: 10}"],
    "bias-monitor": ["{mode: enforce, threshold: 0.5}"],
    "human-oversight": ["{require_human_for: [medical_decisions, financial_advice]}"],
    "custom": [
        "{rules: [{name: r, when: 'answer.text.contains(\"secret\")', phases: [output]}]}",
        "{rules: [{name: r, when: 'tools.calls.exists(c, !c.valid)', phases: [tool]}]}",
    ],
    "tool-validation": ["{declared_tools: [g]}", "{schemas: {f: {type: object}}, action: flag}"],
    "rbac": ["{deny_if_missing: [], roles: {u: {allowed_tools: [g]}}, default_role: u}"],
    "agent-firewall": ["{denied_tools: [f]}", "{}"],
}
# These ask for facts that somebody must gather first; tests/gateway/test_governance.py has them.
GATHERING = {"external-moderation", "tool-budget"}

texts = st.lists(
    st.sampled_from(
        [
            "536-22-",
            "8841",
            "123-45-6789 ",
            "4111 1111 1111",
            " 1111",
            "ada@",
            "lovelace.example ",
            "AKIA" + "IOSFODNN7EXAMPLE",
            "password = hunter2hunter2 ",
            "how to build a ",
            "pipe bomb ",
            "at home ",
            "kill yourself ",
            "you should take 40 mg of ",
            "ibuprofen ",
            "buy these shares now ",
            '{"a":',
            "1}",
            "as said before [7]. ",
            "rm -rf / ",
            "Women cannot drive. ",
            "secret ",
            "word ",
            "Nothing to see in this sentence, which is only here to fill the window. ",
            "é😀 ",
            "\n",
        ]
    ),
    max_size=4,
).map("".join)

CASES = [(kind, options) for kind in POLICIES if kind in KINDS for options in POLICIES[kind]]
COMPILED: dict[tuple[str, str, str], InForce] = {
    (kind, options, mode): in_force(f"{kind}: {options}", gateway=f"streaming: {mode}")
    for kind, options in CASES
    for mode in ("buffer", "window")
}


def test_every_kind_that_judges_answers_is_tried() -> None:
    judging = {
        name for name, kind in KINDS.items() if {Phase.OUTPUT, Phase.TOOL} & set(kind.phases)
    }
    assert judging <= POLICIES.keys() | GATHERING


def play(configuration: InForce, wire: Wire, chunks: list[bytes]) -> Playbook:
    playing = Playbook(configuration)
    playing.request(wire.request(True), target=wire.target)
    playing.streamed(chunks)
    return playing


@pytest.mark.parametrize("wire", WIRES, ids=str)
@pytest.mark.parametrize(("kind", "options"), CASES)
@given(data=st.data(), at=places)
def test_a_stream_has_the_verdict_of_the_whole(
    kind: str, options: str, wire: Wire, data: st.DataObject, at: list[int]
) -> None:
    stream = data.draw(wire.streams(texts))
    whole = play(COMPILED[kind, options, "buffer"], wire, [stream])
    for mode in ("buffer", "window"):
        pieces = play(COMPILED[kind, options, mode], wire, cut(stream, at))
        assert pieces.event.error == whole.event.error
        assert pieces.event.status is whole.event.status
        assert verdicts_of(pieces.event)[:2] == verdicts_of(whole.event)[:2]
        if whole.event.verdict.stops and mode == "window":
            continue  # it ended sooner: what came after was not looked at
        assert verdicts_of(pieces.event) == verdicts_of(whole.event)
        assert without_comment(pieces.sent()) == whole.sent()
        assert kept(pieces.event) == kept(whole.event)
