"""As a promptfoo configuration: one test a case, asked through the gateway.

promptfoo renders every text as a Nunjucks template, with the environment in reach, and reads
``file://`` out of variables. So a request is one JSON text in which no brace of a prompt is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kintsugi.model.harmless import json_text
from kintsugi.replay.exports.asked import Asked, asker, through_gateway
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, RegressionExport
from kintsugi.replay.yaml_text import stated, yaml_text

_HEAD: Final = "# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json\n"
_SEEN: Final = "JSON.parse(output)"
_BRACES: Final = frozenset("{}")
_AS_PARENTHESES: Final = str.maketrans("{}", "()")
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def export(entries: Sequence[Entry]) -> RegressionExport:
    """``promptfooconfig.yaml``, and the provider that it names."""
    losses = Losses()
    asked = through_gateway(entries, losses)
    config = {
        "description": "Kintsugi regression cases",
        "prompts": ["{{request}}"],
        "providers": [{"id": "file://kintsugi_gateway.py", "label": "kintsugi-gateway"}],
        "tests": [_test(one, losses) for one in asked],
    }
    text = _HEAD + yaml_text(config)
    return losses.export([ExportedFile("promptfooconfig.yaml", text), asker()], len(asked))


def _test(asked: Asked, losses: Losses) -> dict[str, Any]:
    entry = asked.entry
    words = {"name": entry.case.name, "description": entry.case.description}
    for field, text in words.items():
        if _BRACES.intersection(text):
            losses.add(entry, field, "its braces, which promptfoo would render, stand as ( and )")
    description = ": ".join(text for text in words.values() if text)
    return {
        "description": f"{entry.id} {description}".translate(_AS_PARENTHESES),
        "vars": {"request": _inert(asked.request)},
        "assert": [{"type": "javascript", "value": check} for check in _checks(asked.expected)],
        "metadata": stated(entry.about),
    }


def _checks(expected: dict[str, str]) -> Iterator[str]:
    for name, value in expected.items():
        match name:
            case "response_contains":
                yield f"{_SEEN}.text.includes({_inert(value)})"
            case "response_excludes":
                yield f"!{_SEEN}.text.includes({_inert(value)})"
            case _:
                yield f"{_SEEN}.{name} === {_inert(value)}"


def _inert(value: Any) -> str:
    """JSON, and JavaScript, in which no text holds a brace."""
    return _TEXT.sub(
        lambda match: match.group().replace("{", "\\u007b").replace("}", "\\u007d"),
        json_text(value, indent=0),
    )
