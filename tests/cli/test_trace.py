"""``kt trace show`` on a terminal: the tree, who told of each step, and what is missing."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from kintsugi.cli.trace import _list, _page

NODES: list[dict[str, Any]] = [
    {
        "source": "span",
        "id": "1",
        "depth": 0,
        "step": "agent",
        "name": "answer \x1b[31ma customer",
        "at": "2026-04-23T12:00:00+00:00",
        "duration_ms": 1500.0,
        "status": "error",
        "where": "shop",
    },
    {
        "source": "decision",
        "id": "e1",
        "depth": 1,
        "step": "model",
        "name": "openai.chat m",
        "at": "2026-04-23T12:00:00.250+00:00",
        "verdict": "block",
        "reason_code": "prompt_injection.detected",
        "status": "blocked",
        "attributes": {"gen_ai.request.model": "m", "kintsugi.records": ["a", "b"]},
    },
    {
        "source": "missing",
        "id": "2",
        "depth": 40,
        "step": "other",
        "name": "not reported",
        "note": "this step was not reported",
    },
]
VIEW: dict[str, Any] = {
    "trace": {"trace_id": "4bf9", "started_at": "2026-04-23T12:00:00+00:00"},
    "nodes": NODES,
    "completeness": [
        {"state": "partial", "title": "Final outcome", "held": ["status"], "missing": ["answer"]}
    ],
    "truncated": True,
}


def shown(value: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(value)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_tree_says_who_told_of_each_step_and_how_it_ended() -> None:
    lines = shown(_page(VIEW)).splitlines()
    assert any(
        "· answer \\x1b[31ma customer  [agent]  +0.0 ms, 1500.0 ms  error" in x for x in lines
    )
    (decision,) = [line for line in lines if "◆" in line]
    assert "+250.0 ms  block (prompt_injection.detected)  blocked" in decision
    assert "model=m" in decision
    assert "records=a, b" in decision
    (missing,) = [line for line in lines if "?" in line]
    assert "this step was not reported" in missing
    assert "… there are more steps than are shown" in lines
    assert any("partial" in line and "answer" in line for line in lines)


def test_a_list_of_traces_names_their_services() -> None:
    text = shown(
        _list(
            [
                {
                    "trace_id": "4bf9",
                    "started_at": "2026-04-23T12:00:00Z",
                    "labels": ["service:shop", "step:tool", "user:ada"],
                    "spans": 3,
                }
            ]
        )
    )
    assert "shop" in text
    assert "4bf9" in text
    assert "no trace matches" in shown(_list([]))
