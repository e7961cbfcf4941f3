"""Texts that leave the house: names of people become their roles, personal data and secrets are
masked by the same detectors that judge traffic, ids of records go. Pure.

A help, not a promise: whoever publishes reads the result first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.model.incident import Incident, person_of
from kintsugi.policy.decide import decide
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import Plan, compile_plan

_UUID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_SECTION: Final = """\
pack: {name: redaction, version: 1.0.0, enabled: true}
policies: {chain: [pii-detector, secrets-detector]}
policy:
  pii-detector: {action: redact}
  secrets-detector: {action: redact}
"""
# The detectors read a text of this size in some milliseconds; a review is many of them.
_NAME_CHARS_MIN: Final = 2


def redacted(text: str, names: Mapping[str, str], *, terms: Iterable[str] = ()) -> str:
    """The text as strangers may read it.

    Args:
        names: what stands for each person, such as ``the commander`` for ``ana``.
        terms: further words that nobody outside may read: names of customers, of systems.
    """
    found = _UUID.sub("[id]", _masked(text))
    replaced = {**{term: "[redacted]" for term in terms if term.strip()}, **names}
    longest_first = sorted(
        (name for name in replaced if len(name) >= _NAME_CHARS_MIN), key=len, reverse=True
    )
    if not longest_first:
        return found
    folded = {name.casefold(): replaced[name] for name in longest_first}
    pattern = "|".join(re.escape(name) for name in longest_first)
    # Not inside longer words: "ana" is no part of "banana".
    return re.sub(
        rf"(?<![\w])(?:{pattern})(?:/[0-9A-Za-z-]+)?(?![\w])",
        lambda match: folded.get(match[0].partition("/")[0].casefold(), "[redacted]"),
        found,
        flags=re.IGNORECASE,
    )


def names_in(incident: Incident) -> dict[str, str]:
    """The people of an incident, each as the role that they have had in it."""
    people = {person_of(incident.reported_by): "a reporter"}
    for part in incident.cause.values():
        people[person_of(part.by)] = "an investigator"
    for term in incident.roles:
        people[person_of(term.assigned_by)] = "a responder"
    for term in incident.roles:
        people[term.person] = f"the {term.role.replace('_', ' ')}"
    return {name: role for name, role in people.items() if name}


def _masked(text: str) -> str:
    exchange = ExchangeView(parts=(Part("assistant", "text", text, "/text"),))
    # The time is part of no detector's answer.
    decision = decide(_plan(), Phase.OUTPUT, exchange, Facts(now=datetime(2000, 1, 1, tzinfo=UTC)))
    for edit in sorted(decision.edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.replacement + text[edit.end :]
    return text


@cache
def _plan() -> Plan:
    return compile_plan(parse_config(_SECTION, file="redaction"))
