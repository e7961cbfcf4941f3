"""As goldens for DeepEval, and a test that asks them through the gateway.

A case that is a conversation of several turns is a conversational golden. DeepEval keeps the two
sorts apart, so each has its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintsugi.model.harmless import json_text
from kintsugi.replay.exports.asked import Asked, asker, messages_of, packaged, through_gateway
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, RegressionExport


def export(entries: Sequence[Entry]) -> RegressionExport:
    """``goldens.json``, ``conversational_goldens.json`` and ``test_kintsugi.py``."""
    losses = Losses()
    asked = through_gateway(entries, losses)
    single, several = [], []
    for one in asked:
        turns = _turns(one)
        if len(turns) > 1:
            several.append(_conversation(one, turns))
        else:
            single.append(_golden(one))
    files = [
        ExportedFile("goldens.json", f"{json_text(single)}\n"),
        ExportedFile("conversational_goldens.json", f"{json_text(several)}\n"),
        packaged("test_kintsugi.py"),
        asker(),
    ]
    return losses.export(files, len(asked))


def _golden(asked: Asked) -> dict[str, Any]:
    messages = messages_of(asked) or []
    said = "\n".join(message["content"] for message in messages if message["role"] == "user")
    return {
        "name": asked.name,
        "input": said or json_text(asked.request, indent=0),
        "expected_output": asked.expected.get("verdict"),
        "additional_metadata": _metadata(asked),
    }


def _conversation(asked: Asked, turns: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "name": asked.name,
        "scenario": asked.entry.case.description or asked.name,
        "expected_outcome": asked.expected.get("verdict"),
        "turns": turns,
        "additional_metadata": _metadata(asked),
    }


def _turns(asked: Asked) -> list[dict[str, str]]:
    """DeepEval knows users and assistants; what others say is in the request only."""
    messages = messages_of(asked) or []
    return [message for message in messages if message["role"] != "system"]


def _metadata(asked: Asked) -> dict[str, Any]:
    return asked.metadata | {"request": asked.request, "expected": asked.expected}
