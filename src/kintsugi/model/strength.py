"""Whether a new version of a case asks at least as much as the one before. Pure.

A case may be strengthened, never weakened. What is not at least as strong is another case: it is
proposed, approved and proven of its own, and the first one gets a tombstone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from kintsugi.model.config import Case
from kintsugi.model.verdict import Verdict

Stricter = Callable[[str, str], bool]


def weakened(before: Case, after: Case) -> list[str]:
    """What a new version asks less of, each in a sentence; empty where it is at least as strong."""
    found = []
    if after.input != before.input:
        found.append("it sends something else")
    if after.skip and not before.skip:
        found.append("it is skipped")
    for field, stricter in _STRICTER.items():
        old, new = getattr(before.expected, field), getattr(after.expected, field)
        if old is None or new == old:
            continue
        if new is None:
            found.append(f"it does not expect {field} any more")
        elif not stricter(old, new):
            found.append(f"it expects another {field}, which is no stricter")
    return found


def _verdict(old: str, new: str) -> bool:
    """Of verdicts that act, a stricter one; what has to be let through stays let through."""
    was, now = Verdict.parse(old), Verdict.parse(new)
    return was is not Verdict.ALLOW and was.strictness <= now.strictness


def _nothing(_old: str, _new: str) -> bool:
    return False


# Whoever finds the longer text finds what is in it; whoever has not the shorter has not the longer.
_STRICTER: Final[Mapping[str, Stricter]] = MappingProxyType(
    {
        "verdict": _verdict,
        "reason_code": _nothing,
        "policy": _nothing,
        "response_contains": lambda old, new: old in new,
        "response_excludes": lambda old, new: bool(new) and new in old,
        "request_excludes": lambda old, new: bool(new) and new in old,
    }
)
