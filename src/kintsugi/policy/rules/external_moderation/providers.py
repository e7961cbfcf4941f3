"""How moderation services are asked and what their answers mean. A service is data, not code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from kintsugi.policy.remote import RemoteUnreadable, at_pointer

_encode = msgspec.json.Encoder().encode
_CATEGORY = re.compile(r"[\w/ .:-]{1,64}")
_CATEGORIES_MAX = 256


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a service's answer says what.

    Attributes:
        scores: JSON pointer of the scores: an object of numbers (or true and false) by category,
            or a list of objects with ``name`` and ``score``.
        flagged: JSON pointer of a true or false about the whole; counts only where there are no
            scores.
        name, score: keys of a list's objects.
        scale: the score that means certainty: 7 for Azure's severities.
    """

    scores: str = "/scores"
    flagged: str = "/flagged"
    name: str = "category"
    score: str = "score"
    scale: float = 1.0


class Provider(NamedTuple):
    """One service.

    Attributes:
        path: what follows the base path of the target.
        body: JSON to post, of a text, the phase and the model.
    """

    path: str
    body: Callable[[str, str, str], bytes]
    reply: Reply


def _webhook(text: str, phase: str, model: str) -> bytes:  # noqa: ARG001
    return _encode({"input": text, "phase": phase})


def _openai(text: str, phase: str, model: str) -> bytes:  # noqa: ARG001
    return _encode({"model": model or "omni-moderation-latest", "input": text})


def _azure(text: str, phase: str, model: str) -> bytes:  # noqa: ARG001
    return _encode({"text": text, "outputType": "EightSeverityLevels"})


def _lakera(text: str, phase: str, model: str) -> bytes:  # noqa: ARG001
    role = "user" if phase == "input" else "assistant"
    return _encode({"messages": [{"role": role, "content": text}], "breakdown": True})


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "webhook": Provider("", _webhook, Reply()),
        "openai-moderation": Provider(
            "/moderations",
            _openai,
            Reply(scores="/results/0/category_scores", flagged="/results/0/flagged"),
        ),
        "azure-content-safety": Provider(
            "/contentsafety/text:analyze?api-version=2024-09-01",
            _azure,
            Reply(scores="/categoriesAnalysis", flagged="", score="severity", scale=7.0),
        ),
        "lakera": Provider(
            "/v2/guard",
            _lakera,
            Reply(scores="/breakdown", name="detector_type", score="detected"),
        ),
    }
)


def scores_in(document: Any, reply: Reply) -> dict[str, float]:
    """The highest score of each category, in [0, 1]; under ``flagged`` where only that is told.

    Raises:
        RemoteUnreadable: the answer says neither, or says it in no known way.
    """
    found: dict[str, float] = {}
    scores = at_pointer(document, reply.scores) if reply.scores else None
    for name, score in _pairs(scores, reply):
        category = name if isinstance(name, str) and _CATEGORY.fullmatch(name) else "other"
        if not isinstance(score, int | float) or not isfinite(score):
            raise RemoteUnreadable
        value = float(score) if isinstance(score, bool) else score / reply.scale
        found[category] = max(found.get(category, 0.0), min(max(value, 0.0), 1.0))
        if len(found) > _CATEGORIES_MAX:
            raise RemoteUnreadable
    if found or scores == []:
        return found
    flagged = at_pointer(document, reply.flagged) if reply.flagged else None
    if not isinstance(flagged, bool):
        raise RemoteUnreadable
    return {"flagged": float(flagged)}


def _pairs(scores: Any, reply: Reply) -> Iterator[tuple[Any, Any]]:
    if isinstance(scores, dict):
        yield from scores.items()
    elif isinstance(scores, list):
        for one in scores:
            if not isinstance(one, dict):
                raise RemoteUnreadable
            yield one.get(reply.name), one.get(reply.score)
