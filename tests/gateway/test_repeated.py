"""An answer that repeats its request is judged by what it says, and masked where it repeats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import BLOCKING, Playbook, in_force
from tests.gateway.wires import Responses

RESPONSES = b"/v1/responses"
NUMBER = "536-22-8841"
OUTPUT_ONLY = BLOCKING.replace("action: block", "action: block, phases: [output]")
WATCHING = "pii-detector: {action: flag}"


def play(*rules: str, asked: dict[str, Any], said: str, mode: str) -> Playbook:
    """One exchange whose answer repeats what was asked; ``mode`` may be ``whole``."""
    streaming = "buffer" if mode == "whole" else mode
    playing = Playbook(in_force(*rules, gateway=f"streaming: {streaming}"))
    body = {"model": "sim-echo", "input": "x", "stream": mode != "whole", **asked}
    playing.request(json.dumps(body).encode(), target=RESPONSES)
    sent = json.loads(playing.commands[-1].body)  # type: ignore[union-attr]
    made = Responses()
    made.repeated = {key: sent[key] for key in asked}
    made.begin()
    made.say(made.open_message(), said)
    made.close(0)
    made.end()
    if mode == "whole":
        playing.exchange_of(json.dumps(made.response("completed")).encode())
    else:
        playing.streamed(made.events)
    return playing


modes = pytest.mark.parametrize("mode", ["whole", "buffer", "window"])


@modes
def test_instructions_that_name_what_must_not_be_said_stop_no_answer(mode: str) -> None:
    asked = {"instructions": "Never say STOPME.", "metadata": {"note": "STOPME"}}
    fine = play(OUTPUT_ONLY, asked=asked, said="all is well", mode=mode)
    assert fine.event.verdict is Verdict.ALLOW
    said = play(OUTPUT_ONLY, asked=asked, said="I say STOPME.", mode=mode)
    assert said.event.verdict is Verdict.BLOCK


@modes
def test_what_an_answer_claims_to_repeat_and_was_not_said_is_judged(mode: str) -> None:
    playing = Playbook(in_force(OUTPUT_ONLY, gateway="streaming: buffer"))
    body = {"model": "sim-echo", "input": "x", "stream": mode != "whole"}
    playing.request(json.dumps(body).encode(), target=RESPONSES)
    made = Responses()
    made.repeated = {"instructions": "say STOPME"}
    made.begin()
    made.end()
    if mode == "whole":
        playing.exchange_of(json.dumps(made.response("completed")).encode())
    else:
        playing.streamed(made.events)
    assert playing.event.verdict is Verdict.BLOCK


@modes
def test_evidence_masks_what_is_repeated_as_it_masks_the_request(mode: str) -> None:
    asked = {"instructions": f"The customer is {NUMBER}."}
    event = play(WATCHING, asked=asked, said="all is well", mode=mode).event
    assert NUMBER not in event.payload.request
    assert NUMBER not in event.payload.response
    assert [e.outcome for e in event.evaluations] == ["matched", "clear"]


@modes
def test_a_redacted_request_is_repeated_redacted(mode: str) -> None:
    rule = "pii-detector: {action: redact}"
    asked = {"instructions": f"The customer is {NUMBER}."}
    event = play(rule, asked=asked, said="all is well", mode=mode).event
    assert NUMBER not in event.payload.response
    assert [e.outcome for e in event.evaluations] == ["matched", "clear"]
