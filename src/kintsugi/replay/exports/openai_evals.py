"""As an eval of the OpenAI evals repository, asked through the gateway.

Not of the Evals API: that one runs on the provider's machines, where no gateway of ours is asked,
and would take the texts of incidents there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kintsugi.model.harmless import json_text
from kintsugi.replay.exports.asked import Asked, asker, messages_of, packaged, through_gateway
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, RegressionExport
from kintsugi.replay.yaml_text import yaml_text

_NAME: Final = "kintsugi-regressions"
_SPLIT: Final = f"{_NAME}.cases.v1"
_SAMPLES: Final = "kintsugi/regressions.jsonl"


def export(entries: Sequence[Entry]) -> RegressionExport:
    """A registry with one eval, its samples, and the class that it names."""
    losses = Losses()
    asked = through_gateway(entries, losses)
    registry = {
        _NAME: {
            "id": _SPLIT,
            "description": "Kintsugi regression cases, asked through the gateway",
            "metrics": ["accuracy"],
        },
        _SPLIT: {
            "class": "kintsugi_eval:GatewayDecision",
            "args": {"samples_jsonl": _SAMPLES},
        },
    }
    samples = "".join(f"{json_text(_sample(one), indent=0)}\n" for one in asked)
    files = [
        ExportedFile("evals/kintsugi.yaml", yaml_text(registry)),
        ExportedFile(f"data/{_SAMPLES}", samples),
        packaged("kintsugi_eval.py"),
        asker(),
    ]
    return losses.export(files, len(asked))


def _sample(asked: Asked) -> dict[str, Any]:
    """``input`` and ``ideal`` are the repository's own words; the rest is for our class."""
    return {
        "input": messages_of(asked) or json_text(asked.request, indent=0),
        "ideal": asked.expected.get("verdict", ""),
        "request": asked.request,
        "expected": asked.expected,
        "metadata": asked.metadata,
    }
