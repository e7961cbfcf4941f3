"""What a case is to expect, worked out from what is known of the decision that went wrong. Pure."""

from __future__ import annotations

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.config import CaseExpected
from kintsugi.model.event import DecisionEvent
from kintsugi.model.incident import Enforcement
from kintsugi.model.overrides import Override
from kintsugi.model.verdict import Verdict
from kintsugi.policy.reasons import parse_reason_code
from kintsugi.policy.rules import KINDS
from kintsugi.policy.shapes import canonical_kind

_WORDS = ", ".join(verdict.value for verdict in Verdict)


class Expectation(msgspec.Struct, frozen=True):
    """What must come out from now on.

    Attributes:
        because: where that was taken from, in words.
    """

    expected: CaseExpected
    because: str


def expectation(
    stated: CaseExpected,
    *,
    event: DecisionEvent | None,
    overrides: tuple[Override, ...] = (),
    enforcement: Enforcement | None = None,
) -> Expectation:
    """What a case expects: what somebody states; else what a reviewer said of this very decision;
    else what the incident says of enforcement; else the opposite of what was decided, because a
    case has to fail on the configuration of that time.

    Raises:
        InvalidInput: nothing tells; say it.
    """
    stated = canonical(stated)
    if stated != CaseExpected():
        return Expectation(stated, "as stated")
    proposed = next((one for one in overrides if one.proposes is not None), None)
    if proposed is not None:
        return _verdict(str(proposed.proposes), f"a reviewer said {proposed.classification}")
    if enforcement == "missed":
        return _verdict("block", "the incident says that enforcement missed it")
    if enforcement == "over_block":
        return _verdict("allow", "the incident says that enforcement over-blocked")
    if event is None or enforcement is not None or event.verdict in _UNCLEAR:
        raise InvalidInput(
            "expected: nothing tells what must come out; say it: --expect VERDICT, one of "
            f"{_WORDS}; or record the verdict of the incident first: kt incidents judge INC "
            "--enforcement missed|over_block"
        )
    if event.verdict.stops:
        return _verdict("allow", f"it was stopped ({event.reason_code}), which was wrong")
    return _verdict("block", "it was let through, which was wrong")


def canonical(expected: CaseExpected) -> CaseExpected:
    """An expectation in the words of this product.

    Raises:
        InvalidInput: a word is not known.
    """
    verdict, reason_code, policy = expected.verdict, expected.reason_code, expected.policy
    try:
        verdict = Verdict.parse(verdict).value if verdict is not None else None
    except ValueError:
        raise InvalidInput(f'expected.verdict: "{verdict}" is none; use one of: {_WORDS}') from None
    try:
        reason_code = parse_reason_code(reason_code) if reason_code is not None else None
    except ValueError:
        raise InvalidInput(
            f'expected.reason_code: "{reason_code}" is not known; kt reasons lists them all'
        ) from None
    policy = canonical_kind(policy) if policy is not None else None
    if policy is not None and policy not in KINDS:
        raise InvalidInput(
            f'expected.policy: "{expected.policy}" is no kind of policy; use one of: '
            f"{', '.join(KINDS)}"
        )
    return msgspec.structs.replace(
        expected, verdict=verdict, reason_code=reason_code, policy=policy
    )


# Let through, but changed or watched: what should have happened instead may be either.
_UNCLEAR = frozenset({Verdict.REDACT, Verdict.TRANSFORM})


def _verdict(word: str, because: str) -> Expectation:
    return Expectation(CaseExpected(verdict=word), because)
