"""As a dataset and a task for Inspect (inspect-ai), asked through the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintsugi.model.harmless import json_text
from kintsugi.replay.exports.asked import Asked, asker, messages_of, packaged, through_gateway
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, RegressionExport


def export(entries: Sequence[Entry]) -> RegressionExport:
    """``regressions.jsonl`` with a sample a case, and ``kintsugi_task.py`` that runs them."""
    losses = Losses()
    asked = through_gateway(entries, losses)
    text = "".join(f"{json_text(_sample(one), indent=0)}\n" for one in asked)
    files = [ExportedFile("regressions.jsonl", text), packaged("kintsugi_task.py"), asker()]
    return losses.export(files, len(asked))


def _sample(asked: Asked) -> dict[str, Any]:
    """The input is for people and for scorers of your own; what is sent is ``request``."""
    return {
        "id": asked.entry.id,
        "input": messages_of(asked) or json_text(asked.request, indent=0),
        "target": asked.expected.get("verdict", ""),
        "metadata": asked.metadata | {"request": asked.request, "expected": asked.expected},
    }
