"""Tools that a request offers to the model and that its caller may not use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from kintsugi.model.content import Part
from kintsugi.model.transform import Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import Observation

# ``strip``: the model never learns of them. ``block``: the request is refused. ``ignore``: only
# calls are judged.
Offered = Literal["strip", "block", "ignore"]


def denied_offers(
    parts: Sequence[Part], how: Offered, may_call: Callable[[str], bool], reason_code: str
) -> list[Observation]:
    """One observation for each definition of a tool that may not be called."""
    if how == "ignore":
        return []
    seen: list[Observation] = []
    judged: set[str] = set()
    for part in parts:
        if part.kind != "tool_definition" or not part.name or part.name in judged:
            continue
        judged.add(part.name)
        if may_call(part.name):
            continue
        # A star in a tool's own name would take others along; such a tool is not offered politely.
        strips = how == "strip" and "*" not in part.name
        seen.append(
            Observation(
                rule="offered_tool",
                reason_code=reason_code,
                path=part.path,
                verdict=Verdict.TRANSFORM if strips else None,
                transform=Transform(strip_tools=(part.name,)) if strips else None,
            )
        )
    return seen
