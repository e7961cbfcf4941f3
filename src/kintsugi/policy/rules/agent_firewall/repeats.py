"""The same call again, and calls that go round in circles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from kintsugi.model.facts import CounterNeed
from kintsugi.policy.names import Names
from kintsugi.policy.quotas import counter_key
from kintsugi.policy.rule import Observation
from kintsugi.policy.rules.agent_firewall.checks import REPEATED, Check, Turn, about
from kintsugi.policy.rules.agent_firewall.options import Repeats
from kintsugi.policy.tool_calls import Step, ToolCall, canonical
from kintsugi.policy.tool_failures import failure_of

_CYCLE_CALLS_MAX = 4


class RepeatedCall(Check):
    """Judges the new calls against those of the conversation, and against other requests'."""

    def __init__(self, options: Repeats) -> None:
        self._options = options
        self._once = Names(options.once_tools, loose=True)

    def needs(self, turn: Turn) -> Iterator[CounterNeed]:
        """See ``Check``."""
        most = self._options.max_identical_per_session
        for call in turn.calls:
            if call.name in self._once:
                seconds = self._options.once_seconds
                key = self._key(turn, call, "once")
                yield CounterNeed(key=key, amount=1, limit=1, window_seconds=seconds)
        if most:
            for key, times in Counter(self._key(turn, c, "identical") for c in turn.calls).items():
                yield CounterNeed(key=key, amount=times, limit=most)

    def judge(self, turn: Turn) -> Iterator[Observation]:
        """See ``Check``."""
        yield from self._once_only(turn)
        yield from self._in_session(turn)
        most, cycles = self._options.max_identical, self._options.max_cycles
        if not (most or cycles) or not (turn.steps or len(turn.calls) > 1):
            return
        calls = [canonical(step.call) for step in turn.steps]
        counts = Counter(calls)
        for call in turn.calls:
            same = canonical(call)
            calls.append(same)
            counts[same] += 1
            if most and counts[same] > most:
                yield about(call, "identical", REPEATED, f"more than {most} times")
            elif cycles and (length := cycle_length(calls, cycles)):
                detail = f"{length} calls, more than {cycles} times"
                yield about(call, "cycle", REPEATED, detail)

    def _once_only(self, turn: Turn) -> Iterator[Observation]:
        if not self._once:
            return
        done = {canonical(step.call) for step in turn.steps if _succeeded(step)}
        failed = {canonical(step.call) for step in turn.steps} - done
        for call in turn.calls:
            if call.name not in self._once:
                continue
            same = canonical(call)
            # The counter cannot know that a call came to nothing; the conversation does.
            counted = not turn.facts.counters[self._key(turn, call, "once")].granted
            if same in done or (counted and same not in failed):
                yield about(call, "once", REPEATED, "the same call was made before")
            done.add(same)

    def _in_session(self, turn: Turn) -> Iterator[Observation]:
        if most := self._options.max_identical_per_session:
            for call in turn.calls:
                if not turn.facts.counters[self._key(turn, call, "identical")].granted:
                    detail = f"more than {most} times"
                    yield about(call, "identical_in_session", REPEATED, detail)

    def _key(self, turn: Turn, call: ToolCall, what: str) -> str:
        """Names the call without telling it: keys of counters are on the record."""
        key = turn.facts.fingerprint_key[:64]
        digest = blake2b(canonical(call), digest_size=12, key=key).hexdigest()
        who = turn.facts.identity
        return counter_key("agent-firewall", "session", who, turn.exchange.model, what, digest)


def _succeeded(step: Step) -> bool:
    """Whether a call came to something. One without a result may have, so it counts."""
    return step.result is None or failure_of(step.call.name, step.result.text) is None


def cycle_length(calls: Sequence[bytes], cycles_max: int) -> int:
    """How many calls the circle has in which a conversation ends; 0 for none.

    A circle is a sequence of two to four calls, not all the same, more than ``cycles_max`` times
    one after the other.
    """
    for length in range(2, _CYCLE_CALLS_MAX + 1):
        needed = length * (cycles_max + 1)
        if len(calls) < needed:
            return 0
        tail = calls[-needed:]
        if len(set(tail[:length])) > 1 and tail[length:] == tail[:-length]:
            return length
    return 0
