"""Calls that content asked for and the user did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from kintsugi.model.content import Part
from kintsugi.model.verdict import Verdict
from kintsugi.policy.classifier.model import trained
from kintsugi.policy.provenance import Suspicion, suspicion, worst_call
from kintsugi.policy.rule import Observation
from kintsugi.policy.rules.agent_firewall.checks import HIJACK, Check, Turn, about
from kintsugi.policy.rules.agent_firewall.options import Provenance

# Each call is compared with the whole conversation, so their number is bounded; an answer with
# more calls than this is judged by its first ones.
_CALLS_MAX = 16


class HijackCheck(Check):
    """Judges new calls by where their values come from.

    The classifier says how likely a result holds instructions for the model.
    """

    def __init__(self, options: Provenance) -> None:
        self._threshold = options.threshold
        self._model = trained()

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        suspect = cache(self._suspect)  # the calls of one answer ask about the same results
        parts = [part for part in turn.exchange.parts if part.kind == "tool_call"]
        for part, call in list(zip(parts, turn.calls, strict=True))[:_CALLS_MAX]:
            found = suspicion(part, turn.exchange.request, suspect=suspect)
            if found.score >= self._threshold:
                yield about(call, "hijack", HIJACK, _reasons(found))

    def judge_afterwards(self, parts: Sequence[Part], verdict: Verdict | None) -> list[Observation]:
        """Judge the last calls of a conversation, once more, by what their own results say.

        A model that calls several tools at once has read none of their results; whoever wrote a
        conversation down may have put them behind all of the calls.
        """
        latest = _latest_calls(parts)
        if not latest:
            return []
        # Calls that were judged before leave; what they brought stays.
        conversation = [
            part for at, part in enumerate(parts) if part.kind != "tool_call" or at in latest
        ]
        worst = worst_call(conversation, suspect=cache(self._suspect))
        if worst is None or worst[1].score < self._threshold:
            return []
        call, found = worst
        detail = _reasons(found)
        return [
            Observation(
                rule="hijack", reason_code=HIJACK, path=call.path, detail=detail, verdict=verdict
            )
        ]

    def _suspect(self, text: str) -> float:
        return self._model.score(text, "tool").indirect.probability


def _latest_calls(parts: Sequence[Part]) -> frozenset[int]:
    """The calls that the newest results answer, by position."""
    calls = [at for at, part in enumerate(parts) if part.kind == "tool_call"]
    if not calls or not any(part.kind == "tool_result" for part in parts[calls[-1] :]):
        return frozenset()
    first = len(calls) - 1
    while first > 0 and not any(
        part.kind == "tool_result" for part in parts[calls[first - 1] : calls[first]]
    ):
        first -= 1
    return frozenset(calls[first:][:_CALLS_MAX])


def _reasons(found: Suspicion) -> str:
    names = dict.fromkeys(witness.name for witness in found.witnesses)
    return f"{found.score:.2f}: {', '.join(names)}"
